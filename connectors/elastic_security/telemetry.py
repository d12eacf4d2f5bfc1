"""What the tenant's own events saw of a target: ECS documents of the indices that the settings name.

Values go into the query as JSON, never as text of a query language. Source: Elastic Common Schema, categorization
fields ``event.category``, ``event.type`` and ``event.outcome``; Query DSL reference.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.connectors.elastic_security.answers import VENDOR
from nightdesk.connectors.elastic_security.cluster import Cluster
from nightdesk.connectors.elastic_security.sweep import field_of
from nightdesk.sdk.errors import ResponseError, UnsupportedError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.naming import names_of
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Telemetry"]

_K = SightingKind
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST = 10_000  # index.max_result_window
_ON_HOSTS = ("system", "windows", "security", "winlog", "auditd", "endpoint")
"""Beginnings of ``event.dataset`` where a host let somebody in, and not an identity provider."""

Query = Mapping[str, Any]


class Telemetry:
    """Events of one cluster; ``indices`` is an index expression."""

    def __init__(self, cluster: Cluster, indices: str) -> None:
        self._cluster = cluster
        self._indices = indices

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """Events of the half-open time, oldest first. Raises VendorError unless every shard answered."""
        window = {"range": {"@timestamp": {"gte": _stamp(since), "lt": _stamp(until)}}}
        query = {"bool": {"filter": [window, *_filters(target)], "must_not": _NOT}}
        hits = await self._cluster.events(self._indices, query, size=max(1, min(limit, _MOST)))
        return [_sighting(target, hit) for hit in hits][:limit]


# An attempt is no flow: an agent writes it before it lets anything out.
_NOT: Sequence[Query] = (
    {"terms": {"event.action": ["connection_attempted", "connection_failed"]}},
    {"term": {"event.kind": "alert"}},
    {"term": {"event.kind": "signal"}},
)


def _filters(target: Target) -> Sequence[Query]:
    match target.kind:
        case TargetKind.HOST:
            names = names_of(target)
            hosts = [_term("host.name", one) for one in names.exact]
            hosts += [_prefix("host.name", one) for one in names.prefixes]
            for field in ("source.ip", "destination.ip"):
                hosts += [_term(field, one) for one in names.addresses]
            return (_category("network"), _any(hosts))
        case TargetKind.ACCOUNT:
            fields = ("user.name", "user.email", "user.id", "user.full_name")
            wanted = [_term(field, one) for field in fields for one in names_of(target).exact]
            outcome = {"terms": {"event.outcome": ["success", "failure"]}}
            return (_category("authentication"), outcome, _any(wanted))
        case TargetKind.ADDRESS:
            # A term on a field of type ip takes a network as well.
            wanted = [_term(field, target.value) for field in ("source.ip", "destination.ip")]
            return (_category("network"), _any(wanted))
        case TargetKind.DOMAIN:
            wanted = [_term(field, target.value) for field in ("destination.domain", "url.domain")]
            return (_category("network", "web"), _any(wanted))
        case TargetKind.URL:
            wanted = [{"term": {field: {"value": target.value}}} for field in ("url.full", "url.original")]
            return (_category("network", "web"), _any(wanted))
        case TargetKind.FILE:
            kind, _, digest = target.value.partition(":")
            started = {"terms": {"event.type": ["start", "denied"]}}
            return (_category("process"), started, _any([_term(f"process.hash.{kind}", digest)]))
    raise UnsupportedError(f"{VENDOR}: no telemetry of {target.kind} is read")


def _term(field: str, value: str) -> Query:
    # An address field knows no letter case and refuses the option.
    if field.endswith(".ip"):
        return {"term": {field: {"value": value}}}
    return {"term": {field: {"value": value, "case_insensitive": True}}}


def _prefix(field: str, value: str) -> Query:
    return {"prefix": {field: {"value": value, "case_insensitive": True}}}


def _category(*names: str) -> Query:
    return {"terms": {"event.category": list(names)}}


def _any(parts: Sequence[Query]) -> Query:
    return {"bool": {"should": list(parts), "minimum_should_match": 1}}


def _sighting(target: Target, hit: Mapping[str, Any]) -> Sighting:
    source, native_id = hit.get("_source"), hit.get("_id")
    at = _moment(field_of(source, "@timestamp")) if isinstance(source, dict) else None
    if not isinstance(source, dict) or at is None or not isinstance(native_id, str):
        raise ResponseError("an event has no @timestamp or no _id", vendor=VENDOR, operation="read telemetry")
    name = f"{hit.get('_index', '')}/{native_id}"
    if target.kind is TargetKind.ACCOUNT:
        return _sign_in(source, name, at)
    if target.kind is TargetKind.FILE:
        return _process(source, name, at)
    return _flow(target, source, name, at)


def _flow(target: Target, source: Mapping[str, Any], name: str, at: datetime) -> Sighting:
    types = _texts(source, "event.type")
    near, far = _text(source, "source.ip"), _text(source, "destination.ip")
    direction = _direction(target, source)
    outbound = direction == "outbound"
    peer = far if outbound else near
    facts = {
        "direction": direction,
        "port": _text(source, "destination.port") if outbound else _text(source, "source.port"),
        "peer_name": _text(source, "destination.domain", "url.domain") if outbound else _text(source, "source.domain"),
        "hostname": _seen_by(source, near if outbound else far),
        "sensor": _text(source, "event.dataset", "event.module"),
    }
    what = _text(source, "url.full", "url.original") or f"{far}:{_text(source, 'destination.port')}"
    began = _moment(field_of(source, "event.start"))
    return Sighting(
        _K.BLOCKED_FLOW if "denied" in types or _text(source, "event.outcome") == "failure" else _K.NETWORK_FLOW,
        at,
        name,
        f"{_text(source, 'host.name') or near} to {what}, {_text(source, 'event.action') or ' '.join(types)}",
        peer=peer,
        began=began if began is not None and began < at else None,
        facts=_known(facts),
    )


def _direction(target: Target, source: Mapping[str, Any]) -> str:
    """As the target sees it: by its address, else as the event says; what is asked for by name is the flow's end."""
    if target.kind in {TargetKind.DOMAIN, TargetKind.URL}:
        return "inbound"
    ours = {target.value} if target.kind is TargetKind.ADDRESS else {*names_of(target).addresses}
    ours |= {*_texts(source, "host.ip")} if target.kind is TargetKind.HOST else set()
    if _text(source, "source.ip") in ours:
        return "outbound"
    if _text(source, "destination.ip") in ours:
        return "inbound"
    said = _text(source, "network.direction")
    return {"egress": "outbound", "outbound": "outbound", "ingress": "inbound", "inbound": "inbound"}.get(said, "")


def _seen_by(source: Mapping[str, Any], address: str) -> str:
    """The host at our end. ``host.name`` may be the machine that forwarded a firewall's log: then it says nothing."""
    own = address in _texts(source, "host.ip") or _text(source, "event.module") == "endpoint"
    return _text(source, "host.name") if own else ""


def _sign_in(source: Mapping[str, Any], name: str, at: datetime) -> Sighting:
    outcome, dataset = _text(source, "event.outcome"), _text(source, "event.dataset", "event.module")
    on_host = dataset.startswith(_ON_HOSTS)
    kinds = (_K.LOGON, _K.LOGON_REFUSED) if on_host else (_K.SIGN_IN, _K.SIGN_IN_REFUSED)
    user = _text(source, "user.email", "user.name")
    facts = {
        "provider": "" if on_host else dataset,
        "account": user,
        "hostname": _text(source, "host.name") if on_host else "",
        "reason": _text(source, "event.reason"),
        "sensor": dataset,
    }
    peer = _text(source, "source.ip")
    where = _text(source, "host.name") if on_host else dataset
    said = f"{user} signing in to {where} from {peer or 'nowhere told'}, {outcome}"
    return Sighting(kinds[outcome == "failure"], at, name, said, peer=peer, facts=_known(facts))


def _process(source: Mapping[str, Any], name: str, at: datetime) -> Sighting:
    host, path = _text(source, "host.name"), _text(source, "process.executable", "process.name")
    denied = "denied" in _texts(source, "event.type")
    facts = {"hostname": host, "path": path, "sensor": _text(source, "event.dataset", "event.module")}
    kind = _K.PROCESS_BLOCKED if denied else _K.PROCESS_START
    return Sighting(kind, at, name, f"{path} starting on {host}", facts=_known(facts))


def _known(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in facts.items() if value}


def _texts(source: Mapping[str, Any], name: str) -> list[str]:
    value = field_of(source, name)
    return [str(one) for one in (value if isinstance(value, list) else [value]) if isinstance(one, str | int)]


def _text(source: Mapping[str, Any], *names: str) -> str:
    return next((texts[0] for name in names if (texts := _texts(source, name))), "")


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).isoformat(timespec='microseconds').removesuffix('+00:00')}Z"


def _moment(value: Any) -> datetime | None:
    """A date as ECS has it: ISO 8601, or milliseconds."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    found = instant(value, "ms" if number else "iso")
    return None if found is None else _EPOCH + timedelta(microseconds=found // 1000)
