"""Options of the whole suite."""

import os

import pytest
from hypothesis import settings

# How long an example takes is the machine's; a test shows what is right, a benchmark what is fast. The same change is
# judged by the same examples; who looks for more sets NIGHTDESK_EXPLORE.
settings.register_profile("nightdesk", deadline=None, derandomize=not os.environ.get("NIGHTDESK_EXPLORE"))
settings.load_profile("nightdesk")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew instead of comparing with them"
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
