"""What each tenant's hosts and rules did lately: kept in memory, fed by the pipeline, read again after a restart."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from nightdesk.autonomy.learning.groups import Group
from nightdesk.autonomy.learning.history import History
from nightdesk.hub.store import groups

__all__ = ["Histories"]

_DAY = timedelta(hours=24)
_FIRST = timedelta(days=30)


class Histories:
    """A history for each tenant; nothing of one is in another's (law 3)."""

    def __init__(self) -> None:
        self._known: dict[str, History] = {}

    def of(self, conn: Connection, tenant: str, now: datetime) -> History:
        """The tenant's history as of now; built from the stored groups when it is asked for first."""
        found = self._known.get(tenant)
        if found is None:
            found = self._known[tenant] = self._read(conn, tenant, now)
        found.advance(now.timestamp())
        return found

    def saw(self, tenant: str, seen: Iterable[Group]) -> None:
        """Groups that are new or grew; what was not read yet will be read with them."""
        history = self._known.get(tenant)
        if history is not None:
            for group in seen:
                history.add(group)

    @staticmethod
    def _read(conn: Connection, tenant: str, now: datetime) -> History:
        history = History()
        # When each rule was first seen on each entity is remembered for longer than its groups are, as in a process
        # that was never stopped: or after every start all that is rare would be new.
        for group in groups.first_groups(conn, tenant, now - _FIRST):
            history.add(group)
        for _, group in groups.groups_since(conn, tenant, now - _DAY):
            history.add(group)
        return history
