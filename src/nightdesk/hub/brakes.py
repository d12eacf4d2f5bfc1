"""The engine's brake over the store, and the brakes it pulls by itself: fleet, rate, and a vendor action that failed.

``clear`` is asked right before each request leaves and reads the store every time, so that a stop holds at once in
every process. ``demote`` is for whoever finds out that a vendor said *done* and did not do it: policy may no longer
use that vendor action anywhere, a person still may, with a warning.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.ledger import ENGINE, family_of
from nightdesk.autonomy.proposals import Approval
from nightdesk.autonomy.switches import ANYWHERE, Clearance, Departure, Position, Scope, Switch, Word, clearance
from nightdesk.hub.bounds import BrakeBounds
from nightdesk.hub.store import Store, switches
from nightdesk.hub.store.codec import stamp
from nightdesk.hub.store.recent import LetGo, let_go
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import UnavailableError
from nightdesk.sdk.verbs import VERBS, Risk, verb

__all__ = ["Brakes"]

_log = structlog.get_logger(__name__)
_S = ActionState
_FAILED = frozenset({_S.UNVERIFIED, _S.CONTRADICTED, _S.UNDO_FAILED})
_OPEN = frozenset({_S.APPROVED, _S.REQUESTED, _S.ACCEPTED, _S.PENDING})
_FELT = frozenset(one.family for one in VERBS.values() if one.risk >= Risk.R2)
_LONGEST_WAIT = timedelta(hours=1)
"""Between a wish that policy lets go and its request; one that waits longer is a person's by then."""
_MEMORY = timedelta(days=30)
"""How far back a vendor action's last uses are looked for."""


class Brakes:
    """Every tenant's. Blocking, as the journal is; it keeps nothing between two calls."""

    def __init__(self, store: Store, tenants: Collection[str], bounds: BrakeBounds, clock: Clock) -> None:
        self._store = store
        self._tenants = sorted(tenants)
        self._bounds = bounds
        self._clock = clock

    def clear(self, action: Action) -> Clearance:
        """The last word on a request; a brake whose bound this one passes is pulled first.

        Raises UnavailableError when the store cannot be read: then nothing leaves.
        """
        leaving = Departure.of(action)
        try:
            with self._store.read() as conn:
                said = clearance(leaving, switches.positions(conn, action.tenant))
                new = leaving.alone and leaving.felt and action.state is _S.APPROVED and said.word is Word.GO
                wanted = next(self._over(conn, action, leaving.rules), None) if new else None
            return said if wanted is None else clearance(leaving, [self._pull(*wanted)])
        except SQLAlchemyError as error:
            raise UnavailableError(
                f"the switches cannot be read ({type(error).__name__}), so nothing leaves: check the database"
            ) from error

    def demote(self, vendor: str, name: str, reason: str) -> Position:
        """Policy may no longer use that verb at that vendor, in any tenant, until two persons start it again."""
        return self._pull(Switch(ANYWHERE, Scope.VENDOR_ACTION, f"{vendor}/{name}"), reason)

    def after(self, action: Action) -> Position | None:
        """Called when an action ends badly: demotes its vendor action when too many of its last uses did.

        The journal may not say so yet: people are called before it does.
        """
        vendor = str(action.result.get("vendor", ""))
        if action.state not in _FAILED or action.approval != Approval.POLICY or not vendor:
            return None
        switch = Switch(ANYWHERE, Scope.VENDOR_ACTION, f"{vendor}/{action.verb}")
        this = (action.tenant, action.action_id)
        with self._store.read() as conn:
            since = self._since(conn, switch, _MEMORY)
            uses = let_go(conn, self._tenants, {family_of(action)}, since)
            same = [
                one._replace(state=action.state) if (one.tenant, one.action_id) == this else one
                for one in uses
                if (one.vendor, one.verb) == (vendor, action.verb)
            ]
        mine = [one for one in same if one.state not in _OPEN and not one.held]
        last = sorted(mine, key=lambda one: one.created_at, reverse=True)[: self._bounds.verified_of]
        failed = sum(one.state in _FAILED for one in last)
        if failed < self._bounds.failures:
            return None
        return self.demote(vendor, action.verb, f"{failed} of its last {len(last)} uses by policy were not verified")

    def _over(self, conn: Connection, action: Action, rules: Iterable[str]) -> Iterator[tuple[Switch, str]]:
        """The brakes whose bound is passed with this action, the narrower first, each with what to say."""
        bounds = self._bounds
        window = timedelta(seconds=bounds.window_seconds)
        minutes = f"{bounds.window_seconds / 60:g} minutes"
        for rule in rules:
            switch = Switch(ANYWHERE, Scope.RULE, f"{rule}/{action.verb}")
            uses = self._leaving(conn, {family_of(action)}, self._since(conn, switch, window))
            tenants = {one.tenant for one in uses if one.verb == action.verb and rule in one.rules} | {action.tenant}
            if len(tenants) > bounds.tenants_per_rule:
                allowed = bounds.tenants_per_rule
                yield switch, f"it acted in {len(tenants)} tenants within {minutes}; {allowed} are allowed"
        switch = Switch(ANYWHERE, Scope.ALL)
        uses = self._leaving(conn, _FELT, self._since(conn, switch, window))
        count = sum(map(_is_felt, uses))
        if count > bounds.actions:
            yield switch, f"{count} actions by policy within {minutes}; {bounds.actions} are allowed"

    def _leaving(self, conn: Connection, families: Collection[str], since: datetime) -> Iterator[LetGo]:
        """What left since then or is about to: one wish may have waited for its vendor, and leaves with the others."""
        uses = let_go(conn, self._tenants, families, since - _LONGEST_WAIT)
        return (one for one in uses if not one.left_at or one.left_at >= stamp(since))

    def _since(self, conn: Connection, switch: Switch, window: timedelta) -> datetime:
        """Where counting begins: people who started it again knew what had happened before."""
        before = switches.position(conn, switch)
        now = self._clock()
        # What was changed after now was changed before the clock was put back: it says nothing of when.
        return now - window if before is None or before.changed_at > now else max(now - window, before.changed_at)

    def _pull(self, switch: Switch, reason: str) -> Position:
        at = self._clock()
        pulled = self._store.transact(lambda conn: switches.stop(conn, switch, by=ENGINE, reason=reason, at=at))
        _log.warning("brake", switch=str(switch), reason=reason)
        return pulled


def _is_felt(one: LetGo) -> bool:
    return verb(one.verb).risk >= Risk.R2
