"""Response tasks: what was ordered of Vision One and how far it is, newest first; only ``succeeded`` is a success."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.trend_vision_one.client import VisionOne
from nightdesk.sdk.context import Clock
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import marker

__all__ = ["LIST", "VIEW", "Task", "Tasks", "described"]

LIST = "/response/tasks"
VIEW = "Response Management: View, filter, and search (Task List tab)"
_MEMORY = timedelta(days=179)  # tasks of the last 180 days can be read
_OPEN = frozenset({"queued", "running", "pendingApproval"})
_LONGEST = 200  # characters of a description; its end is what finds the task again


@dataclass(frozen=True, slots=True)
class Task:
    """One task; ``parts`` are the accounts or messages it is about, each with a status of its own."""

    task_id: str
    action: str
    status: str
    created: int
    touched: int
    description: str
    row: Mapping[str, Any]
    parts: Sequence[Mapping[str, Any]] = ()

    @property
    def open(self) -> bool:
        """It has not ended; ``pendingApproval`` waits for a person in the console."""
        return self.status in _OPEN

    @property
    def succeeded(self) -> bool:
        """It ended well, in every part."""
        return self.status == "succeeded" and not self.refused

    @property
    def refused(self) -> str:
        """The parts that did not end well although the task did, by directory or mailbox."""
        if self.status != "succeeded":
            return ""
        bad = [part for part in self.parts if part.get("status", "succeeded") != "succeeded"]
        return ", ".join(f"{part.get('iam') or part.get('mailBox') or 'part'} {part.get('status')}" for part in bad)

    @property
    def word(self) -> str:
        """The vendor's word, with the parts that spoil it."""
        return f"{self.status} ({self.refused})" if self.refused else self.status

    def ours(self, command: Command) -> bool:
        """True when this command ordered it."""
        return marker(command) in self.description


class Tasks:
    """The tasks of one company."""

    def __init__(self, api: VisionOne, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    async def of(self, *actions: str, about: Callable[[Task], bool], since: datetime | None = None) -> list[Task]:
        """Every task of these actions that is about something, newest first; None: as far back as they are kept."""
        oldest = self._clock() - _MEMORY
        start = int(max(since or oldest, oldest).timestamp()) * SECOND
        params = {
            "startDateTime": iso(start),
            "dateTimeTarget": "createdDateTime",
            "filter": " or ".join(f"action eq '{action}'" for action in actions),
            "top": 200,
        }
        rows = self._api.rows(LIST, operation="read tasks", scope=VIEW, params=params)
        found = [task async for row in rows if (task := _task(row)).action in actions and about(task)]
        # Within one second the ids, which are counted up, tell the order.
        return sorted(found, key=lambda task: (task.created, len(task.task_id), task.task_id), reverse=True)


def described(command: Command) -> str:
    """The description of a task of this command, which ends with what finds it again."""
    words = " ".join(" ".join(filter(None, ("nightdesk", command.reason, command.case_id))).split())
    return f"{words[:_LONGEST]} {marker(command)}"


def _task(row: Mapping[str, Any]) -> Task:
    parts = row.get("tasks")
    return Task(
        str(row.get("id") or ""),
        str(row.get("action") or ""),
        str(row.get("status") or ""),
        instant(row.get("createdDateTime")) or 0,
        instant(row.get("lastActionDateTime")) or 0,
        str(row.get("description") or ""),
        row,
        [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else (),
    )
