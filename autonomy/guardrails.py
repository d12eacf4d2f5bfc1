"""Deterministic guards: each compares one fact with one limit and says so; none can be argued with.

Counts come in as numbers, so a decision can be made again from its record.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from nightdesk.autonomy.matching import tactics_of
from nightdesk.autonomy.policy import case_severity
from nightdesk.sdk.case import Alert, Case, CaseStatus, Check
from nightdesk.sdk.verbs import TargetKind

__all__ = ["AssetFacts", "DecisionContext", "Limits", "abstain_checks", "blast_radius", "may_run_unattended"]

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


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """What the tenant's own inventory says of a target; ``resolves_to`` counts the assets that answer to its name."""

    asset_type: str = ""
    tags: tuple[str, ...] = ()
    privileged: bool = False
    resolves_to: int = 1


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """Everything a decision looks at beside the case and the policy. ``assets`` is keyed by target (``host:ws-0042``).

    ``missing`` names enrichments that were asked and did not answer. ``with_person``: somebody took the case.
    ``kill_switch``: the machine's work is stopped for this tenant; ``stopped_rules`` are as ``switches`` gives them.
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
    kill_switch: bool = False
    stopped_rules: tuple[str, ...] = ()
    with_person: bool = False
    limits: Limits = field(default_factory=Limits)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the record."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        if not self.stopped_rules:
            del dumped["stopped_rules"]  # a record made before rules could be stopped replays to the same bytes
        return dumped

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "DecisionContext":
        """Back from the record."""
        return _adapter().validate_python(dict(raw))


@cache
def _adapter() -> TypeAdapter[DecisionContext]:
    return TypeAdapter(DecisionContext)


def abstain_checks(case: Case, context: DecisionContext, now: datetime) -> tuple[Check, ...]:
    """Every check that must pass before a machine may close; one that fails gives the case to a person."""
    return (
        *_about_alerts(case.alerts),
        *_floors(case, context.limits),
        *_freshness(case.alerts, context, now),
        *_load(context),
        Check("kill-switch", not context.kill_switch, "on" if context.kill_switch else "off", "off"),
        Check(
            "with-person",
            not (context.with_person or case.status is CaseStatus.ESCALATED),
            case.status.value,
            "a machine does not close what a person has",
        ),
    )


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
    flood = max(float(limits.flood_floor), limits.flood_factor * context.alerts_hour_median)
    yield Check(
        "flood", context.alerts_last_hour <= flood, str(context.alerts_last_hour), f"{flood:.0f} alerts an hour"
    )
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


def blast_radius(kind: TargetKind, planned: int, context: DecisionContext, what: str) -> tuple[Check, ...]:
    """Whether ``planned`` more containments of this kind stay inside what may go wrong in an hour and a day."""
    limits = context.limits
    if kind in {TargetKind.HOST, TargetKind.PROCESS}:
        hour = max(1, int(limits.hosts_per_hour * context.fleet_size))
        day = max(1, int(limits.hosts_per_day * context.fleet_size))
        return (
            _within("blast-radius-hour", context.hosts_last_hour + planned, hour, what, "hosts an hour"),
            _within("blast-radius-day", context.hosts_last_day + planned, day, what, "hosts a day"),
        )
    if kind is TargetKind.ACCOUNT:
        total = context.accounts_last_hour + planned
        return (_within("blast-radius-hour", total, limits.accounts_per_hour, what, "accounts an hour"),)
    total = context.indicators_last_hour + planned
    return (_within("blast-radius-hour", total, limits.indicators_per_hour, what, "indicators an hour"),)


def _within(name: str, total: int, limit: int, what: str, unit: str) -> Check:
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
