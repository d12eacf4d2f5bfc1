"""The pure part of the kill switch: which request each kind of stop keeps in, and that no stop ever lets one out."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.switches import (
    ANYWHERE,
    Clearance,
    Departure,
    Position,
    Scope,
    Switch,
    Word,
    clearance,
    everything_stopped,
    rule_stopped,
    stopped_rules,
)
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.targets import Target

AT = datetime(2026, 11, 23, 6, tzinfo=UTC)
ALL = Switch(ANYWHERE, Scope.ALL)
ACME = Switch("acme", Scope.TENANT)
CAUTION = {Word.GO: 0, Word.ASK: 1, Word.CANCEL: 2}


def stopped(switch: Switch, by: str = "ann", **changes: Any) -> Position:
    return Position(switch, **{"stopped": True, "reason": "drill", "changed_by": by, "changed_at": AT, **changes})


def alone(verb: str = "host.isolate", **changes: Any) -> Departure:
    return Departure(
        **{"tenant": "acme", "verb": verb, "vendor": "edr", "rules": ("r1", "r2"), "alone": True, **changes}
    )


def by_person(verb: str = "host.isolate") -> Departure:
    return alone(verb, alone=False)


@pytest.mark.parametrize(
    "switch",
    [
        ALL,
        ACME,
        Switch("acme", Scope.RULE, "r2"),
        Switch("acme", Scope.RULE, "r1/host.isolate"),
        Switch(ANYWHERE, Scope.RULE, "r1"),
        Switch("acme", Scope.VENDOR_ACTION, "edr/host.isolate"),
        Switch(ANYWHERE, Scope.VENDOR_ACTION, "edr/host.isolate"),
    ],
    ids=str,
)
def test_what_policy_let_go_is_ended_by_a_persons_stop_that_means_it(switch: Switch) -> None:
    said = clearance(alone(), [stopped(switch)])
    assert said.word is Word.CANCEL
    assert "drill" in said.why
    assert clearance(alone(), [stopped(switch, stopped=False)]).word is Word.GO


@pytest.mark.parametrize(
    "switch",
    [
        Switch("umbrella", Scope.TENANT),
        Switch("umbrella", Scope.RULE, "r1"),
        Switch("umbrella", Scope.VENDOR_ACTION, "edr/host.isolate"),
        Switch("acme", Scope.RULE, "r3"),
        Switch("acme", Scope.RULE, "r1/host.scan"),
        Switch("acme", Scope.VENDOR_ACTION, "edr/host.release"),
        Switch("acme", Scope.VENDOR_ACTION, "other-edr/host.isolate"),
    ],
    ids=str,
)
def test_what_another_switch_means_is_no_hindrance(switch: Switch) -> None:
    assert clearance(alone(), [stopped(switch)]) == Clearance(Word.GO)


@pytest.mark.parametrize("switch", [ALL, ACME, Switch("acme", Scope.RULE, "r1")], ids=str)
def test_a_persons_own_or_approved_command_is_not_the_machines(switch: Switch) -> None:
    assert clearance(by_person(), [stopped(switch)]) == Clearance(Word.GO)


def test_a_vendor_action_that_a_person_stopped_is_stopped_for_everybody() -> None:
    switch = Switch("acme", Scope.VENDOR_ACTION, "edr/host.isolate")
    assert clearance(by_person(), [stopped(switch)]).word is Word.CANCEL


def test_a_demoted_vendor_action_asks_a_person_and_warns_one_who_commands_it() -> None:
    demoted = stopped(Switch(ANYWHERE, Scope.VENDOR_ACTION, "edr/host.isolate"), by="engine", reason="it lied")
    assert clearance(alone(), [demoted]).word is Word.ASK
    said = clearance(by_person(), [demoted])
    assert said.word is Word.GO
    assert said.why.startswith("warning: ")
    assert "it lied" in said.why


def test_a_brake_asks_about_what_somebody_feels_and_drops_the_rest() -> None:
    brake = stopped(ALL, by="engine")
    assert clearance(alone(), [brake]).word is Word.ASK
    assert clearance(alone("alert.set_disposition"), [brake]).word is Word.CANCEL


def test_a_persons_stop_weighs_more_than_a_brakes() -> None:
    assert clearance(alone(), [stopped(ALL, by="engine"), stopped(ACME)]).word is Word.CANCEL


@pytest.mark.parametrize("verb", ["case.open", "case.comment", "notify.send", "approval.request"])
def test_what_only_tells_people_goes_on_when_the_machine_is_stopped(verb: str) -> None:
    assert clearance(alone(verb), [stopped(ALL), stopped(ACME)]) == Clearance(Word.GO)
    broken = stopped(Switch("acme", Scope.VENDOR_ACTION, f"edr/{verb}"))
    assert clearance(alone(verb), [broken]).word is Word.CANCEL


@pytest.mark.parametrize("verb", ["alert.set_disposition", "search.run", "host.scan", "alert.comment"])
def test_the_machine_does_not_even_what_is_harmless(verb: str) -> None:
    assert clearance(alone(verb), [stopped(ACME)]).word is Word.CANCEL


_SWITCHES = [
    ALL,
    ACME,
    Switch("umbrella", Scope.TENANT),
    *(Switch(tenant, Scope.RULE, subject) for tenant in ("acme", ANYWHERE) for subject in ("r1", "r1/host.isolate")),
    *(Switch(tenant, Scope.VENDOR_ACTION, "edr/host.isolate") for tenant in ("acme", ANYWHERE)),
]
_positions = st.builds(
    Position,
    st.sampled_from(_SWITCHES),
    stopped=st.booleans(),
    reason=st.just("x"),
    changed_by=st.sampled_from(["ann", "engine"]),
    changed_at=st.just(AT),
)
_departures = st.builds(
    Departure,
    tenant=st.sampled_from(["acme", "umbrella"]),
    verb=st.sampled_from(["host.isolate", "host.scan", "notify.send"]),
    vendor=st.sampled_from(["edr", "chat"]),
    rules=st.sampled_from([(), ("r1",), ("r1", "r2")]),
    alone=st.booleans(),
)


@given(_departures, st.lists(_positions, max_size=5), _positions)
def test_one_more_stop_never_lets_more_out(leaving: Departure, known: list[Position], more: Position) -> None:
    before, after = clearance(leaving, known), clearance(leaving, [*known, more])
    assert CAUTION[after.word] >= CAUTION[before.word]


@given(_departures, st.lists(_positions, max_size=5))
def test_no_switch_of_another_tenant_counts(leaving: Departure, known: list[Position]) -> None:
    ours = [one for one in known if one.switch.tenant in {ANYWHERE, leaving.tenant}]
    assert clearance(leaving, known) == clearance(leaving, ours)


def test_what_is_stopped_for_decisions() -> None:
    rules = [stopped(Switch("acme", Scope.RULE, name)) for name in ("r2", "r1/host.isolate")]
    over = stopped(Switch("acme", Scope.RULE, "r9"), stopped=False)
    assert stopped_rules([*rules, over, stopped(ALL)]) == ("r1/host.isolate", "r2")
    assert everything_stopped([stopped(ALL)])
    assert everything_stopped([stopped(ACME)])
    assert not everything_stopped(rules)
    assert not everything_stopped([stopped(ALL, stopped=False)])
    assert rule_stopped(("r2",), "r2", "host.isolate")
    assert rule_stopped(("r1/host.isolate",), "r1", "host.isolate")
    assert not rule_stopped(("r1/host.isolate",), "r1", "host.scan")


@pytest.mark.parametrize(
    ("tenant", "scope", "subject", "complaint"),
    [
        ("", Scope.TENANT, "", "names its tenant"),
        ("acme", Scope.ALL, "", "does not go with"),
        (ANYWHERE, Scope.TENANT, "", "does not go with"),
        ("acme", Scope.TENANT, "r1", "has no subject"),
        ("acme", Scope.RULE, "", "write RULE or RULE/VERB"),
        ("acme", Scope.RULE, "r1/host.explode", "a verb that exists"),
        ("acme", Scope.VENDOR_ACTION, "edr", "write VENDOR/VERB"),
        ("acme", Scope.VENDOR_ACTION, "/host.isolate", "write VENDOR/VERB"),
        ("acme", Scope.VENDOR_ACTION, "edr/isolate", "a verb that exists"),
    ],
)
def test_a_switch_that_names_nothing_is_refused(tenant: str, scope: Scope, subject: str, complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint):
        Switch(tenant, scope, subject)


def test_a_tenant_does_not_read_who_of_another_tenant_stopped_the_installation() -> None:
    told = stopped(ALL, by="umbrella/ursula", asked_by="umbrella/otto").told()
    assert (told.changed_by, told.asked_by) == ("the operator", "the operator")
    assert "ursula" not in clearance(alone(), [stopped(ALL, by="umbrella/ursula")]).why
    own = stopped(ACME, asked_by="otto").told()
    assert (own.changed_by, own.asked_by) == ("ann", "otto")
    assert stopped(ALL, by="engine").told().changed_by == "engine"


def test_a_stop_of_raising_levels_keeps_no_action_in() -> None:
    switch = Switch(ANYWHERE, Scope.LEVELS)
    assert str(switch) == "raising levels of all tenants"
    assert str(Switch("acme", Scope.LEVELS)) == "raising levels of acme"
    with pytest.raises(PolicyError, match="has no subject"):
        Switch("acme", Scope.LEVELS, "rule")
    stopped = Position(switch, True, "r", "ann", datetime(2026, 11, 1, tzinfo=UTC))
    alone = Departure("acme", "host.isolate", "v", ("rule",), alone=True)
    assert clearance(alone, [stopped]).word is Word.GO
    assert not everything_stopped([stopped])


@pytest.mark.parametrize(
    ("switch", "told"),
    [
        (ALL, "autonomy of all tenants"),
        (ACME, "autonomy of acme"),
        (Switch("acme", Scope.RULE, "r2/host.isolate"), "rule r2/host.isolate of acme"),
        (Switch(ANYWHERE, Scope.VENDOR_ACTION, "edr/host.isolate"), "vendor action edr/host.isolate of all tenants"),
    ],
)
def test_a_switch_says_what_it_stops(switch: Switch, told: str) -> None:
    assert str(switch) == told


@pytest.mark.parametrize(("approval", "alone"), [("policy", True), ("human", False), ("direct", False)])
def test_a_departure_is_what_its_action_says_and_alone_only_by_policy(approval: str, alone: bool) -> None:
    action = Action(
        tenant="acme",
        action_id="act-1",
        verb="host.isolate",
        target=Target.parse("host:ws-0042"),
        generation=1,
        idempotency_key="k",
        state=ActionState.APPROVED,
        created_at=AT,
        updated_at=AT,
        approval=approval,
        result={"vendor": "edr", "rules": ["r1"]},
    )
    assert Departure.of(action) == Departure("acme", "host.isolate", "edr", ("r1",), alone=alone)
