"""A stateful splunkd with Enterprise Security: search jobs, the review of notables, tokens and capabilities."""

import hashlib
import itertools
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.splunk_es import payloads, spl
from nightdesk.connectors.splunk_es.simulated_jobs import Form, SearchDesk, said
from nightdesk.connectors.splunk_es.simulated_telemetry import model
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, StoryAlert

__all__ = ["Simulator"]

Handler = Callable[[Request, Form], Response]

_ROLES = ["nightdesk_reader", "user"]


class Simulator(testing.Simulator):
    """One tenant. An analyst is played with ``review``; ``searches`` holds the jobs and their limits."""

    vendor = "splunk_es"

    def __init__(self, *, clock: Clock = utc_now, faults: FaultPlan | None = None, secret: str = "") -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.hec_token = f"hec-{self.secret}"
        self.guid = str(uuid.UUID(bytes=hashlib.sha256(self.secret.encode()).digest()[:16])).upper()
        self.version = "9.4.1"
        self.capabilities = {"search", "edit_notable_events", "rest_properties_get"}
        self.statuses, self.dispositions = dict(payloads.STATUSES), dict(payloads.DISPOSITIONS)
        self.comment_required = False
        self.refusal = ""  # why every update is refused
        self.frozen: set[str] = set()  # notables that updates fail on
        self.events: dict[str, spl.Row] = {}
        self.reviews: list[spl.Row] = []
        self._added: dict[str, spl.Row] = {}
        self._newest: dict[str, spl.Row] = {}
        self._numbers = itertools.count(1)
        self.searches = SearchDesk(self.now, self.faults, self._sources(), self.drift)

    def routes(self) -> list[BaseRoute]:
        """The paths, plain and with user and app."""
        table: list[tuple[str, str, Handler, str]] = [
            ("GET", "/server/info", self._info, ""),
            ("GET", "/authentication/current-context", self._whoami, ""),
            ("GET", "/alerts/reviewstatuses", self._words, ""),
            ("POST", "/notable_update", self._update, "edit_notable_events"),
        ]
        modern = tuple(int(part) for part in self.version.split(".")) >= (9, 0, 2)
        for root in ("/search/jobs", "/search/v2/jobs") if modern else ("/search/jobs",):
            table += [
                ("POST", root, self.searches.create, "search"),
                ("GET", f"{root}/{{sid}}", self.searches.look, ""),
                ("POST", f"{root}/{{sid}}/control", self.searches.control, ""),
                ("POST" if "v2" in root else "GET", f"{root}/{{sid}}/results", self.searches.results, ""),
            ]
        return [
            Route(f"{prefix}{path}{slash}", self._guarded(handler, capability), methods=[method])
            for method, path, handler, capability in table
            for prefix in ("/services", "/servicesNS/{user}/{app}")
            for slash in ("", "/")
        ]

    def settings(self, base_url: str) -> dict[str, Any]:
        """No settling: this index has no other indexers to wait for."""
        return {
            "base_url": base_url,
            "token": Secret.literal(self.secret),
            "hec_token": Secret.literal(self.hec_token),
            "settle": 0,
            "requests_per_minute": 60_000,
            "start": "2000-01-01T00:00:00+00:00",
        }

    def add(self, alert: StoryAlert) -> str:
        """Indexed when it was told, however long ago it happened."""
        event, added = payloads.notable(alert, guid=self.guid, number=next(self._numbers))
        event_id = str(added["event_id"])
        self.events[event_id], self._added[event_id] = event, added
        return event_id

    def review(self, event_id: str, *, user: str = "analyst", comment: str = "", **changes: str) -> None:
        """Somebody edits a notable; ES does not check that there is one."""
        now = self.now().timestamp()
        before = self._reviewed(event_id)
        kept = {name: str(before.get(name, "")) for name in ("status", "owner", "urgency", "disposition")}
        entry = {"_time": now, "time": f"{now:.3f}", "rule_id": event_id, **kept, **changes}
        self._newest[event_id] = {**entry, "comment": comment, "user": user, "reviewer": user}
        self.reviews.append(self._newest[event_id])

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """The newest review in our words."""
        row = self._reviewed(native_id)
        comments = [one["comment"] for one in self.reviews if one["rule_id"] == native_id and one["comment"]]
        return {
            "status": "closed" if row.get("status") in payloads.ENDS else "open",
            "disposition": payloads.VERDICTS.get(str(row.get("disposition")), ""),
            "comments": comments,
        }

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """In splunkd's envelope."""
        text = payloads.error_xml("ERROR", message)
        return Response(text, status, dict(headers or {}), media_type="text/xml")

    def _guarded(self, handler: Handler, capability: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            body = (await request.body()).decode()
            fields = parse_qs(f"{request.url.query}&{body}", keep_blank_values=True)
            form = Form(fields)
            if request.headers.get("authorization") not in {f"Bearer {self.secret}", f"Splunk {self.secret}"}:
                return said(form, 401, "WARN", "call not properly authenticated")
            if capability and capability not in self.capabilities:
                return said(form, 403, "ERROR", f"insufficient permission to access this resource: {capability}")
            return handler(request, form)

        return endpoint

    def _feed(self, form: Form, *entries: tuple[str, Mapping[str, Any]]) -> Response:
        if form.json:
            return JSONResponse(payloads.feed_json(entries))
        return Response(payloads.atom(entries), media_type="text/xml")

    def _info(self, _: Request, form: Form) -> Response:
        content = {
            "version": self.version,
            "product_type": "enterprise",
            "serverName": "es-search-head",
            "guid": self.guid,
        }
        return self._feed(form, ("server-info", content))

    def _whoami(self, _: Request, form: Form) -> Response:
        held: Any = sorted(self.capabilities)
        content = {"username": "nightdesk", "roles": _ROLES, "capabilities": held[0] if len(held) == 1 else held}
        return self._feed(form, ("context", content))

    def _words(self, _: Request, form: Form) -> Response:
        return self._feed(form, *payloads.review_entries(self.statuses, self.dispositions))

    def _update(self, _: Request, form: Form) -> Response:
        ids = [one for one in form.fields.get("ruleUIDs", []) if one]
        changes = {name: form.one(name) for name in ("status", "urgency", "disposition") if form.one(name)}
        owner, comment = form.one("newOwner"), form.one("comment")
        why = self.refusal
        if not ids:
            why = "No events were selected; give ruleUIDs or a searchID."
        elif "status" in changes and changes["status"] not in self.statuses:
            why = f"Status {changes['status']} is not valid."
        elif "disposition" in changes and changes["disposition"] not in self.dispositions:
            why = f"Disposition {changes['disposition']} is not valid."
        elif self.comment_required and not comment:
            why = "A comment is required."
        if owner and owner not in {"unassigned", "nightdesk", "analyst"}:
            return JSONResponse("ValueError: Invalid owner value.")
        lost = self.faults.take(("accepted_then_failed",), method="POST", path="/services/notable_update")
        bad = [one for one in ids if one in self.frozen]
        for one in [] if why or lost else ids:
            if one not in self.frozen:
                self.review(one, user="nightdesk", comment=comment, **changes, **({"owner": owner} if owner else {}))
        done = 0 if why else len(ids) - len(bad)
        message = why or f"{done} event{'s' * (done != 1)} updated successfully"
        failed = len(ids) if why else len(bad)
        return JSONResponse(
            {"success": not why, "message": message, "details": {}, "success_count": done, "failure_count": failed}
        )

    def _sources(self) -> spl.Sources:
        return {
            "notable": lambda _, bounds: self._notables(bounds),
            "notable_by_id": lambda one, bounds: self._notables(bounds, one),
            "index": lambda index, bounds: [
                dict(event) for event in self.events.values() if event["index"] == index and bounds.hold(event)
            ],
            "incident_review": lambda *_: [dict(review) for review in self.reviews],
            "datamodel": lambda name, bounds: model(name, self.telemetry, bounds),
        }

    def _notables(self, bounds: spl.Bounds, only: str = "") -> list[spl.Row]:
        wanted = {only: self.events[only]} if only in self.events else {} if only else self.events
        return [{**event, **self._reviewed(one)} for one, event in wanted.items() if bounds.hold(event)]

    def _reviewed(self, event_id: str) -> spl.Row:
        row = dict(self._added.get(event_id, {"event_id": event_id}))
        review = self._newest.get(event_id)
        if review:
            row |= {name: review[name] for name in ("status", "owner", "urgency", "disposition") if review[name]}
            row |= {"review_time": review["time"], "reviewer": review["reviewer"], "comment": review["comment"]}
        row["status_label"] = self.statuses.get(str(row.get("status")), "")
        row["disposition_label"] = self.dispositions.get(str(row.get("disposition")), "")
        row["status_end"] = "true" if row.get("status") in payloads.ENDS else "false"
        return row
