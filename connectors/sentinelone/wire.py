"""How the simulated console speaks: its envelopes, its error codes, strict query parameters, cursors tied to a sort."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

__all__ = [
    "API",
    "Call",
    "Filter",
    "RefusedError",
    "Routes",
    "affected",
    "bulk",
    "fitting",
    "json_object",
    "listed",
    "moment",
    "page",
    "parameters",
    "refuse",
    "stamp",
]

API = "/web/api/v2.1"

Call = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[str, str, str, Call]]
"""Method, path, permission, handler."""

Kind = Literal["ids", "time", "flag", "text", "contains"]

_TITLES = {400: "Validation Error", 401: "Authentication Failed", 403: "Forbidden", 404: "Not Found", 429: "Rate Limit"}
_CODES = {400: 4000040, 401: 4010010, 403: 4030010, 404: 4040010, 409: 4090010, 429: 4290010}
_PAGING = frozenset({"limit", "cursor", "skip", "skipCount", "countOnly", "sortBy", "sortOrder", "tenant"})
_MOST = 1000
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_COMPARISONS: Mapping[str, Callable[[datetime, datetime], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


class RefusedError(Exception):
    """What the console answers with an error envelope."""

    def __init__(self, detail: str, status: int = 400) -> None:
        self.status = status
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Filter:
    """One query parameter: what kind of value it takes, and which value of a row it is held against."""

    kind: Kind
    read: Callable[[Mapping[str, Any]], Any]


def refuse(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The console's error envelope; its codes begin with the HTTP status."""
    error = {"code": _CODES.get(status, status * 10_000 + 10), "title": _TITLES.get(status, "Error"), "detail": detail}
    return JSONResponse({"errors": [error], "data": None}, status, headers=dict(headers or {}))


def affected(count: int) -> Response:
    """What every change answers: how many it reached, and nothing else."""
    return JSONResponse({"data": {"affected": count}})


def stamp(when: datetime) -> str:
    """The console's time text, in microseconds."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def moment(text: str, name: str = "time") -> datetime:
    """A time as the console takes it. Raises RefusedError."""
    if not _TIME.fullmatch(text):
        raise RefusedError(f"{name}: Not a valid datetime.")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise RefusedError(f"{name}: Not a valid datetime.") from None


def listed(text: str, name: str) -> list[str]:
    """Comma-separated values of one parameter; an empty one is refused."""
    values = text.split(",")
    if not all(values):
        raise RefusedError(f"{name}: Missing data.")
    return values


def parameters(request: Request, filters: Mapping[str, Filter]) -> dict[str, str]:
    """The query as it came; an unknown or doubled name is a 400."""
    pairs = request.query_params.multi_items()
    for name, _ in pairs:
        known = filters.get(_base(name))
        if name not in _PAGING and (known is None or (known.kind == "time") is (name == _base(name))):
            raise RefusedError(f"{name}: Unknown field.")
    given = dict(pairs)
    if len(given) != len(pairs):
        raise RefusedError("a parameter is given once, its values separated by commas")
    return given


def fitting(given: Mapping[str, str], filters: Mapping[str, Filter]) -> Callable[[Mapping[str, Any]], bool]:
    """What tells whether a row fits every filter. Raises RefusedError for a value, whatever rows there are."""
    tests = [
        (filters[_base(name)].read, _test(name, filters[_base(name)].kind, text))
        for name, text in given.items()
        if name not in _PAGING
    ]
    return lambda row: all(test(read(row)) for read, test in tests)


def _test(name: str, kind: Kind, text: str) -> Callable[[Any], bool]:
    match kind:
        case "ids":
            wanted = set(listed(text, name))
            return lambda value: not wanted.isdisjoint(map(str, _many(value)))
        case "time":
            bound, holds = moment(text, name), _COMPARISONS[name.rpartition("__")[2]]
            return lambda value: holds(moment(str(value)), bound)
        case "flag":
            if text not in {"true", "false"}:
                raise RefusedError(f"{name}: Not a valid boolean.")
            return lambda value: bool(value) is (text == "true")
        case "contains":
            parts = [part.lower() for part in listed(text, name)]
            return lambda value: any(part in str(one).lower() for part in parts for one in _many(value))
    return lambda value: text.lower() in str(value).lower()


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def page(
    rows: Sequence[Mapping[str, Any]],
    given: Mapping[str, str],
    *,
    sorts: Mapping[str, Callable[[Mapping[str, Any]], str]],
    shown: Callable[[Mapping[str, Any]], Any],
) -> Response:
    """One page in its envelope; ``sorts`` are the columns it can be sorted by, the first of them the default."""
    limit = _number(given, "limit", 10, 1, _MOST)
    skip = _number(given, "skip", 0, 0, _MOST)
    column = given.get("sortBy", next(iter(sorts)))
    order = given.get("sortOrder", "asc")
    if column not in sorts or order not in {"asc", "desc"}:
        raise RefusedError("sortBy: Not a valid choice.")
    placed = sorted(((sorts[column](row), str(row["id"]), row) for row in rows), key=lambda place: place[:2])
    placed = placed if order == "asc" else placed[::-1]
    total = len(placed)
    if "cursor" in given:
        behind = _behind(given["cursor"], column, order)
        placed = [place for place in placed if (place[:2] > behind if order == "asc" else place[:2] < behind)]
    placed = placed[skip:]
    taken = placed[:limit]
    token = json.dumps([column, order, *taken[-1][:2]]) if len(placed) > limit else ""
    pagination = {
        "totalItems": 0 if given.get("skipCount") == "true" else total,
        "nextCursor": urlsafe_b64encode(token.encode()).decode() if token else None,
    }
    return JSONResponse({"data": [shown(row) for _, _, row in taken], "pagination": pagination})


async def json_object(request: Request) -> dict[str, Any]:
    """The body. Raises RefusedError when it is no JSON object."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError("Invalid JSON body.")
    return body


async def bulk(request: Request, allowed: frozenset[str], *, scopes: bool = False) -> tuple[dict[str, Any], list[str]]:
    """``data`` and ``filter.ids`` of a bulk change; an empty filter would reach everything and yields every id: ``[]``.

    ``scopes``: the filter may be a scope instead of ids.
    """
    body = await json_object(request)
    if set(body) - {"filter", "data"} or "filter" not in body:
        raise RefusedError("filter: Missing data for required field.")
    data, chosen = body.get("data", {}), body["filter"]
    if not isinstance(data, dict) or not isinstance(chosen, dict):
        raise RefusedError("data: Invalid type.")
    strange = set(data) - allowed
    if strange:
        raise RefusedError(f"data: {', '.join(sorted(strange))}: Unknown field.")
    unknown = set(chosen) - ({"ids", "siteIds", "accountIds", "groupIds", "tenant"} if scopes else {"ids"})
    if unknown:
        raise RefusedError(f"filter: {', '.join(sorted(unknown))}: Unknown field.")
    names = chosen.get("ids", [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise RefusedError("filter: ids: Not a valid list.")
    return data, names


def _base(name: str) -> str:
    head, _, tail = name.partition("__")
    return head if tail in _COMPARISONS else name


def _number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name, str(default))
    if not text.isdecimal() or not least <= int(text) <= most:
        raise RefusedError(f"{name}: Must be between {least} and {most}.")
    return int(text)


def _behind(token: str, column: str, order: str) -> tuple[str, str]:
    """Where the page before ended. The token belongs to the sort that made it."""
    try:
        made_for, direction, value, name = json.loads(urlsafe_b64decode(token))
    except (ValueError, TypeError):
        raise RefusedError("cursor: Invalid cursor.") from None
    if (made_for, direction) != (column, order):
        raise RefusedError("cursor: Invalid cursor for this sort.")
    return value, name
