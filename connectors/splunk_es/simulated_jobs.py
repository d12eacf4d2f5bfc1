"""The simulated splunkd's searches: jobs that are queued, run and finish as they are looked at, within a quota."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.splunk_es import payloads, spl
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["Form", "SearchDesk", "said"]

_QUOTA = (
    "Search not executed: The maximum number of concurrent historical searches for this user based on their role quota "
    "has been reached."
)
_CRASHED = "Search process did not exit cleanly, exit_code=-1."
_PEER_DOWN = "Unable to distribute to peer named idx-2 because peer has status=Down. Search results may be incomplete."


@dataclass(slots=True)
class _Job:
    sid: str
    head: str
    rows: list[spl.Row]
    failed: str = ""
    said: dict[str, list[str]] = field(default_factory=dict)
    polls: int = 0

    @property
    def ended(self) -> bool:
        """True once it was looked at three times."""
        return self.polls > 2

    @property
    def state(self) -> str:
        """Each look at it moves it on."""
        return ("QUEUED", "QUEUED", "RUNNING", "FAILED" if self.failed else "DONE")[min(self.polls, 3)]


class Form:
    """Query and form fields of one request."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self.fields = fields

    def one(self, name: str, default: str = "") -> str:
        """The last value given."""
        return self.fields.get(name, [default])[-1]

    @property
    def json(self) -> bool:
        """False unless JSON was asked for: splunkd's own tongue is XML."""
        return self.one("output_mode") == "json"


def said(form: Form, status: int, kind: str, text: str) -> Response:
    """One message in the tongue that was asked for."""
    if form.json:
        return JSONResponse({"messages": [{"type": kind, "text": text}]}, status)
    return Response(payloads.error_xml(kind, text), status, media_type="text/xml")


class SearchDesk:
    """All jobs of one tenant. ``search_heads`` above one need the sticky cookie."""

    def __init__(
        self, clock: Clock, faults: FaultPlan, sources: spl.Sources, drift: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._sources = sources
        self._drift = drift
        self._numbers = itertools.count(1)
        self.quota = 3
        self.max_result_rows = 50_000
        self.search_heads = 1
        self.finalizes = False
        self.stuck = False
        self.prefix = ""  # of job ids; those of scheduled searches hold user, app and name
        self.jobs: dict[str, _Job] = {}

    def create(self, request: Request, form: Form) -> Response:
        """Accepts a search, unless the user has too many running."""
        running = sum(not job.ended for job in self.jobs.values())
        if running >= self.quota:
            return said(form, 503, "FATAL", f"{_QUOTA} concurrency_limit={self.quota}")
        try:
            query, bounds = spl.parse(form.one("search")), _bounds(form)
        except spl.SplError as error:
            return said(form, 400, "FATAL", str(error))
        now = self._clock().timestamp()
        bounds = spl.Bounds(bounds.earliest, bounds.latest, bounds.index_earliest, min(bounds.index_latest, now + 1))
        job = _Job(f"{self.prefix}{now:.3f}.{next(self._numbers)}", "", spl.run(query, self._sources, bounds))
        path = request.url.path
        failure = self._faults.take(("accepted_then_failed",), method="POST", path=path)
        if failure:
            job.rows, job.failed = [], str(failure.options.get("text", _CRASHED))
        partial = self._faults.take(("partial_answer",), method="POST", path=path)
        if partial:
            job.rows, job.said = job.rows[::2], {str(partial.options.get("type", "warn")): [_PEER_DOWN]}
        if form.one("exec_mode") == "oneshot":
            return self._oneshot(job, form)
        job.head = request.cookies.get("splunkd_8089") or f"head-{len(self.jobs) % self.search_heads}"
        self.jobs[job.sid] = job
        answer: Response = JSONResponse({"sid": job.sid}, 201)
        if not form.json:
            answer = Response(f"<response><sid>{job.sid}</sid></response>", 201, media_type="text/xml")
        answer.set_cookie("splunkd_8089", job.head, httponly=True)
        return answer

    def _oneshot(self, job: _Job, form: Form) -> Response:
        """Runs to the end and answers with the rows, cut at the server's limit without a word; no job is left."""
        if job.failed:
            return said(form, 400, "FATAL", job.failed)
        if not form.json:
            return said(form, 400, "FATAL", "This simulator shows results as JSON only.")
        count = int(form.one("count", "100")) or self.max_result_rows
        rows = [self._drift(payloads.rendered(row, number)) for number, row in enumerate(job.rows)]
        messages = [{"type": kind.upper(), "text": text} for kind, texts in job.said.items() for text in texts]
        kept = rows[: min(count, self.max_result_rows)]
        return JSONResponse({"preview": False, "init_offset": 0, "messages": messages, "results": kept})

    def _found(self, request: Request) -> _Job | None:
        job = self.jobs.get(request.path_params["sid"])
        if job and self.search_heads > 1 and request.cookies.get("splunkd_8089") != job.head:
            return None  # another search head answered
        return job

    def look(self, request: Request, form: Form) -> Response:
        """How the job stands; each look moves it on."""
        job = self._found(request)
        if job is None:
            return said(form, 404, "FATAL", "Unknown sid.")
        job.polls += not self.stuck
        ended = job.ended
        spoken = {**job.said, **({"fatal": [job.failed]} if job.failed else {})}
        content: dict[str, Any] = {
            "sid": job.sid,
            "dispatchState": job.state,
            "isDone": str(int(ended)),
            "isFailed": str(int(ended and bool(job.failed))),
            "isFinalized": str(int(self.finalizes)),
            "resultCount": str(len(job.rows) if ended else 0),
            "messages": spoken if ended else {},
            "eai:acl": {"owner": "nightdesk", "app": "search", "sharing": "global"},
        }
        if not form.json:
            return Response(payloads.atom([(job.sid, content)], bare=True), media_type="text/xml")
        content["messages"] = [
            {"type": kind.upper(), "text": text} for kind, texts in content["messages"].items() for text in texts
        ]
        return JSONResponse(payloads.feed_json([(job.sid, content)]))

    def control(self, request: Request, form: Form) -> Response:
        """Cancels and forgets a job."""
        job = self._found(request)
        if job is None:
            return said(form, 404, "FATAL", "Unknown sid.")
        if form.one("action") != "cancel":
            return said(form, 400, "FATAL", f"Invalid action: {form.one('action')}")
        del self.jobs[job.sid]
        return said(form, 200, "INFO", "Search job cancelled.")

    def results(self, request: Request, form: Form) -> Response:
        """A page of a finished job, never more than the server's limit."""
        job = self._found(request)
        if job is None:
            return said(form, 404, "FATAL", "Unknown sid.")
        if not job.ended or job.failed:
            return Response(status_code=204)
        if not form.json:
            return said(form, 400, "FATAL", "This simulator shows results as JSON only.")
        offset, count = int(form.one("offset", "0")), int(form.one("count", "100")) or self.max_result_rows
        page = job.rows[offset : offset + min(count, self.max_result_rows)]
        rows = [self._drift(payloads.rendered(row, offset + number)) for number, row in enumerate(page)]
        messages = [{"type": kind.upper(), "text": text} for kind, texts in job.said.items() for text in texts]
        names = sorted({name for row in rows for name in row})
        fields = [{"name": name} for name in names]
        return JSONResponse(
            {"preview": False, "init_offset": offset, "messages": messages, "fields": fields, "results": rows}
        )


def _bounds(form: Form) -> spl.Bounds:
    """The job's time range. Raises SplError for anything but epochs: relative times would mean the server's clock."""
    found: dict[str, float] = {}
    for name, key in (("earliest_time", "earliest"), ("latest_time", "latest")):
        if form.one(name):
            found[key] = _number(name, form.one(name), float)
    for name in ("index_earliest", "index_latest"):
        if form.one(name):
            found[name] = _number(name, form.one(name), int)
    return spl.Bounds(**found)


def _number(name: str, text: str, kind: Callable[[str], float]) -> float:
    try:
        return kind(text)
    except ValueError:
        raise spl.SplError(f"Invalid {name}: '{text}'.") from None
