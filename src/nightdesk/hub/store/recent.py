"""What policy let go of late, over several tenants at once: numbers for the brakes, which no tenant gets to see."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.proposals import Approval
from nightdesk.hub.store.codec import load, moment, stamp
from nightdesk.hub.store.schema import action as table
from nightdesk.hub.store.sql import chunks

__all__ = ["LetGo", "let_go"]

_S = ActionState
_NEVER_WENT = frozenset({_S.PROPOSED, _S.AWAITING_APPROVAL, _S.REJECTED, _S.CANCELLED})


class LetGo(NamedTuple):
    """One action that no person approved, as far as a brake looks at it."""

    tenant: str
    action_id: str
    verb: str
    vendor: str
    rules: tuple[str, ...]
    state: ActionState
    created_at: str
    left_at: str
    """When its request left; of what was never sent, its creation; empty while it is about to leave."""
    held: bool
    """A switch kept its request from being repeated: how it ended says nothing of the vendor."""


def let_go(
    conn: Connection, tenants: Sequence[str], families: Collection[str], since: datetime, *, most: int = 5000
) -> Iterator[LetGo]:
    """Actions of these families that policy let go since then, newest first within a chunk of tenants.

    What was taken back before it was sent does not count. Reads the index ``action_recent`` for each tenant, and at
    most ``most`` rows a chunk.
    """
    for part in chunks(tenants):
        statement = (
            select(table.c.tenant, table.c.action_id, table.c.state, table.c.created_at, table.c.body)
            .where(
                table.c.tenant.in_(part),
                table.c.family.in_(sorted(families)),
                table.c.created_at >= stamp(since),
                table.c.state.not_in(sorted(_NEVER_WENT)),
            )
            .order_by(table.c.created_at.desc())
            .limit(most)
        )
        for row in conn.execute(statement):
            body = load(row.body)
            if body["approval"] == Approval.POLICY:
                said = body["result"]
                rules = tuple(said.get("rules", ()))
                yield LetGo(
                    row.tenant,
                    row.action_id,
                    body["verb"],
                    said.get("vendor", ""),
                    rules,
                    _S(row.state),
                    row.created_at,
                    _left_at(row.state, row.created_at, body["requested_at"]),
                    bool(said.get("held")),
                )


def _left_at(state: str, created_at: str, requested_at: str | None) -> str:
    if requested_at:
        return stamp(moment(requested_at))
    return "" if state == _S.APPROVED else created_at
