"""How the simulated Vision One speaks: its error envelope, filters in headers, next links, 207 with one item each."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

__all__ = [
    "Call",
    "RefusedError",
    "Routes",
    "Test",
    "between",
    "body_items",
    "filtered",
    "moment",
    "multi",
    "only",
    "page",
    "refusal",
    "seconds",
    "top",
]

Call = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[str, str, str, Call]]
"""Method, path under /v3.0, permission, handler."""

Test = Callable[[Mapping[str, Any]], bool]

_CODES = {
    400: "BadRequest",
    401: "InvalidCredentials",
    403: "AccessDenied",
    404: "NotFound",
    412: "ConditionNotMet",
    413: "RequestEntityTooLarge",
    429: "TooManyRequests",
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_WORDS = re.compile(r"\s*('(?:[^'])*'|\(|\)|,|[A-Za-z]+)")
_MAX_BODY = 1_048_576


class RefusedError(Exception):
    """What Vision One answers instead, with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def error_of(status: int, message: str) -> dict[str, Any]:
    """The envelope of an error, alone or inside an item of a 207."""
    code = _CODES.get(status, "InternalServerError")
    return {"error": {"code": code, "message": message, "innererror": {"code": code}}}


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error; the gateway before the API knows no JSON."""
    if status in {502, 503, 504}:
        text = f"<html><head><title>{status}</title></head><body><h1>{message}</h1></body></html>"
        return HTMLResponse(text, status, headers=dict(headers or {}))
    return JSONResponse(error_of(status, message), status, headers=dict(headers or {}))


def only(request: Request, *known: str) -> Mapping[str, str]:
    """The query. Raises RefusedError for a parameter that the call does not have."""
    strange = sorted(set(request.query_params) - {*known, "skipToken"})
    if strange:
        raise RefusedError(400, f"Unknown parameter: {', '.join(strange)}")
    return request.query_params


def seconds(value: datetime) -> str:
    """A time as the API writes it: whole seconds, cut."""
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def moment(text: str, name: str) -> datetime:
    """A time of a request. Raises RefusedError for any other form, fractions of a second included."""
    try:
        if _TIME.fullmatch(text):
            return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass
    raise RefusedError(400, f"{name} must be yyyy-MM-ddThh:mm:ssZ")


def between(query: Mapping[str, str], now: datetime, start: datetime, oldest: datetime) -> tuple[str, str]:
    """The window of a list; ``start`` is the default. Raises RefusedError for one older than what is retained."""
    begin = moment(query["startDateTime"], "startDateTime") if "startDateTime" in query else start
    end = moment(query["endDateTime"], "endDateTime") if "endDateTime" in query else now
    if begin < oldest:
        raise RefusedError(400, "startDateTime is earlier than the retention period")
    if end < begin:
        raise RefusedError(400, "endDateTime is earlier than startDateTime")
    return seconds(begin), seconds(end)


def top(query: Mapping[str, str], *allowed: int) -> int:
    """The page size, the first of those allowed when not given. Raises RefusedError for any other."""
    text = query.get("top", str(allowed[0]))
    if not text.isdecimal() or int(text) not in allowed:
        raise RefusedError(400, f"top must be one of {', '.join(map(str, allowed))}")
    return int(text)


def page(request: Request, rows: Sequence[Any], size: int, *, totals: bool = False) -> Response:
    """One page of what is there now, and the absolute link to the next; the link carries no header."""
    token = request.query_params.get("skipToken", "0")
    if not token.isdecimal() or int(token) > len(rows):
        raise RefusedError(400, "Invalid skipToken")
    begin = int(token)
    found = list(rows[begin : begin + size])
    body: dict[str, Any] = {"items": found}
    if totals:
        body = {"totalCount": len(rows), "count": len(found), **body}
    if begin + size < len(rows):
        body["nextLink"] = str(request.url.include_query_params(skipToken=begin + size))
    return JSONResponse(body)


async def body_items(request: Request) -> list[dict[str, Any]]:
    """The items of an order. Raises RefusedError when the body is no array of objects, or too large."""
    raw = await request.body()
    if len(raw) > _MAX_BODY:
        raise RefusedError(413, "The request body exceeds 1 MB")
    try:
        items = json.loads(raw)
    except ValueError:
        items = None
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise RefusedError(400, "The body must be a JSON array of objects")
    return items


def multi(items: Sequence[dict[str, Any]], one: Callable[[dict[str, Any]], dict[str, Any]]) -> Response:
    """207 whatever happens: the outcome of each item stands in its own element."""
    answers = []
    for item in items:
        try:
            answers.append(one(item))
        except RefusedError as error:
            answers.append({"status": error.status, "body": error_of(error.status, str(error))})
    return JSONResponse(answers, 207)


def filtered(text: str, fields: Mapping[str, Callable[[Mapping[str, Any]], Sequence[str]]], most: int = 1024) -> Test:
    """Reads ``field eq 'value'``, ``contains(field,'value')``, and, or, not, ( ). Raises RefusedError for the rest.

    ``eq`` minds the case.
    """
    if not text.strip():
        return lambda _: True
    if len(text) > most:
        raise RefusedError(400, f"The filter is longer than {most} characters")
    words: list[str] = []
    at = 0
    while text[at:].strip():
        found = _WORDS.match(text, at)
        if found is None:
            raise RefusedError(400, f"Invalid filter near {text[at : at + 20]!r}")
        words.append(found[1])
        at = found.end()
    reader = _Filter(words, fields)
    test = reader.either()
    if reader.words:
        raise RefusedError(400, f"Invalid filter near {reader.words[0]!r}")
    return test


class _Filter:
    def __init__(self, words: list[str], fields: Mapping[str, Callable[[Mapping[str, Any]], Sequence[str]]]) -> None:
        self.words = words
        self._fields = fields

    def either(self) -> Test:
        tests = [self._both()]
        while self.words[:1] == ["or"]:
            self.words.pop(0)
            tests.append(self._both())
        return lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self.words[:1] == ["and"]:
            self.words.pop(0)
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        word = self._next()
        if word == "not":
            inner = self._one()
            return lambda row: not inner(row)
        if word == "(":
            inner = self.either()
            self._expect(")")
            return inner
        if word == "contains":
            self._expect("(")
            values = self._field(self._next())
            self._expect(",")
            part = self._value()
            self._expect(")")
            return lambda row: any(part in text for text in values(row))
        values = self._field(word)
        self._expect("eq")
        wanted = self._value()
        return lambda row: wanted in values(row)

    def _next(self) -> str:
        if not self.words:
            raise RefusedError(400, "Invalid filter: it ends too early")
        return self.words.pop(0)

    def _expect(self, word: str) -> None:
        found = self._next()
        if found != word:
            raise RefusedError(400, f"Invalid filter near {found!r}, expected {word!r}")

    def _value(self) -> str:
        word = self._next()
        if not word.startswith("'"):
            raise RefusedError(400, f"Invalid filter: {word!r} is no quoted value")
        return word[1:-1]

    def _field(self, name: str) -> Callable[[Mapping[str, Any]], Sequence[str]]:
        if name not in self._fields:
            raise RefusedError(400, f"Invalid filter: unknown field {name!r}")
        return self._fields[name]
