from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nightdesk.autonomy.guardrails import (
    AssetFacts,
    DecisionContext,
    Limits,
    abstain_checks,
    blast_radius,
    may_run_unattended,
)
from nightdesk.sdk.case import CaseStatus
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert
from nightdesk.sdk.verbs import TargetKind

LATER = timedelta(seconds=121)


def failed(context: DecisionContext | None = None, status: CaseStatus = CaseStatus.NEW, **changes: Any) -> set[str]:
    case = a_case([an_alert(**changes)], status=status)
    return {check.name for check in abstain_checks(case, context or DecisionContext(), CASE_TIME) if not check.passed}


def test_a_plain_case_passes_every_check_and_each_is_told() -> None:
    checks = abstain_checks(a_case(), DecisionContext(), CASE_TIME)
    assert all(check.passed for check in checks)
    assert len({check.name for check in checks}) == len(checks) == 11
    assert all(check.limit for check in checks)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("caution", {"caution": ("severity was no text",)}),
        ("severity-floor", {"severity_id": 5}),
        ("severity-floor", {"severity_id": 6}),
        ("severity-floor", {"severity_id": 0}),
        ("severity-floor", {"severity_id": 99}),
        ("tactic-floor", {"tactics": ("TA0040",)}),
        ("tactic-floor", {"tactics": ("exfiltration",)}),
        ("tactic-floor", {"techniques": ("T1486",)}),
        ("tactic-floor", {"techniques": ("T1003.001",)}),
        ("timestamps", {"last_seen": CASE_TIME + LATER}),
        ("timestamps", {"first_seen": CASE_TIME, "last_seen": CASE_TIME - LATER}),
        ("timestamps", {"created": CASE_TIME + LATER}),
        ("with-person", {"status": CaseStatus.ESCALATED}),
    ],
)
def test_a_doubt_about_the_case_fails_its_check(name: str, changes: dict[str, Any]) -> None:
    assert failed(**changes) == {name}


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("clock-skew", {"clock_skew": -121.0}),
        ("enrichment", {"missing": ("inventory",)}),
        ("vip-listed", {"vips": ("account:jdoe",)}),
        ("flood", {"alerts_last_hour": 301}),
        ("flood", {"alerts_last_hour": 1001, "alerts_hour_median": 200.0}),
        ("new-cases", {"new_cases_last_hour": 201}),
        ("close-budget", {"closed_last_hour": 1000}),
        ("kill-switch", {"kill_switch": True}),
        ("with-person", {"with_person": True}),
    ],
)
def test_a_doubt_about_the_surroundings_fails_its_check(name: str, context: dict[str, Any]) -> None:
    assert failed(DecisionContext(**context)) == {name}


def test_what_lies_at_the_limit_passes() -> None:
    context = DecisionContext(
        alerts_last_hour=1000, alerts_hour_median=200.0, new_cases_last_hour=200, clock_skew=120.0
    )
    assert failed(context, severity_id=4, last_seen=CASE_TIME + timedelta(seconds=120)) == set()


def test_limits_are_a_setting() -> None:
    assert failed(DecisionContext(limits=Limits(severity=3)), severity_id=3) == {"severity-floor"}


def test_a_context_comes_back_from_its_record() -> None:
    context = DecisionContext(last_arrival=CASE_TIME, missing=("a",), assets={"host:a": AssetFacts("server", ("x",))})
    assert DecisionContext.from_json(context.to_json()) == context


@pytest.mark.parametrize(
    ("name", "planned", "context", "passes"),
    [
        ("host.isolate", 1, {}, True),
        ("host.isolate", 2, {}, False),
        ("host.isolate", 1, {"hosts_last_hour": 1, "hosts_last_day": 1}, False),
        ("host.isolate", 2, {"fleet_size": 250}, True),
        ("host.isolate", 3, {"fleet_size": 250}, False),
        ("host.isolate", 1, {"fleet_size": 250, "hosts_last_day": 7}, False),
        ("account.disable", 5, {}, True),
        ("account.disable", 5, {"accounts_last_hour": 1}, False),
        ("url.block", 50, {}, True),
        ("url.block", 1, {"indicators_last_hour": 50}, False),
    ],
)
def test_the_blast_radius_is_bounded(name: str, planned: int, context: dict[str, Any], passes: bool) -> None:
    checks = blast_radius(name, planned, DecisionContext(**context), "what")
    assert all(check.passed for check in checks) is passes


PLAIN = AssetFacts("workstation")


@pytest.mark.parametrize(
    ("kind", "facts", "stated", "failing"),
    [
        (TargetKind.HOST, PLAIN, "", None),
        (TargetKind.HOST, PLAIN, "workstation", None),
        (TargetKind.HOST, None, "workstation", "known-asset"),
        (TargetKind.HOST, AssetFacts(), "", "plain-host"),
        (TargetKind.HOST, AssetFacts("server"), "", "plain-host"),
        (TargetKind.HOST, PLAIN, "server", "plain-host"),
        (TargetKind.HOST, replace(PLAIN, resolves_to=2), "", "one-asset"),
        (TargetKind.ACCOUNT, AssetFacts(), "", None),
        (TargetKind.ACCOUNT, AssetFacts(privileged=True), "", "plain-account"),
        (TargetKind.ACCOUNT, None, "", "known-asset"),
        (TargetKind.FILE, PLAIN, "", "known-asset"),
    ],
)
def test_only_a_known_plain_target_is_contained_without_a_person(
    kind: TargetKind, facts: AssetFacts | None, stated: str, failing: str | None
) -> None:
    context = DecisionContext(assets={"key": facts} if facts else {})
    checks = may_run_unattended(kind, "key", stated, context)
    assert [check.name for check in checks if not check.passed] == ([failing] if failing else [])
