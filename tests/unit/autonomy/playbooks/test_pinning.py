import pytest

from nightdesk.autonomy.playbooks.pinning import admits
from nightdesk.sdk.errors import UnsupportedError


@pytest.mark.parametrize(
    ("bounds", "version", "within"),
    [
        (">=1,<2", "1.0.0", True),
        (">=1,<2", "1.17.3", True),
        (">=1,<2", "2.0.0", False),
        (">=1.2, <2", "1.1.9", False),
        ("==1.0.0", "1.0.0", True),
        ("!=1.0.1", "1.0.1", False),
        ("<=1.4", "1.4.0", True),
        (">1.4", "1.4.0", False),
    ],
)
def test_a_version_is_within_bounds_or_not(bounds: str, version: str, within: bool) -> None:
    assert admits(bounds, version) is within


@pytest.mark.parametrize("bounds", ["", "1", "~=1.0", ">=1,", ">=x"])
def test_bounds_that_cannot_be_read_are_refused(bounds: str) -> None:
    with pytest.raises(UnsupportedError, match="write bounds such as >=1,<2"):
        admits(bounds, "1.0.0")
