"""How many targets containments went to of late: the numbers of the blast radius, counted from the journal."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, select

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.proposals import Approval
from nightdesk.hub.store.codec import load, moment, safe_key, stamp
from nightdesk.hub.store.schema import action as table

__all__ = ["Contained", "contained"]

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_LONGEST_WAIT = timedelta(days=3)
"""Between a wish and its request; what people let go later than that is no longer counted against the machine."""


class Contained(NamedTuple):
    """Targets in the last hour and day."""

    hour: int
    day: int


def contained(conn: Connection, action: Action, families: Collection[str], now: datetime) -> Contained:
    """Other targets of that tenant that containments of these families were requested for.

    Wishes that policy let go before this one and that were not sent yet count as sent now, so that two processes
    never both take the last place. Reads the index ``action_recent``.
    """
    statement = select(table.c.target_key, table.c.state, table.c.created_at, table.c.body).where(
        table.c.tenant == action.tenant,
        table.c.family.in_(sorted(families)),
        table.c.created_at >= stamp(now - _DAY - _LONGEST_WAIT),
        table.c.target_key != safe_key(action.target.key),
    )
    hour: set[str] = set()
    day: set[str] = set()
    before = (stamp(action.created_at), action.action_id)
    for row in conn.execute(statement):
        body = load(row.body)
        if body["requested_at"]:
            at = moment(body["requested_at"])
        elif row.state == ActionState.APPROVED and body["approval"] == Approval.POLICY:
            if (row.created_at, body["action_id"]) >= before:
                continue
            at = now
        else:
            continue
        if at > now - _DAY:
            day.add(row.target_key)
        if at > now - _HOUR:
            hour.add(row.target_key)
    return Contained(len(hour), len(day))
