import pytest

from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime


def test_a_parameter_that_is_not_known_is_refused_by_name() -> None:
    wish = Command(
        "acme", "a", "host.isolate", Target.parse("host:ws-1"), "k", FakeTime().clock(), parameters={"mode": 1, "x": 2}
    )
    wish.only("mode", "x", "y")
    with pytest.raises(UnsupportedError, match=r"host\.isolate has no parameter x here"):
        wish.only("mode")


def test_what_is_so_now_is_our_effect_when_the_pre_state_says_otherwise() -> None:
    wish = Command(
        "acme", "a", "host.isolate", Target.parse("host:ws-1"), "k", FakeTime().clock(), pre_state={"isolated": False}
    )
    assert wish.began_otherwise("isolated", True)
    assert not wish.began_otherwise("isolated", False)
    assert not wish.began_otherwise("restricted", True)
