"""Law 7: text an attacker can write, a missing answer, a failed check, one more alert: none makes a machine bolder."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nightdesk.autonomy.conditions import SEVERITIES
from nightdesk.autonomy.correlate import raised
from nightdesk.autonomy.decide import CAUTION, DecisionContext, decide
from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.policy import Policy, Rule
from nightdesk.autonomy.policy_faults import faults
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.sdk.case import Alert, Case, CaseStatus, Decision, Outcome
from nightdesk.sdk.enrichment import (
    AllowFact,
    AssetFact,
    Enrichment,
    EnrichmentStatus,
    IdentityFact,
    IntelFact,
    VerdictsFact,
)
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity

SIGNATURE = (Signature("jane", "k", "s", "t"), Signature("omar", "k2", "s", "t"))
QUIET = timedelta(seconds=300)
THOROUGH = settings(max_examples=200, deadline=None)
FEWER = settings(max_examples=40, deadline=None)
RULES = ("rule-1", "rule-2", "rule-3")
TECHNIQUES = ("T1046", "T1059.001", "T1110", "T1078", "T1486")
TACTICS = ("TA0007", "TA0002", "TA0043", "TA0006", "TA0040")
ADDRESSES = ("192.0.2.7", "192.0.2.9", "203.0.113.9")
WORDS = ("scan", "evil", "benign", "test", "nightly backup")


def outcome(case: Case, policy: SignedPolicy | Policy, context: DecisionContext, seconds: int = 400) -> Decision:
    now = CASE_TIME + timedelta(seconds=seconds)
    return decide(case, policy, now=now, quiet=QUIET, context=context, decision_id="d")


def caution(
    case: Case, policy: SignedPolicy | Policy, context: DecisionContext | None = None, seconds: int = 400
) -> int:
    return CAUTION[outcome(case, policy, context or DecisionContext(), seconds).outcome]


# Policies as people may write them: only those that the parser takes are used.

_id_matchers: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"rule_id": st.lists(st.sampled_from(RULES), min_size=1, max_size=3, unique=True)}
)
_matchers: st.SearchStrategy[dict[str, Any]] = st.one_of(
    _id_matchers,
    st.fixed_dictionaries({"severity_at_most": st.sampled_from(sorted(SEVERITIES))}),
    st.fixed_dictionaries({"severity_at_least": st.sampled_from(sorted(SEVERITIES))}),
    st.fixed_dictionaries({"techniques": st.lists(st.sampled_from(TECHNIQUES), min_size=1, max_size=3)}),
    st.fixed_dictionaries({"tactics": st.lists(st.sampled_from(TACTICS), min_size=1, max_size=3)}),
    st.fixed_dictionaries({"title": st.sampled_from([f"*{word}*" for word in WORDS])}),
    st.fixed_dictionaries({"text": st.sampled_from(WORDS)}),
    st.fixed_dictionaries({"case_alerts_at_least": st.integers(2, 4)}),
    st.sampled_from(["192.0.2.0/24", "192.0.2.7", "203.0.113.0/24"]).map(
        lambda text: {"entities": [{"kind": "address", "in": [text]}]}
    ),
    st.sampled_from([*WORDS, *(f"*{word}*" for word in WORDS)]).map(
        lambda text: {"entities": [{"kind": "account", "in": [text]}]}
    ),
)
_conditions = st.recursive(
    _matchers,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=4,
)
_closing = st.builds(
    lambda pin, extra, at_once, recommend: {
        "when": {**pin, "all": extra} if extra else pin,
        "then": {"recommend": {"verdict": "benign-positive"}}
        if recommend
        else {"close": {"verdict": "benign-positive", "at_once": at_once}},
    },
    _id_matchers,
    st.lists(_conditions, max_size=2),
    st.booleans(),
    st.sampled_from([False, False, True]),
)
_raising = st.builds(
    lambda when, act: {
        "when": when,
        "then": {"propose": {"actions": [{"verb": "host.isolate", "target": "host"}]}} if act else {"escalate": {}},
    },
    _conditions,
    st.booleans(),
)


def accepted(rules: list[dict[str, Any]]) -> SignedPolicy:
    """A policy of those rules that the parser takes; the others are left out."""
    read = [Rule.model_validate({"id": f"r{index}", "owner": "jane", **rule}) for index, rule in enumerate(rules)]
    return SignedPolicy(Policy("p", "1", "0" * 64, tuple(rule for rule in read if not any(faults(rule)))), SIGNATURE)


_plain = st.booleans().map(
    lambda at_once: {
        "when": {"rule_id": ["rule-1", "rule-2"]},
        "then": {"close": {"verdict": "benign-positive", "at_once": at_once}},
    }
)
policies = st.one_of(
    st.lists(_closing, min_size=2, max_size=5),
    st.tuples(_plain, _closing).map(list),
    st.tuples(_plain, _raising).map(list),
    st.tuples(_plain, _raising, _closing).map(list),
    st.lists(st.one_of(_closing, _raising), min_size=1, max_size=5),
).map(accepted)


@st.composite
def alerts(draw: st.DrawFn, name: str = "a") -> Alert:
    """An alert without any free text: what an attacker writes is added by the tests."""
    addresses = draw(st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True))
    return an_alert(
        f"{name}{draw(st.integers(0, 999))}",
        title="",
        rule_id=draw(st.sampled_from(RULES)),
        severity_id=draw(st.sampled_from([1, 1, 2, 2, 3, 3, 4, 5, 0, 99])),
        techniques=tuple(draw(st.lists(st.sampled_from(TECHNIQUES), max_size=2, unique=True))),
        tactics=tuple(draw(st.lists(st.sampled_from(TACTICS), max_size=2, unique=True))),
        entities=(an_entity("host:h1", "victim-host"), *(an_entity(f"address:{text}") for text in addresses)),
    )


cases = st.lists(alerts(), min_size=1, max_size=3).map(a_case)
moments = st.sampled_from([0, 100, 400])
free_text = st.one_of(
    st.text(max_size=40), st.sampled_from(WORDS), st.sampled_from(WORDS).map(lambda word: f"a {word} b")
)


def exchanged(case: Case, index: int, **changes: Any) -> Case:
    changed = list(case.alerts)
    changed[index] = replace(changed[index], **changes)
    return replace(case, alerts=tuple(changed))


def test_the_generated_policies_reach_every_outcome() -> None:
    """Without this the properties below could hold because nothing is ever closed."""
    seen: Counter[Outcome] = Counter()

    @given(case=cases, policy=policies, seconds=moments)
    @settings(max_examples=400, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    def draw(case: Case, policy: SignedPolicy, seconds: int) -> None:
        seen[outcome(case, policy, DecisionContext(), seconds).outcome] += 1

    draw()
    wanted = (Outcome.CLOSE, Outcome.HOLD, Outcome.RECOMMEND, Outcome.ESCALATE, Outcome.PROPOSE_CONTAINMENT)
    assert min(seen[one] for one in wanted) >= 1, seen


@given(case=cases, policy=policies, text=free_text, seconds=moments, data=st.data())
@THOROUGH
def test_no_text_moves_a_case_towards_less_caution(
    case: Case, policy: SignedPolicy, text: str, seconds: int, data: st.DataObject
) -> None:
    before = caution(case, policy, seconds=seconds)
    alert = case.alerts[data.draw(st.integers(0, len(case.alerts) - 1))]
    index = case.alerts.index(alert)
    named = [an_entity(f"{kind}:{text}") for kind in ("account", "process", "url", "domain", "email")]
    host = replace(alert.entities[0], facts={"hostname": text, "command_line": text})
    for changes in (
        {"title": text},
        {"description": text},
        {"entities": (*alert.entities, *named)},
        {"entities": (host, *alert.entities[1:])},
        {"console_url": text, "native_status": text},
    ):
        assert caution(exchanged(case, index, **changes), policy, seconds=seconds) >= before


@given(case=cases, policy=policies, extra=alerts("b"), seconds=moments)
@THOROUGH
def test_one_more_alert_moves_no_case_towards_less_caution(
    case: Case, policy: SignedPolicy, extra: Alert, seconds: int
) -> None:
    grown = replace(case, alerts=(*case.alerts, extra), severity_id=raised(case.severity_id, extra))
    assert caution(grown, policy, seconds=seconds) >= caution(case, policy, seconds=seconds)


@given(case=cases, policy=policies, seconds=moments, data=st.data())
@THOROUGH
def test_one_more_address_or_technique_moves_no_case_towards_less_caution(
    case: Case, policy: SignedPolicy, seconds: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(case.alerts) - 1))
    alert, before = case.alerts[index], caution(case, policy, seconds=seconds)
    if len(alert.entities) > 1:
        seen = an_entity(f"address:{data.draw(st.sampled_from(ADDRESSES))}")
        assert caution(exchanged(case, index, entities=(*alert.entities, seen)), policy, seconds=seconds) >= before
    if alert.techniques:
        more = (*alert.techniques, data.draw(st.sampled_from(TECHNIQUES)))
        assert caution(exchanged(case, index, techniques=more), policy, seconds=seconds) >= before


@given(case=cases, policy=policies, reason=free_text.filter(bool), seconds=moments)
@THOROUGH
def test_a_caution_on_an_alert_moves_no_case_towards_less_caution(
    case: Case, policy: SignedPolicy, reason: str, seconds: int
) -> None:
    assert caution(exchanged(case, 0, caution=(reason,)), policy, seconds=seconds) >= caution(
        case, policy, seconds=seconds
    )


@given(case=cases, policy=policies, seconds=moments)
@THOROUGH
def test_a_caution_never_leaves_a_case_to_a_machine(case: Case, policy: SignedPolicy, seconds: int) -> None:
    doubtful = exchanged(case, 0, caution=("severity was lost",))
    assert caution(doubtful, policy, seconds=seconds) == CAUTION[Outcome.ESCALATE]


@given(case=cases, policy=policies, seconds=moments, worse=st.sampled_from([0, 3, 4, 5, 6, 99]))
@THOROUGH
def test_a_worse_or_unknown_severity_moves_no_case_towards_less_caution(
    case: Case, policy: SignedPolicy, seconds: int, worse: int
) -> None:
    alert = case.alerts[0]
    if 0 < worse <= 6 and worse < alert.severity_id <= 6:
        worse = alert.severity_id
    if alert.severity_id in {0, 99}:
        # An unknown severity is as cautious as it gets; a known one is an answer that was missing.
        worse = 0
    after = exchanged(case, 0, severity_id=worse)
    after = replace(after, severity_id=raised(case.severity_id, after.alerts[0]))
    assert caution(after, policy, seconds=seconds) >= caution(case, policy, seconds=seconds)


@given(case=cases, policy=policies, seconds=moments, lower=st.sampled_from([1, 2, 3]))
@THOROUGH
def test_a_later_version_of_an_alert_with_a_lower_severity_does_not_help_it_to_be_closed(
    case: Case, policy: SignedPolicy, seconds: int, lower: int
) -> None:
    worst = case.severity_id
    again = exchanged(case, 0, severity_id=lower)
    kept = replace(again, severity_id=raised(worst, again.alerts[0]))
    assert kept.severity_id == max(worst, lower)
    honest = replace(again, severity_id=lower)
    assert caution(kept, policy, seconds=seconds) >= caution(honest, policy, seconds=seconds)


CLOSE: dict[str, Any] = {"close": {"verdict": "benign-positive", "at_once": True}}
INSIDE, OUTSIDE = an_entity("address:192.0.2.7"), an_entity("address:203.0.113.9")
NAMED = {"rule_id": "rule-1"}
TRICKS: dict[str, tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]] = {
    "writes the title that a rule closes": (
        [{"when": {**NAMED, "title": "*backup*"}, "then": CLOSE}],
        {},
        {"title": "nightly backup"},
    ),
    "writes the text that a double negation closes": (
        [{"when": {**NAMED, "not": {"not": {"text": "backup"}}}, "then": CLOSE}],
        {},
        {"description": "nightly backup"},
    ),
    "takes the name of a host whose alerts are closed": (
        [{"when": {**NAMED, "entities": [{"kind": "host", "in": ["backup"]}]}, "then": CLOSE}],
        {"entities": (an_entity("host:other"),)},
        {"entities": (an_entity("host:backup"),)},
    ),
    "writes the title that an escalating rule leaves out": (
        [{"when": {"not": {"title": "*backup*"}}, "then": {"escalate": {}}}, {"when": NAMED, "then": CLOSE}],
        {},
        {"title": "nightly backup"},
    ),
    "adds an address whose alerts are closed": (
        [{"when": {**NAMED, "entities": [{"kind": "address", "in": ["192.0.2.0/24"]}]}, "then": CLOSE}],
        {"entities": (OUTSIDE,)},
        {"entities": (OUTSIDE, INSIDE)},
    ),
    "adds an address that an escalating rule leaves out": (
        [
            {"when": {"not": {"entities": [{"kind": "address", "in": ["192.0.2.0/24"]}]}}, "then": {"escalate": {}}},
            {"when": NAMED, "then": CLOSE},
        ],
        {"entities": (OUTSIDE,)},
        {"entities": (OUTSIDE, INSIDE)},
    ),
    "adds a technique whose alerts are closed": (
        [{"when": {**NAMED, "techniques": ["T1046"]}, "then": CLOSE}],
        {"techniques": ("T1059",)},
        {"techniques": ("T1059", "T1046")},
    ),
    "hides a technique that keeps a rule from closing behind another": (
        [{"when": {**NAMED, "not": {"techniques": ["T1059"]}}, "then": CLOSE}],
        {"techniques": ("T1059",)},
        {"techniques": ("T1059", "T1046")},
    ),
    "makes the rule that asks a person fail so that the next one closes": (
        [
            {"when": {**NAMED, "not": {"title": "*x*"}}, "then": {"recommend": {"verdict": "test"}}},
            {"when": NAMED, "then": CLOSE},
        ],
        {},
        {"title": "x"},
    ),
    "takes the severity away that was too high to close": (
        [{"when": NAMED, "then": CLOSE}],
        {"severity_id": 5},
        {"severity_id": 0},
    ),
    "takes the severity away that made a rule escalate": (
        [{"when": {"severity_at_least": "high"}, "then": {"escalate": {}}}, {"when": NAMED, "then": CLOSE}],
        {"severity_id": 4},
        {"severity_id": 99},
    ),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_an_attackers_trick_is_refused_by_the_parser_or_does_not_help(trick: str) -> None:
    rules, honest, tricked = TRICKS[trick]
    policy = accepted(rules)
    plain = {"title": "", "entities": (), **honest}
    before = caution(a_case([an_alert(**plain)]), policy)
    assert caution(a_case([an_alert(**{**plain, **tricked})]), policy) >= before


CHANGES: tuple[dict[str, Any], ...] = (
    {"missing": ("inventory",)},
    {"clock_skew": 500.0},
    {"alerts_last_hour": 100_000},
    {"new_cases_last_hour": 100_000},
    {"closed_last_hour": 100_000},
    {"kill_switch": True},
    {"with_person": True},
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
@given(case=cases, policy=policies, seconds=moments)
@FEWER
def test_a_failed_check_leaves_no_case_to_a_machine(
    change: dict[str, Any], case: Case, policy: SignedPolicy, seconds: int
) -> None:
    assert caution(case, policy, DecisionContext(**change), seconds) == CAUTION[Outcome.ESCALATE]


@given(case=cases, policy=policies, seconds=moments, data=st.data())
@THOROUGH
def test_stopping_rules_moves_no_case_towards_less_caution(
    case: Case, policy: SignedPolicy, seconds: int, data: st.DataObject
) -> None:
    subjects = [f"{rule.id}{part}" for rule in policy.policy.rules for part in ("", "/host.isolate")]
    chosen = data.draw(st.lists(st.sampled_from(subjects), unique=True)) if subjects else []
    plain = outcome(case, policy, DecisionContext(), seconds)
    stopped = outcome(case, policy, DecisionContext(stopped_rules=tuple(sorted(chosen))), seconds)
    assert CAUTION[stopped.outcome] >= CAUTION[plain.outcome]
    assert {(one.verb, one.target) for one in stopped.proposals} <= {(one.verb, one.target) for one in plain.proposals}
    assert all(set(one.rules).isdisjoint(chosen) for one in stopped.proposals)


@given(case=cases, policy=policies, seconds=moments, data=st.data())
@THOROUGH
def test_a_missing_address_or_technique_moves_no_closed_case_towards_closing_where_a_rule_needs_it(
    case: Case, policy: SignedPolicy, seconds: int, data: st.DataObject
) -> None:
    """Only rules that close are looked at: a rule that raises on a fact cannot be raised by its absence."""
    closing = replace(policy.policy, rules=tuple(rule for rule in policy.policy.rules if rule.closing is not None))
    only = SignedPolicy(closing, SIGNATURE)
    index = data.draw(st.integers(0, len(case.alerts) - 1))
    alert = case.alerts[index]
    before = caution(case, only, seconds=seconds)
    addressless = tuple(one for one in alert.entities if one.kind != "address")
    assert caution(exchanged(case, index, entities=addressless), only, seconds=seconds) >= before
    if "T1486" not in alert.techniques and "TA0040" not in alert.tactics:
        bare = exchanged(case, index, techniques=(), tactics=())
        assert caution(bare, only, seconds=seconds) >= before


@given(case=cases, policy=policies, seconds=moments)
@THOROUGH
def test_a_machine_leaves_what_a_person_has(case: Case, policy: SignedPolicy, seconds: int) -> None:
    taken = replace(case, status=CaseStatus.ESCALATED)
    assert caution(taken, policy, seconds=seconds) == CAUTION[Outcome.ESCALATE]


@given(case=cases, policy=policies, seconds=moments)
@THOROUGH
def test_a_policy_whose_signatures_are_gone_leaves_nothing_to_a_machine(
    case: Case, policy: SignedPolicy, seconds: int
) -> None:
    assert caution(case, policy.policy, seconds=seconds) == CAUTION[Outcome.ESCALATE]


# Rules that only hold back: whatever they ask, adding one makes no decision less cautious.

_holding = st.builds(
    lambda when, kind, what: {"when": when, "reason": "it must not happen", "then": {kind: what}},
    st.one_of(st.just({}), _conditions),
    st.sampled_from(["never", "require_approval"]),
    st.sampled_from([["close"], ["contain"], ["close", "contain"]]),
)
_APPROVES = {"human": 0, "policy": 1}


def with_more(policy: SignedPolicy, rules: list[dict[str, Any]], at: int) -> SignedPolicy:
    """The policy with those rules that the parser takes put in at that place."""
    read = [Rule.model_validate({"id": f"h{index}", "owner": "jane", **rule}) for index, rule in enumerate(rules)]
    more = tuple(rule for rule in read if not any(faults(rule)))
    old = policy.policy.rules
    at = min(at, len(old))
    return SignedPolicy(replace(policy.policy, rules=(*old[:at], *more, *old[at:])), SIGNATURE)


_calm = DecisionContext(assets={"host:h1": AssetFacts("workstation")}, fleet_size=200)
_alone = st.tuples(_plain, _raising).map(list).map(
    lambda rules: [
        {**rule, "then": {"propose": {**rule["then"]["propose"], "approval": "policy"}}}
        if "propose" in rule["then"]
        else rule
        for rule in rules
    ]
).map(accepted)  # fmt: skip


@given(
    case=cases,
    policy=st.one_of(policies, _alone),
    rules=st.lists(_holding, min_size=1, max_size=3),
    at=st.integers(0, 5),
    seconds=moments,
)
@THOROUGH
def test_a_rule_that_forbids_or_asks_only_raises_caution(
    case: Case, policy: SignedPolicy, rules: list[dict[str, Any]], at: int, seconds: int
) -> None:
    before = outcome(case, policy, _calm, seconds)
    after = outcome(case, with_more(policy, rules, at), _calm, seconds)
    assert CAUTION[after.outcome] >= CAUTION[before.outcome]
    free = {(one.verb, one.target): _APPROVES[one.approval] for one in before.proposals}
    for one in after.proposals:
        assert _APPROVES[one.approval] <= free[one.verb, one.target]


@given(case=cases, policy=st.one_of(policies, _alone), seconds=moments)
@THOROUGH
def test_a_rule_that_forbids_everything_leaves_nothing_to_a_machine(
    case: Case, policy: SignedPolicy, seconds: int
) -> None:
    rule = {"reason": "freeze", "then": {"never": ["close", "contain"]}}
    made = outcome(case, with_more(policy, [rule], 0), _calm, seconds)
    assert CAUTION[made.outcome] == CAUTION[Outcome.ESCALATE]
    assert made.proposals == ()


def test_the_rules_that_hold_back_do_so_somewhere() -> None:
    """Without this the property above could hold because they never match."""
    held: Counter[str] = Counter()

    @given(case=cases, policy=st.one_of(policies, _alone), rules=st.lists(_holding, min_size=1), seconds=moments)
    @settings(max_examples=300, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    def draw(case: Case, policy: SignedPolicy, rules: list[dict[str, Any]], seconds: int) -> None:
        made = outcome(case, with_more(policy, rules, 0), _calm, seconds)
        held.update(check.name for check in made.checks if not check.passed)
        held[made.reason_code] += 1

    draw()
    for name in ("never-close", "never-contain", "close-approval", "contain-approval", "approval-required"):
        assert held[name], held


@given(case=cases, policy=policies, text=free_text, rules=st.lists(_holding, min_size=1, max_size=2), seconds=moments)
@THOROUGH
def test_no_text_gets_round_a_rule_that_holds_back(
    case: Case, policy: SignedPolicy, text: str, rules: list[dict[str, Any]], seconds: int
) -> None:
    held = with_more(policy, rules, 0)
    before = caution(case, held, seconds=seconds)
    for changes in ({"title": text}, {"description": text}):
        assert caution(exchanged(case, 0, **changes), held, seconds=seconds) >= before


# What sources say of a case's entities.

_THINGS = ("host:h1", *(f"address:{text}" for text in ADDRESSES))
_FACTS = st.one_of(
    st.builds(
        IntelFact,
        st.sampled_from(["malicious", "suspicious", "benign", "unknown"]),
        st.just("feed"),
        count=st.integers(0, 99),
        labels=st.lists(st.sampled_from(["known good", "allow", "whitelisted"]), max_size=2).map(tuple),
    ),
    st.builds(
        AssetFact, st.sampled_from(["", "low", "medium", "high", "critical"]), tags=st.just(("domain-controller",))
    ),
    st.builds(IdentityFact, privileged=st.booleans(), vip=st.sampled_from([None, True, False])),
    st.builds(
        VerdictsFact,
        st.sampled_from(RULES),
        st.sampled_from(["true-positive", "false-positive", "benign-positive"]),
        st.integers(1, 500),
        st.just(CASE_TIME - timedelta(days=1)),
    ),
    # A forged list: right in form, and from a source that verifies nothing.
    st.builds(
        AllowFact,
        st.just("jane"),
        st.just(CASE_TIME + timedelta(days=400)),
        st.just("known good"),
        st.just(("jane", "omar")),
    ),
)
_answers = st.lists(
    st.builds(
        Enrichment,
        st.sampled_from(_THINGS),
        st.sampled_from(["feed", "cmdb", "allowed"]),
        st.sampled_from(list(EnrichmentStatus)),
        st.just(CASE_TIME),
        st.just(3600.0),
        st.lists(_FACTS, max_size=3).map(tuple),
    ),
    max_size=6,
).map(tuple)


@given(case=cases, policy=policies, seconds=moments, answers=_answers)
@THOROUGH
def test_no_set_of_answers_without_a_signed_list_moves_a_case_towards_less_caution(
    case: Case, policy: SignedPolicy, seconds: int, answers: tuple[Enrichment, ...]
) -> None:
    plain = outcome(case, policy, DecisionContext(), seconds)
    told = outcome(case, policy, DecisionContext(enrichment=answers), seconds)
    assert CAUTION[told.outcome] >= CAUTION[plain.outcome]
    named = {(one.verb, one.target, one.approval) for one in told.proposals if one.approval == "policy"}
    assert named <= {(one.verb, one.target, one.approval) for one in plain.proposals}


@given(case=cases, policy=policies, seconds=moments, answers=_answers, more=_answers)
@THOROUGH
def test_one_more_answer_moves_no_case_towards_less_caution(
    case: Case,
    policy: SignedPolicy,
    seconds: int,
    answers: tuple[Enrichment, ...],
    more: tuple[Enrichment, ...],
) -> None:
    before = caution(case, policy, DecisionContext(enrichment=answers), seconds)
    assert caution(case, policy, DecisionContext(enrichment=(*answers, *more)), seconds) >= before


@given(case=cases, policy=policies, seconds=moments, answers=_answers, days=st.integers(-400, 400))
@THOROUGH
def test_a_signed_list_answers_what_is_accused_and_closes_nothing_by_itself(
    case: Case, policy: SignedPolicy, seconds: int, answers: tuple[Enrichment, ...], days: int
) -> None:
    entry = AllowFact("jane", CASE_TIME + timedelta(days=days), "our scanner", ("jane", "omar"))
    listed = dict.fromkeys(_THINGS, (entry,))
    bare = caution(case, policy, DecisionContext(), seconds)
    without = caution(case, policy, DecisionContext(enrichment=answers), seconds)
    with_list = caution(case, policy, DecisionContext(enrichment=answers, allowed=listed), seconds)
    assert bare <= with_list <= without
    if days < 0:
        assert with_list == without, "an entry that has expired counts for nothing"
    unsigned = {key: (replace(entry, signers=()),) for key in _THINGS}
    assert caution(case, policy, DecisionContext(enrichment=answers, allowed=unsigned), seconds) == without


@given(case=cases, policy=policies, seconds=moments)
@THOROUGH
def test_an_answer_that_may_still_come_keeps_a_case_from_being_closed(
    case: Case, policy: SignedPolicy, seconds: int
) -> None:
    until = CASE_TIME + timedelta(seconds=900)
    plain = outcome(case, policy, DecisionContext(), seconds)
    waiting = outcome(case, policy, DecisionContext(pending=("feed host:h1",), pending_until=until), seconds)
    assert waiting.outcome is not Outcome.CLOSE
    assert CAUTION[waiting.outcome] >= CAUTION[plain.outcome]
    assert all(one.approval == "human" for one in waiting.proposals)
    if plain.outcome is Outcome.ESCALATE:
        assert waiting.outcome is Outcome.ESCALATE, "escalating waits for nothing"


def test_the_generated_answers_both_raise_and_leave_alone() -> None:
    """Without this the properties above could hold because an answer never matters."""
    seen: Counter[bool] = Counter()
    closing = accepted([{"when": {"rule_id": list(RULES)}, "then": CLOSE}])

    @given(answers=_answers)
    @settings(max_examples=200, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    def draw(answers: tuple[Enrichment, ...]) -> None:
        case = a_case([an_alert(title="", severity_id=1, entities=(an_entity("host:h1"),))])
        seen[caution(case, closing, DecisionContext(enrichment=answers)) > 0] += 1

    draw()
    assert min(seen[True], seen[False]) >= 10, seen
