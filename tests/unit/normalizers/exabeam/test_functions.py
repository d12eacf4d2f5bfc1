from typing import Any

import pytest

from nightdesk.normalizers.exabeam.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], [{}], {"riskScore": {}}, {"riskScore": True})


def test_a_session_is_called_after_its_user() -> None:
    assert FUNCTIONS["notable"]("ida.berg") == "Notable session of ida.berg"
    assert FUNCTIONS["session"]("ida.berg") == "Session of ida.berg"


def test_what_was_counted_stands_in_one_line() -> None:
    record = {"riskScore": 313.4, "initialRiskScore": 26, "numOfReasons": 39, "numOfAssets": "many"}
    assert FUNCTIONS["about"](record) == "risk: 313.4; at the beginning: 26; reasons: 39"


@pytest.mark.parametrize("value", STRANGE)
def test_no_function_stumbles_over_a_strange_value(value: Any) -> None:
    assert [function(value) for function in FUNCTIONS.values()] == [None, None, None]
