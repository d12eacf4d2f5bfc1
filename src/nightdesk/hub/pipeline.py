"""Stored alerts to decisions: normalise, correlate, decide, and journal what follows, one transaction a page.

A page is normalised outside the transaction and committed whole: inbox rows settle in the same commit as the alerts,
cases, decisions and actions made of them, so a crash leaves either everything of a page or nothing (laws 1 and 4).
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection

from nightdesk.autonomy.correlate import correlate, raised
from nightdesk.autonomy.grouping import entity_of, grouped
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.selectors import NOTHING_SHARED, Shared
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.deciding import NOBODY_ASKED, Asks, Deciding
from nightdesk.hub.news import means_more
from nightdesk.hub.playbooks.ruled import RuledRuns, Shelf
from nightdesk.hub.rates import HourlyRate
from nightdesk.hub.regrading import regrade
from nightdesk.hub.regrouping import title_of, unite
from nightdesk.hub.store import Store, alerts, audit, cases, decisions, groups, intake
from nightdesk.hub.store.prior import headers, prior
from nightdesk.sdk.case import Alert, CaseStatus, Decision
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import ConfigError, MappingError
from nightdesk.stix.drift import DriftMonitor
from nightdesk.stix.normalize import Normalized, Normalizer

__all__ = ["Asks", "Pipeline", "Progress"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """What one step did."""

    normalised: int = 0
    quarantined: int = 0
    decided: tuple[Decision, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.normalised or self.quarantined or self.decided)


@dataclass(slots=True)
class _Page:
    """One tenant's part of a page."""

    tenant: TenantSettings
    good: list[tuple[intake.InboxRow, Normalized]] = field(default_factory=list)
    bad: list[tuple[intake.InboxRow, MappingError]] = field(default_factory=list)


class Pipeline:
    """The work between the inbox and the action engine. ``step`` and ``tick`` are blocking; one thread calls them."""

    def __init__(
        self,
        store: Store,
        normalizer: Normalizer,
        tenants: Mapping[str, TenantSettings],
        *,
        clock: Clock,
        on_drift: Callable[[str, str, str], None] | None = None,
        shared: Shared = NOTHING_SHARED,
        policy: Callable[[Connection, TenantSettings], SignedPolicy | Policy] = lambda _, tenant: tenant.policy,
        ruled: RuledRuns | None = None,
        asks: Asks = NOBODY_ASKED,
    ) -> None:
        self._enrichments, self._counsel, self._weighing = asks.enrichments, asks.counsel, asks.weighing
        self._store = store
        self._normalizer = normalizer
        self._tenants = tenants
        self._clock = clock
        self._rates: dict[str, HourlyRate] = {}
        self._deciding = Deciding(
            store, clock, self._rates, shared=shared, policy=policy, ruled=ruled or RuledRuns(Shelf()), asks=asks
        )
        self._drift: dict[tuple[str, str, str], DriftMonitor] = {}
        self._on_drift = on_drift or (lambda *_: None)

    def rate(self, tenant: str, now: datetime) -> tuple[int, float]:
        """Alerts of that tenant in the last hour, and the median of its hours; any thread may ask."""
        rate = self._rates.get(tenant)
        return (rate.last_hour(now), rate.median()) if rate is not None else (0, 0.0)

    def step(self, *, limit: int = 500) -> Progress:
        """Takes up to ``limit`` waiting alerts of each tenant through to decisions; empty when nothing waits."""
        good = bad = 0
        made: list[Decision] = []
        broken: list[Exception] = []
        # Each configured tenant in turn: one that was taken out of the configuration keeps its alerts waiting, and
        # neither it nor one whose page breaks holds the others up.
        for slug, tenant in self._tenants.items():
            try:
                page = self._page(tenant, limit)
                if page.good or page.bad:
                    if self._enrichments is not None:
                        self._enrichments.prepare(slug, [found.alert for _, found in page.good])
                    with self._store.begin() as conn:
                        made += self._commit(conn, page)
            except Exception as error:  # noqa: BLE001  # isolation point; raised below, once the others had their turn
                _log.error("page failed", tenant=slug, problem=f"{type(error).__name__}: {error}")
                broken.append(error)
                continue
            good += len(page.good)
            bad += len(page.bad)
        if broken:
            raise broken[0]
        return Progress(good, bad, tuple(made))

    def _page(self, tenant: TenantSettings, limit: int) -> _Page:
        """What waits of one tenant, normalised."""
        page = _Page(tenant)
        with self._store.read() as conn:
            rows = intake.waiting(conn, limit=limit, tenant=tenant.scope.slug)
        for row in rows:
            self._normalise(row, page)
        return page

    def tick(self) -> Progress:
        """Decides again every case whose quiet window has passed, or that answers have come for."""
        now = self._clock()
        made = self._answered(now)
        with self._store.read() as conn:
            due = decisions.holds_due(conn, now)
        for slug, group in itertools.groupby(sorted(due), key=lambda row: row[0]):
            tenant = self._tenants.get(slug)
            if tenant is None:
                continue
            with self._store.begin() as conn:
                held = {case_id for _, case_id, _ in group}
                found = cases.cases(conn, slug, held)
                made += self._deciding.decide(conn, tenant, list(found.values()), now, held, again=True)
        return Progress(decided=tuple(made))

    def _answered(self, now: datetime) -> list[Decision]:
        """Decides again what answers have come for; recorded is only what says something new."""
        made: list[Decision] = []
        ready = [one.ready() for one in (self._enrichments, self._counsel) if one is not None]
        for slug, ids in itertools.chain.from_iterable(one.items() for one in ready):
            tenant = self._tenants[slug]
            with self._store.begin() as conn:
                found = cases.cases(conn, slug, sorted(ids))
                made += self._deciding.decide(conn, tenant, list(found.values()), now, (), again=True)
        return made

    def _normalise(self, row: intake.InboxRow, page: _Page) -> None:
        try:
            found = self._normalizer.normalize(row.product, row.payload, page.tenant.scope)
        except MappingError as error:
            page.bad.append((row, error))
            return
        except ConfigError as error:
            # A product without a normaliser, or with a broken one, sets its own alerts aside and nobody else's.
            page.bad.append((row, MappingError(str(error), source=row.product)))
            return
        page.good.append((row, found))
        key = (row.tenant, row.instance, row.stream)
        for alarm in self._drift.setdefault(key, DriftMonitor()).watch(found.document, found.loss.lost):
            _log.warning("drift", tenant=row.tenant, instance=row.instance, stream=row.stream, alarm=alarm)
            self._on_drift(row.tenant, row.instance, alarm)

    def _commit(self, conn: Connection, page: _Page) -> list[Decision]:
        now, slug = self._clock(), page.tenant.scope.slug
        for row, error in page.bad:
            intake.settle_quarantined(conn, row, reason=error.reason, pointer=error.pointer, at=now)
        if not page.good:
            return []
        intake.settle_normalised(conn, [row for row, _ in page.good])
        self._rates.setdefault(slug, HourlyRate()).add(now, len(page.good))
        items = [
            (row.seq, replace(found.alert, source=row.instance), found.bundle, orjson.dumps(found.loss.to_json()))
            for row, found in page.good
        ]
        before = prior(conn, slug, [alert.alert_id for _, alert, _, _ in items])
        changes = alerts.put_alerts(conn, items)
        # Of two versions in one page the later stands, whether the first of them was new or not.
        fresh: dict[str, Alert] = {}
        more: list[tuple[str, Alert]] = []
        for (_, alert, _, _), change in zip(items, changes, strict=True):
            known = before.get(alert.alert_id)
            if change == "unchanged":
                continue
            if known is None:
                fresh[alert.alert_id] = alert
                continue
            self._note_source(conn, alert, known.alert, now)
            if known.case_id and means_more(known.alert, alert):
                more.append((known.case_id, alert))
        regrade(conn, slug, more)
        joined = self._assign(conn, page.tenant, list(fresh.values()), now)
        found_cases = [
            case
            for case in cases.cases(conn, slug, sorted({case_id for case_id, _ in more} | joined)).values()
            if case.alerts
        ]
        return self._deciding.decide(conn, page.tenant, found_cases, now, joined)

    def _assign(self, conn: Connection, tenant: TenantSettings, fresh: Sequence[Alert], now: datetime) -> set[str]:
        """Puts new alerts into cases; returns the cases that changed."""
        if not fresh:
            return set()
        slug = tenant.scope.slug
        keys = {entity.key for alert in fresh for entity in alert.entities}
        since = min(alert.first_seen for alert in fresh) - tenant.window
        known = cases.cases_touching(conn, slug, keys, since)
        assignments = correlate(fresh, known, window=tenant.window)
        merged = unite(conn, slug, assignments, now) if any(one.joins for one in assignments) else {}
        by_id = {alert.alert_id: alert for alert in fresh}
        members: dict[str, list[Alert]] = defaultdict(list)
        opened: dict[str, None] = {}
        for assignment in assignments:
            case_id = merged.get(assignment.case_id, assignment.case_id)
            members[case_id].append(by_id[assignment.alert_id])
            if assignment.is_new:
                opened[case_id] = None
        numbers = dict(zip(opened, cases.new_case_ids(conn, slug, [now] * len(opened)), strict=True))
        existing = headers(conn, slug, [ref for ref in members if ref not in opened])
        writes = []
        for ref, group in members.items():
            header = existing.get(ref)
            severity = header.severity_id if header else 0
            for alert in group:
                severity = raised(severity, alert)
            writes.append(
                cases.CaseWrite(
                    tenant=slug,
                    case_id=numbers.get(ref, ref),
                    title=header.title if header else title_of(group),
                    status=header.status if header else CaseStatus.NEW,
                    severity_id=severity,
                    opened_at=header.opened_at if header else now,
                    updated_at=now,
                    new_alert_ids=[alert.alert_id for alert in group],
                    entity_keys=list(dict.fromkeys(entity.key for alert in group for entity in alert.entities)),
                    last_seen=max(alert.last_seen for alert in group),
                )
            )
        cases.put_cases(conn, writes)
        self._group(conn, slug, fresh, {one: write.case_id for write in writes for one in write.new_alert_ids})
        return {write.case_id for write in writes}

    def _group(self, conn: Connection, tenant: str, fresh: Sequence[Alert], case_of: Mapping[str, str]) -> None:
        """Counts new alerts in groups: the unit that is scored and judged."""
        first = min(alert.first_seen for alert in fresh).timestamp()
        last = max(alert.first_seen for alert in fresh).timestamp()
        near = groups.groups_near(conn, tenant, {entity_of(alert) for alert in fresh}, first, last)
        made = grouped(fresh, near)
        groups.put_groups(conn, tenant, made.groups, {name: case_of[one] for one, name in made.of_alert.items()})
        if self._weighing is not None:
            self._weighing.saw(tenant, made.groups.values())

    @staticmethod
    def _note_source(conn: Connection, alert: Alert, known: Alert, now: datetime) -> None:
        """A change of status at the source is recorded; it decides nothing by itself (our own echo among them)."""
        if known.native_status == alert.native_status:
            return
        detail: dict[str, Any] = {"from": known.native_status, "to": alert.native_status, "alert": alert.alert_id}
        audit.append(
            conn, tenant=alert.tenant, at=now, actor=alert.source, event="alert.status_at_source", detail=detail
        )
