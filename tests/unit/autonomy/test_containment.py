from typing import Any

import pytest

from nightdesk.autonomy.containment import Containment, resolve
from nightdesk.autonomy.guardrails import AssetFacts, DecisionContext, abstain_checks
from nightdesk.autonomy.levels.units import rule_key
from nightdesk.autonomy.policy import judge
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.sdk.case import Alert
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity

HOST = an_entity("host:ws-0042", "victim-host", device_id="dev-1", address="10.0.0.5")
KNOWN = {"host:ws-0042": AssetFacts("workstation")}


def resolved(
    action: str, *alerts: Alert, approval: str = "policy", signers: int = 2, context: DecisionContext | None = None
) -> Containment:
    given = context or DecisionContext(assets=KNOWN)
    text = (
        "policy_id: p\nversion: 1\nrules:\n"
        f"  - {{id: r, owner: j, then: {{propose: {{approval: {approval}, actions: [{action}]}}}}}}\n"
        "  - {id: n, owner: j, then: {never_touch: {assets: line-*}}}\n"
    )
    policy = parse_policy(text.encode(), file="p")
    case = a_case(alerts or (an_alert(entities=(HOST,)),))
    return resolve(judge(policy, case, CASE_TIME), policy, signers, given, abstain_checks(case, given, CASE_TIME))


ISOLATE = "{verb: host.isolate, target: victim-host, parameters: {mode: full}}"


def failed(found: Containment) -> set[str]:
    return {check.name for check in found.checks if not check.passed}


def test_a_known_workstation_may_be_isolated_without_a_person() -> None:
    found = resolved(ISOLATE)
    (proposal,) = found.proposals
    assert (proposal.verb, proposal.target, proposal.approval) == ("host.isolate", "host:ws-0042", "policy")
    assert proposal.facts == {"hostname": "ws-0042", "device_id": "dev-1", "address": "10.0.0.5"}
    assert proposal.parameters == {"mode": "full"}
    assert failed(found) == set()


@pytest.mark.parametrize(
    ("context", "signers", "failing"),
    [
        ({}, 2, {"known-asset"}),
        ({"assets": {"host:ws-0042": AssetFacts("server")}}, 2, {"plain-host"}),
        ({"assets": KNOWN, "hosts_last_hour": 1}, 2, {"blast-radius-hour"}),
        ({"assets": KNOWN, "kill_switch": True}, 2, {"calm"}),
        ({"assets": KNOWN, "missing": ("inventory",)}, 2, {"calm"}),
        ({"assets": KNOWN, "with_person": True}, 2, {"calm"}),
        ({"assets": KNOWN}, 1, {"two-signers"}),
    ],
)
def test_every_doubt_asks_for_a_person(context: dict[str, Any], signers: int, failing: set[str]) -> None:
    found = resolved(ISOLATE, signers=signers, context=DecisionContext(**context))
    assert [one.approval for one in found.proposals] == ["human"]
    assert failed(found) == failing


def test_a_critical_severity_does_not_hold_a_containment_back() -> None:
    assert resolved(ISOLATE, an_alert(severity_id=5, entities=(HOST,))).proposals[0].approval == "policy"


def test_a_rule_for_human_approval_never_asks_whether_a_machine_may() -> None:
    found = resolved(ISOLATE, approval="human", context=DecisionContext(), signers=0)
    assert [one.approval for one in found.proposals] == ["human"]
    assert failed(found) == set()


@pytest.mark.parametrize(
    ("name", "failing"), [("line-7", "never-touch"), ("dc01", "protected")], ids=["by rule", "by its name"]
)
def test_a_protected_host_is_not_even_proposed(name: str, failing: str) -> None:
    found = resolved(ISOLATE, an_alert(entities=(an_entity(f"host:{name}", "victim-host"),)), approval="human")
    assert (found.proposals, failed(found)) == ((), {failing})


def test_two_hosts_in_one_decision_count_together() -> None:
    both = {**KNOWN, "host:ws-0043": AssetFacts("workstation")}
    entities = (HOST, an_entity("host:ws-0043", "victim-host"))
    found = resolved(ISOLATE, an_alert(entities=entities), context=DecisionContext(assets=both))
    assert [one.approval for one in found.proposals] == ["human", "human"]
    wide = DecisionContext(assets=both, fleet_size=1000)
    assert {one.approval for one in resolved(ISOLATE, an_alert(entities=entities), context=wide).proposals} == {
        "policy"
    }


def test_one_target_in_many_alerts_is_proposed_once() -> None:
    found = resolved(ISOLATE, *(an_alert(f"a{index}", entities=(HOST,)) for index in range(3)))
    assert len(found.proposals) == 1


def test_the_role_says_which_host_is_meant() -> None:
    entities = (HOST, an_entity("host:ws-0001", "actor-host"))
    assert [one.target for one in resolved(ISOLATE, an_alert(entities=entities)).proposals] == ["host:ws-0042"]
    both = resolved("{verb: host.isolate, target: host}", an_alert(entities=entities))
    assert [one.target for one in both.proposals] == ["host:ws-0042", "host:ws-0001"]


def test_a_rule_whose_target_no_alert_names_proposes_nothing_and_says_so() -> None:
    found = resolved(ISOLATE, an_alert(entities=()))
    assert (found.proposals, failed(found)) == ((), {"target"})


def test_a_value_that_could_mean_everything_is_refused() -> None:
    found = resolved(ISOLATE, an_alert(entities=(an_entity("host:*", "victim-host"),)))
    assert (found.proposals, failed(found)) == ((), {"selector"})


def test_only_the_sender_of_a_mail_is_blocked() -> None:
    entities = (an_entity("email:a@example.org", "recipient"), an_entity("email:b@example.org", "sender"))
    found = resolved("{verb: sender.block, target: email}", an_alert(entities=entities), approval="human")
    assert [one.target for one in found.proposals] == ["sender:b@example.org"]


def test_a_file_knows_the_host_it_was_seen_on() -> None:
    digest = "sha256:" + "ab" * 32
    entities = (HOST, an_entity(f"file:{digest}", "malicious-file"))
    found = resolved("{verb: file.quarantine, target: malicious-file}", an_alert(entities=entities))
    assert found.proposals[0].target == f"file:{digest}"
    assert found.proposals[0].facts == {"hostname": "ws-0042", "device_id": "dev-1", "address": "10.0.0.5"}
    assert found.proposals[0].approval == "human"


def test_what_a_stopped_rule_wants_too_no_other_rule_does_without_a_person() -> None:
    text = (
        "policy_id: p\nversion: 1\nrules:\n"
        f"  - {{id: asks, owner: j, then: {{propose: {{approval: human, actions: [{ISOLATE}]}}}}}}\n"
        f"  - {{id: acts, owner: j, then: {{propose: {{approval: policy, actions: [{ISOLATE}]}}}}}}\n"
    )
    policy, case = parse_policy(text.encode(), file="p"), a_case([an_alert(entities=(HOST,))])

    def approvals(*stopped: str) -> list[tuple[str, tuple[str, ...]]]:
        context = DecisionContext(assets=KNOWN, stopped_rules=stopped)
        found = resolve(judge(policy, case, CASE_TIME), policy, 2, context, abstain_checks(case, context, CASE_TIME))
        return [(one.approval, one.rules) for one in found.proposals]

    assert approvals() == [("human", ("asks", "acts"))]
    assert approvals("asks") == [("human", ("acts",))]
    assert approvals("acts") == [("human", ("asks",))]
    assert approvals("acts", "asks") == []


DETECTION = rule_key("acme_edr", "R-1041")


@pytest.mark.parametrize(
    ("containing", "signers", "changes", "approval"),
    [
        ({"contain-host": (DETECTION,)}, 1, {}, "policy"),
        ({"contain-host": (DETECTION,)}, 0, {}, "human"),  # nobody signed what is done
        ({}, 2, {}, "human"),
        ({"contain-identity": (DETECTION,)}, 2, {}, "human"),  # each class is earned for itself
        ({"contain-host": (rule_key("acme_edr", "R-1041", "2"),)}, 2, {}, "human"),  # and each version
        ({"contain-host": (DETECTION,)}, 1, {"kill_switch": True}, "human"),
        ({"contain-host": (DETECTION,)}, 1, {"hosts_last_hour": 1}, "human"),
        ({"contain-host": (DETECTION,)}, 1, {"assets": {}}, "human"),
    ],
)
def test_what_is_earned_goes_alone_as_far_as_what_is_signed_and_no_further(
    containing: dict[str, Any], signers: int, changes: dict[str, Any], approval: str
) -> None:
    context = DecisionContext(**{"assets": KNOWN, "containing": containing, **changes})
    alert = an_alert(entities=(HOST,), product="acme_edr", rule_id="R-1041", rule_version="")
    found = resolved(ISOLATE, alert, approval="earned", signers=signers, context=context)
    assert [one.approval for one in found.proposals] == [approval]


def test_one_alert_more_of_a_rule_that_earned_nothing_asks_for_a_person() -> None:
    """Law 7."""
    context = DecisionContext(assets=KNOWN, containing={"contain-host": (DETECTION,)})
    alerts = [
        an_alert(f"a{number}", entities=(HOST,), product="acme_edr", rule_id=rule, rule_version="")
        for number, rule in enumerate(("R-1041", "R-9999"))
    ]
    for given, approval in ((alerts[:1], "policy"), (alerts, "human"), (alerts[::-1], "human")):
        (proposal,) = resolved(ISOLATE, *given, approval="earned", signers=1, context=context).proposals
        assert proposal.approval == approval


@pytest.mark.parametrize("words", [("earned", "policy"), ("policy", "earned")])
def test_of_two_rules_that_want_the_same_the_more_careful_word_holds(words: tuple[str, str]) -> None:
    text = "policy_id: p\nversion: 1\nrules:\n" + "".join(
        f"  - {{id: r{place}, owner: j, then: {{propose: {{approval: {word}, actions: [{ISOLATE}]}}}}}}\n"
        for place, word in enumerate(words)
    )
    policy, case = parse_policy(text.encode(), file="p"), a_case([an_alert(entities=(HOST,))])
    context = DecisionContext(assets=KNOWN)
    found = resolve(judge(policy, case, CASE_TIME), policy, 2, context, abstain_checks(case, context, CASE_TIME))
    assert [one.approval for one in found.proposals] == ["human"]
    assert failed(found) == {"contain-earned"}
