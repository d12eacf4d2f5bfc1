"""The simulated cases: filtered, sorted and paged as asked, changed by people and all the time by the engine."""

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.stellar_cyber.payloads import hex_of
from nightdesk.connectors.stellar_cyber.wire import Call, RefusedError, given, json_object, millis, number
from nightdesk.sdk.context import Clock

__all__ = ["CasesApi"]

_STATUSES = ("New", "In Progress", "Escalated", "Resolved", "Cancelled")
_CLOSED = ("Resolved", "Cancelled")
_RESOLUTIONS = ("True Positive", "False Positive", "Benign")
_PRIORITIES = ("Low", "Medium", "High", "Critical")
_TIMES = ("created_at", "modified_at", "closed_at")
_SORTS = (*_TIMES, "score", "size", "priority", "status", "ticket_id")
_RANGES = tuple(f"{end}~{name}" for end in ("FROM", "TO") for name in _TIMES)
_FILTERS = ("tenant_id", "status", "min_score", "ticket_id", "include_summary", "sort", "order", "limit", "skip")
_WRITABLE = ("status", "priority", "assignee", "tags", "resolution", "update_alerts", "description")
_USUAL, _MOST = 10, 500


class CasesApi:
    """Every tenant's cases by id; the user may see all of them.

    ``keeps_resolutions`` and ``knows_tenants`` are false for releases that ignore a resolution, or the parameter that
    names a tenant, without a word. ``cap`` is how many cases this platform gives at once.
    """

    def __init__(self, clock: Clock, drift: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.cases: dict[str, dict[str, Any]] = {}
        self.comments: dict[str, list[dict[str, Any]]] = {}
        self.keeps_resolutions = True
        self.knows_tenants = True
        self.cap = _MOST
        self._clock = clock
        self._drift = drift
        self._tickets = count(7001)

    def routes(self) -> tuple[tuple[str, str, str, Call], ...]:
        """Method, path, permission, handler."""
        view, edit = "Cases: View", "Cases: Edit"
        return (
            ("GET", "/cases", view, self._list),
            ("GET", "/cases/{case}", view, self._read),
            ("PUT", "/cases/{case}", edit, self._update),
            ("GET", "/cases/{case}/comments", view, self._show_comments),
            ("POST", "/cases/{case}/comments", edit, self._comment),
        )

    def ticket(self) -> int:
        """The next number that people call a case by."""
        return next(self._tickets)

    def touch(self, native_id: str, by: str = "", **fields: Any) -> None:
        """A change of a case: by the engine, or by a user."""
        case = self.cases[native_id]
        now = millis(self._clock())
        case.update(fields, modified_at=now, modified_by=by, version=case["version"] + 1)

    async def _list(self, request: Request) -> Response:
        query = given(request, *_RANGES, *_FILTERS)
        limit, skip = number(query, "limit", _USUAL, _MOST), number(query, "skip", 0)
        by, order = query.get("sort", "created_at"), query.get("order", "desc")
        if by not in _SORTS or order not in {"asc", "desc"}:
            raise RefusedError(400, "sort or order is unknown")
        for name in (*_RANGES, "min_score"):
            number(query, name, 0)
        rows = [case for case in self.cases.values() if self._matches(case, query)]
        rows.sort(key=lambda case: case.get(by) or 0, reverse=order == "desc")
        page = [self._drift(dict(case)) for case in rows[skip : skip + min(limit, self.cap)]]
        return JSONResponse({"data": {"cases": page, "total": len(rows)}})

    def _matches(self, case: Mapping[str, Any], query: Mapping[str, str]) -> bool:
        for name in _TIMES:
            moment = case.get(name) or 0
            begin, end = number(query, f"FROM~{name}", 0), number(query, f"TO~{name}", 1 << 62)
            if not begin <= moment <= end:
                return False
        tenant = query.get("tenant_id", "") if self.knows_tenants else ""
        return (
            tenant in {"", case["cust_id"]}
            and ("status" not in query or case["status"] in query["status"].split(","))
            and case["score"] >= number(query, "min_score", 0)
            and query.get("ticket_id", str(case["ticket_id"])) == str(case["ticket_id"])
        )

    async def _read(self, request: Request) -> Response:
        given(request)
        return JSONResponse({"data": self._drift(dict(self._case(request)))})

    async def _update(self, request: Request) -> Response:
        given(request)
        body, case = await json_object(request, *_WRITABLE), self._case(request)
        status = body.get("status", case["status"])
        for name, words in (("status", _STATUSES), ("priority", _PRIORITIES), ("resolution", _RESOLUTIONS)):
            if name in body and body[name] not in words:
                raise RefusedError(400, f"{name} must be one of {', '.join(words)}")
        if "resolution" in body and status != "Resolved":
            raise RefusedError(400, "a resolution is set with status Resolved only")
        fields: dict[str, Any] = {name: body[name] for name in ("priority", "assignee", "description") if name in body}
        if "tags" in body:
            fields["tags"] = _tagged(case["tags"], body["tags"])
        if "resolution" in body and self.keeps_resolutions:
            fields["resolution"] = body["resolution"]
        if status in _CLOSED and case["status"] not in _CLOSED:
            fields["closed"] = fields["closed_at"] = millis(self._clock())
        self.touch(str(case["_id"]), by="svc-nightdesk", status=status, **fields)
        if status not in _CLOSED:
            for name in ("closed", "closed_at", "resolution"):
                case.pop(name, None)
        return JSONResponse({"data": dict(case)})

    async def _show_comments(self, request: Request) -> Response:
        given(request)
        return JSONResponse({"data": self.comments.get(str(self._case(request)["_id"]), [])})

    async def _comment(self, request: Request) -> Response:
        given(request)
        body, name = await json_object(request, "comment"), str(self._case(request)["_id"])
        if not isinstance(body["comment"], str) or not body["comment"].strip():
            raise RefusedError(400, "comment must be text")
        said = self.comments.setdefault(name, [])
        now = millis(self._clock())
        made = {"_id": hex_of(24, "comment", name, str(len(said))), "case_id": name, "comment": body["comment"]}
        said.append({**made, "created_at": now, "created_by": "svc-nightdesk"})
        return JSONResponse({"data": said[-1]})

    def _case(self, request: Request) -> dict[str, Any]:
        found = self.cases.get(str(request.path_params["case"]))
        if found is None:
            raise RefusedError(404, "case not found")
        return found


def _tagged(held: list[str], change: Any) -> list[str]:
    if not isinstance(change, dict) or not change or set(change) - {"add", "delete"}:
        raise RefusedError(400, 'tags must be {"add": [...], "delete": [...]}')
    gone = set(change.get("delete", []))
    return [*(tag for tag in held if tag not in gone), *(tag for tag in change.get("add", []) if tag not in held)]
