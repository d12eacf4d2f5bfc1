from typing import Any

import pytest

from nightdesk.normalizers.stellar_cyber.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], [{}], {"a": {}}, "\x00", ",", ",,", "asset,")


def test_the_key_of_a_case_ends_with_the_thing_it_is_about() -> None:
    key = "asset,engine,customer,ws-07.example.com"
    assert FUNCTIONS["entity"](key, "asset") == "ws-07.example.com"
    assert FUNCTIONS["entity"](key, "user") is None
    assert FUNCTIONS["kind_of"](key) == "asset"


@pytest.mark.parametrize(
    ("thing", "wanted"), [("10.0.0.5", "10.0.0.5"), ("203.0.113.5", None), ("FD00::5", "fd00::5"), ("ws-07", "ws-07")]
)
def test_only_an_address_of_private_space_is_an_own_asset(thing: str, wanted: str | None) -> None:
    assert FUNCTIONS["own"](f"asset,engine,customer,{thing}", "asset") == wanted


@pytest.mark.parametrize("value", STRANGE)
def test_no_function_stumbles_over_a_strange_value(value: Any) -> None:
    for name, words in (("kind_of", ()), ("entity", ("asset",)), ("own", ("asset",))):
        assert FUNCTIONS[name](value, *words) is None
