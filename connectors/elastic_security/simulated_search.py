"""The simulator's Elasticsearch: points in time over a changing set of alerts, and a strict part of its query language.

It refuses what Elasticsearch refuses: other media types, unknown keys, a page above the window, ``_shard_doc`` without
a point in time, an unmapped sort field, a snapshot id that is no longer the newest.
"""

import re
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.elastic_security.simulated_query import Order, Refused, Source, matches, span
from nightdesk.sdk.context import Clock

__all__ = ["Search", "refusal"]

_PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
_WINDOW = 10_000
_BODY = frozenset({"size", "from", "pit", "track_total_hits", "sort", "query", "search_after", "_source", "timeout"})
_MEDIA = re.compile(r"^application/(?:json|vnd\.elasticsearch\+json)\s*(?:;.*)?$")
_COMPATIBLE = re.compile(r"compatible-with=(\d+)")
_DATES = ("@timestamp", "kibana.alert.workflow_status_updated_at", "kibana.alert.last_detected")

Respond = Callable[[Request], Awaitable[Response]]


def refusal(
    status: int, kind: str, reason: str, *, outer: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Elasticsearch's error envelope."""
    cause = {"type": kind, "reason": reason}
    error = {"root_cause": [cause], "type": outer or kind, "reason": "all shards failed" if outer else reason}
    return JSONResponse({"error": error, "status": status}, status, headers={**_PRODUCT, **(headers or {})})


_Row = tuple[int, str, Source]


@dataclass(slots=True)
class _Pit:
    rows: list[_Row]
    expires: datetime
    ordered: dict[str, list[tuple[tuple[datetime, int], _Row]]] = field(default_factory=dict)


class Search:
    """All spaces' alerts. A source is replaced and never altered, so a snapshot is a list of the sources it saw."""

    def __init__(
        self,
        now: Clock,
        *,
        allowed: Callable[[Request], Response | None],
        partial: Callable[[Request], bool],
        drift: Callable[[dict[str, Any]], dict[str, Any]],
        events: Callable[[str, Mapping[str, Any]], list[dict[str, Any]]],
    ) -> None:
        self._now, self._allowed, self._partial, self._drift = now, allowed, partial, drift
        self._events = events
        self.spaces: dict[str, dict[str, Source]] = {}
        self.hidden: set[str] = set()  # what document level security keeps from this API key
        self.mapped: set[str] = set(_DATES)
        self.product_header = True
        self.pits: dict[str, _Pit] = {}
        self._made = 0

    @property
    def open_pits(self) -> int:
        """How many points in time the cluster still holds."""
        return sum(pit.expires > self._now() for pit in self.pits.values())

    def routes(self) -> list[BaseRoute]:
        """The endpoints of Elasticsearch."""
        rows = (
            ("/{index}/_pit", self._open, ["POST"]),
            ("/_pit", self._close, ["DELETE"]),
            ("/_search", self._search, ["POST"]),
            ("/{index}/_search", self._search, ["POST", "GET"]),
            ("/_security/_authenticate", self._authenticate, ["GET"]),
        )
        return [Route(path, self._guard(respond), methods=methods) for path, respond, methods in rows]

    def rows(self, pattern: str, request: Request) -> list[_Row]:
        """The alerts of an index expression. Raises Refused for an index that is not there."""
        if "*" in pattern:
            # Alert indices are hidden: a wildcard finds them only when it is told to.
            hidden = "hidden" in request.query_params.get("expand_wildcards", "open").split(",")
            expression = re.compile(re.escape(pattern).replace(r"\*", ".*"))
            spaces = [space for space in self.spaces if hidden and expression.fullmatch(_alias(space))]
        else:
            spaces = [space for space, alerts in self.spaces.items() if alerts and _alias(space) == pattern]
            if not spaces and request.query_params.get("ignore_unavailable") != "true":
                raise Refused(404, "index_not_found_exception", f"no such index [{pattern}]")
        rows = [
            (number, native_id, source)
            for space in spaces
            for number, (native_id, source) in enumerate(self.spaces[space].items())
            if native_id not in self.hidden
        ]
        # Two shards: the tiebreaker is the shard's number before the place in it, and not the order of arrival.
        return [(((number % 2) << 32) | (number // 2), native_id, source) for number, native_id, source in rows]

    def _guard(self, respond: Respond) -> Respond:
        async def guarded(request: Request) -> Response:
            try:
                _check_media(request, await request.body())
                answer = self._allowed(request) or await respond(request)
            except Refused as refused:
                answer = refusal(refused.status, refused.kind, refused.reason, outer=refused.outer)
            if self.product_header:
                answer.headers.update(_PRODUCT)
            return answer

        return guarded

    async def _authenticate(self, _: Request) -> Response:
        key = {"id": "nightdesk-key", "name": "nightdesk"}
        return JSONResponse({"username": "svc-soc", "enabled": True, "authentication_type": "api_key", "api_key": key})

    async def _open(self, request: Request) -> Response:
        keep = span(request.query_params.get("keep_alive", ""))
        pit = _Pit(self.rows(request.path_params["index"], request), self._now() + keep)
        return JSONResponse({"id": self._name(pit), "_shards": _shards(0)})

    async def _close(self, request: Request) -> Response:
        found = self.pits.pop(str((await request.json()).get("id")), None)
        return JSONResponse({"succeeded": True, "num_freed": int(found is not None)}, 200 if found else 404)

    async def _search(self, request: Request) -> Response:
        body = await request.json() if await request.body() else {}
        failed = int(self._partial(request))
        unknown = sorted(set(body) - _BODY)
        if unknown:
            raise Refused(400, "parsing_exception", f"unknown key [{unknown[0]}]")
        size = body.get("size", 10)
        if size + body.get("from", 0) > _WINDOW:
            raise Refused(
                400,
                "illegal_argument_exception",
                "Result window is too large",
                outer="search_phase_execution_exception",
            )
        events = request.path_params.get("index", "").lower()
        if events and not events.startswith("."):
            hits = self._events(events, body)
            return JSONResponse({"took": 3, "timed_out": False, "_shards": _shards(failed), "hits": {"hits": hits}})
        rows, pit = self._rows(request, body)
        query, begin = body.get("query", {"match_all": {}}), body.get("from", 0)
        page: list[dict[str, Any]]
        if "sort" in body:
            order = Order(body["sort"], self.mapped, with_pit=pit is not None)
            known = pit.ordered if pit else {}
            name = f"{order.field} {query}"
            if name not in known:
                chosen = [row for row in rows if matches(row[1], row[2], query, self._now())]
                known[name] = sorted(((order.key(row[0], row[2]), row) for row in chosen), key=itemgetter(0))
            after = order.after(body.get("search_after"))
            begin += bisect_right(known[name], after, key=itemgetter(0)) if after else 0
            page = [
                {**self._hit(row), "sort": order.values(row[0], row[2])} for _, row in known[name][begin : begin + size]
            ]
            total = len(known[name])
        else:
            chosen = [row for row in rows if matches(row[1], row[2], query, self._now())]
            page, total = [self._hit(row) for row in chosen[begin : begin + size]], len(chosen)
        outer: dict[str, Any] = {"max_score": None, "hits": page}
        if body.get("track_total_hits") is not False:
            outer["total"] = {"value": total, "relation": "eq"}
        answer = {"took": 3, "timed_out": False, "_shards": _shards(failed), "hits": outer}
        if pit is None:
            return JSONResponse(answer)
        del self.pits[body["pit"]["id"]]
        return JSONResponse({**answer, "pit_id": self._name(pit)})

    def _hit(self, row: _Row) -> dict[str, Any]:
        _, native_id, source = row
        index = f".internal{_alias(source['kibana.space_ids'][0])}-000001"
        return {"_index": index, "_id": native_id, "_score": None, "_source": self._drift(dict(source))}

    def _rows(self, request: Request, body: Mapping[str, Any]) -> tuple[list[_Row], _Pit | None]:
        index = request.path_params.get("index")
        if "pit" not in body:
            if index is None:
                raise Refused(
                    400, "illegal_argument_exception", "this simulator searches a named index or a point in time"
                )
            return self.rows(index, request), None
        if index is not None:
            raise Refused(400, "action_request_validation_exception", "[indices] cannot be used with point in time")
        pit = self.pits.get(str(body["pit"].get("id")))
        if pit is None or pit.expires <= self._now():
            reason = "No search context found for id [1]"
            raise Refused(404, "search_context_missing_exception", reason, outer="search_phase_execution_exception")
        if "keep_alive" in body["pit"]:
            pit.expires = self._now() + span(body["pit"]["keep_alive"])
        return pit.rows, pit

    def _name(self, pit: _Pit) -> str:
        """A new id for each answer: the newest one is the only one that goes on."""
        self._made += 1
        name = f"46ToAwMDaWR5BXV1aWQyKwZub2RlXzMA{self._made:08d}"
        self.pits[name] = pit
        return name


def _check_media(request: Request, body: bytes) -> None:
    for name in ("accept", "content-type"):
        wanted = _COMPATIBLE.search(request.headers.get(name, ""))
        if wanted and wanted[1] not in {"7", "8"}:
            reason = f"Invalid media-type value on headers [{name}]: only versions 8 and 7 are compatible"
            raise Refused(400, "media_type_header_exception", reason)
    if body and not _MEDIA.match(request.headers.get("content-type", "")):
        raise Refused(406, "content_type_header_exception", "Content-Type header is not supported")


def _shards(failed: int) -> dict[str, int]:
    return {"total": 2, "successful": 2 - failed, "skipped": 0, "failed": failed}


def _alias(space: str) -> str:
    return f".alerts-security.alerts-{space}"
