"""Cases and their tickets, both ways and without echo.

Outwards a case that a person must see gets one ticket, each later decision a comment, and closing or re-opening the
case does the same to the ticket: one wish for each change of the case, so nothing goes round in circles. Inwards what a
person does to the ticket is that person's decision on the case; what we wrote ourselves is known by its marker, and a
status counts only as it changes.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import Connection

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.engine import Approval, Engine
from nightdesk.hub.bindings import Bindings
from nightdesk.hub.config import HubSettings
from nightdesk.hub.store import Store, audit, cases, decisions, intake, queries
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.codec import stamp
from nightdesk.sdk.case import Case, CaseStatus, Decision, Mode, Outcome, Verdict
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import CursorExpiredError, NightdeskError
from nightdesk.sdk.ports import CaseChange, FollowsCases
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["TICKETING", "Tickets"]

_log = structlog.get_logger(__name__)
TICKETING = "ticketing"
_PLACE = "tickets"
"""The stream under whose name the place of following is kept."""
_PAGE = 100
_SEVERITIES = {1: "informational", 2: "low", 3: "medium", 4: "high", 5: "critical", 6: "critical"}
_S = ActionState
_GONE = frozenset({_S.FAILED, _S.CANCELLED, _S.REJECTED, _S.UNDONE})
_WISHES: Mapping[bool, str] = {True: "case.close", False: "case.reopen"}


class Tickets:
    """Every tenant that binds a connector to the role ``ticketing``."""

    def __init__(
        self, settings: HubSettings, store: Store, bindings: Bindings, engine: Engine, journal: SqlJournal, clock: Clock
    ) -> None:
        self._settings = settings
        self._store = store
        self._bindings = bindings
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self._begun = clock()
        """Where the first look begins: a ticket system bound today gets no tickets for the cases of last year."""

    async def once(self) -> int:
        """One look in both directions at every tenant; how many things there were to do."""
        done = 0
        for slug, tenant in self._settings.tenants.items():
            name = tenant.roles.get(TICKETING)
            if name is None:
                continue
            try:
                done += await self._inwards(slug, name)
            except NightdeskError as error:
                _log.warning("tickets", tenant=slug, instance=name, problem=str(error))
            done += await asyncio.to_thread(self._outwards, slug, name)
        return done

    # Outwards.

    def _outwards(self, tenant: str, instance: str) -> int:
        """Wishes for every case that changed since the last look."""
        place = self._place(tenant, instance)
        since = str(place.get("since") or stamp(self._begun))
        newest, before, done = since, None, 0
        while True:
            with self._store.read() as conn:
                rows = queries.case_list(conn, tenant, limit=_PAGE, before=before)
            changed = [row for row in rows if row.position[0] >= since]
            for row in reversed(changed):
                done += self._wish(tenant, row)
                newest = max(newest, row.position[0])
            if len(changed) < _PAGE:
                break
            before = rows[-1].position
        if newest != place.get("since"):
            self._keep(tenant, instance, {**place, "since": newest})
        return done

    def _wish(self, tenant: str, row: queries.CaseRow) -> int:
        actions = [one for one in self._journal.of_case(tenant, row.case_id) if one.verb.startswith("case.")]
        alive = [one for one in actions if one.state not in _GONE]
        closed = row.status == CaseStatus.CLOSED
        if not any(one.verb == "case.open" for one in alive):
            if row.status != CaseStatus.ESCALATED:
                return 0
            said = {
                "title": row.title,
                "description": self._story(tenant, row),
                "severity": _SEVERITIES.get(row.severity_id, "medium"),
            }
            self._propose(tenant, row.case_id, "case.open", said, "")
            return 1
        return self._follow_up(tenant, row, alive, closed=closed)

    def _follow_up(self, tenant: str, row: queries.CaseRow, alive: list[Action], *, closed: bool) -> int:
        """The case goes on: say so at its ticket, and close or re-open that when the case was."""
        with self._store.read() as conn:
            latest = decisions.latest_decisions(conn, tenant, [row.case_id]).get(row.case_id)
        if latest is None:
            return 0
        last = max((one for one in alive if one.verb in _WISHES.values()), key=lambda one: one.generation, default=None)
        is_closed = last is not None and last.verb == _WISHES[True]
        reasons = " ".join(latest.reasons)[:1000]
        text = f"nightdesk: {latest.outcome}, {latest.verdict}. {reasons}"
        if closed != is_closed:
            # What a person did at the ticket is so there already, and needs no words of ours.
            said = {} if latest.mode is Mode.HUMAN else {"comment": text}
            self._propose(tenant, row.case_id, _WISHES[closed], said, latest.decision_id)
            return 1
        opened = next(one for one in alive if one.verb == "case.open")
        told = {one.decision_id for one in alive}
        if latest.decision_id in told or latest.mode is Mode.HUMAN or latest.decided_at <= opened.created_at:
            return 0
        self._propose(tenant, row.case_id, "case.comment", {"comment": text}, latest.decision_id)
        return 1

    def _story(self, tenant: str, row: queries.CaseRow) -> str:
        with self._store.read() as conn:
            page = queries.case_page(conn, tenant, row.case_id)
        if page is None or not page.decisions:
            return row.title
        alerts = [f"- {alert.first_seen:%Y-%m-%d %H:%M:%S}Z {alert.title}" for alert in page.case.alerts[:20]]
        return "\n".join([*page.decisions[-1].reasons, "", f"{row.alert_count} alerts:", *alerts])

    def _propose(self, tenant: str, case_id: str, name: str, said: Mapping[str, Any], decision_id: str) -> None:
        opened = next((one for one in self._journal.of_case(tenant, case_id) if one.verb == "case.open"), None)
        ticket = str(opened.result.get("native_action_id", "")) if opened else ""
        self._engine.propose(
            tenant,
            name,
            Target(TargetKind.CASE, case_id, {"ticket": ticket} if ticket else {}),
            requested_by="tickets",
            approval=Approval.POLICY,
            case_id=case_id,
            decision_id=decision_id,
            parameters=said,
            reason="the case and its ticket say the same",
            accept_losses=tuple(said),
        )

    # Inwards.

    async def _inwards(self, tenant: str, instance: str) -> int:
        connector = self._bindings.connector(tenant, instance)
        if not isinstance(connector, FollowsCases):
            return 0
        place = self._place(tenant, instance)
        done = 0
        try:
            async for page in connector.follow_cases(place.get("vendor"), limit=_PAGE):
                seen = dict(place.get("seen", {}))
                for change in page.changes:
                    done += await asyncio.to_thread(self._take, tenant, instance, change, seen)
                place = {**place, "seen": seen, **({} if page.cursor is None else {"vendor": page.cursor})}
                self._keep(tenant, instance, {**self._place(tenant, instance), **place})
        except CursorExpiredError:
            self._keep(tenant, instance, {name: value for name, value in place.items() if name != "vendor"})
            raise
        return done

    def _take(self, tenant: str, instance: str, change: CaseChange, seen: dict[str, Any]) -> int:
        """What a person did to a ticket of ours; gives what it led to."""
        if not change.case_id:
            return 0
        before = seen.get(change.case_id, {})
        known = set(before.get("comments", ()))
        fresh = [one for one in change.comments if not one.ours and one.comment_id not in known]
        was = before.get("status", "open")
        seen[change.case_id] = {
            "status": change.status,
            "comments": [one.comment_id for one in change.comments if not one.ours][-_PAGE:],
        }
        with self._store.begin() as conn:
            for comment in fresh:
                self._note(conn, tenant, instance, "ticket.comment", change, comment.author, comment.text)
            found = cases.case(conn, tenant, change.case_id)
            closed = change.status == "closed"
            if found is None or change.status == was or closed == (found.status is CaseStatus.CLOSED):
                return len(fresh)
            self._decide(conn, found, change, instance, fresh[-1].author if fresh else "", closed=closed)
        return len(fresh) + 1

    def _decide(
        self, conn: Connection, case: Case, change: CaseChange, instance: str, author: str, *, closed: bool
    ) -> None:
        """A person's word, given at the ticket, is a decision on the case like any other."""
        now = self._clock()
        latest = decisions.latest_decisions(conn, case.tenant, [case.case_id]).get(case.case_id)
        number = len(decisions.decisions(conn, case.tenant, case.case_id)) + 1
        what = "closed" if closed else "re-opened"
        made = Decision(
            tenant=case.tenant,
            decision_id=f"{case.case_id}-{number:03d}",
            case_id=case.case_id,
            decided_at=now,
            outcome=Outcome.CLOSE if closed else Outcome.REOPEN,
            verdict=latest.verdict if latest else Verdict.UNDETERMINED,
            mode=Mode.HUMAN,
            reason_code=f"ticket-{'closed' if closed else 'reopened'}",
            reasons=(f"{author or 'A person'} {what} the ticket {change.native_id} at {instance}.",),
            checks=(),
            policy_id=latest.policy_id if latest else "",
            policy_version=latest.policy_version if latest else "",
            policy_sha256=latest.policy_sha256 if latest else "",
            supersedes=latest.decision_id if latest else "",
            reviewer=author or f"ticket:{change.native_id}",
        )
        decisions.put_decisions(conn, [made])
        cases.set_status(conn, case.tenant, case.case_id, CaseStatus.CLOSED if closed else CaseStatus.ESCALATED, at=now)
        self._note(conn, case.tenant, instance, f"ticket.{what}", change, author, "")

    def _note(
        self, conn: Connection, tenant: str, instance: str, event: str, change: CaseChange, author: str, text: str
    ) -> None:
        detail = {"case_id": change.case_id, "ticket": change.native_id, "text": text[:4000]}
        audit.append(conn, tenant=tenant, at=self._clock(), actor=author or instance, event=event, detail=detail)

    # Where we are.

    def _place(self, tenant: str, instance: str) -> Mapping[str, Any]:
        with self._store.read() as conn:
            return intake.cursor(conn, tenant, instance, _PLACE) or {}

    def _keep(self, tenant: str, instance: str, place: Mapping[str, Any]) -> None:
        with self._store.begin() as conn:
            intake.move_cursor(conn, tenant, instance, _PLACE, place, self._clock())
