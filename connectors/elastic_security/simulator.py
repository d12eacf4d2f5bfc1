"""Elastic Security on one port: Elasticsearch and Kibana over the same alerts and hosts, strict and stateful."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.elastic_security.payloads import VERSION, alert_id, render, stamp
from nightdesk.connectors.elastic_security.simulated_actions import Defend
from nightdesk.connectors.elastic_security.simulated_blocklist import Blocklist
from nightdesk.connectors.elastic_security.simulated_hosts import Answer, Handler, platform, wrong_keys
from nightdesk.connectors.elastic_security.simulated_query import Source
from nightdesk.connectors.elastic_security.simulated_search import Search, refusal
from nightdesk.connectors.elastic_security.simulated_telemetry import find
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, StoryAlert
from nightdesk.sdk.testing import Simulator as BaseSimulator
from nightdesk.sdk.testing.faults import Fault

__all__ = ["Simulator"]

_STATUSES = ("open", "acknowledged", "closed", "in-progress")
_PRIVILEGES = ("read", "view_index_metadata", "write", "maintenance", "create_index", "delete")
_DISPOSITIONS = {"Further investigation required": "undetermined"}


class Simulator(BaseSimulator):
    """One deployment. ``space`` is where its alerts are; ``denied`` holds privileges the API key lacks."""

    vendor = "elastic_security"

    def __init__(
        self, *, clock: Clock = utc_now, faults: FaultPlan | None = None, secret: str = "", space: str = "default"
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.space = space
        self.denied: set[str] = set()
        self.defend = Defend(self.now, self.fleet)
        self.blocklist = Blocklist(self.now)
        self.search = Search(
            self.now,
            allowed=self._allowed,
            partial=self._partial,
            drift=self.drift,
            events=lambda indices, body: find(indices, body, self.telemetry),
        )

    def settings(self, base_url: str) -> dict[str, Any]:
        """Both services at one address."""
        return {
            "elasticsearch_url": base_url,
            "kibana_url": base_url,
            "api_key": Secret.literal(self.secret),
            "space": self.space,
            "page_size": 500,
            "overlap": 300,
            "start": "2020-01-01T00:00:00Z",
            "elastic_defend": True,
        }

    def add(self, alert: StoryAlert) -> str:
        """Indexes the alert as the rule that found it does."""
        native_id = alert_id(alert, self.space)
        self.search.spaces.setdefault(self.space, {})[native_id] = render(alert, self.space)
        return native_id

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status and disposition in our words; there are no comments on an alert."""
        source = self.search.spaces[self.space][native_id]
        tags = source["kibana.alert.workflow_tags"]
        words = [_DISPOSITIONS.get(tag, tag.lower().replace(" ", "-")) for tag in tags]
        status = "closed" if source["kibana.alert.workflow_status"] == "closed" else "open"
        return {"status": status, "disposition": words[0] if words else "", "comments": []}

    def change(self, native_id: str, **fields: Any) -> None:
        """An analyst or a rule changes an alert: ``kibana.alert.`` and the name, with ``__`` for a dot."""
        source = self.search.spaces[self.space][native_id]
        named = {f"kibana.alert.{name.replace('__', '.')}": value for name, value in fields.items()}
        if "kibana.alert.workflow_status" in named:
            named["kibana.alert.workflow_status_updated_at"] = stamp(self.now())
        if "kibana.alert.suppression.docs_count" in named:
            named["kibana.alert.last_detected"] = stamp(self.now())
        self.search.spaces[self.space][native_id] = {**source, **named}

    def routes(self) -> list[BaseRoute]:
        """Elasticsearch's endpoints, and Kibana's in the default and in any named space."""
        table: tuple[tuple[str, str, Handler], ...] = (
            ("POST", "/api/detection_engine/signals/status", self._set_status),
            ("POST", "/api/detection_engine/signals/tags", self._set_tags),
            ("GET", "/api/detection_engine/privileges", self._show_privileges),
            ("GET", "/api/status", self._show_status),
            *self.defend.table(),
            *self.blocklist.table(),
        )
        kibana = [
            Route(f"{prefix}{path}", self._kibana(handler), methods=[method])
            for method, path, handler in table
            for prefix in ("", "/s/{space}")
        ]
        return [*kibana, *self.search.routes()]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Elasticsearch's envelope; Kibana's is put on in ``_fault_response``."""
        kinds = {401: "security_exception", 403: "security_exception", 429: "es_rejected_execution_exception"}
        return refusal(status, kinds.get(status, "unavailable_shards_exception"), message, headers=headers)

    def _fault_response(self, fault: Fault, request: Request) -> Response:
        answer = super()._fault_response(fault, request)
        if "/api/" not in request.url.path or answer.media_type != "application/json":
            return answer
        kept = {name: value for name, value in answer.headers.items() if name == "retry-after"}
        return JSONResponse(platform(answer.status_code, fault.kind), answer.status_code, headers=kept)

    def _partial(self, request: Request) -> bool:
        return self.faults.take(("partial_answer",), method=request.method, path=request.url.path) is not None

    def _known(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"ApiKey {self.secret}"

    def _allowed(self, request: Request) -> Response | None:
        if not self._known(request):
            return refusal(401, "security_exception", "unable to authenticate with provided credentials")
        if "read" in self.denied and "_security" not in request.url.path:
            return refusal(403, "security_exception", "action [indices:data/read/search] is unauthorized for API key")
        return None

    def _kibana(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            if not self._known(request):
                return JSONResponse(platform(401, "[security_exception] unable to authenticate"), 401)
            if request.method != "GET" and "kbn-xsrf" not in request.headers:
                return JSONResponse(platform(400, "Request must contain a kbn-xsrf header."), 400)
            if request.headers.get("elastic-api-version", "2023-10-31") != "2023-10-31":
                return JSONResponse(platform(400, "No version available"), 400)
            body = await request.json() if await request.body() else None
            status, answer = handler(request, request.path_params.get("space", "default"), body)
            return JSONResponse(answer, status)

        return respond

    # Alert workflow.

    def _set_status(self, _: Request, space: str, body: Any) -> Answer:
        problem = wrong_keys(body, {"signal_ids", "status"}) or (
            "" if body["status"] in _STATUSES else "[request body]: status: Invalid enum value"
        )
        status = body.get("status")

        def altered(source: Source) -> Source:
            if source["kibana.alert.workflow_status"] == status:
                return source
            changed = {
                "workflow_status": status,
                "workflow_status_updated_at": stamp(self.now()),
                "workflow_user": "u_soc_0",
            }
            return {**source, **{f"kibana.alert.{name}": value for name, value in changed.items()}}

        return self._update(space, body.get("signal_ids"), altered, problem)

    def _set_tags(self, _: Request, space: str, body: Any) -> Answer:
        problem = wrong_keys(body, {"ids", "tags"}) or wrong_keys(body["tags"], {"tags_to_add", "tags_to_remove"})
        tags = body.get("tags", {})
        add, remove = tags.get("tags_to_add", []), tags.get("tags_to_remove", [])
        if set(add) & set(remove):
            problem = "Duplicate tags were found in the tags_to_add and tags_to_remove parameters"

        def altered(source: Source) -> Source:
            kept = [tag for tag in source["kibana.alert.workflow_tags"] if tag not in {*add, *remove}]
            return {**source, "kibana.alert.workflow_tags": [*kept, *add]}

        return self._update(space, body.get("ids"), altered, problem)

    def _update(self, space: str, ids: Any, altered: Callable[[Source], Source], problem: str) -> Answer:
        if problem or not isinstance(ids, list) or not ids:
            return 400, platform(400, problem or "[request body]: ids: Required")
        if "write" in self.denied:
            return 403, {"status_code": 403, "message": "security_exception: unauthorized for API key"}
        alerts = self.search.spaces.get(space, {})
        found = [native_id for native_id in ids if native_id in alerts]
        for native_id in found:
            alerts[native_id] = altered(alerts[native_id])
        counts = {"total": len(found), "updated": len(found), "deleted": 0, "batches": 1, "version_conflicts": 0}
        return 200, {"took": 9, "timed_out": False, **counts, "noops": 0, "failures": []}

    def _show_privileges(self, _: Request, space: str, __: Any) -> Answer:
        held = {name: name not in self.denied for name in _PRIVILEGES}
        answer = {"username": "svc-soc", "has_all_requested": not self.denied, "cluster": {}, "application": {}}
        answer |= {"index": {f".alerts-security.alerts-{space}": held}, "is_authenticated": True}
        return 200, {**answer, "has_encryption_key": True}

    def _show_status(self, _: Request, __: str, ___: Any) -> Answer:
        version = {"number": VERSION, "build_flavor": "traditional", "build_snapshot": False}
        return 200, {
            "name": "kibana",
            "uuid": "0f0e0d0c",
            "version": version,
            "status": {"overall": {"level": "available"}},
        }
