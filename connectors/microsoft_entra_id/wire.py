"""How the simulated Graph speaks: its error envelope, its pages with ``@odata.nextLink``, its throttles."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.microsoft_entra_id.odata import Kind, ODataError, parse
from nightdesk.sdk.context import Clock
from nightdesk.sdk.moments import instant
from nightdesk.sdk.testing import FaultPlan

__all__ = ["DENIED", "Call", "GraphError", "Pages", "Permissions", "Routes", "Wire", "json_object", "selected"]

Call = Callable[[Request], Awaitable[Response]]
Permissions = tuple[frozenset[str], ...]
"""Alternatives: any one of these sets is enough."""
Routes = Sequence[tuple[str, str, Permissions, Call]]
"""Method, path under the version, permissions, handler."""

DENIED = "Insufficient privileges to complete the operation."

_KNOWN = frozenset({"$filter", "$top", "$select", "$orderby", "$count", "$skiptoken"})
_RISK_GAP = 1.0  # seconds: 1 request a second for the whole tenant
_REPORTS, _REPORT_WINDOW = 5, 10.0


class GraphError(Exception):
    """An answer outside 2xx."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Pages:
    """What one collection takes. ``advanced`` fields are filtered only with the advanced query capabilities."""

    context: str
    kinds: Mapping[str, Kind]
    most: int
    default: int
    sorts: frozenset[str] = frozenset()
    advanced: frozenset[str] = frozenset()
    selectable: frozenset[str] = frozenset()
    shown: frozenset[str] = frozenset()
    """What comes without ``$select``; empty: everything."""


class Wire:
    """Numbers answers, cuts pages and counts requests."""

    def __init__(self, clock: Clock, faults: FaultPlan) -> None:
        self._clock = clock
        self._faults = faults
        self._asked = 0
        self._epoch = 0
        self._risk_asked = float("-inf")
        self._reports: list[float] = []

    def forget_pages(self) -> None:
        """Every page token given out so far is refused from now on."""
        self._epoch += 1

    def throttled(self, path: str) -> Mapping[str, str] | None:
        """Counts one request; the headers of a 429 when it is one too many, else None."""
        now = self._clock().timestamp()
        if "/identityProtection/" in path:
            if now - self._risk_asked < _RISK_GAP:
                return {}  # this service sends no Retry-After
            self._risk_asked = now
        elif "/auditLogs/" in path:
            self._reports = [moment for moment in self._reports if now - moment < _REPORT_WINDOW]
            if len(self._reports) >= _REPORTS:
                wait = _REPORT_WINDOW - (now - self._reports[0])
                return {"Retry-After": f"{max(wait, 1):.0f}", "x-ms-throttle-scope": "Tenant_Application/ReadWrite"}
            self._reports.append(now)
        return None

    def refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Graph's error envelope."""
        self._asked += 1
        request_id = f"00000000-0000-4000-8000-{self._asked:012x}"
        inner = {
            "date": f"{self._clock().astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
            "request-id": request_id,
            "client-request-id": request_id,
        }
        body = {"error": {"code": code, "message": message, "innerError": inner}}
        return JSONResponse(body, status, headers={"request-id": request_id, **(headers or {})})

    def entity(self, request: Request, context: str, row: Mapping[str, Any]) -> Response:
        """One object."""
        return self._json({"@odata.context": f"{_root(request)}/$metadata#{context}/$entity", **row})

    def page(self, request: Request, rows: Sequence[Mapping[str, Any]], pages: Pages) -> Response:
        """The rows that the query asks for; its token counts on, so rows that move meanwhile are met twice or missed.

        A fault ``partial_answer`` gives an empty page that still has a next one, which OData allows.
        """
        query = request.query_params
        strange = sorted(name for name in query if name.startswith("$") and name not in _KNOWN)
        if strange:
            raise GraphError(400, "BadRequest", f"The query parameter '{strange[0]}' is not supported.")
        top = _top(query.get("$top"), pages)
        found = self._chosen(request, rows, pages)
        begin = self._offset(query.get("$skiptoken"), request)
        empty = self._faults.take(("partial_answer",), method=request.method, path=request.url.path) is not None
        end = begin if empty else begin + top
        body: dict[str, Any] = {"@odata.context": f"{_root(request)}/$metadata#{pages.context}"}
        if query.get("$count") == "true":
            body["@odata.count"] = len(found)
        if end < len(found) or empty:
            token = self._token(end, request)
            asked = [(name, value) for name, value in query.multi_items() if name != "$skiptoken"]
            body["@odata.nextLink"] = f"{_root(request, request.url.path)}?{urlencode([*asked, ('$skiptoken', token)])}"
        body["value"] = [selected(request, row, pages) for row in found[begin:end]]
        return self._json(body)

    def _chosen(self, request: Request, rows: Sequence[Mapping[str, Any]], pages: Pages) -> Sequence[Mapping[str, Any]]:
        query = request.query_params
        text = query.get("$filter")
        if text is not None:
            try:
                wanted = parse(text, pages.kinds)
            except ODataError as error:
                raise GraphError(400, "BadRequest", str(error)) from error
            eventual = request.headers.get("consistencylevel") == "eventual" and query.get("$count") == "true"
            refused = sorted(wanted.fields & pages.advanced)
            if refused and not eventual:
                message = f"Unsupported or invalid query filter clause specified for property '{refused[0]}'."
                raise GraphError(400, "Request_UnsupportedQuery", message)
            rows = [row for row in rows if wanted.test(row)]
        order = query.get("$orderby")
        if order is None:
            return rows
        name, _, direction = order.partition(" ")
        if name not in pages.sorts or direction not in {"", "asc", "desc"}:
            raise GraphError(400, "BadRequest", f"Sorting by '{order}' is not supported.")
        return sorted(rows, key=lambda row: instant(row.get(name)) or 0, reverse=direction == "desc")

    def _token(self, at: int, request: Request) -> str:
        text = json.dumps([at, self._epoch, _about(request)])
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _offset(self, token: str | None, request: Request) -> int:
        if token is None:
            return 0
        try:
            at, epoch, about = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        except ValueError:
            at, epoch, about = 0, -1, ""
        if epoch != self._epoch or about != _about(request):
            raise GraphError(400, "BadRequest", "Skip token is null, invalid or has expired.")
        return int(at)

    def _json(self, body: Mapping[str, Any]) -> Response:
        self._asked += 1
        return JSONResponse(body, headers={"request-id": f"00000000-0000-4000-8000-{self._asked:012x}"})


def selected(request: Request, row: Mapping[str, Any], pages: Pages) -> Mapping[str, Any]:
    """The row cut down to ``$select``. Raises GraphError for a name that the type does not have."""
    text = request.query_params.get("$select")
    if not text or not pages.selectable:
        return {name: value for name, value in row.items() if name in pages.shown} if pages.shown else row
    names = ["id", *text.split(",")]
    strange = sorted(set(names) - pages.selectable)
    if strange:
        raise GraphError(400, "BadRequest", f"Could not find a property named '{strange[0]}'.")
    return {name: row[name] for name in ("@odata.type", *dict.fromkeys(names)) if name in row}


async def json_object(request: Request) -> dict[str, Any]:
    """The body. Raises GraphError when it is no JSON object sent as JSON."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise GraphError(400, "Request_BadRequest", "Write requests must contain the Content-Type header declaration.")
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise GraphError(400, "Request_BadRequest", "Unable to read JSON request payload.")
    return body


def _top(text: str | None, pages: Pages) -> int:
    if text is None:
        return pages.default
    if not text.isdecimal() or not 1 <= int(text) <= pages.most:
        message = f"Invalid page size specified: '{text}'. Must be between 1 and {pages.most} inclusive."
        raise GraphError(400, "Request_UnsupportedQuery", message)
    return int(text)


def _about(request: Request) -> str:
    """A page token fits its own query alone."""
    query = sorted(pair for pair in request.query_params.multi_items() if pair[0] != "$skiptoken")
    return sha256(json.dumps([request.url.path, query]).encode()).hexdigest()[:16]


def _root(request: Request, path: str = "/v1.0") -> str:
    return f"{request.url.scheme}://{request.url.netloc}{path}"
