"""The simulated alerts: searches, notes, history, and a workflow that is a job over whatever its selector fits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.carbon_black_cloud.simulated_search import in_order, selected
from nightdesk.connectors.carbon_black_cloud.wire import BadRequestError, MissingError, Routes, body_of, millis, paged
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["AlertsApi"]

Drift = Callable[[dict[str, Any]], dict[str, Any]]

_API = "api/alerts/v7"
_REACH = 10_000
_LONGEST = 20_000  # letters of a note
_SELECTOR = ("time_range", "criteria", "exclusions", "query")
_WORDS: Mapping[str, tuple[str, ...]] = {
    "status": ("OPEN", "IN_PROGRESS", "CLOSED"),
    "closure_reason": ("NO_REASON", "RESOLVED", "RESOLVED_BENIGN_KNOWN_GOOD", "DUPLICATE_CLEANUP", "OTHER"),
    "determination": ("TRUE_POSITIVE", "FALSE_POSITIVE", "NONE"),
}
_WORK = timedelta(seconds=1)  # a job takes


@dataclass(slots=True)
class _Job:
    number: str
    body: Mapping[str, Any]
    created: datetime
    due: datetime
    failing: bool
    total: int | None = None


class AlertsApi:
    """The alerts by id, newest versions only. ``backend_follows`` False: people's changes move their own time alone."""

    def __init__(self, clock: Clock, faults: FaultPlan, drift: Drift, author: str, *, backend_follows: bool) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}
        self.notes: dict[str, list[dict[str, Any]]] = {}
        self._history: dict[str, list[dict[str, Any]]] = {}
        self._jobs: dict[str, _Job] = {}
        self._clock = clock
        self._faults = faults
        self._drift = drift
        self._author = author
        self._backend_follows = backend_follows

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("POST", f"{_API}/orgs/{{org}}/alerts/_search", "org.alerts READ", self._search),
            ("POST", f"{_API}/orgs/{{org}}/alerts/workflow", "org.alerts.close EXECUTE", self._workflow),
            ("GET", f"{_API}/orgs/{{org}}/alerts/{{id}}", "org.alerts READ", self._read),
            ("GET", f"{_API}/orgs/{{org}}/alerts/{{id}}/history", "org.alerts READ", self._told),
            ("GET", f"{_API}/orgs/{{org}}/alerts/{{id}}/notes", "org.alerts.notes READ", self._list_notes),
            ("POST", f"{_API}/orgs/{{org}}/alerts/{{id}}/notes", "org.alerts.notes CREATE", self._note),
            ("DELETE", f"{_API}/orgs/{{org}}/alerts/{{id}}/notes/{{note}}", "org.alerts.notes DELETE", self._unnote),
            ("GET", "jobs/v1/orgs/{org}/jobs/{id}", "jobs.status READ", self._job),
            ("GET", "jobs/v1/orgs/{org}/jobs/{id}/progress", "jobs.status READ", self._progress),
        )

    def settle(self) -> None:
        """Carries out the jobs that are due."""
        for job in self._jobs.values():
            if job.total is not None or job.due > self._clock():
                continue
            found = [] if job.failing else selected(list(self.alerts.values()), job.body, self._clock())
            job.total = len(found)
            for alert in found:
                self.resolve(alert, job.body, "API")

    def resolve(self, alert: dict[str, Any], changes: Mapping[str, Any], by: str) -> None:
        """Changes workflow and determination; closing without a reason has none, opening takes it away."""
        stamp = self._moved(alert["user_update_timestamp"] or alert["backend_update_timestamp"])
        who = {"change_timestamp": stamp, "changed_by_type": by, "changed_by": self._author}
        status = changes.get("status", alert["workflow"]["status"])
        if {"status", "closure_reason"} & set(changes):
            reason = changes.get("closure_reason", "NO_REASON") if status == "CLOSED" else "NO_REASON"
            alert["workflow"] = {**who, "status": status, "closure_reason": reason}
        if "determination" in changes:
            alert["determination"] = {**who, "value": changes["determination"]}
        if changes.get("note"):
            self._add_note(alert["id"], str(changes["note"]))
        self._history.setdefault(alert["id"], []).append({"create_time": stamp, "workflow": alert["workflow"]})
        self._touch(alert, stamp)

    def happened_again(self, alert: dict[str, Any]) -> None:
        """More events join an alert."""
        alert["backend_update_timestamp"] = self._moved(alert["backend_update_timestamp"])
        alert |= {"is_updated": True, "last_event_timestamp": millis(self._clock())}

    def _touch(self, alert: dict[str, Any], stamp: str) -> None:
        alert["user_update_timestamp"] = stamp
        if self._backend_follows:
            alert["backend_update_timestamp"] = self._moved(alert["backend_update_timestamp"])

    def _moved(self, before: str) -> str:
        # Two changes within one tick of the clock are still two versions.
        now = millis(self._clock())
        if now > before:
            return now
        return millis(datetime.fromisoformat(before) + timedelta(milliseconds=1))

    def _known(self, request: Request) -> dict[str, Any]:
        found = self.alerts.get(request.path_params["id"])
        if found is None:
            raise MissingError(f"no alert {request.path_params['id']}")
        return found

    async def _search(self, request: Request) -> Response:
        body = await body_of(request, *_SELECTOR, "rows", "start", "sort")
        self.settle()
        found = in_order(selected(list(self.alerts.values()), body, self._clock()), body.get("sort"))
        shown = [self._drift(alert) for alert in paged(found, body, first=1)]
        if self._faults.take(("partial_answer",), method="POST", path=request.url.path):
            shown = shown[: len(shown) // 2]
        return JSONResponse({"results": shown, "num_found": len(found), "num_available": min(len(found), _REACH)})

    async def _read(self, request: Request) -> Response:
        self.settle()
        return JSONResponse(self._drift(self._known(request)))

    async def _told(self, request: Request) -> Response:
        self._known(request)
        return JSONResponse({"results": self._history.get(request.path_params["id"], [])})

    async def _workflow(self, request: Request) -> Response:
        body = await body_of(request, *_SELECTOR, *_WORDS, "note")
        for name, words in _WORDS.items():
            if name in body and body[name] not in words:
                raise BadRequestError(f"{name} is one of {', '.join(words)}")
        if not set(body) - set(_SELECTOR):
            raise BadRequestError("nothing to change")
        selected([], body, self._clock())  # what cannot be searched is refused at once
        number, now = str(7_200_000 + len(self._jobs)), self._clock()
        late = self._faults.standing("late_effect")
        wait = timedelta(seconds=float(late.options.get("seconds", 1))) if late else _WORK
        failing = self._faults.standing("accepted_then_failed") is not None
        self._jobs[number] = _Job(number, body, now, now + wait, failing)
        return JSONResponse({"request_id": number})

    async def _job(self, request: Request) -> Response:
        job = self._job_of(request)
        ended = "FAILED" if job.failing else "COMPLETED"
        status = ended if job.total is not None else "CREATED" if job.created == self._clock() else "IN_PROGRESS"
        return JSONResponse(
            {
                "id": int(job.number),
                "type": "alert_workflow",
                "job_parameters": {"request": dict(job.body)},
                "org_key": request.path_params["org"],
                "status": status,
                "create_time": millis(job.created),
                "last_update_time": millis(self._clock()),
                "errors": "the service failed" if status == "FAILED" else None,
            }
        )

    async def _progress(self, request: Request) -> Response:
        job = self._job_of(request)
        done = job.total is not None
        message = "FINISHED" if done else "IN_PROGRESS"
        return JSONResponse({"num_total": job.total or 0, "num_completed": job.total or 0, "message": message})

    def _job_of(self, request: Request) -> _Job:
        self.settle()
        job = self._jobs.get(request.path_params["id"])
        if job is None:
            raise MissingError(f"no job {request.path_params['id']}")
        return job

    async def _list_notes(self, request: Request) -> Response:
        notes = self.notes.get(self._known(request)["id"], [])
        return JSONResponse({"results": notes, "num_found": len(notes)})

    async def _note(self, request: Request) -> Response:
        alert, body = self._known(request), await body_of(request, "note")
        text = body.get("note")
        if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST:
            raise BadRequestError(f"note is a text of 1 to {_LONGEST} letters")
        note = self._add_note(alert["id"], text)
        self._touch(alert, self._moved(alert["user_update_timestamp"] or alert["backend_update_timestamp"]))
        return JSONResponse(note)

    async def _unnote(self, request: Request) -> Response:
        notes = self.notes.get(self._known(request)["id"], [])
        kept = [note for note in notes if note["id"] != request.path_params["note"]]
        if len(kept) == len(notes):
            raise MissingError("no such note")
        self.notes[request.path_params["id"]] = kept
        return Response(status_code=204)

    def _add_note(self, alert_id: str, text: str) -> dict[str, Any]:
        notes = self.notes.setdefault(alert_id, [])
        note = {
            "id": f"{alert_id[:8]}-note-{len(notes) + 1}",
            "author": self._author,
            "create_timestamp": millis(self._clock()),
            "last_update_timestamp": millis(self._clock()),
            "source": "CUSTOMER",
            "note": text,
        }
        notes.append(note)
        self.alerts[alert_id]["alert_notes_present"] = True
        return note
