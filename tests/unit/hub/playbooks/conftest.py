"""A real hub over simulators: an EDR, an identity provider, tickets and a chat."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.desks import Desktop


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desktop]:
    with ExitStack() as stack:
        yield Desktop(stack, tmp_path)
