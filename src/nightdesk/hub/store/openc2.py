"""OpenC2 commands as they were taken, each beside the action that it became, in the caller's transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from nightdesk.hub.store.codec import dump, load, moment, safe_text, stamp
from nightdesk.hub.store.schema import openc2_command

__all__ = ["Taken", "put_command", "taken_command"]


@dataclass(frozen=True, slots=True)
class Taken:
    """One command that was taken: who sent it, what it said, and what became of it."""

    tenant: str
    command_id: str
    action_id: str
    received_at: datetime
    sender: str
    command: Mapping[str, Any]
    request_id: str = ""


def put_command(conn: Connection, taken: Taken) -> None:
    """Stores it. Raises IntegrityError when the tenant has a command of that id: read it and answer with that."""
    row = {
        "tenant": taken.tenant,
        "command_id": safe_text(taken.command_id),
        "request_id": safe_text(taken.request_id),
        "action_id": taken.action_id,
        "received_at": stamp(taken.received_at),
        "body": dump({"sender": taken.sender, "command": taken.command}),
    }
    conn.execute(insert(openc2_command), row)


def taken_command(conn: Connection, tenant: str, command_id: str) -> Taken | None:
    """The command of that id, if this tenant was ever sent it."""
    table = openc2_command.c
    statement = select(openc2_command).where(table.tenant == tenant, table.command_id == safe_text(command_id))
    row = conn.execute(statement).one_or_none()
    if row is None:
        return None
    body = load(row.body)
    return Taken(
        tenant, command_id, row.action_id, moment(row.received_at), body["sender"], body["command"], row.request_id
    )
