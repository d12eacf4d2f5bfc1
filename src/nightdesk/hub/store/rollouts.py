"""The rollout of a policy as it stands: one row in the table of places, and a line of the audit for every change.

The row is the installation's (``*``), because rings are of several tenants; each tenant's own audit hears of its own
part alone (law 3). The policy's text and signatures stand in a row of their own, so that what is read before every
decision stays small.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import Connection

from nightdesk.autonomy.rollout import Rollout
from nightdesk.autonomy.switches import ANYWHERE
from nightdesk.hub.store import audit, intake
from nightdesk.hub.store.sql import take

__all__ = ["Text", "current", "hold", "keep", "keep_text", "note", "text"]

_PLACE = ("policy", "rollout")


class Text(NamedTuple):
    """A policy's file and the signatures beside it."""

    policy: bytes
    sidecar: bytes


@cache
def _adapter() -> TypeAdapter[Rollout]:
    return TypeAdapter(Rollout)


def current(conn: Connection) -> Rollout | None:
    """The newest rollout, also one that is over; None before the first."""
    found = intake.cursor(conn, ANYWHERE, *_PLACE)
    return None if not found else _adapter().validate_python(dict(found))


def hold(conn: Connection) -> Rollout | None:
    """The same, and nobody else changes it until the transaction ends."""
    take(conn, ANYWHERE, "policy rollout")
    return current(conn)


def keep(conn: Connection, rollout: Rollout, at: datetime) -> None:
    """Stores it; the caller holds it."""
    dumped: dict[str, Any] = _adapter().dump_python(rollout, mode="json")
    intake.move_cursor(conn, ANYWHERE, *_PLACE, dumped, at)


def keep_text(conn: Connection, sha256: str, found: Text, at: datetime) -> None:
    """Stores a policy's text by its hash."""
    told = {"policy": found.policy.decode("utf-8"), "sidecar": found.sidecar.decode("utf-8")}
    intake.move_cursor(conn, ANYWHERE, "policy", f"text/{sha256}", told, at)


def text(conn: Connection, sha256: str) -> Text | None:
    """That policy's text; its signatures are for the caller to verify."""
    found = intake.cursor(conn, ANYWHERE, "policy", f"text/{sha256}")
    return None if not found else Text(found["policy"].encode(), found["sidecar"].encode())


def note(
    conn: Connection,
    rollout: Rollout,
    event: str,
    tenants: Iterable[str],
    *,
    by: str,
    at: datetime,
    detail: Mapping[str, Any],
) -> None:
    """One line for the installation with everything, one for each of these tenants with what is theirs."""
    named = {"policy_id": rollout.policy_id, "version": rollout.version, "sha256": rollout.sha256}
    whole = {**named, "rollout_id": rollout.rollout_id, "rings": [list(ring) for ring in rollout.rings], **detail}
    audit.append(conn, tenant=ANYWHERE, at=at, actor=by, event=event, detail={**whole, "ring": rollout.ring})
    for tenant in sorted(set(tenants)):
        audit.append(conn, tenant=tenant, at=at, actor=by, event=event, detail=named)
