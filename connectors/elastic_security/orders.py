"""A response action of Elastic Defend: asked for once, found again by our mark, and what its details say of it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.connectors.elastic_security.answers import VENDOR
from nightdesk.connectors.elastic_security.kibana import Kibana
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["NAMES", "inner", "moment", "order", "ours", "outcome", "repeated"]

# The path of a response action uses underscores, its name in lists and counts hyphens, and one is another word.
NAMES: Mapping[str, tuple[str, str]] = {
    "host.isolate": ("isolate", "isolate"),
    "host.release": ("unisolate", "unisolate"),
    "host.scan": ("scan", "scan"),
    "host.collect_evidence": ("running_procs", "running-processes"),
    "host.run_script": ("execute", "execute"),
    "process.terminate": ("kill_process", "kill-process"),
    "process.suspend": ("suspend_process", "suspend-process"),
    "file.fetch": ("get_file", "get-file"),
}
_LOOK_BACK = timedelta(hours=1)  # how far the two clocks may be apart when our own action is looked for
_REASON_MOST = 500


async def ours(kibana: Kibana, command: Command) -> Mapping[str, Any] | None:
    """The action that an earlier try asked for: there is no idempotency key at the vendor, so its comment tells."""
    if not command.native_id:
        text = f"{command.target.key} has no agent id; find the host first"
        raise RejectedError(text, vendor=VENDOR, operation=command.verb)
    rows = await kibana.actions(command.native_id, NAMES[command.verb][1], command.requested_at - _LOOK_BACK)
    return next((row for row in rows if marker(command) in str(row.get("comment", ""))), None)


def repeated(action: Mapping[str, Any]) -> Receipt:
    """The receipt of a command that was already asked for."""
    return Receipt(str(action.get("id", "")), evidence={"status": str(action.get("status", "")), "repeated": True})


async def order(kibana: Kibana, command: Command, parameters: Mapping[str, Any] | None = None) -> Receipt:
    """Asks for the action. Raises RejectedError when the host has no Elastic Defend."""
    path, _ = NAMES[command.verb]
    data = await kibana.dispatch(path, command.native_id, comment=_comment(command), parameters=parameters)
    return Receipt(str(data.get("id", "")), evidence={"status": str(data.get("status", ""))})


def outcome(action: Mapping[str, Any]) -> Effect:
    """How a response action on one host went: success only if it and every agent's part say so."""
    if not (action.get("isCompleted") or action.get("isComplete")):
        return Effect.FAILED if action.get("isExpired") else Effect.PENDING
    parts = [part for part in inner(action, "agentState").values() if isinstance(part, dict)]
    good = action.get("wasSuccessful") is True and all(part.get("wasSuccessful") for part in parts)
    return Effect.IN_EFFECT if good else Effect.FAILED


def moment(value: Any) -> datetime | None:
    """A time as Kibana writes it: ISO text or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, (int, float)) else None
    except (ValueError, OverflowError, OSError):
        return None


def inner(value: Any, *path: str) -> Mapping[str, Any]:
    """The object at that path; empty when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _comment(command: Command) -> str:
    case = f"case {command.case_id}" if command.case_id else ""
    return " ".join(part for part in (command.reason[:_REASON_MOST], case, marker(command)) if part)
