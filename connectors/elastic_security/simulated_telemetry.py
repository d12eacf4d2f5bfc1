"""The simulator's event indices: ECS documents of network, authentication and process events, and what finds them."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any

from nightdesk.connectors.elastic_security.payloads import stamp
from nightdesk.connectors.elastic_security.simulated_query import Refused
from nightdesk.sdk.ports import SightingKind
from nightdesk.sdk.testing.story import StorySighting

__all__ = ["INDEX", "find"]

_K = SightingKind
INDEX = "logs-estate-default"
"""The data stream that everything is in."""

_BODY = frozenset({"size", "query", "sort", "track_total_hits"})
_NAMES = {
    _K.NETWORK_FLOW: ("network", ["connection", "allowed"], "success"),
    _K.BLOCKED_FLOW: ("network", ["connection", "denied"], "failure"),
    _K.SIGN_IN: ("authentication", ["start"], "success"),
    _K.SIGN_IN_REFUSED: ("authentication", ["start"], "failure"),
    _K.LOGON: ("authentication", ["start"], "success"),
    _K.LOGON_REFUSED: ("authentication", ["start"], "failure"),
    _K.PROCESS_START: ("process", ["start"], "success"),
    _K.PROCESS_BLOCKED: ("process", ["start", "denied"], "failure"),
}
_Test = Callable[[Mapping[str, Any]], bool]


def find(expression: str, body: Mapping[str, Any], seen: Sequence[StorySighting]) -> list[dict[str, Any]]:
    """The hits of a search. Raises Refused for a body that this cluster does not take."""
    unknown = sorted(set(body) - _BODY)
    if unknown:
        raise Refused(400, "parsing_exception", f"unknown key [{unknown[0]}]")
    if body.get("sort") != [{"@timestamp": {"order": "asc", "unmapped_type": "date"}}]:
        raise Refused(400, "illegal_argument_exception", "this simulator sorts events by @timestamp, ascending")
    patterns = [re.escape(part).replace(r"\*", ".*") for part in expression.split(",")]
    if not any(re.fullmatch(pattern, INDEX) for pattern in patterns):
        return []
    test = _test(body.get("query", {"match_all": {}}))
    rows = [(one, _document(one)) for one in sorted(seen, key=lambda one: one.at)]
    hits = [
        {"_index": f".ds-{INDEX}-000001", "_id": f"ev-{one.uid}", "_source": document, "sort": [0]}
        for one, document in rows
        if test(_flat(document))
    ]
    return hits[: body.get("size", 10)]


def _document(one: StorySighting) -> dict[str, Any]:
    category, types, outcome = _NAMES[one.kind]
    event: dict[str, Any] = {"kind": "event", "category": [category], "type": types, "outcome": outcome}
    event["dataset"] = one.provider or ("system.auth" if one.kind in {_K.LOGON, _K.LOGON_REFUSED} else "panw.panos")
    document: dict[str, Any] = {"@timestamp": stamp(one.at), "event": event}
    if one.began:
        event["start"] = stamp(one.began)
    if category == "network":
        # The forwarder's own name, as an agent on a log host writes it.
        document["host"] = {"name": "log-forwarder-1", "ip": ["192.0.2.250"]}
        far = {"ip": one.peer, "port": one.port, "domain": one.domain}
        near = {"ip": one.device.addresses[0] if one.device else "192.0.2.1", "port": 50123}
        document["source"], document["destination"] = (far, near) if one.inbound else (near, far)
        document["url"] = {"full": one.url, "domain": one.domain}
    elif one.device:
        document["host"] = {"name": one.device.hostname, "ip": list(one.device.addresses)}
    if one.account:
        document["user"] = {"name": one.account.name, "email": one.account.email, "id": one.account.sid}
    if one.process:
        hashes = {"sha256": one.process.sha256}
        document["process"] = {"name": one.process.name, "executable": one.process.path, "hash": hashes}
    return document


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {path: value}
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found |= _flat(inner, f"{path}.{name}" if path else name)
    return found


def _test(query: Mapping[str, Any]) -> _Test:
    kind, options = next(iter(query.items()))
    match kind:
        case "bool":
            return _bool(options)
        case "term" | "prefix" | "terms":
            return _words(kind, options)
        case "range":
            field, bounds = next(iter(options.items()))
            if set(bounds) != {"gte", "lt"}:
                raise Refused(400, "parsing_exception", "this simulator takes gte and lt")
            first, last = datetime.fromisoformat(bounds["gte"]), datetime.fromisoformat(bounds["lt"])
            return lambda row: first <= datetime.fromisoformat(row[field]) < last
        case "match_all":
            return lambda _: True
    raise Refused(400, "parsing_exception", f"unknown query [{kind}]")


def _bool(options: Mapping[str, Any]) -> _Test:
    if set(options) - {"filter", "must_not", "should", "minimum_should_match"}:
        raise Refused(400, "parsing_exception", "[bool] has a clause this simulator does not know")
    needed = [_test(part) for part in options.get("filter", ())]
    never = [_test(part) for part in options.get("must_not", ())]
    either = [_test(part) for part in options.get("should", ())]
    least = options.get("minimum_should_match", 0 if needed or not either else 1)

    def holds(row: Mapping[str, Any]) -> bool:
        return (
            all(test(row) for test in needed)
            and not any(test(row) for test in never)
            and sum(test(row) for test in either) >= least
        )

    return holds


def _words(kind: str, options: Mapping[str, Any]) -> _Test:
    field, given = next(iter(options.items()))
    wanted = given if kind == "terms" else [given["value"] if isinstance(given, Mapping) else given]
    folds = isinstance(given, Mapping) and given.get("case_insensitive", False)
    if field.endswith(".ip"):
        if folds or kind == "prefix":
            raise Refused(
                400, "query_shard_exception", f"[{field}] is of type [ip] and does not support case insensitive"
            )
        return lambda row: any(_inside(value, word) for value in _many(row.get(field)) for word in wanted)

    def holds(row: Mapping[str, Any]) -> bool:
        values = [str(value).casefold() if folds else str(value) for value in _many(row.get(field))]
        words = [str(word).casefold() if folds else str(word) for word in wanted]
        return any(value.startswith(word) if kind == "prefix" else value == word for value in values for word in words)

    return holds


def _inside(value: str, word: str) -> bool:
    try:
        return ip_address(value) in ip_network(word, strict=False)
    except ValueError:
        raise Refused(400, "query_shard_exception", f"'{word}' is not an IP string literal.") from None


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value in (None, "") else [value]
