"""How many targets containments went to of late: the numbers of the blast radius, counted from the journal."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.proposals import Approval
from nightdesk.autonomy.protected import bearer
from nightdesk.hub.store.codec import load, moment, stamp
from nightdesk.hub.store.schema import action as table
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Contained", "contained"]

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_LONGEST_WAIT = timedelta(days=3)
"""Between a wish and its request; what people let go later than that is no longer counted against the machine."""


class Contained(NamedTuple):
    """Targets in the last hour and day."""

    hour: int
    day: int


def contained(conn: Connection, action: Action, families: Collection[str], now: datetime) -> Contained:
    """Other hosts, accounts or indicators of that tenant that containments of these families were requested for.

    Wishes that policy let go before this one and that were not sent yet count as sent now, so that two processes
    never both take the last place. Reads the index ``action_recent``.
    """
    own = bearer(action.verb, action.target).key.casefold()
    statement = select(table.c.state, table.c.created_at, table.c.body).where(
        table.c.tenant == action.tenant,
        table.c.family.in_(sorted(families)),
        table.c.created_at >= stamp(now - _DAY - _LONGEST_WAIT),
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
        felt = _felt(body)
        if at > now - _DAY:
            day.add(felt)
        if at > now - _HOUR:
            hour.add(felt)
    return Contained(len(hour - {own}), len(day - {own}))


def _felt(body: Mapping[str, Any]) -> str:
    """Who felt it: of two processes of one host the host, of an account and its key the account."""
    target = body["target"]
    return bearer(body["verb"], Target(TargetKind(target["kind"]), target["value"], target["facts"])).key.casefold()
