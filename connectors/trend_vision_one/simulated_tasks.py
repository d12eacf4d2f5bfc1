"""The simulated Response Management: an order becomes a task that is queued, runs and ends, or waits for a person."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.trend_vision_one.wire import (
    RefusedError,
    Routes,
    between,
    body_items,
    filtered,
    multi,
    only,
    page,
    seconds,
    top,
)
from nightdesk.sdk.context import Clock

__all__ = ["SimulatedTask", "Start", "TasksApi"]

_RETENTION = timedelta(days=180)
Start = Callable[[dict[str, Any]], "SimulatedTask"]
"""Makes a task of a checked item. Raises RefusedError for what the API refuses at once."""


@dataclass
class SimulatedTask:
    """One task: ``begin`` carries the order out and gives how to ask for its status; ``parts`` may have their own."""

    action: str
    begin: Callable[[], Callable[[], str]]
    row: dict[str, Any] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)
    finished: Callable[[], Mapping[str, Any]] = dict
    task_id: str = ""
    created: str = ""
    status: str = "queued"
    touched: str = ""
    progress: Callable[[], str] | None = None


class TasksApi:
    """All tasks by id. With ``approval`` every new one waits until ``decide`` is called for it."""

    def __init__(self, clock: Clock, settle: Callable[[], None]) -> None:
        self.tasks: dict[str, SimulatedTask] = {}
        self.approval = False
        self._clock = clock
        self._settle = settle
        self._orders: list[tuple[str, str, frozenset[str], Start]] = []

    def offer(self, path: str, permission: str, keys: Iterable[str], start: Start) -> None:
        """Makes an order available; an item has no other keys than these and ``description``."""
        self._orders.append((path, permission, frozenset(keys) | {"description"}, start))

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", "/response/tasks", "tasks.view", self._list),
            ("GET", "/response/tasks/{id}", "tasks.view", self._read),
            *(("POST", path, permission, self._order(keys, start)) for path, permission, keys, start in self._orders),
        )

    def decide(self, task_id: str, *, approved: bool) -> None:
        """What a person in the console says to a task that waits."""
        task = self.tasks[task_id]
        if task.progress is not None or task.status != "pendingApproval":
            raise ValueError(f"task {task_id} waits for nobody")
        if approved:
            task.progress = task.begin()
        self._move(task, "queued" if approved else "rejected")

    def shown(self, task: SimulatedTask) -> dict[str, Any]:
        """The task as it is now."""
        self._settle()
        if task.progress is not None:
            self._move(task, task.progress())
        done = task.finished() if task.status == "succeeded" else {}
        row = {
            "id": task.task_id,
            "status": task.status,
            "action": task.action,
            "createdDateTime": task.created,
            "lastActionDateTime": task.touched,
            "account": "API key",
            **task.row,
            **done,
        }
        if task.parts:
            row["tasks"] = [
                {**part, "status": part.get("status") or task.status, "lastActionDateTime": task.touched}
                for part in task.parts
            ]
        if task.status == "failed":
            row["error"] = {"code": "TaskError", "message": "The task failed", "number": 4009999}
        return row

    def _move(self, task: SimulatedTask, status: str) -> None:
        if status != task.status:
            task.status, task.touched = status, seconds(self._clock())

    def _order(self, keys: frozenset[str], start: Start) -> Callable[[Request], Any]:
        async def call(request: Request) -> Response:
            where = str(request.url.replace(path="/v3.0/response/tasks", query=""))

            def one(item: dict[str, Any]) -> dict[str, Any]:
                strange = set(item) - keys
                if strange:
                    raise RefusedError(400, f"Invalid field: {', '.join(sorted(strange))}")
                task_id = self._accept(start(item), str(item.get("description", "")))
                return {"status": 202, "headers": [{"name": "Operation-Location", "value": f"{where}/{task_id}"}]}

            return multi(await body_items(request), one)

        return call

    def _accept(self, task: SimulatedTask, description: str) -> str:
        task.task_id = f"{len(self.tasks) + 1:08d}"
        task.created = task.touched = seconds(self._clock())
        task.row = {"description": description, **task.row}
        self.tasks[task.task_id] = task
        if self.approval:
            task.status = "pendingApproval"
        else:
            task.progress = task.begin()
        return task.task_id

    async def _list(self, request: Request) -> Response:
        query = only(request, "startDateTime", "endDateTime", "dateTimeTarget", "filter", "top")
        now: datetime = self._clock()
        begin, end = between(query, now, now - _RETENTION, now - _RETENTION)
        target = query.get("dateTimeTarget", "createdDateTime")
        if target not in {"createdDateTime", "lastActionDateTime"}:
            raise RefusedError(400, "Invalid dateTimeTarget")
        names = ("id", "status", "action", "account")
        fits = filtered(query.get("filter", ""), {name: _plain(name) for name in names})
        rows = [self.shown(task) for task in reversed(self.tasks.values())]
        return page(
            request, [row for row in rows if begin <= row[target] <= end and fits(row)], top(query, 50, 100, 200)
        )

    async def _read(self, request: Request) -> Response:
        task = self.tasks.get(request.path_params["id"])
        if task is None:
            raise RefusedError(404, "The task is not found")
        return JSONResponse(self.shown(task))


def _plain(name: str) -> Callable[[Mapping[str, Any]], list[str]]:
    return lambda row: [str(row.get(name, ""))]
