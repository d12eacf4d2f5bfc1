"""A MISP that is strict about the key, about what may be added where, and about duplicates; numbers are text."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.misp.payloads import observable_of, seconds, uuid_of
from nightdesk.connectors.misp.simulated_events import Attribute, Event, RefusedError, Store, flag
from nightdesk.connectors.misp.values import type_of, value_of
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert

__all__ = ["Simulator"]

_READS = ("/restSearch", "/checkValue")
_TYPES = {
    **dict.fromkeys(("ip-src", "ip-dst", "domain", "hostname", "url", "ip-dst|port"), "Network activity"),
    **dict.fromkeys(("md5", "sha1", "sha256", "filename", "filename|sha256"), "Payload delivery"),
}
_OURS, _THEIRS = "1", "2"
_WRONG_KEY = "Authentication failed. Please make sure you pass the API key of an API enabled user along in the"
_VERSION = "2.5.34"


class Simulator(testing.Simulator):
    """One instance, with one user: its organisation owns one event, a community's the others."""

    vendor = "misp"

    def __init__(self, *, clock: Clock = utc_now, faults: FaultPlan | None = None, secret: str = "") -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.store = Store(self.now, _OURS)
        self.event = self.store.event("nightdesk", _OURS)
        self.proposals: list[dict[str, Any]] = []

    def routes(self) -> list[BaseRoute]:
        """The endpoints that a user of the Read Only and User roles has."""
        calls: dict[str, tuple[str, Callable[[Request], Awaitable[Any]]]] = {
            "/servers/getVersion": ("GET", self._version),
            "/servers/getPyMISPVersion.json": ("GET", self._version),
            "/users/view/me": ("GET", self._me),
            "/attributes/describeTypes.json": ("GET", self._types),
            "/attributes/restSearch": ("POST", self._search),
            "/events/restSearch": ("POST", self._events),
            "/attributes/view/{id}": ("GET", self._view),
            "/attributes/add/{id}": ("POST", self._add),
            "/attributes/edit/{id}": ("POST", self._edit),
            "/attributes/delete/{id}": ("POST", self._delete),
            "/attributes/restore/{id}": ("POST", self._restore),
            "/warninglists/checkValue": ("POST", self._check_value),
        }
        return [Route(path, self._guarded(call), methods=[method]) for path, (method, call) in calls.items()]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {"base_url": base_url, "auth_key": Secret.literal(self.secret), "event": self.event.uuid}

    def add(self, alert: StoryAlert) -> str:
        """The community publishes an event with one attribute."""
        return self.share(alert).uuid

    def share(self, alert: StoryAlert, *, published: bool = True) -> Attribute:
        """An event of the community with one attribute, which was edited when the alert was told."""
        told = seconds(alert.told)
        event = self.store.event(alert.title, _THEIRS)
        event.timestamp = told
        if published:
            self.publish(event, told)
        about = observable_of(alert)
        kind, category = type_of(about)
        uuid = uuid_of(f"story {alert.uid}")
        return self.store.attach(event, kind, category, value_of(about), uuid=uuid, timestamp=told, comment=alert.title)

    def publish(self, event: Event, at: int | None = None) -> None:
        """Its owner publishes an event."""
        event.published = True
        event.publish_timestamp = seconds(self.now()) if at is None else at

    def judge(self, target: Target, verdict: str) -> None:
        """Malicious: an attribute for detection. Benign: an entry of a warninglist."""
        kind, category = type_of(target)
        if verdict == "benign":
            self.store.warninglists.setdefault("List of things that are well known", set()).add(value_of(target))
            return
        event = self.store.event(f"about {target}", _THEIRS)
        self.publish(event)
        self.store.attach(event, kind, category, value_of(target), to_ids=verdict == "malicious", tags=["tlp:green"])

    def mutations(self) -> list[SeenRequest]:
        """A search is a POST that changes nothing."""
        return [request for request in super().mutations() if not request.path.endswith(_READS)]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The error document; a key that is not taken is a 403 like everything that is refused."""
        if status == 401:
            status, message = 403, _WRONG_KEY
        body = {"name": message, "message": message, "url": "/"}
        return JSONResponse(body, status, headers=dict(headers or {}))

    def rate_limit_headers(self, seconds: float) -> dict[str, str]:
        """The headers of a role with a limit."""
        return {"X-Rate-Limit-Limit": "100", "X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": f"{seconds:g}"}

    def _guarded(self, call: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if request.headers.get("authorization") != self.secret:
                return self.refuse(401, "")
            if "application/json" not in request.headers.get("accept", ""):
                return Response("<!DOCTYPE html><title>MISP</title>", media_type="text/html")
            try:
                return JSONResponse(await call(request))
            except RefusedError as error:
                body = {"name": str(error), "message": str(error), "url": request.url.path}
                return JSONResponse({**body, "errors": error.errors} if error.errors else body, error.status)

        return answer

    async def _version(self, _: Request) -> dict[str, Any]:
        return {"version": _VERSION, "perm_sync": False, "perm_sighting": False, "perm_galaxy_editor": False}

    async def _me(self, _: Request) -> dict[str, Any]:
        user = {"id": "7", "email": "nightdesk@corp.example.com", "org_id": _OURS, "role_id": "3"}
        role = {"id": "3", "name": "User", "perm_add": True, "perm_modify": True, "perm_publish": False}
        return {"User": user, "Role": role, "UserSetting": []}

    async def _types(self, _: Request) -> dict[str, Any]:
        defaults = {name: {"default_category": category, "to_ids": 1} for name, category in _TYPES.items()}
        categories = sorted(set(_TYPES.values()))
        mappings = {one: [name for name, category in _TYPES.items() if category == one] for one in categories}
        result = {"sane_defaults": defaults, "types": list(_TYPES), "categories": categories}
        return {"result": {**result, "category_type_mappings": mappings}}

    async def _search(self, request: Request) -> dict[str, Any]:
        query = await _body(request)
        context, decay = (flag(query.get(name)) for name in ("includeContext", "includeDecayScore"))
        rows = [one.document(context=context, decay=decay) for one in self.store.find(query)]
        return {"response": {"Attribute": [self.drift(row) for row in rows]}}

    async def _events(self, request: Request) -> dict[str, Any]:
        query = await _body(request)
        return {"response": [{"Event": event.document()} for event in self.store.find_events(query)]}

    async def _view(self, request: Request) -> dict[str, Any]:
        return {"Attribute": self._one(request).document()}

    async def _add(self, request: Request) -> dict[str, Any]:
        wanted, body = request.path_params["id"], await _body(request)
        event = next((one for one in self.store.events if wanted in {str(one.number), one.uuid}), None)
        if event is None:
            raise RefusedError(404, "Invalid event")
        kind, value = str(body.get("type")), str(body.get("value") or "")
        errors: dict[str, Any] = {}
        if kind not in _TYPES or body.get("category", _TYPES.get(kind)) not in set(_TYPES.values()):
            errors["type"] = ["Options depend on the selected category."]
        if not value:
            errors["value"] = ["Value not in the right type/format. Please double check the value."]
        if any(
            one.event is event and (one.type, one.value) == (kind, value) and not one.deleted
            for one in self.store.attributes
        ):
            errors["value"] = ["A similar attribute already exists for this event."]
        if errors:
            raise RefusedError(403, "Could not add Attribute", errors)
        if event.org != self.store.org:
            self.proposals.append({"event_id": str(event.number), "type": kind, "value": value})
            return {"ShadowAttribute": {**self.proposals[-1], "id": str(len(self.proposals))}}
        more = {"to_ids": flag(body.get("to_ids")), "comment": str(body.get("comment") or "")}
        made = self.store.attach(event, kind, str(body.get("category") or _TYPES[kind]), value, **more)
        self._touched(made)
        return {"Attribute": made.document()}

    async def _edit(self, request: Request) -> dict[str, Any]:
        one, body = self._own(request), await _body(request)
        if int(body.get("timestamp", one.timestamp + 1)) <= one.timestamp:
            raise RefusedError(403, "Could not save Attribute", {"timestamp": ["not newer than what is there"]})
        one.to_ids = flag(body["to_ids"]) if "to_ids" in body else one.to_ids
        one.comment = str(body.get("comment", one.comment))
        self._touched(one)
        return {"Attribute": one.document()}

    async def _delete(self, request: Request) -> dict[str, Any]:
        one = self._own(request)
        if one.deleted:
            raise RefusedError(404, "Invalid attribute")
        one.deleted = True
        self._touched(one)
        return {"message": "Attribute deleted."}

    async def _restore(self, request: Request) -> dict[str, Any]:
        one = self._own(request)
        if not one.deleted:
            raise RefusedError(404, "Invalid attribute")
        one.deleted = False
        self._touched(one)
        return {"Attribute": one.document()}

    async def _check_value(self, request: Request) -> Any:
        try:
            values = json.loads(await request.body())
        except ValueError:
            raise RefusedError(400, "The request is no JSON") from None
        rows = values if isinstance(values, list) else [values]
        hits = {
            value: [{"id": "1", "name": name, "matched": value} for name in self.store.lists_with(value)]
            for value in rows
            if self.store.lists_with(value)
        }
        return hits or []

    def _one(self, request: Request) -> Attribute:
        wanted = request.path_params["id"]
        found = next((one for one in self.store.attributes if wanted in {str(one.number), one.uuid}), None)
        if found is None:
            raise RefusedError(404, "Invalid attribute")
        return found

    def _own(self, request: Request) -> Attribute:
        found = self._one(request)
        if found.event.org != self.store.org:
            raise RefusedError(403, "You do not have permission to do that.")
        return found

    def _touched(self, one: Attribute) -> None:
        one.timestamp = max(seconds(self.now()), one.timestamp)
        one.event.timestamp = one.timestamp
        one.event.published = False


async def _body(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.body() or b"{}")
    except ValueError:
        raise RefusedError(400, "The request is no JSON") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "The request is no JSON object")
    return {name: value for name, value in found.items() if value is not None}
