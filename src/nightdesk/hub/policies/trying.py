"""A policy tried on its tests: what each case became, what was expected, and which rules no case exercised."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightdesk.autonomy.conditions import SEVERITIES
from nightdesk.autonomy.decide import decide
from nightdesk.autonomy.guardrails import AssetFacts, DecisionContext
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.autonomy.tracing import matched
from nightdesk.hub.policies.casebook import a_scope, bundle_alerts, case_of, last_moment, raw_alerts, short_alerts
from nightdesk.hub.policies.suite import FIRST, Suite, Test
from nightdesk.sdk.case import Alert, Case, Decision, Proposal
from nightdesk.stix.normalize import Normalizer

__all__ = ["Difference", "Report", "Tried", "as_signed", "run_suite", "touching"]

_TENANT = "test"


@dataclass(frozen=True, slots=True)
class Difference:
    """One expectation that was not met."""

    what: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One test and what became of its case."""

    name: str
    line: int
    outcome: str
    verdict: str
    reason: str
    rules: tuple[str, ...]
    proposals: tuple[str, ...]
    failed_checks: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Whether it became what was expected."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a run of a policy's tests found. ``expired`` are rules whose time is over on the day of the run."""

    policy_id: str
    version: str
    sha256: str
    tests: tuple[Tried, ...]
    untested: tuple[str, ...]
    expired: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every test did."""
        return all(one.passed for one in self.tests)


def as_signed(policy: Policy, signers: int | tuple[str, ...]) -> SignedPolicy | Policy:
    """The policy as it will be once that many people (or these) have signed it: a question, never a proof."""
    names = tuple(f"signer-{number}" for number in range(1, signers + 1)) if isinstance(signers, int) else signers
    return SignedPolicy(policy, tuple(Signature(name, "", "", "") for name in names)) if names else policy


def run_suite(policy: Policy, suite: Suite, normalizer: Callable[[], Normalizer], *, today: datetime) -> Report:
    """Decides every test's case; reads files, asks nobody. Raises ConfigError for a file that cannot be used."""
    tried: list[Tried] = []
    used: set[str] = set()
    for test, line in zip(suite.tests, suite.lines, strict=True):
        case = _case(test, suite, normalizer)
        decision = _decided(policy, test, case)
        rules = touching(policy, case, decision)
        used.update(rules)
        tried.append(_judged(test, line, decision, rules))
    untested = tuple(rule.id for rule in policy.rules if rule.id not in used)
    expired = tuple(rule.id for rule in policy.rules if rule.expired(today))
    return Report(policy.policy_id, policy.version, policy.sha256, tuple(tried), untested, expired)


def touching(policy: Policy, case: Case, decision: Decision) -> tuple[str, ...]:
    """The rules that took part in the decision, in the file's order; those that keep hands off a target as well."""
    found = set(matched(policy, case))
    for check in decision.checks:
        if check.name == "never-touch" and not check.passed:
            found.update(name.strip() for name in check.value.rpartition(": rule ")[2].split(","))
    return tuple(rule.id for rule in policy.rules if rule.id in found)


def _case(test: Test, suite: Suite, normalizer: Callable[[], Normalizer]) -> Case:
    alerts: list[Alert]
    if test.stix:
        alerts = bundle_alerts(suite.folder / test.stix, _TENANT)
    elif test.raw is not None:
        alerts = raw_alerts(normalizer(), test.raw.product, suite.folder / test.raw.file, a_scope(_TENANT))
    else:
        alerts = short_alerts(test.alerts, _TENANT, test.at or FIRST)
    severity = SEVERITIES[test.around.severity] if test.around.severity else 0
    return case_of(alerts, status=test.around.status, severity_id=severity, title=test.name)


def _decided(policy: Policy, test: Test, case: Case) -> Decision:
    around = test.around
    context = DecisionContext(
        kill_switch=around.kill_switch,
        with_person=around.with_person,
        missing=around.missing,
        maintenance=around.maintenance,
        stopped_rules=tuple(sorted(around.stopped_rules)),
        alerts_last_hour=around.alerts_last_hour,
        closed_last_hour=around.closed_last_hour,
        hosts_last_hour=around.hosts_last_hour,
        hosts_last_day=around.hosts_last_hour,
        fleet_size=around.fleet_size,
        assets={
            key: AssetFacts(one.asset_type, one.tags, one.privileged, one.resolves_to)
            for key, one in around.assets.items()
        },
    )
    return decide(
        case,
        as_signed(policy, around.signed_by),
        now=last_moment(case.alerts) + timedelta(seconds=around.decided_after),
        quiet=timedelta(seconds=around.quiet_seconds),
        context=context,
        decision_id=test.name,
    )


def _judged(test: Test, line: int, decision: Decision, rules: tuple[str, ...]) -> Tried:
    proposals = tuple(_told(one) for one in decision.proposals)
    failed = tuple(f"{one.name}: {one.value or 'failed'}" for one in decision.checks if not one.passed)
    return Tried(
        test.name,
        line,
        decision.outcome.value,
        decision.verdict.value,
        decision.reason_code,
        rules,
        proposals,
        failed,
        tuple(_differences(test, decision, rules, proposals)),
    )


def _differences(
    test: Test, decision: Decision, rules: tuple[str, ...], proposals: tuple[str, ...]
) -> Iterator[Difference]:
    wanted = test.expect
    plain = (
        ("outcome", wanted.outcome, decision.outcome.value),
        ("verdict", wanted.verdict, decision.verdict.value),
        ("reason", wanted.reason, decision.reason_code),
    )
    yield from (Difference(what, str(text), found) for what, text, found in plain if text is not None and text != found)
    if wanted.rules is not None and set(wanted.rules) != set(rules):
        yield Difference("rules", _list(wanted.rules), _list(rules))
    if wanted.proposals is not None and sorted(wanted.proposals) != sorted(_as(wanted.proposals, proposals)):
        yield Difference("proposals", _list(wanted.proposals), _list(proposals))
    if decision.outcome in wanted.forbidden:
        yield Difference(
            "forbidden", f"anything but {_list([one.value for one in wanted.forbidden])}", decision.outcome
        )


def _as(wanted: tuple[str, ...], found: tuple[str, ...]) -> list[str]:
    """What was found, without who approves it where nobody asked for that."""
    return [text if text in wanted else text.rpartition(" (")[0] for text in found]


def _told(proposal: Proposal) -> str:
    return f"{proposal.verb} {proposal.target} (approval: {proposal.approval})"


def _list(values: tuple[str, ...] | list[str]) -> str:
    return ", ".join(values) or "none"
