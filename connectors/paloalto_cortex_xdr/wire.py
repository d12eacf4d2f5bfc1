"""How the simulated Cortex speaks: its two kinds of keys, its envelope, and what it takes in a request."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Clock

__all__ = ["BadFilterError", "Call", "KeyKind", "Question", "Routes", "Tests", "Wire", "asked", "listed", "unpacked"]

Call = Callable[[Mapping[str, Any]], Awaitable[Response]]
"""A handler; it is given what stands in ``request_data``."""
Routes = Sequence[tuple[str, str, Call]]
"""Path without its last slash, permission, handler."""
KeyKind = Literal["advanced", "standard"]
Tests = Mapping[str, tuple[str, Callable[[Any, Any], bool]]]
"""By filter field: what its value must be (``time``, ``numbers``, ``texts``, ``text``, ``flag``), and its test."""

_WINDOW = 100  # rows a call at most
_SATURATED = 9999  # total_count never says more
_SKEW = 300.0  # seconds; how far a signature's time may be off is not published
_NONCE = 64
_FAILED = "An error occurred while processing XDR public API"
_OPERATORS: Mapping[str, tuple[str, ...]] = {
    "time": ("gte", "lte"),
    "numbers": ("in",),
    "texts": ("in",),
    "text": ("eq", "neq", "in"),
    "flag": ("eq",),
}


class BadFilterError(Exception):
    """What Cortex answers with 500 although the request is at fault; its text becomes ``err_extra``."""


@dataclass(frozen=True, slots=True)
class Question:
    """One list call: which rows, in which order, from where to where."""

    filters: Sequence[Mapping[str, Any]]
    sort: tuple[str, bool]
    begin: int
    end: int

    def rows(self, everything: Iterable[Any], tests: Tests, key: Callable[[Any, str], Any]) -> tuple[list[Any], int]:
        """The window of what fits all filters, and how many fit."""
        fits = [row for row in everything if all(_holds(each, row, tests) for each in self.filters)]
        field, descending = self.sort
        fits.sort(key=lambda row: key(row, field), reverse=descending)
        return fits[self.begin : self.end], min(len(fits), _SATURATED)


class Wire:
    """Knows the one API key and counts requests."""

    def __init__(self, clock: Clock, *, key: str, key_id: int, kind: KeyKind, per_minute: int) -> None:
        self._clock = clock
        self._key = key
        self._key_id = str(key_id)
        self._kind = kind
        self._per_minute = per_minute
        self._minute = 0
        self._spent = 0

    def reply(self, reply: Any) -> Response:
        """A success."""
        return JSONResponse({"reply": reply})

    def refuse(
        self, status: int, extra: str | None, headers: Mapping[str, str] | None = None, *, message: str = _FAILED
    ) -> Response:
        """The error envelope."""
        body = {"reply": {"err_code": status, "err_msg": message, "err_extra": extra}}
        return JSONResponse(body, status, headers=dict(headers or {}))

    def overspent(self) -> bool:
        """Counts one request; true when this minute's are used up."""
        minute = int(self._clock().timestamp()) // 60
        if minute != self._minute:
            self._minute, self._spent = minute, 0
        self._spent += 1
        return self._spent > self._per_minute

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether a request is signed as its kind of key demands; a raw advanced key is no signature."""
        given = headers.get("authorization", "")
        if headers.get("x-xdr-auth-id") != self._key_id:
            return False
        if self._kind == "standard":
            return given == self._key
        nonce, moment = headers.get("x-xdr-nonce", ""), headers.get("x-xdr-timestamp", "")
        if len(nonce) != _NONCE or not nonce.isalnum() or not moment.isdecimal():
            return False
        if abs(int(moment) / 1000 - self._clock().timestamp()) > _SKEW:
            return False
        return given == sha256(f"{self._key}{nonce}{moment}".encode()).hexdigest()


async def unpacked(request: Request) -> Mapping[str, Any]:
    """What stands in ``request_data``. Raises ValueError when the body is not of that form."""
    body = json.loads(await request.body())
    data = body.get("request_data") if isinstance(body, dict) else None
    if not isinstance(data, dict):
        raise ValueError("request_data is missing")  # noqa: TRY004  # of the request, not of an argument
    return data


def asked(data: Mapping[str, Any], tests: Tests, sorts: Sequence[str], *, more: Sequence[str] = ()) -> Question:
    """A list call. Raises BadFilterError for a field, operator, type of value or window that the API does not take."""
    strange = set(data) - {"filters", "search_from", "search_to", "sort", *more}
    if strange:
        raise BadFilterError(f"unexpected field {', '.join(sorted(strange))}")
    begin = data.get("search_from", 0)
    end = data.get("search_to", begin + _WINDOW if isinstance(begin, int) else None)
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in (begin, end)):
        raise BadFilterError("search_from and search_to must be integers")
    if not 0 <= begin < end or end - begin > _WINDOW:
        raise BadFilterError(f"search_to must be above search_from, by at most {_WINDOW}")
    sort = data.get("sort", {"field": sorts[0], "keyword": "desc"})
    if not isinstance(sort, dict) or set(sort) != {"field", "keyword"} or sort["field"] not in sorts:
        raise BadFilterError(f"sort by one of {', '.join(sorts)}")
    if sort["keyword"] not in {"asc", "desc"}:
        raise BadFilterError("sort keyword must be asc or desc")
    return Question(_filters(data, tests), (sort["field"], sort["keyword"] == "desc"), begin, end)


def listed(data: Mapping[str, Any], most: int) -> list[str]:
    """The endpoints that the one filter of a response action names. Raises BadFilterError."""
    filters = _filters(data, {"endpoint_id_list": ("texts", lambda value, row: row in value)})
    if len(filters) != 1:
        raise BadFilterError("filters must name endpoint_id_list")
    names: list[str] = filters[0]["value"]
    if len(names) > most:
        raise BadFilterError(f"at most {most} endpoints")
    return names


def _filters(data: Mapping[str, Any], tests: Tests) -> list[Mapping[str, Any]]:
    filters = data.get("filters", [])
    if not isinstance(filters, list):
        raise BadFilterError("filters must be an array")
    for each in filters:
        if not isinstance(each, dict) or set(each) != {"field", "operator", "value"}:
            raise BadFilterError("a filter has field, operator and value")
        kind, _ = tests.get(each["field"], ("", None))
        if not kind:
            raise BadFilterError(f"Invalid filter field {each['field']!r}; there are {', '.join(tests)}")
        if each["operator"] not in _OPERATORS[kind]:
            raise BadFilterError(f"Invalid operator {each['operator']!r} of {each['field']}")
        if not _well_typed(kind, each["operator"], each["value"]):
            raise BadFilterError(f"Invalid value of {each['field']}")
    return filters


def _well_typed(kind: str, operator: str, value: Any) -> bool:
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "time":
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if operator != "in":
        return isinstance(value, str)
    wanted = int if kind == "numbers" else str
    return isinstance(value, list) and bool(value) and all(type(each) is wanted for each in value)


def _holds(filter_: Mapping[str, Any], row: Any, tests: Tests) -> bool:
    kind, test = tests[filter_["field"]]
    value = filter_["value"]
    match filter_["operator"]:
        case "gte":
            return test(value, row)
        case "lte":
            return not test(value + 1, row)
        case "neq":
            return not test([value], row)
        case "eq" if kind == "text":
            return test([value], row)
    return test(value, row)
