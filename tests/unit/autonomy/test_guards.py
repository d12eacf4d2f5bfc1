from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.admission import Dispatching, Doubt, weigh
from nightdesk.autonomy.guardrails import AssetFacts, Limits
from nightdesk.autonomy.guards import standing_guards
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.surroundings import Surroundings
from nightdesk.hub.setup import starter_policy
from nightdesk.sdk.case import Check
from nightdesk.sdk.errors import UnavailableError
from nightdesk.sdk.targets import Target

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
POLICY = parse_policy(starter_policy(), file="starter")
GUARDS = standing_guards({"acme": POLICY})
PLAIN = AssetFacts("workstation")
CALM = Surroundings(inventory=PLAIN, approved_at=NOW)
KNOWN = Surroundings(vendor=AssetFacts(), approved_at=NOW)


def an_action(verb: str = "host.isolate", target: str = "host:ws-0042", by: str = "policy", **fields: Any) -> Action:
    facts = fields.pop("facts", {})
    parsed = Target.parse(target)
    return Action(
        tenant=fields.pop("tenant", "acme"),
        action_id="act-1",
        verb=verb,
        target=Target(parsed.kind, parsed.value, facts),
        generation=1,
        idempotency_key="k",
        state=ActionState.APPROVED,
        created_at=NOW,
        updated_at=NOW,
        requested_by="carol",
        approval=by,
        **fields,
    )


def failing(action: Action, around: Surroundings = CALM) -> dict[str, bool]:
    """The failing checks by name, and whether a person may overrule each."""
    counsel = weigh(GUARDS, Dispatching(action, "edr", "vendor", NOW, around))
    assert bool(counsel.refusal) == any(not one.passed and not isinstance(one, Doubt) for one in counsel.checks)
    assert set(counsel.doubts) <= set(counsel.checks)
    return {one.name: isinstance(one, Doubt) for one in counsel.checks if not one.passed}


@pytest.mark.parametrize("by", ["policy", "direct", "human"])
def test_a_plain_known_host_in_a_calm_hour_goes(by: str) -> None:
    assert failing(an_action(by=by)) == {}


@pytest.mark.parametrize("by", ["policy", "direct", "human"])
def test_what_a_rule_says_is_never_touched_nobody_may(by: str) -> None:
    assert failing(an_action(target="host:dc-01", by=by))["never-touch"] is False


@pytest.mark.parametrize(
    ("verb", "target", "facts"),
    [
        ("host.isolate", "host:10.9.9.9", {}),
        ("process.suspend", "process:a.exe", {"hostname": "dc-01"}),
        ("file.quarantine", f"file:{'ab' * 32}", {"hostname": "dc-01"}),
        ("account.disable", r"account:CORP\krbtgt", {}),
        ("account.remove_from_group", "membership:krbtgt/finance", {}),
        ("credential.revoke", "credential:svc_backup/KEY", {}),
    ],
)
def test_no_other_way_to_name_it_gets_round_the_rule(verb: str, target: str, facts: dict[str, str]) -> None:
    around = replace(CALM, vendor=AssetFacts(names=("dc-01.corp.example.com",)))
    assert failing(an_action(verb, target, "direct", facts=facts), around)["never-touch"] is False


def test_an_address_the_vendor_knows_counts_as_well() -> None:
    around = replace(CALM, vendor=AssetFacts("workstation", names=("ws-0042", "198.51.100.7")))
    assert failing(an_action(by="human"), around) == {"never-touch": False}


def test_a_hash_is_blocked_wherever_it_was_found() -> None:
    found_there = an_action("hash.block", f"file:{'ab' * 32}", "direct", facts={"hostname": "dc-01"})
    assert failing(found_there, Surroundings(approved_at=NOW)) == {}


def test_another_tenants_rules_do_not_hold_here() -> None:
    assert "never-touch" not in failing(an_action(target="host:dc-01", by="human", tenant="globex"))


def test_taking_back_is_held_up_by_nothing_when_a_person_wants_it() -> None:
    grim = Surroundings(approved_at=NOW, pap="red", tlp="red", shared_with="public", alerts_last_hour=10**6)
    assert failing(an_action("host.release", "host:dc-01", "direct"), grim) == {}


def test_what_loosens_a_containment_as_a_machines_own_wish_takes_a_person() -> None:
    assert failing(an_action("account.enable", "account:jdoe"), KNOWN) == {"way-back": True}


@pytest.mark.parametrize(
    "facts",
    [
        AssetFacts("workstation", tags=("tier0", "domain-controller")),
        AssetFacts("workstation", tags=("Owner=OT",)),
        AssetFacts("network-device"),
        AssetFacts("workstation", ports=(445, 3268)),
        AssetFacts("workstation", ports=(502,)),
        AssetFacts("workstation", names=("hv-plc-7.corp.example.com",)),
    ],
)
@pytest.mark.parametrize("source", ["inventory", "vendor"])
def test_any_source_that_calls_a_host_protected_is_believed(facts: AssetFacts, source: str) -> None:
    changed: Any = {source: facts}
    around = replace(CALM, **changed)
    assert failing(an_action(by="policy"), around)["protected"] is True
    assert failing(an_action(by="direct"), around) == {"protected": True}
    assert failing(an_action(by="human"), around) == {}


@pytest.mark.parametrize(
    "groups",
    [
        ("staff", "Domain Admins"),
        (r"CORP\Enterprise Admins",),
        ("S-1-5-21-1-2-3-512",),
        ("S-1-5-32-544",),
        ("Break-Glass Accounts",),
        ("Global Administrator",),
        ("G-Service-Accounts",),
        ("AdministratorAccess",),
        ("CN=Domain Admins,CN=Users,DC=corp,DC=example",),
        ("Ｄomain Admins",),
    ],
)
def test_a_mighty_group_makes_an_account_protected(groups: tuple[str, ...]) -> None:
    around = replace(KNOWN, vendor=AssetFacts(groups=groups))
    assert failing(an_action("account.disable", "account:jdoe"), around) == {"protected": True}
    assert failing(an_action("account.disable", "account:jdoe", "direct"), around) == {"protected": True}
    member = an_action("account.remove_from_group", "membership:jdoe/finance")
    assert failing(member, around) == {"protected": True}


@pytest.mark.parametrize(
    "groups", [("staff",), ("Administration",), ("organic waste",), ("domain users",), ("CN=Staff,OU=Admins",)]
)
def test_plain_groups_do_not(groups: tuple[str, ...]) -> None:
    assert failing(an_action("account.disable", "account:jdoe"), replace(KNOWN, vendor=AssetFacts(groups=groups))) == {}


def test_a_privileged_account_is_protected_whatever_its_groups() -> None:
    around = replace(KNOWN, vendor=AssetFacts(privileged=True))
    assert failing(an_action("account.disable", "account:jdoe"), around) == {"protected": True}


@pytest.mark.parametrize(
    ("action", "around"),
    [
        (an_action(), Surroundings(approved_at=NOW)),
        (an_action(), Surroundings(vendor=PLAIN, approved_at=NOW)),
        (an_action(), Surroundings(inventory=AssetFacts(), approved_at=NOW)),
        (an_action(), Surroundings(inventory=AssetFacts("server"), approved_at=NOW)),
        (an_action(), replace(CALM, inventory=AssetFacts("other"), vendor=PLAIN)),
        (an_action(), replace(CALM, vendor=AssetFacts("server"))),
        (an_action(facts={"asset_type": "server"}), CALM),
        (an_action("process.suspend", "process:a.exe"), CALM),
        (an_action("file.quarantine", f"file:{'ab' * 32}"), CALM),
        (an_action("account.disable", "account:jdoe"), Surroundings(approved_at=NOW)),
        (an_action("account.disable", "account:jdoe"), replace(KNOWN, vendor=AssetFacts(asked=False))),
    ],
)
def test_an_unknown_asset_is_as_good_as_protected_for_a_machine(action: Action, around: Surroundings) -> None:
    assert failing(action, around) == {"known-asset": True}
    assert failing(replace(action, approval="direct"), around) == {}


def test_a_vendor_that_does_not_say_what_a_host_is_does_not_contradict_the_inventory() -> None:
    assert failing(an_action(), replace(CALM, vendor=AssetFacts("other"))) == {}


@pytest.mark.parametrize(
    "around",
    [
        replace(CALM, inventory=replace(PLAIN, resolves_to=2)),
        replace(CALM, inventory=replace(PLAIN, tags=("VDI",))),
        replace(CALM, vendor=AssetFacts(tags=("nat",))),
        replace(CALM, vendor=AssetFacts(tags=("role:Shared_Mailboxes",))),
        replace(CALM, inventory=replace(PLAIN, tags=("VDIPool-3",))),
        replace(CALM, shared_as="198.51.100.0/24"),
    ],
)
def test_what_stands_for_more_than_one_thing_is_for_a_person(around: Surroundings) -> None:
    assert failing(an_action(), around) == {"one-asset": True}
    assert failing(an_action(by="direct"), around) == {}


def test_what_only_makes_use_of_such_a_thing_is_one_persons() -> None:
    assert failing(an_action(), replace(CALM, inventory=replace(PLAIN, tags=("vpn-clients", "proxy user")))) == {}


def test_what_is_wide_or_final_is_not_for_a_machine() -> None:
    assert failing(an_action("hash.block", f"file:{'ab' * 32}"), CALM) == {"reversible": True}
    assert failing(an_action("account.reset_password", "account:jdoe"), KNOWN) == {"reversible": True}


@pytest.mark.parametrize(
    ("action", "around", "names"),
    [
        (an_action(), replace(CALM, sent_last_hour=1, sent_last_day=1), {"blast-radius-hour", "blast-radius-day"}),
        (an_action(), replace(CALM, sent_last_hour=1, sent_last_day=1, fleet_size=200), set()),
        (an_action(), replace(CALM, sent_last_hour=2, sent_last_day=2, fleet_size=200), {"blast-radius-hour"}),
        (an_action(), replace(CALM, sent_last_day=6, fleet_size=200), {"blast-radius-day"}),
        (an_action("account.disable", "account:jdoe"), replace(KNOWN, sent_last_hour=4), set()),
        (an_action("account.disable", "account:jdoe"), replace(KNOWN, sent_last_hour=5), {"blast-radius-hour"}),
        (an_action("url.block", "url:https://a.example.com/x"), replace(CALM, sent_last_hour=49), set()),
        (
            an_action("url.block", "url:https://a.example.com/x"),
            replace(CALM, sent_last_hour=50),
            {"blast-radius-hour"},
        ),
    ],
)
def test_the_blast_radius_holds_a_machine(action: Action, around: Surroundings, names: set[str]) -> None:
    assert set(failing(action, around)) == names
    assert failing(replace(action, approval="direct"), around) == {}


def test_in_a_flood_nothing_goes_that_no_person_let_go_but_people_are_told() -> None:
    flooded = replace(CALM, alerts_last_hour=301)
    close = an_action("alert.set_disposition", "alert:1")
    assert failing(an_action(), flooded) == {"flood": True}
    assert failing(close, flooded) == {"flood": True}
    assert failing(close, replace(flooded, alerts_hour_median=100.0)) == {}
    for verb, target in (("case.open", "case:1"), ("notify.send", "person:soc"), ("search.run", "search:x")):
        assert failing(an_action(verb, target), flooded) == {}
    assert failing(an_action(by="direct"), flooded) == {}


@pytest.mark.parametrize(
    ("by", "seconds", "fresh"),
    [
        ("policy", 900, True),
        ("policy", 901, False),
        ("policy", -120, True),
        ("policy", -121, False),
        ("direct", 901, True),
        ("direct", 14401, False),
        ("human", 14400, True),
        ("human", 14401, False),
    ],
)
def test_an_approval_is_for_then(by: str, seconds: int, fresh: bool) -> None:
    around = replace(CALM, approved_at=NOW - timedelta(seconds=seconds))
    assert failing(an_action(by=by), around) == ({} if fresh else {"freshness": True})


def test_what_nobody_feels_may_wait_as_long_as_it_likes() -> None:
    around = replace(CALM, approved_at=NOW - timedelta(days=30))
    for verb, target in (("search.run", "search:x"), ("alert.set_disposition", "alert:1"), ("host.scan", "host:ws-1")):
        assert failing(an_action(verb, target), around) == {}


@pytest.mark.parametrize(("seconds", "over"), [(-1, True), (0, True), (1, False)])
def test_what_was_to_end_by_now_does_not_begin_at_anybodys_word(seconds: int, over: bool) -> None:
    ends = (NOW + timedelta(seconds=seconds)).isoformat()
    for by in ("policy", "direct", "human"):
        assert failing(an_action(by=by, result={"stop_at": ends})) == ({"stop-time": False} if over else {})


def test_how_long_an_approval_lasts_is_a_setting() -> None:
    limits = Limits(policy_approval_seconds=60, person_approval_seconds=60)
    around = replace(CALM, approved_at=NOW - timedelta(seconds=61), limits=limits)
    assert [failing(an_action(by=by), around) for by in ("policy", "human")] == [{"freshness": True}] * 2


def test_while_things_are_changed_a_machine_waits() -> None:
    around = replace(CALM, change_windows=("patching",))
    assert failing(an_action(), around) == {"change-window": True}
    assert failing(an_action(by="direct"), around) == {}
    assert failing(an_action("alert.set_disposition", "alert:1"), around) == {}


def test_the_journal_alone_says_the_same_again() -> None:
    around = replace(CALM, vendor=AssetFacts("server", ("a",), groups=("b",), ports=(88,)), sent_last_hour=3)
    counsel = weigh(GUARDS, Dispatching(an_action(), "edr", "vendor", NOW, around))
    kept = counsel.to_json(around, NOW)["guards"]
    back = Surroundings.from_json(kept["around"])
    again = weigh(GUARDS, Dispatching(an_action(), "edr", "vendor", datetime.fromisoformat(kept["at"]), back))
    assert again == counsel
    assert again.to_json(back, NOW)["guards"] == kept
    assert again.question.startswith("protected: host:ws-0042: port 88")


def test_a_guard_that_cannot_answer_refuses_and_no_person_overrules_it() -> None:
    def broken(_: Dispatching) -> Check:
        raise UnavailableError("no answer")

    counsel = weigh((broken, *GUARDS), Dispatching(an_action(), "edr", "vendor", NOW, CALM))
    assert counsel.refusal == "refused: no answer"
    assert counsel.doubts == ()


_FACTS = st.builds(
    AssetFacts,
    asset_type=st.sampled_from(["", "workstation", "server", "iot", "other"]),
    tags=st.lists(st.sampled_from(["vdi", "dc", "finance"]), max_size=2).map(tuple),
    privileged=st.booleans(),
    resolves_to=st.integers(1, 2),
    groups=st.lists(st.sampled_from(["staff", "Domain Admins"]), max_size=2).map(tuple),
    ports=st.lists(st.sampled_from([445, 88]), max_size=1).map(tuple),
    asked=st.booleans(),
)


@given(
    st.sampled_from(
        [("host.isolate", "host:ws-0042"), ("account.disable", "account:jdoe"), ("url.block", "url:https://a.b/c")]
    ),
    st.none() | _FACTS,
    st.none() | _FACTS,
    st.integers(0, 60),
)
def test_one_more_source_and_one_more_containment_only_add_caution(
    what: tuple[str, str], inventory: AssetFacts | None, more: AssetFacts | None, sent: int
) -> None:
    action = an_action(*what)
    before = Surroundings(inventory=inventory, approved_at=NOW, sent_last_hour=sent, fleet_size=5000)
    after = replace(before, vendor=more, sent_last_hour=sent + 1)
    # An account is known by its directory alone: that one answer may end "unknown", and nothing else may end anything.
    assert set(failing(action, before)) - {"known-asset"} <= set(failing(action, after))
