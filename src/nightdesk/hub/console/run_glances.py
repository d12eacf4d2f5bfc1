"""Which runs wait for a person, for the list of runs and for the count beside it in the navigation.

Every page shows the count, so a run is read again only after it was changed, and approvals are one question for all.
"""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from nightdesk.autonomy.playbooks.run import Run
from nightdesk.autonomy.playbooks.standing import waiting_for
from nightdesk.hub.api.view import HubView, Principal
from nightdesk.hub.playbooks.questions import questions
from nightdesk.hub.store.codec import stamp
from nightdesk.hub.store.run_list import approvals_awaited, ended, moves_at_work, runs_named

__all__ = ["Place", "RunGlances"]

_FOR_PERSON, _AT_WORK, _OVER = "0", "1", "2"


@dataclass(frozen=True, slots=True)
class _Glance:
    """What is remembered of a run that is at work."""

    moves: int
    started_at: str
    asks: bool
    actions: tuple[str, ...]


class Place(NamedTuple):
    """Where a run stands in the list: what waits for a person, what is at work, what is over; each newest first.

    ``at`` is when it was started, of one that is over when it ended.
    """

    kind: str
    at: str
    run_id: str

    @property
    def for_person(self) -> bool:
        """Whether a person has to answer or to approve."""
        return self.kind == _FOR_PERSON

    def follows(self, other: "Place") -> bool:
        """Whether it comes after that one in the list."""
        if self.kind != other.kind:
            return self.kind > other.kind
        return (self.at, self.run_id) < (other.at, other.run_id)


class RunGlances:
    """Remembers per tenant only what is at work."""

    def __init__(self, hub: HubView) -> None:
        self._hub = hub
        self._known: dict[str, dict[str, _Glance]] = {}

    def waiting(self, caller: Principal | None) -> int:
        """How many runs wait for a person."""
        if caller is None:
            return 0
        with self._hub.store.read() as conn:
            return sum(place.for_person for place in self._at_work(conn, caller.tenant))

    def page(self, conn: Connection, tenant: str, *, before: Place | None, limit: int) -> list[Place]:
        """The next ones of the list after ``before``."""
        found = [] if before and before.kind == _OVER else self._at_work(conn, tenant)
        found = [place for place in found if before is None or place.follows(before)]
        # Newest first within a kind: sorted from the back, then the kinds from the front.
        found = sorted(sorted(found, reverse=True), key=lambda place: place.kind)[:limit]
        if len(found) < limit:
            last = (before.at, before.run_id) if before and before.kind == _OVER else None
            over = ended(conn, tenant, before=last, limit=limit - len(found))
            found += [Place(_OVER, at, run_id) for at, run_id in over]
        return found

    def _at_work(self, conn: Connection, tenant: str) -> list[Place]:
        moves = moves_at_work(conn, tenant)
        known = self._known.get(tenant, {})
        changed = [run_id for run_id, count in moves.items() if run_id not in known or known[run_id].moves != count]
        fresh = {run_id: _glance(*found) for run_id, found in runs_named(conn, tenant, changed).items()}
        glances = {run_id: fresh.get(run_id) or known.get(run_id) for run_id in moves}
        at_work = self._known[tenant] = {run_id: one for run_id, one in glances.items() if one is not None}
        awaited = approvals_awaited(conn, tenant) if at_work else set()
        return [
            Place(_FOR_PERSON if one.asks or not awaited.isdisjoint(one.actions) else _AT_WORK, one.started_at, run_id)
            for run_id, one in at_work.items()
        ]


def _glance(moves: int, run: Run) -> _Glance:
    actions = tuple(branch.action_id for _, branch in waiting_for(run).values() if branch.action_id)
    return _Glance(moves, stamp(run.started_at), bool(questions(run)), actions)
