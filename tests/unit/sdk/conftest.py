from collections.abc import Iterator

import pytest

from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    app = Scripted()
    with serve(app) as served:
        app.url = served.base_url
        yield app


@pytest.fixture
def vendor(server: Scripted) -> Scripted:
    server.reset()
    return server


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()
