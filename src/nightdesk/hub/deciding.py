"""Cases to decisions: everything that is so at that moment is gathered, decided on and followed, in one transaction."""

from collections.abc import Callable, Collection, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from nightdesk.autonomy.decide import DecisionContext, decide
from nightdesk.autonomy.ledger import Ledger
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.proposals import Proposals
from nightdesk.autonomy.selectors import Shared
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.autonomy.switches import everything_stopped, stopped_rules
from nightdesk.hub.adviser.counsel import Counsel
from nightdesk.hub.aftermath import follow
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.enrichment.again import adds_nothing, arrival
from nightdesk.hub.enrichment.engine import Enrichments
from nightdesk.hub.learning.weighing import Weighing
from nightdesk.hub.news import says_the_same
from nightdesk.hub.playbooks.ruled import RuledRuns
from nightdesk.hub.rates import HourlyRate
from nightdesk.hub.store import Store, artefacts, cases, decisions, suppressions, switches
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.prior import Joined, activity, decision_counts
from nightdesk.sdk.case import Case, CaseStatus, Decision, Outcome
from nightdesk.sdk.context import Clock

__all__ = ["NOBODY_ASKED", "Asks", "Deciding"]

_LEASE = timedelta(hours=4)
_ESCALATED = {Outcome.ESCALATE, Outcome.PROPOSE_CONTAINMENT, Outcome.REOPEN}
_STATUS = {
    Outcome.CLOSE: CaseStatus.CLOSED,
    Outcome.HOLD: CaseStatus.WAITING,
    Outcome.RECOMMEND: CaseStatus.OPEN,
}


def _in_step(_tenant: str, _instance: str) -> float:
    return 0.0


class Asks(NamedTuple):
    """Whom a case's decision asks beside the policy."""

    enrichments: Enrichments | None = None
    counsel: Counsel | None = None
    weighing: Weighing | None = None
    skew: Callable[[str, str], float] = _in_step
    """By tenant and connector how many seconds the vendor's clock is ahead of ours."""


NOBODY_ASKED = Asks()


class Deciding:
    """Decides cases. ``rates`` are the pipeline's counts of alerts, by tenant."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        rates: MutableMapping[str, HourlyRate],
        *,
        shared: Shared,
        policy: Callable[[Connection, TenantSettings], SignedPolicy | Policy],
        ruled: RuledRuns,
        asks: Asks,
    ) -> None:
        self._store = store
        self._clock = clock
        self._rates = rates
        self._shared = shared
        self._policy = policy
        self._ruled = ruled
        self._enrichments, self._counsel, self._weighing, self._skew = asks

    def decide(
        self,
        conn: Connection,
        tenant: TenantSettings,
        found: Sequence[Case],
        now: datetime,
        due: Collection[str],
        *,
        again: bool = False,
    ) -> list[Decision]:
        """Decides each case and journals what follows, in the caller's transaction.

        What is ``due`` (an alert joined, a hold ended) is always recorded, the rest when it says something new.
        ``again``: no alert has joined since the last decision.
        """
        if not found:
            return []
        slug, ids = tenant.scope.slug, [case.case_id for case in found]
        latest = decisions.latest_decisions(conn, slug, ids)
        counts = decision_counts(conn, slug, ids)
        happened = activity(conn, slug, now)
        positions = switches.positions(conn, slug)
        quiet = tuple(one.to_json() for one in suppressions.active(conn, slug, now))
        rate = self._rates.setdefault(slug, HourlyRate())
        policy = self._policy(conn, tenant)
        made: list[Decision] = []
        enriched = self._enrichments is not None and self._enrichments.has(slug)
        view = self._enrichments.view(conn, slug, found) if self._enrichments is not None and enriched else None
        weighed = self._weighing.of(conn, slug, found, now) if self._weighing is not None else {}
        containing = self._weighing.containing(conn, slug, found, now) if self._weighing is not None else {}
        advised = self._counsel.view(conn, slug, found) if self._counsel is not None else {}
        for case in found:
            arrived = arrival(latest.get(case.case_id), case) if again and enriched else case.updated_at
            known = view.of(case, arrived, now).for_context() if view is not None else {}
            closed = happened.closed + sum(one.outcome is Outcome.CLOSE for one in made)
            context = DecisionContext(
                last_arrival=arrived,
                clock_skew=max((self._skew(slug, one) for one in sorted(_sources(case))), key=abs, default=0.0),
                new_cases_last_hour=happened.new_cases,
                alerts_last_hour=rate.last_hour(now),
                alerts_hour_median=rate.median(),
                hosts_last_hour=happened.hosts_hour,
                hosts_last_day=happened.hosts_day,
                accounts_last_hour=happened.accounts_hour,
                indicators_last_hour=happened.indicators_hour,
                closed_last_hour=closed,
                fleet_size=tenant.namesakes.hosts,
                assets={
                    key: tenant.assets[key] for key in (entity.key for entity in case.entities) if key in tenant.assets
                },
                kill_switch=everything_stopped(positions),
                stopped_rules=stopped_rules(positions),
                suppressions=quiet,
                maintenance=tuple(work.window.name for work in tenant.maintenance if work.covers(case, now)),
                limits=tenant.limits,
                playbooks=self._ruled.found(policy, tenant, case, now),
                advice=advised.get(case.case_id),
                containing=containing.get(case.case_id, {}),
                vips=tenant.namesakes.vips(case.entities),
                **known,
            )
            previous = latest.get(case.case_id)
            decision = decide(
                case,
                policy,
                now=now,
                quiet=tenant.quiet,
                context=context,
                decision_id=f"{case.case_id}-{counts.get(case.case_id, 0) + 1:03d}",
                supersedes=previous.decision_id if previous else "",
                evidence=weighed.get(case.case_id),
            )
            if (
                previous is None
                or case.case_id in due
                or not (says_the_same(previous, decision) or (again and adds_nothing(decision)))
            ):
                made.append(decision)
        if made:
            artefacts.keep_policy(conn, slug, policy, now)
        decisions.put_decisions(conn, made)
        cases.set_statuses(conn, slug, {one.case_id: _status(one) for one in made}, at=now)
        by_id = {case.case_id: case for case in found}
        journal = SqlJournal(Joined(self._store, conn))
        proposals = Proposals(
            Ledger(journal, self._clock, None),
            default_lease=_LEASE,
            rules=lambda _: tenant.approvals.rules,
            shared=self._shared,
        )
        for decision in made:
            follow(proposals, journal, decision, by_id[decision.case_id], tenant)
            self._ruled.follow(conn, decision)
        if self._counsel is not None:
            self._counsel.consider(slug, by_id, made)
        return made


def _status(decision: Decision) -> CaseStatus:
    return CaseStatus.ESCALATED if decision.outcome in _ESCALATED else _STATUS[decision.outcome]


def _sources(case: Case) -> set[str]:
    """The connectors that brought its alerts."""
    return {alert.source for alert in case.alerts}
