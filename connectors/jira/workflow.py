"""Moves an issue to a closed or an open status: by the transition that its workflow offers now, never by setting it."""

from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.jira import triage
from nightdesk.connectors.jira.client import VENDOR, Rest
from nightdesk.connectors.jira.triage import Ticket
from nightdesk.sdk.errors import RejectedError, ScopeError

__all__ = ["TRANSITION", "Workflow"]

TRANSITION = "write:jira-work (project permission Transition Issues)"
_CLOSED = ("done", "closed", "resolved")
_OPEN = ("reopened", "to do", "open", "in progress")


class Workflow:
    """The workflows of all issues; ``closed_status`` is preferred to every other closed one."""

    def __init__(self, rest: Rest, closed_status: str = "") -> None:
        self._rest = rest
        self._closed = (*([closed_status.casefold()] if closed_status else []), *_CLOSED)

    async def close(self, ticket: Ticket, word: str) -> tuple[str, ...]:
        """Moves to a status of the category done; what no resolution could say of the disposition is a loss."""
        chosen = await self._choose(ticket, self._closed, closed=True)
        offered = _names(_fields(chosen).get("resolution", {}))
        picked = triage.resolution(word, offered)
        await self._go(ticket, chosen, {"resolution": {"name": picked}} if picked else {})
        if not word or picked.lower().replace(" ", "-") == word:
            return ()
        told = f"the resolution is {picked!r}" if picked else "the transition takes no resolution"
        return (f"disposition={word}: {told}, the word stands in a comment",)

    async def reopen(self, ticket: Ticket, before: str) -> None:
        """Moves to the status it had before, if the workflow leads there, else to another open one."""
        chosen = await self._choose(ticket, (*([before.casefold()] if before else []), *_OPEN), closed=False)
        await self._go(ticket, chosen, {})

    async def _choose(self, ticket: Ticket, preferred: Sequence[str], *, closed: bool) -> Mapping[str, Any]:
        operation = "read transitions"
        params = {"expand": "transitions.fields"}
        path = f"/issue/{ticket.issue_id}/transitions"
        answer = await self._rest.read(path, operation=operation, scope=TRANSITION, params=params)
        offered = [one for one in answer.get("transitions") or () if isinstance(one, Mapping)]
        if not offered:
            message = f"no transition of {ticket.key} is offered; grant {TRANSITION}, or its workflow ends here"
            raise ScopeError(message, vendor=VENDOR, operation=operation)
        fitting = [one for one in offered if one.get("isAvailable", True) and (_category(one) == "done") is closed]
        if not fitting:
            there = ", ".join(dict.fromkeys(map(_status, offered)))
            kind = "closed" if closed else "open"
            message = f"the workflow leads {ticket.key} from {ticket.status!r} to no {kind} status, only to {there}"
            raise RejectedError(message, vendor=VENDOR, operation=operation)
        by_status = [one for name in preferred for one in fitting if _status(one).casefold() == name]
        return (by_status or fitting)[0]

    async def _go(self, ticket: Ticket, chosen: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        wanted = [
            str(field.get("name", name))
            for name, field in _fields(chosen).items()
            if field.get("required") and not field.get("hasDefaultValue") and name not in fields
        ]
        if wanted:
            message = f"the transition {chosen.get('name')!r} of {ticket.key} wants {', '.join(wanted)}"
            raise RejectedError(message, vendor=VENDOR, operation="move ticket")
        body: dict[str, Any] = {"transition": {"id": str(chosen.get("id", ""))}}
        if fields:
            body["fields"] = dict(fields)
        path = f"/issue/{ticket.issue_id}/transitions"
        await self._rest.write("POST", path, body, operation="move ticket", scope=TRANSITION)


def _status(transition: Mapping[str, Any]) -> str:
    to = transition.get("to")
    return str(to.get("name", "")) if isinstance(to, Mapping) else ""


def _category(transition: Mapping[str, Any]) -> str:
    to = transition.get("to")
    category = to.get("statusCategory") if isinstance(to, Mapping) else None
    return str(category.get("key", "")) if isinstance(category, Mapping) else ""


def _fields(transition: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    fields = transition.get("fields")
    return fields if isinstance(fields, Mapping) else {}


def _names(field: Mapping[str, Any]) -> list[str]:
    return [str(one.get("name", "")) for one in field.get("allowedValues") or () if isinstance(one, Mapping)]
