"""What stops a rollout, and when it decides where; nothing but facts in, a word out."""

from dataclasses import replace
from typing import Any

import pytest

from nightdesk.autonomy.rollout import Margins, Rollout, RolloutState, Watched, allowed_closes, breach
from nightdesk.sdk.testing.cases import CASE_TIME

PLAN = Rollout(
    rollout_id="r",
    policy_id="p",
    version="2",
    sha256="new",
    rings=(("acme",), ("beta", "gamma")),
    state=RolloutState.RUNNING,
    reason="why",
    changed_by="acme/abe",
    changed_at=CASE_TIME,
    started_by="acme/abe",
    started_at=CASE_TIME,
    before={"acme": "old", "beta": "old", "gamma": "old"},
    expected={"acme": 0.5},
    failing={"acme": 0.1},
    margins=Margins(closes=0.2, spare=2, failures=3),
)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({}, ""),
        ({"decisions": 10, "closes": 8}, ""),
        ({"decisions": 10, "closes": 9}, "closed 9 of 10; the backtest said 50%, which with its margin allows 8"),
        ({"decisions": 0, "closes": 2}, ""),
        ({"overridden": ("c1",)}, "a person re-opened what it closed, or called it an attack (c1)"),
        ({"overridden": ("c1",), "canaries": ("k1",)}, "a planted attack was closed (k1)"),
        ({"killed": "drill"}, "the machine was stopped: drill"),
        ({"unverified": "no key"}, "its signatures no longer hold: no key"),
        ({"actions": 4, "failed": 2}, ""),
        ({"actions": 4, "failed": 3}, "3 of 4 actions ended badly; usual are 10%"),
        ({"actions": 100, "failed": 20}, ""),
        ({"actions": 100, "failed": 21}, "21 of 100"),
    ],
)
def test_what_stops_it(seen: dict[str, Any], words: str) -> None:
    found = breach(PLAN, "acme", Watched(**seen))
    assert (found == "") if not words else (words in found)


def test_where_nothing_was_ever_recorded_only_the_spare_is_allowed() -> None:
    assert allowed_closes(PLAN, "beta", 1000) == 2


def test_it_decides_in_the_rings_entered_while_the_configuration_is_that_of_before() -> None:
    assert PLAN.decides("acme", "old")
    assert not PLAN.decides("beta", "old")
    assert not PLAN.decides("acme", "third")
    assert not PLAN.decides("unknown", "old")
    second = PLAN.advanced(by="a", reason="r", at=CASE_TIME)
    assert second.decides("gamma", "old")
    assert second.since == {"beta": CASE_TIME, "gamma": CASE_TIME}
    last = second.advanced(by="a", reason="r", at=CASE_TIME)
    assert (last.state, last.entered) == (RolloutState.FINISHED, ("acme", "beta", "gamma"))
    assert last.decides("acme", "old")
    assert not replace(last, state=RolloutState.STOPPED).decides("acme", "old")
    assert not last.stopped(by="x", reason="r", at=CASE_TIME).on
