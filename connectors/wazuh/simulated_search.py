"""The simulated indexer: documents in daily indices, and a strict part of OpenSearch's search.

It refuses what OpenSearch refuses: unknown keys, a page above the window, ``search_after`` that does not fit ``sort``,
an index that is not there unless the request says otherwise.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.wazuh.wire import SearchRefusedError
from nightdesk.sdk.moments import instant

__all__ = ["Document", "Search"]

_WINDOW = 10_000
_BODY = frozenset({"size", "from", "track_total_hits", "sort", "query", "search_after", "_source", "timeout"})
_PARAMS = frozenset({"ignore_unavailable", "allow_no_indices", "expand_wildcards"})
_DATES = frozenset({"timestamp", "@timestamp"})
_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gte": lambda value, bound: value >= bound,
    "gt": lambda value, bound: value > bound,
    "lte": lambda value, bound: value <= bound,
    "lt": lambda value, bound: value < bound,
}
Source = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Document:
    """One document; ``document_id`` is what the shipper's batch made of it, and no name of the alert."""

    index: str
    document_id: str
    source: Source


@dataclass(slots=True)
class Search:
    """Every document. ``partial``: one shard does not answer."""

    drift: Callable[[dict[str, Any]], dict[str, Any]]
    partial: Callable[[str], bool]
    indices: set[str] = field(default_factory=set)
    documents: list[Document] = field(default_factory=list)

    def put(self, index: str, document_id: str, source: Source) -> None:
        """Indexes one document, or replaces it."""
        self.indices.add(index)
        self.documents = [one for one in self.documents if (one.index, one.document_id) != (index, document_id)]
        self.documents.append(Document(index, document_id, source))

    def add(self, index: str, source: Source) -> None:
        """Indexes one document under an id of its own."""
        self.indices.add(index)
        self.documents.append(Document(index, f"auto{len(self.documents):016d}", source))

    async def search(self, request: Request) -> Response:
        """``POST /{index}/_search``."""
        strange = sorted(set(request.query_params) - _PARAMS)
        if strange:
            reason = f"request [{request.url.path}] contains unrecognized parameter: [{strange[0]}]"
            raise SearchRefusedError(400, "illegal_argument_exception", reason)
        content = await request.body()
        try:
            body = json.loads(content) if content else {}
        except ValueError:
            raise SearchRefusedError(400, "parse_exception", "request body is no JSON") from None
        if content and not request.headers.get("content-type", "").startswith("application/json"):
            raise SearchRefusedError(406, "media_type_header_exception", "Content-Type header is not supported")
        unknown = sorted(set(body) - _BODY)
        if unknown:
            raise SearchRefusedError(400, "parsing_exception", f"Unknown key for a VALUE in [{unknown[0]}].")
        size = body.get("size", 10)
        if not isinstance(size, int) or size < 0 or size + body.get("from", 0) > _WINDOW:
            raise SearchRefusedError(400, "illegal_argument_exception", "Result window is too large")
        indices = self._named(request)
        query = body.get("query", {"match_all": {}})
        chosen = [one for one in self.documents if one.index in indices and _matches(one.source, query)]
        page = self._page(chosen, body, size)
        failed = int(bool(indices) and self.partial(request.url.path))
        total = 3 * len(indices)
        shards = {"total": total, "successful": total - failed, "skipped": 0, "failed": failed}
        hits: dict[str, Any] = {"max_score": None, "hits": page}
        if body.get("track_total_hits") is not False:
            hits["total"] = {"value": len(chosen), "relation": "eq"}
        return JSONResponse({"took": 2, "timed_out": False, "_shards": shards, "hits": hits})

    def _named(self, request: Request) -> set[str]:
        found: set[str] = set()
        for name in request.path_params["index"].split(","):
            expression = re.compile(re.escape(name).replace(r"\*", ".*"))
            fits = {index for index in self.indices if expression.fullmatch(index)}
            excused = "allow_no_indices" if "*" in name else "ignore_unavailable"
            default = "true" if "*" in name else "false"
            if not fits and request.query_params.get(excused, default) != "true":
                raise SearchRefusedError(404, "index_not_found_exception", f"no such index [{name}]")
            found |= fits
        return found

    def _page(self, chosen: Sequence[Document], body: Mapping[str, Any], size: int) -> list[dict[str, Any]]:
        begin = body.get("from", 0)
        after = body.get("search_after")
        if "sort" not in body:
            if after is not None:
                raise SearchRefusedError(400, "illegal_argument_exception", "Sort must contain at least one field.")
            return [self._hit(one) for one in chosen[begin : begin + size]]
        order = [_order(entry) for entry in body["sort"]]
        down = [falling for _, falling in order]

        def compare(one: list[Any], other: list[Any]) -> int:
            return _compare(one, other, down)

        key = cmp_to_key(compare)
        rows = sorted(
            (([_sort_value(one.source, name) for name, _ in order], number) for number, one in enumerate(chosen)),
            key=lambda row: key(row[0]),
        )
        if after is not None:
            if not isinstance(after, list) or len(after) != len(order):
                reason = f"search_after has {len(after)} value(s) but sort has {len(order)}."
                raise SearchRefusedError(400, "illegal_argument_exception", reason)
            rows = [row for row in rows if key(row[0]) > key(after)]
        return [{**self._hit(chosen[number]), "sort": values} for values, number in rows[begin : begin + size]]

    def _hit(self, one: Document) -> dict[str, Any]:
        return {"_index": one.index, "_id": one.document_id, "_score": None, "_source": self.drift(dict(one.source))}


def _order(entry: Any) -> tuple[str, bool]:
    if not isinstance(entry, dict) or len(entry) != 1:
        raise SearchRefusedError(400, "parsing_exception", "this simulator takes sorts as {field: {order: …}}")
    (name, options), *_ = entry.items()
    if name == "_id":
        reason = "Fielddata access on the _id field is disallowed, you can re-enable it"
        raise SearchRefusedError(400, "illegal_argument_exception", reason)
    unknown = sorted(set(options) - {"order", "unmapped_type", "missing"})
    if unknown or options.get("order", "asc") not in {"asc", "desc"}:
        raise SearchRefusedError(400, "x_content_parse_exception", f"[field_sort] unknown field {unknown}")
    return name, options.get("order") == "desc"


def _sort_value(source: Source, name: str) -> Any:
    value = _first(source, name)
    if name in _DATES:
        moment = instant(value)
        return None if moment is None else moment // 1_000_000
    return value


def _compare(one: Sequence[Any], other: Sequence[Any], down: Sequence[bool]) -> int:
    """Missing values stand last whichever way the order goes."""
    for left, right, falling in zip(one, other, down, strict=True):
        if left == right:
            continue
        if left is None or right is None:
            return 1 if left is None else -1
        return (1 if left > right else -1) * (-1 if falling else 1)
    return 0


def _matches(source: Source, query: Mapping[str, Any]) -> bool:
    """Whether the query selects the document. Raises SearchRefusedError for what is not known."""
    if len(query) != 1:
        raise SearchRefusedError(400, "parsing_exception", "[_na] query malformed, must start with start_object")
    ((kind, options),) = query.items()
    match kind:
        case "match_all":
            return True
        case "bool":
            if set(options) - {"filter", "must", "must_not"}:
                raise SearchRefusedError(400, "parsing_exception", "[bool] has a clause this simulator does not know")
            needed = [*options.get("filter", []), *options.get("must", [])]
            refused = [_matches(source, part) for part in options.get("must_not", [])]
            return all(_matches(source, part) for part in needed) and not any(refused)
        case "exists":
            return bool(_values(source, options["field"]))
        case "term" | "terms":
            ((name, wanted),) = options.items()
            return bool({*_values(source, name)} & {*(wanted if kind == "terms" else [wanted])})
        case "range":
            ((name, bounds),) = options.items()
            return _within(_values(source, name), name, bounds)
    raise SearchRefusedError(400, "parsing_exception", f"unknown query [{kind}]")


def _within(values: Sequence[Any], name: str, given: Mapping[str, Any]) -> bool:
    bounds = dict(given)
    form = bounds.pop("format", "")
    unknown = sorted(set(bounds) - set(_BOUNDS))
    if unknown or form not in {"", "epoch_millis"}:
        raise SearchRefusedError(400, "parsing_exception", f"[range] query does not support [{unknown or form}]")
    if name not in _DATES:
        return any(all(_BOUNDS[word](value, bound) for word, bound in bounds.items()) for value in values)
    limits = {word: bound if form else (instant(bound) or 0) // 1_000_000 for word, bound in bounds.items()}
    moments = [moment // 1_000_000 for value in values if (moment := instant(value)) is not None]
    return any(all(_BOUNDS[word](moment, bound) for word, bound in limits.items()) for moment in moments)


def _values(source: Source, path: str) -> list[Any]:
    value: Any = source
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None or isinstance(value, Mapping):
        return [] if not value else [True]
    return list(value) if isinstance(value, list) else [value]


def _first(source: Source, path: str) -> Any:
    return next(iter(_values(source, path)), None)
