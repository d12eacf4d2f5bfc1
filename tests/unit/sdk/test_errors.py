import pytest

from nightdesk.sdk import errors
from nightdesk.sdk.errors import (
    ConfigError,
    MappingError,
    NightdeskError,
    Problem,
    RateLimitError,
    RejectedError,
    VendorError,
)


def test_every_error_is_ours_and_is_called_one() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__ if name != "Problem"]
    assert all(issubclass(kind, NightdeskError) and kind.__name__.endswith("Error") for kind in kinds)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RejectedError("no such filter"), "no such filter"),
        (RejectedError("no such filter", vendor="acme"), "acme: no such filter"),
        (
            RejectedError("no such filter", vendor="acme", operation="list alerts", status=400, request_id="r-7"),
            "acme: list alerts: no such filter (HTTP 400) [request r-7]",
        ),
        (
            RateLimitError("too many requests", retry_after=5, vendor="acme", status=429),
            "acme: too many requests (HTTP 429)",
        ),
    ],
)
def test_a_vendor_error_says_who_doing_what_and_how_to_find_it_again(error: VendorError, text: str) -> None:
    assert str(error) == text


def test_a_rate_limit_says_how_long() -> None:
    assert RateLimitError("too many", retry_after=2.5).retry_after == 2.5


def test_a_configuration_error_lists_all_problems() -> None:
    error = ConfigError([Problem("a.yaml", "tenants.x", "is unknown"), Problem("b.yaml", "", "cannot be read")])
    assert str(error) == "a.yaml: tenants.x: is unknown\nb.yaml: cannot be read"
    assert len(error.problems) == 2


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            MappingError("is no time", pointer="/created", source="acme/alerts.yaml:7"),
            "acme/alerts.yaml:7 at /created: is no time",
        ),
        (MappingError("is no object"), "/: is no object"),
    ],
)
def test_a_mapping_error_points_into_the_payload(error: MappingError, text: str) -> None:
    assert str(error) == text
    assert error.reason in text
