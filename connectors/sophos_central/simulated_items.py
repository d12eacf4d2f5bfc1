"""The simulated blocked items: one SHA-256, path or signer each, numbered pages, no second item of one hash."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.sophos_central.payloads import uuid_of
from nightdesk.connectors.sophos_central.wire import RefusedError, Routes, by_number, given, json_object, stamp
from nightdesk.sdk.context import Clock

__all__ = ["ItemsApi"]

_TYPES = frozenset({"sha256", "path", "certificateSigner"})
_PROPERTIES = _TYPES | {"fileName"}
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_MOST = 100


class ItemsApi:
    """The blocked items of a tenant by id."""

    def __init__(self, clock: Clock) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self._clock = clock
        self._made = 0

    def routes(self) -> Routes:
        """What can be called."""
        root = "/endpoint/v1/settings/blocked-items"
        return (
            ("GET", root, self._list),
            ("POST", root, self._create),
            ("GET", f"{root}/{{item}}", self._read),
            ("DELETE", f"{root}/{{item}}", self._delete),
        )

    def create(self, body: dict[str, Any], by: str) -> dict[str, Any]:
        """Stores one item, as the console would too. Raises RefusedError."""
        kind, properties, comment = body.get("type"), body.get("properties"), body.get("comment")
        if kind not in _TYPES or not isinstance(properties, dict) or set(properties) - _PROPERTIES:
            raise RefusedError(400, "type and properties must be documented ones")
        value = properties.get(str(kind))
        if not isinstance(value, str) or (kind == "sha256" and not _HASH.fullmatch(value)):
            raise RefusedError(400, f"properties.{kind} is missing or malformed")
        if not isinstance(comment, str) or not comment:
            raise RefusedError(400, "comment is required")
        if any(row["properties"].get(kind, "").lower() == value.lower() for row in self.items.values()):
            raise RefusedError(409, "an item of this value exists already")
        self._made += 1
        now, name = stamp(self._clock()), uuid_of("item", str(self._made))
        row = {
            "id": name,
            "type": kind,
            "properties": properties,
            "comment": comment,
            "createdAt": now,
            "updatedAt": now,
        }
        self.items[name] = {**row, "createdBy": {"id": uuid_of("user", by), "name": by}}
        return self.items[name]

    async def _list(self, request: Request) -> Response:
        query = given(request, "page", "pageSize", "pageTotal")
        return by_number(list(self.items.values()), query, default=50, most=_MOST)

    async def _create(self, request: Request) -> Response:
        body = await json_object(request, "type", "properties", "comment", "originEndpointId")
        return JSONResponse(self.create(body, "API credential"), 201)

    async def _read(self, request: Request) -> Response:
        return JSONResponse(self._item(request))

    async def _delete(self, request: Request) -> Response:
        del self.items[self._item(request)["id"]]
        return JSONResponse({"deleted": True})

    def _item(self, request: Request) -> dict[str, Any]:
        found = self.items.get(str(request.path_params["item"]))
        if found is None:
            raise RefusedError(404, "blocked item not found")
        return found
