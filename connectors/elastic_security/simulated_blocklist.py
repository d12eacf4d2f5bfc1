"""The simulator's blocklist of Elastic Defend: items of one exception list, as strict as Kibana's validator is."""

from typing import Any

from starlette.requests import Request

from nightdesk.connectors.elastic_security.payloads import stamp
from nightdesk.connectors.elastic_security.simulated_hosts import Answer, Handler, platform, wrong_keys
from nightdesk.sdk.context import Clock

__all__ = ["Blocklist"]

_LIST = "endpoint_blocklists"
_SYSTEMS = {"windows", "linux", "macos"}
_FIELDS = {"file.hash.md5": 32, "file.hash.sha1": 40, "file.hash.sha256": 64}
_REQUIRED = {"list_id", "type", "name", "description", "entries"}
_OPTIONAL = frozenset({"item_id", "namespace_type", "os_types", "tags", "comments", "expire_time", "meta"})
_QUERY = {"list_id", "namespace_type", "page", "per_page", "sort_field", "sort_order", "filter", "search"}
_WINDOW = 10_000


class Blocklist:
    """``items`` by their id; not ``made``: nobody opened the page yet that makes the list. ``denied`` as its name."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self.items: dict[str, dict[str, Any]] = {}
        self.made = True
        self.denied = False

    def table(self) -> tuple[tuple[str, str, Handler], ...]:
        """Kibana's routes of exception list items."""
        rows: tuple[tuple[str, str, Handler], ...] = (
            ("POST", "/api/exception_lists/items", self._create),
            ("DELETE", "/api/exception_lists/items", self._delete),
            ("GET", "/api/exception_lists/items/_find", self._find),
        )
        return tuple((method, path, self._guarded(handler)) for method, path, handler in rows)

    def _guarded(self, handler: Handler) -> Handler:
        def guarded(request: Request, space: str, body: Any) -> Answer:
            if self.denied:
                return 403, {"status_code": 403, "message": "EndpointArtifactError: Endpoint authorization failure"}
            return handler(request, space, body)

        return guarded

    def _create(self, _: Request, __: str, body: Any) -> Answer:
        problem = wrong_keys(body, _REQUIRED, _OPTIONAL) or _wrong(body)
        if problem:
            return 400, {"status_code": 400, "message": problem}
        if not self.made or body["list_id"] != _LIST:
            return 404, _said(404, f'exception list id: "{body["list_id"]}" does not exist')
        item_id = body.get("item_id") or f"item-{len(self.items) + 1}"
        if item_id in self.items:
            return 409, _said(409, f'exception list item id: "{item_id}" already exists')
        made = {"created_at": stamp(self._now()), "created_by": "svc-soc", "comments": [], "tags": []}
        self.items[item_id] = {**made, **body, "item_id": item_id, "id": f"so-{item_id}"}
        return 200, self.items[item_id]

    def _delete(self, request: Request, _: str, __: Any) -> Answer:
        item_id = request.query_params.get("item_id", "")
        # Without namespace_type the space's own items are meant, and a blocklist has none.
        if request.query_params.get("namespace_type") != "agnostic" or item_id not in self.items:
            return 404, _said(404, f'exception list item item_id: "{item_id}" does not exist')
        return 200, self.items.pop(item_id)

    def _find(self, request: Request, _: str, __: Any) -> Answer:
        query = request.query_params
        unknown = sorted(set(query) - _QUERY)
        page, size = int(query.get("page", "1")), int(query.get("per_page", "20"))
        if unknown or page < 1 or size < 1 or page * size > _WINDOW:
            return 400, _said(400, f'[request query]: invalid keys "{unknown}", or a page beyond the window')
        if not self.made or query.get("list_id") != _LIST or query.get("namespace_type") != "agnostic":
            return 404, _said(404, f'exception list id: "{query.get("list_id")}" does not exist')
        rows = list(self.items.values())
        return 200, {"data": rows[(page - 1) * size :][:size], "page": page, "per_page": size, "total": len(rows)}


def _said(status: int, message: str) -> dict[str, Any]:
    return {"status_code": status, "message": message} if status != 400 else platform(status, message)


def _wrong(body: dict[str, Any]) -> str:
    """What the validator of blocklist items says; empty when nothing."""
    if body.get("namespace_type") != "agnostic":
        return "EndpointArtifactError: [namespaceType]: expected value to equal [agnostic]"
    systems = body.get("os_types")
    if not isinstance(systems, list) or len(systems) != 1 or not set(systems) <= _SYSTEMS:
        return "EndpointArtifactError: [osTypes]: array size is not [1], or not an operating system"
    if not 1 <= len(body["name"]) <= 256 or len(body["description"]) > 256:
        return "EndpointArtifactError: [name]: value has length outside [1] to [256]"
    tags = body.get("tags", [])
    if "policy:all" in tags and len([tag for tag in tags if tag.startswith("policy:")]) > 1:
        return "EndpointArtifactError: invalid policy ids"
    entries = body["entries"]
    if not isinstance(entries, list) or not entries:
        return "EndpointArtifactError: [entries]: array size is [0]"
    wrong = [
        entry
        for entry in entries
        if (entry.get("type"), entry.get("operator")) != ("match_any", "included")
        or entry.get("field") not in _FIELDS
        or not entry.get("value")
        or any(len(value) != _FIELDS[entry["field"]] for value in entry["value"])
    ]
    return "EndpointArtifactError: [entries]: invalid hash" if wrong else ""
