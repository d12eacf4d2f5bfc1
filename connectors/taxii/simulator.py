"""A TAXII 2.1 server that is strict about media types, slashes, limits and tokens, as the reference server is.

Written from what medallion 3.0.0 answered on loopback; ``tests/contract/test_taxii_for_real.py`` asks that server.
"""

import base64
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.taxii.payloads import indicator_of, stix_time
from nightdesk.connectors.taxii.simulated_collections import Collection, RefusedError, Stored, date_added
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, StoryAlert

__all__ = ["Simulator"]

_MEDIA = "application/taxii+json;version=2.1"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_ROOT = "acme"
_MOST = 100_000_000  # bytes of a body
_SHARED, _OURS = "9f1c7a52-4f0e-4f43-8d3c-0d3a4c2b6e11", "1b7e6d0c-5f4b-4a0f-b0f6-1d2f6c0a9e22"


class Simulator(testing.Simulator):
    """One server with one account: a collection that it reads, and one that it may also write."""

    vendor = "taxii"

    def __init__(self, *, clock: Clock = utc_now, faults: FaultPlan | None = None, secret: str = "") -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.username = "nightdesk"
        self.shared = Collection(_SHARED, "what the community shares", self.now, self.faults)
        self.published = Collection(_OURS, "what nightdesk publishes", self.now, self.faults, can_write=True)
        self.collections = {one.collection_id: one for one in (self.shared, self.published)}
        self._statuses: dict[str, tuple[Collection, list[dict[str, str]]]] = {}

    def routes(self) -> list[BaseRoute]:
        """One route: what is unknown is answered in the standard's way too."""
        return [Route("/{path:path}", self._answer, methods=_METHODS)]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {
            "base_url": f"{base_url}/{_ROOT}",
            "collection": _SHARED,
            "publish_collection": _OURS,
            "username": self.username,
            "password": Secret.literal(self.secret),
        }

    def add(self, alert: StoryAlert) -> str:
        """The community shares an indicator made from a story alert; it arrives now."""
        made = indicator_of(alert)
        self.shared.put([self.drift(made)])
        return str(made["id"])

    def revise(self, object_id: str, **changes: Any) -> None:
        """Its author adds a version of an indicator, now."""
        newest = max((one for one in self.shared.versions if one.content.get("id") == object_id), key=_version)
        self.shared.put([{**newest.content, "modified": stix_time(self.now()), **changes}])

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The error resource; what concerns the account is a bare text that is called HTML."""
        if status == 401:  # Unauthorized
            given = {"WWW-Authenticate": 'Basic realm="Authentication Required"', **(headers or {})}
            return HTMLResponse("Unauthorized Access", status, headers=given)
        body = {"title": "ProcessingError", "description": message, "http_status": str(status)}
        return Response(json.dumps(body), status, headers=dict(headers or {}), media_type=_MEDIA)

    async def _answer(self, request: Request) -> Response:
        if not self._is_known(request):
            return self.refuse(401, "")
        if not request.url.path.endswith("/"):
            return RedirectResponse(f"{request.url.path}/", 308)
        try:
            _accepts(request.headers.get("accept", ""))
            return await self._route(request, request.url.path.strip("/").split("/"))
        except RefusedError as error:
            if error.status == 500:  # the reference server's own crash
                return HTMLResponse(str(error), 500)
            return self.refuse(error.status, str(error))

    def _is_known(self, request: Request) -> bool:
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(pair, validate=True).decode()
        except ValueError:
            return False
        return kind == "Basic" and given == f"{self.username}:{self.secret}"

    async def _route(self, request: Request, parts: list[str]) -> Response:
        match request.method, parts:
            case "GET", ["taxii2"]:
                # As behind a proxy: the address is one that the client cannot reach.
                root = f"http://internal.example:5000/{_ROOT}/"
                return _json({"title": "simulated", "default": root, "api_roots": [root]})
            case "GET", [root] if root == _ROOT:
                return _json({"title": "Acme", "versions": [_MEDIA], "max_content_length": _MOST})
            case "GET", [root, "collections"] if root == _ROOT:
                return _json({"collections": [one.resource() for one in self.collections.values()]})
            case "GET", [root, "status", status_id] if root == _ROOT:
                return _json(self._status(status_id))
            case method, [root, "collections", collection_id, *rest] if root == _ROOT:
                collection = self.collections.get(collection_id)
                if collection is None:
                    raise RefusedError(f"Collection '{collection_id}' not found", 404)
                return await self._of_collection(request, method, collection, rest)
        raise RefusedError("not found", 404)

    async def _of_collection(self, request: Request, method: str, collection: Collection, rest: list[str]) -> Response:
        query = dict(request.query_params)
        match method, rest:
            case "GET", []:
                return _json(collection.resource())
            case "POST", ["objects"]:
                return await self._add(request, collection)
            case "GET", ["objects", *wanted] if len(wanted) <= 1:
                _readable(collection)
                found, token = collection.find(query, *wanted)
                if wanted and not found:
                    raise RefusedError(f"Object '{wanted[0]}' not found", 404)
                return _envelope(found, [one.content for one in found], token)
            case "GET", ["objects", object_id, "versions"]:
                _readable(collection)
                found, _ = collection.find({"match[version]": "all"}, object_id)
                return _json({"versions": [one.version for one in found]} if found else {})
            case "GET", ["manifest"]:
                _readable(collection)
                found, token = collection.find(query)
                rows = [
                    {"id": one.content.get("id"), "date_added": date_added(one.added), "version": one.version}
                    for one in found
                ]
                return _envelope(found, rows, token)
            case "DELETE", ["objects", object_id]:
                _writable(collection)
                collection.versions[:] = [one for one in collection.versions if one.content.get("id") != object_id]
                return Response(status_code=200, media_type=_MEDIA)
        raise RefusedError("not found", 404)

    async def _add(self, request: Request, collection: Collection) -> Response:
        if not re.fullmatch(r"application/taxii\+json(;version=2\.1)?", _bare(request.headers.get("content-type", ""))):
            raise RefusedError("Media type in the Content-Type header is invalid or not found", 415)
        _writable(collection)
        body = await request.body()
        if len(body) > _MOST:
            raise RefusedError("Content-Length header not valid or exceeds maximum!", 413)
        try:
            objects = json.loads(body)["objects"]
            fine = isinstance(objects, list) and all(isinstance(one, dict) and "id" in one for one in objects)
        except (ValueError, KeyError, TypeError):
            fine = False
        if not fine:
            raise RefusedError("While processing supplied content, an error occurred", 422)
        status_id = secrets.token_hex(8)
        self._statuses[status_id] = collection, collection.put(objects)
        return _json(self._status(status_id), 202)

    def _status(self, status_id: str) -> dict[str, Any]:
        if status_id not in self._statuses:
            raise RefusedError(f"Status '{status_id}' not found", 404)
        collection, rows = self._statuses[status_id]
        failures = [row for row in rows if "message" in row]
        done = {(one.content.get("id"), one.version) for one in collection.visible()}
        successes = [row for row in rows if row not in failures and (row["id"], row["version"]) in done]
        pending = len(rows) - len(failures) - len(successes)
        return {
            "id": status_id,
            "status": "pending" if pending else "complete",
            "total_count": len(rows),
            "success_count": len(successes),
            "successes": successes,
            "failure_count": len(failures),
            "failures": failures,
            "pending_count": pending,
        }


def _accepts(header: str) -> None:
    for item in header.replace(" ", "").split(","):
        named = re.fullmatch(r"application/taxii\+json(;version=(\d\.\d))?", item)
        if named and named[2] != "2.1":
            raise RefusedError(f"The server does not support version {named[2]}", 406)
        if named:
            return
    raise RefusedError("Media type in the Accept header is invalid or not found", 406)


def _bare(header: str) -> str:
    return header.replace(" ", "")


def _readable(collection: Collection) -> None:
    if not collection.can_read:
        raise RefusedError(f"Forbidden to read collection '{collection.collection_id}'", 403)


def _writable(collection: Collection) -> None:
    if not collection.can_write:
        raise RefusedError(f"Forbidden to write collection '{collection.collection_id}'", 403)


def _version(stored: Stored) -> str:
    return stored.version


def _envelope(found: list[Stored], rows: list[dict[str, Any]], token: str) -> Response:
    if not found:
        return _json({})
    more: dict[str, Any] = {"more": True, "next": token} if token else {"more": False}
    stamps = {"First": found[0], "Last": found[-1]}
    headers = {f"X-TAXII-Date-Added-{name}": date_added(one.added) for name, one in stamps.items()}
    return _json({**more, "objects": rows}, headers=headers)


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers=dict(headers or {}), media_type=_MEDIA)
