"""What Splunk's own data saw of a target, asked through the data models of the Common Information Model.

The models give every product's events the same fields, so nothing here knows which firewall or directory wrote them.
Source: Splunk CIM manual, Network Traffic, Authentication, Web, Endpoint; command reference, ``datamodel``.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.connectors.splunk_es.jobs import Jobs
from nightdesk.connectors.splunk_es.splunkd import VENDOR
from nightdesk.sdk.errors import ResponseError, UnsupportedError
from nightdesk.sdk.naming import names_of, plain
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Telemetry"]

_K = SightingKind
_OPERATION = "read telemetry"
# Within quotes the asterisk is a wildcard and the backtick a macro: neither can be escaped, so neither may stand.
_NAME, _LINK = " .@:\\-+$'", ".:/-?&=#%~+,;!()@$'"
_ALLOWED = frozenset({"allowed", "teardown"})
_HOST_APPS = ("win:", "ssh", "su", "login", "rdp", "local")
"""Beginnings of ``app`` where a host let somebody in, and not an identity provider."""


class Telemetry:
    """One search head's data models."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """Events of the half-open time, oldest first. Raises VendorError unless every indexer answered."""
        query = _query(target, max(limit, 1))
        window = {"earliest_time": f"{since.timestamp():.6f}", "latest_time": f"{until.timestamp():.6f}"}
        rows = await self._jobs.rows(query, _OPERATION, **window)
        return [_sighting(target, row) for row in rows[:limit]]


def _query(target: Target, limit: int) -> str:
    match target.kind:
        case TargetKind.HOST:
            names = names_of(target)
            ours = _values([*names.exact, *(f"{one}*" for one in names.prefixes), *names.addresses])
            ends = ("src", "src_host", "src_ip", "dest", "dest_host", "dest_ip")
            source, test = "Network_Traffic All_Traffic", _any(ends, ours)
        case TargetKind.ACCOUNT:
            source, test = "Authentication Authentication", _any(("user",), _values(names_of(target).exact))
            test += ' action IN ("success", "failure")'  # pending, error: nobody was let in or turned away
        case TargetKind.ADDRESS:
            fields = ("src", "src_ip", "dest", "dest_ip")
            source, test = "Network_Traffic All_Traffic", _any(fields, _values([_single(target.value)]))
        case TargetKind.DOMAIN:
            source, test = "Web Web", _any(("url_domain", "dest"), _values([target.value]))
        case TargetKind.URL:
            source, test = "Web Web", _any(("url",), f'"{plain(target.value, _LINK, vendor=VENDOR)}"')
        case TargetKind.FILE:
            digest = plain(target.value.partition(":")[2], "", vendor=VENDOR)
            # One field holds all hashes of an image: MD5=…,SHA256=…
            source, test = "Endpoint Processes", _any(("process_hash",), f'"*{digest}*"')
        case _:
            raise UnsupportedError(f"{VENDOR}: no telemetry of {target.kind} is read")
    return f"| datamodel {source} flat | search {test} | sort 0 _time, _cd | head {limit}"


def _any(fields: Sequence[str], values: str) -> str:
    return "(" + " OR ".join(f"{field} IN ({values})" for field in fields) + ")"


def _values(values: Iterable[str]) -> str:
    """Quoted; an asterisk is only ever one of ours, at the end."""
    parts = []
    for value in values:
        bare, star = (value[:-1], "*") if value.endswith(".*") else (value, "")
        text = plain(bare, _NAME, vendor=VENDOR).replace("\\", "\\\\")
        parts.append(f'"{text}{star}"')
    return ", ".join(parts)


def _single(address: str) -> str:
    if "/" in address:
        raise UnsupportedError(f"{VENDOR}: telemetry is asked for one address, not for {address}")
    return address


def _sighting(target: Target, row: Mapping[str, Any]) -> Sighting:
    at = _moment(row.get("_time"))
    if at is None:
        raise ResponseError("a row of the data model has no _time", vendor=VENDOR, operation=_OPERATION)
    if target.kind is TargetKind.ACCOUNT:
        return _sign_in(row, at)
    if target.kind is TargetKind.FILE:
        return _process(row, at)
    return _flow(target, row, at)


def _flow(target: Target, row: Mapping[str, Any], at: datetime) -> Sighting:
    let_through = _text(row, "action").lower() in _ALLOWED
    source, dest = _text(row, "src_ip", "src"), _text(row, "dest_ip", "dest")
    outbound = _is_source(target, row)
    peer, port = (dest, _text(row, "dest_port")) if outbound else (source, _text(row, "src_port"))
    facts = {
        "direction": "outbound" if outbound else "inbound",
        "port": port,
        "peer_name": _text(row, "url_domain", "dest_host") if outbound else _text(row, "src_host"),
        "hostname": _host(_text(row, "src_host", "src") if outbound else _text(row, "dest_host", "dest")),
        "sensor": _text(row, "sourcetype"),
    }
    seconds = _seconds(row.get("duration"))
    what = _text(row, "url") or f"{dest}:{_text(row, 'dest_port')}"
    return Sighting(
        _K.NETWORK_FLOW if let_through else _K.BLOCKED_FLOW,
        at,
        _id(row),
        f"{_text(row, 'src_host', 'src')} to {what}, {_text(row, 'action') or 'no action told'}",
        peer=peer,
        began=at - timedelta(seconds=seconds) if seconds else None,
        facts=_known(facts),
    )


def _is_source(target: Target, row: Mapping[str, Any]) -> bool:
    """Whether the target is at the beginning of the flow; what a name is asked for (domain, URL) is at its end."""
    if target.kind in {TargetKind.DOMAIN, TargetKind.URL}:
        return False
    ends = {_text(row, name).lower() for name in ("src", "src_host", "src_ip")} - {""}
    if target.kind is TargetKind.ADDRESS:
        return target.value in ends
    names = names_of(target)
    exact = {one.lower() for one in (*names.exact, *names.addresses)}
    return bool(ends & exact) or any(end.startswith(one.lower()) for end in ends for one in names.prefixes)


def _sign_in(row: Mapping[str, Any], at: datetime) -> Sighting:
    action, app = _text(row, "action").lower(), _text(row, "app")
    on_host = app.lower().startswith(_HOST_APPS)
    kinds = (_K.LOGON, _K.LOGON_REFUSED) if on_host else (_K.SIGN_IN, _K.SIGN_IN_REFUSED)
    facts = {
        "provider": "" if on_host else app,
        "account": _text(row, "user"),
        "hostname": _host(_text(row, "dest")) if on_host else "",
        "reason": _text(row, "reason"),
        "sensor": _text(row, "sourcetype"),
    }
    said = f"{_text(row, 'user')} signing in to {app or _text(row, 'dest')} from {_text(row, 'src')}, {action}"
    return Sighting(kinds[action == "failure"], at, _id(row), said, peer=_text(row, "src"), facts=_known(facts))


def _process(row: Mapping[str, Any], at: datetime) -> Sighting:
    blocked = _text(row, "action").lower() in {"blocked", "deferred"}
    host, path = _text(row, "dest"), _text(row, "process_path", "process_name")
    facts = {"hostname": host, "path": path, "sensor": _text(row, "sourcetype")}
    kind = _K.PROCESS_BLOCKED if blocked else _K.PROCESS_START
    return Sighting(kind, at, _id(row), f"{path} starting on {host}", facts=_known(facts))


def _known(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in facts.items() if value and value != "unknown"}


def _text(row: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that says something; the models write ``unknown`` for what an event lacks."""
    for name in names:
        value = row.get(name)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, str | int | float) and str(value) not in {"", "unknown"}:
            return str(value)
    return ""


def _host(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text
    return ""


def _id(row: Mapping[str, Any]) -> str:
    """Bucket and place of the event; where a model hides them, a digest of what the row says."""
    if row.get("_bkt") and row.get("_cd"):
        return f"{row['_bkt']}:{row['_cd']}"
    said = sorted((name, str(value)) for name, value in row.items() if name not in {"_serial", "_si"})
    return hashlib.sha256(repr(said).encode("utf-8", "surrogatepass")).hexdigest()


def _seconds(value: Any) -> float:
    try:
        found = float(str(value))
    except ValueError:
        return 0.0
    return found if 0 < found < 86_400 * 30 else 0.0


def _moment(value: Any) -> datetime | None:
    """ISO 8601 as results have it, or epoch seconds."""
    try:
        return datetime.fromtimestamp(float(str(value)), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None
