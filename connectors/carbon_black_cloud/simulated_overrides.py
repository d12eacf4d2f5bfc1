"""The simulated reputation overrides: hashes that are banned or approved, one override a hash and list."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.carbon_black_cloud.wire import (
    BadRequestError,
    MissingError,
    Routes,
    Wire,
    body_of,
    millis,
    paged,
)
from nightdesk.sdk.context import Clock

__all__ = ["OverridesApi"]

_API = "appservices/v6/orgs/{org}/reputations/overrides"
_LISTS = ("BLACK_LIST", "WHITE_LIST")
_TYPES = ("SHA256", "CERT", "IT_TOOL")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_FIELDS = ("sha256_hash", "filename", "description", "signed_by", "certificate_authority", "path")


class OverridesApi:
    """The overrides by id."""

    def __init__(self, wire: Wire, clock: Clock, author: str) -> None:
        self.overrides: dict[str, dict[str, Any]] = {}
        self._wire = wire
        self._clock = clock
        self._author = author
        self._made = 0

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("POST", _API, "org.reputations CREATE", self._create),
            ("POST", f"{_API}/_search", "org.reputations READ", self._search),
            ("GET", f"{_API}/{{id}}", "org.reputations READ", self._read),
            ("DELETE", f"{_API}/{{id}}", "org.reputations DELETE", self._delete),
        )

    def make(self, fields: Mapping[str, Any], author: str) -> dict[str, Any]:
        """What a person does in the console, or the API for a key."""
        self._made += 1
        made = {
            "id": f"{self._made:08x}65a611eb9a953907c2e1ed66",
            "created_by": author,
            "create_time": millis(self._clock()),
            "source": "APP" if author == self._author else "CONSOLE",
            **{name: fields.get(name) for name in ("override_list", "override_type", *_FIELDS)},
        }
        self.overrides[str(made["id"])] = made
        return made

    async def _create(self, request: Request) -> Response:
        body = await body_of(request, "override_list", "override_type", "include_child_processes", *_FIELDS)
        if body.get("override_list") not in _LISTS or body.get("override_type") not in _TYPES:
            raise BadRequestError("override_list and override_type are required")
        if body["override_type"] != "SHA256" and body["override_list"] == "BLACK_LIST":
            raise BadRequestError("BLACK_LIST is for SHA256 only")
        if body["override_type"] == "SHA256" and not _HASH.fullmatch(str(body.get("sha256_hash"))):
            raise BadRequestError("sha256_hash is 64 hex digits")
        names = ("override_list", "override_type", "sha256_hash", "path", "signed_by")
        if any(all(each.get(name) == body.get(name) for name in names) for each in self.overrides.values()):
            return self._wire.refuse(409, "the override exists")
        return JSONResponse(self.make(body, self._author), 201)

    async def _search(self, request: Request) -> Response:
        body = await body_of(request, "criteria", "query", "start", "rows", "sort_field", "sort_order")
        criteria = body.get("criteria") or {}
        if not isinstance(criteria, dict) or set(criteria) - {"override_list", "override_type"}:
            raise BadRequestError("criteria are override_list and override_type")
        if not all(isinstance(value, str) for value in criteria.values()):
            raise BadRequestError("a criterion is one word")
        query = str(body.get("query") or "").lower()
        found = [
            each
            for each in self.overrides.values()
            if all(each[name] == value for name, value in criteria.items())
            and any(query in str(each[name] or "").lower() for name in _FIELDS)
        ]
        return JSONResponse({"results": paged(found, body, first=0), "num_found": len(found)})

    async def _read(self, request: Request) -> Response:
        return JSONResponse(self._known(request))

    async def _delete(self, request: Request) -> Response:
        del self.overrides[self._known(request)["id"]]
        return Response(status_code=204)

    def _known(self, request: Request) -> dict[str, Any]:
        found = self.overrides.get(request.path_params["id"])
        if found is None:
            raise MissingError(f"no override {request.path_params['id']}")
        return found
