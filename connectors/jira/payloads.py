"""The shape of the simulated site's issues: statuses and the transitions between them, screens, people."""

from collections.abc import Iterable, Mapping
from typing import Any

from nightdesk.connectors.jira.wire import stamp
from nightdesk.sdk.context import Clock

__all__ = ["ISSUE_TYPES", "ME", "PERSON", "PRIORITIES", "PROJECT", "RESOLUTIONS", "STATUSES", "WORKFLOW", "Shapes"]

PROJECT = "SEC"
ISSUE_TYPES: Mapping[str, str] = {"10001": "Task", "10002": "Incident"}
PRIORITIES = ("Highest", "High", "Medium", "Low", "Lowest")
RESOLUTIONS = ("Done", "Won't Do", "Duplicate", "Cannot Reproduce")
STATUSES: Mapping[str, str] = {"To Do": "new", "In Progress": "indeterminate", "Done": "done", "Won't Do": "done"}
WORKFLOW: Mapping[str, Mapping[str, str]] = {  # by status, ids of transitions and where they lead
    "To Do": {"11": "In Progress", "41": "Won't Do", "31": "Done"},
    "In Progress": {"21": "To Do", "41": "Won't Do", "31": "Done"},
    "Done": {"61": "In Progress", "51": "To Do"},
    "Won't Do": {"51": "To Do"},
}
ME: Mapping[str, str] = {"accountId": "5b10a2844c20165700ede21g", "displayName": "Nightdesk"}
PERSON: Mapping[str, str] = {"accountId": "5b10ac8d82e05b22cc7d4ef5", "displayName": "Ada Analyst"}


class Shapes:
    """Everything that is written with an address of the site."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def status(self, name: str) -> dict[str, Any]:
        """A status with its category."""
        key = STATUSES[name]
        return {"id": str(list(STATUSES).index(name) + 1), "name": name, "statusCategory": {"key": key}}

    def transition(self, number: str, to: str, *, screen: bool, more: Iterable[str] = ()) -> dict[str, Any]:
        """A transition; the one to Done has a screen that wants a resolution, and what else the project wants."""
        shape = {
            "id": number,
            "name": f"To {to}",
            "to": self.status(to),
            "hasScreen": to == "Done",
            "isGlobal": False,
            "isAvailable": True,
        }
        if screen:
            wanted = {name: self.field(name, required=True) for name in sorted(more)}
            shape["fields"] = {"resolution": self.resolution_field(), **wanted} if to == "Done" else {}
        return shape

    def resolution_field(self) -> dict[str, Any]:
        """The one field of the closing screen."""
        return {
            "required": True,
            "hasDefaultValue": False,
            "name": "Resolution",
            "key": "resolution",
            "allowedValues": [{"id": str(n), "name": name} for n, name in enumerate(RESOLUTIONS, 10000)],
        }

    def field(self, name: str, *, required: bool = False) -> dict[str, Any]:
        """A field of a screen."""
        shape: dict[str, Any] = {
            "fieldId": name,
            "key": name,
            "name": name.capitalize(),
            "required": required,
            "hasDefaultValue": name == "reporter",
        }
        if name == "priority":
            shape["allowedValues"] = [{"id": str(n), "name": word} for n, word in enumerate(PRIORITIES, 1)]
        return shape

    def comment(self, number: int, body: Mapping[str, Any], author: Mapping[str, str]) -> dict[str, Any]:
        """A comment."""
        now = stamp(self._clock())
        return {
            "id": str(number),
            "author": dict(author),
            "updateAuthor": dict(author),
            "body": body,
            "created": now,
            "updated": now,
            "jsdPublic": True,
        }
