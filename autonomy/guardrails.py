"""Deterministic guards: each compares one fact with one limit and says so; none can be argued with.

Counts come in as numbers, so a decision can be made again from its record.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from nightdesk.autonomy.enrichment.caution import enrichment_checks
from nightdesk.autonomy.matching import tactics_of
from nightdesk.autonomy.policy import case_severity
from nightdesk.autonomy.radius import Bucket, bucket
from nightdesk.sdk.case import Alert, Case, CaseStatus, Check
from nightdesk.sdk.enrichment import AllowFact, Enrichment
from nightdesk.sdk.verbs import TargetKind

__all__ = [
    "AssetFacts",
    "BookFacts",
    "DecisionContext",
    "Limits",
    "abstain_checks",
    "blast_radius",
    "flood_check",
    "may_run_unattended",
    "room",
    "within",
]

# Impact and exfiltration as a whole; of credential access only the dumping of stored credentials.
_FLOOR_TACTICS = {"TA0040": "impact", "TA0010": "exfiltration"}
_FLOOR_TECHNIQUES = ("T1003", "T1555", "T1558")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the counts are held against."""

    severity: int = 5
    clock_skew: float = 120.0
    flood_factor: float = 5.0
    flood_floor: int = 300
    new_cases_per_hour: int = 200
    closes_per_hour: int = 1000
    hosts_per_hour: float = 0.01
    hosts_per_day: float = 0.03
    accounts_per_hour: int = 5
    indicators_per_hour: int = 50
    policy_approval_seconds: float = 900.0
    person_approval_seconds: float = 14400.0
    criticality: int = 4
    """From which rank of an asset on (1 low to 4 critical) a person looks; 5: none."""


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """What one source says of a target: the tenant's own inventory, or the vendor that was asked for it.

    ``resolves_to`` counts the assets that answer to its name, ``names`` are further names and addresses of it.
    ``asked`` is False where the source does not say whether an account is privileged.
    """

    asset_type: str = ""
    tags: tuple[str, ...] = ()
    privileged: bool = False
    resolves_to: int = 1
    groups: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    asked: bool = True


@dataclass(frozen=True, slots=True)
class BookFacts:
    """What was found of the playbook that a rule names: its content's hash, its inputs from the case, what it lacks.

    ``sha256`` is empty when there is no such playbook. ``unfit`` says everything that would stop it half-way.
    """

    name: str = ""
    sha256: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    unfit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """Everything a decision looks at beside the case and the policy. ``assets`` is keyed by target (``host:ws-0042``).

    ``missing`` names enrichments that were asked and did not answer. ``with_person``: somebody took the case.
    ``maintenance`` names the announced work that the case's hosts or rules are in.
    ``advice`` is what an adviser said of these alerts, as its ``to_json`` gives it.
    ``suppressions`` are those that hold, as their ``to_json`` gives them.
    ``pending`` names what was asked and may still be answered until ``pending_until``. ``allowed`` are entries of
    verified allow-lists by entity; nothing in ``enrichment`` can take their place.
    ``kill_switch``: the machine's work is stopped for this tenant; ``stopped_rules`` are as ``switches`` gives them.
    ``playbooks`` is keyed by the rule that would start one.
    ``containing`` are, by decision class, the detection rules of the case that are at *auto-contain* now.
    ``vips`` are things of the case that the inventory lists, under any name, as one whose cases a person always sees.
    """

    last_arrival: datetime | None = None
    missing: tuple[str, ...] = ()
    clock_skew: float = 0.0
    alerts_last_hour: int = 0
    alerts_hour_median: float = 0.0
    new_cases_last_hour: int = 0
    closed_last_hour: int = 0
    hosts_last_hour: int = 0
    hosts_last_day: int = 0
    accounts_last_hour: int = 0
    indicators_last_hour: int = 0
    fleet_size: int = 0
    assets: Mapping[str, AssetFacts] = field(default_factory=dict)
    maintenance: tuple[str, ...] = ()
    kill_switch: bool = False
    stopped_rules: tuple[str, ...] = ()
    suppressions: tuple[Mapping[str, Any], ...] = ()
    with_person: bool = False
    advice: Mapping[str, Any] | None = None
    limits: Limits = field(default_factory=Limits)
    playbooks: Mapping[str, BookFacts] = field(default_factory=dict)
    enrichment: tuple[Enrichment, ...] = ()
    allowed: Mapping[str, tuple[AllowFact, ...]] = field(default_factory=dict)
    pending: tuple[str, ...] = ()
    pending_until: datetime | None = None
    containing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vips: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the record."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        # What came later is left out while it says nothing: a record made before it replays to the same bytes.
        _forget(dumped, _LATER)
        _forget(dumped["limits"], _LATER_LIMITS)
        for facts in dumped["assets"].values():
            _forget(facts, _LATER_FACTS)
        return dumped

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "DecisionContext":
        """Back from the record."""
        return _adapter().validate_python(dict(raw))


_LATER: Mapping[str, Any] = {
    "maintenance": [],
    "stopped_rules": [],
    "suppressions": [],
    "advice": None,
    "playbooks": {},
    "enrichment": [],
    "allowed": {},
    "pending": [],
    "pending_until": None,
    "containing": {},
    "vips": [],
}
_LATER_FACTS: Mapping[str, Any] = {"groups": [], "ports": [], "names": [], "asked": True}
_LATER_LIMITS: Mapping[str, Any] = {
    name: getattr(Limits(), name) for name in ("policy_approval_seconds", "person_approval_seconds", "criticality")
}


def _forget(dumped: dict[str, Any], unsaid: Mapping[str, Any]) -> None:
    for name, value in unsaid.items():
        if dumped[name] == value:
            del dumped[name]


@cache
def _adapter() -> TypeAdapter[DecisionContext]:
    return TypeAdapter(DecisionContext)


def abstain_checks(case: Case, context: DecisionContext, now: datetime) -> tuple[Check, ...]:
    """Every check that must pass before a machine may close; one that fails gives the case to a person."""
    return (
        *_about_alerts(case.alerts),
        *_floors(case, context.limits),
        *_freshness(case.alerts, context, now),
        *_enriched(case, context, now),
        *_load(context),
        *_announced(context),
        *_listed(context),
        Check("kill-switch", not context.kill_switch, "on" if context.kill_switch else "off", "off"),
        Check(
            "with-person",
            not (context.with_person or case.status is CaseStatus.ESCALATED),
            case.status.value,
            "a machine does not close what a person has",
        ),
    )


def _enriched(case: Case, context: DecisionContext, now: datetime) -> Iterator[Check]:
    if context.pending:
        shown = f"{', '.join(context.pending[:5])}{' …' if len(context.pending) > 5 else ''}"
        yield Check("enrichment-pending", passed=False, value=shown, limit="every answer there")
    yield from enrichment_checks(case, context.enrichment, context.allowed, now, criticality=context.limits.criticality)


def _announced(context: DecisionContext) -> Iterator[Check]:
    """Asked while there is any."""
    if context.maintenance:
        yield Check("maintenance", passed=False, value=", ".join(context.maintenance), limit="no announced work")


def _listed(context: DecisionContext) -> Iterator[Check]:
    """Asked while there is any: autonomy.md 2.6, 14."""
    if context.vips:
        yield Check("vip-listed", passed=False, value=", ".join(context.vips), limit="none whose cases a person sees")


def _about_alerts(alerts: Sequence[Alert]) -> Iterator[Check]:
    named = sorted({f"{alert.alert_id}: {text}" for alert in alerts for text in alert.caution})
    yield Check("caution", not named, "; ".join(named), "no lost or doubtful field")


def _floors(case: Case, limits: Limits) -> Iterator[Check]:
    worst = case_severity(case)
    shown = str(worst) if worst else "unknown"
    yield Check("severity-floor", 0 < worst < limits.severity, shown, f"known and below {limits.severity}")
    grave: dict[str, None] = {}
    for alert in case.alerts:
        grave.update((_FLOOR_TACTICS[text], None) for text in sorted(tactics_of(alert)) if text in _FLOOR_TACTICS)
        grave.update((text, None) for text in alert.techniques if text.partition(".")[0] in _FLOOR_TECHNIQUES)
    yield Check("tactic-floor", not grave, ", ".join(grave), "no impact, exfiltration or credential dumping")


def _freshness(alerts: Sequence[Alert], context: DecisionContext, now: datetime) -> Iterator[Check]:
    limit = context.limits.clock_skew
    ahead = 0.0
    for alert in alerts:
        for moment in (alert.created, alert.modified, alert.first_seen, alert.last_seen):
            ahead = max(ahead, (moment - now).total_seconds())
        ahead = max(ahead, (alert.first_seen - alert.last_seen).total_seconds())
    yield Check("timestamps", ahead <= limit, f"{ahead:.0f} s", f"at most {limit:.0f} s in the future or out of order")
    yield Check("clock-skew", abs(context.clock_skew) <= limit, f"{context.clock_skew:.0f} s", f"{limit:.0f} s")
    yield Check("enrichment", not context.missing, ", ".join(context.missing), "every answer there")


def _load(context: DecisionContext) -> Iterator[Check]:
    limits = context.limits
    yield flood_check(context.alerts_last_hour, context.alerts_hour_median, limits)
    yield Check(
        "new-cases",
        context.new_cases_last_hour <= limits.new_cases_per_hour,
        str(context.new_cases_last_hour),
        f"{limits.new_cases_per_hour} an hour",
    )
    yield Check(
        "close-budget",
        context.closed_last_hour < limits.closes_per_hour,
        str(context.closed_last_hour),
        f"{limits.closes_per_hour} an hour",
    )


def flood_check(last_hour: int, median: float, limits: Limits) -> Check:
    """Whether far more alerts than usual arrive."""
    flood = max(float(limits.flood_floor), limits.flood_factor * median)
    return Check("flood", last_hour <= flood, str(last_hour), f"{flood:.0f} alerts an hour")


def blast_radius(name: str, planned: int, context: DecisionContext, what: str) -> tuple[Check, ...]:
    """Whether ``planned`` more containments by this verb stay inside what may go wrong in an hour and a day."""
    counted = bucket(name)
    hour, day = room(counted, context.limits, context.fleet_size)
    if counted is Bucket.HOST:
        return (
            within("blast-radius-hour", context.hosts_last_hour + planned, hour, what, "hosts an hour"),
            within("blast-radius-day", context.hosts_last_day + planned, day, what, "hosts a day"),
        )
    if counted is Bucket.ACCOUNT:
        total = context.accounts_last_hour + planned
        return (within("blast-radius-hour", total, hour, what, "accounts an hour"),)
    total = context.indicators_last_hour + planned
    return (within("blast-radius-hour", total, hour, what, "indicators an hour"),)


def room(counted: Bucket, limits: Limits, fleet_size: int) -> tuple[int, int]:
    """How many targets of that sort may be contained in an hour and in a day; accounts and indicators have no day."""
    if counted is Bucket.HOST:
        hour, day = limits.hosts_per_hour * fleet_size, limits.hosts_per_day * fleet_size
        return max(1, int(hour)), max(1, int(day))
    hourly = limits.accounts_per_hour if counted is Bucket.ACCOUNT else limits.indicators_per_hour
    return hourly, 24 * hourly


def within(name: str, total: int, limit: int, what: str, unit: str) -> Check:
    """A count held against its limit."""
    return Check(name, total <= limit, f"{what}: {total}", f"{limit} {unit}")


def may_run_unattended(kind: TargetKind, key: str, stated_type: str, context: DecisionContext) -> tuple[Check, ...]:
    """Whether a target is known well enough to be contained without a person: *unknown asset = protected*."""
    if kind not in {TargetKind.HOST, TargetKind.ACCOUNT}:
        return (Check("known-asset", False, key, "only a host or account can be looked up"),)
    facts = context.assets.get(key)
    if facts is None:
        return (Check("known-asset", False, f"{key}: not in the inventory", "unknown counts as protected"),)
    single = Check("one-asset", facts.resolves_to == 1, f"{key}: {facts.resolves_to}", "exactly one")
    known = Check("known-asset", True, key, "in the inventory")
    if kind is TargetKind.ACCOUNT:
        return (known, single, Check("plain-account", not facts.privileged, key, "no privileged account"))
    types = {facts.asset_type, stated_type} - {""}
    plain = bool(types) and types <= {"workstation", "virtual-machine", "mobile"}
    shown = f"{key}: {', '.join(sorted(types)) or 'unknown'}"
    return (known, single, Check("plain-host", plain, shown, "one person's device, no server"))
