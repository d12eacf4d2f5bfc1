"""What the instance's events saw of a target, by UDM fields alone, so that nothing here knows who wrote a log.

Google does not say how a quote within a string is written, nor whether ``nocase`` may follow every field: so a value
with anything but harmless letters is refused, and names are compared by an anchored pattern that ignores case.
Sources: https://cloud.google.com/chronicle/docs/investigation/udm-search-best-practices,
https://cloud.google.com/chronicle/docs/unified-data-model/udm-usage and
https://cloud.google.com/chronicle/docs/reference/udm-field-list
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.google_secops.client import VENDOR
from nightdesk.connectors.google_secops.products import slug_of
from nightdesk.connectors.google_secops.search import Search, body_of, time_of
from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.naming import names_of, plain
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Telemetry"]

_K = SightingKind
# No quote, no backslash; a slash only within quotes, for it ends a pattern.
_NAME, _LINK = " .@:-+$'", ".:/-?&=#%~+,;!()@$'*"
_FLOWS = ("NETWORK_CONNECTION", "NETWORK_FLOW", "NETWORK_HTTP", "NETWORK_FTP", "NETWORK_SMTP")
_PASSED, _STOPPED = frozenset({"ALLOW", "ALLOW_WITH_MODIFICATION"}), frozenset({"BLOCK", "QUARANTINE"})
_REFUSED = _STOPPED | {"FAIL"}
_HOST_MECHANISMS = frozenset(
    {"LOCAL", "INTERACTIVE", "REMOTE_INTERACTIVE", "UNLOCK", "CACHED_INTERACTIVE", "CACHED_REMOTE_INTERACTIVE",
     "CACHED_UNLOCK", "SERVICE", "BATCH"}
)  # fmt: skip
"""``extensions.auth.mechanism`` where a host let somebody in, and not an identity provider."""


class Telemetry:
    """One instance's events."""

    def __init__(self, search: Search) -> None:
        self._search = search

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """Events of the half-open time, oldest first. Raises VendorError when not all of them came."""
        query, most = _query(target), max(limit, 1)
        events = await self._search.oldest(query, since, until, limit=most)
        told = [_sighting(target, event) for event in events]
        return sorted(told, key=lambda one: (one.at, one.native_id))[:most]


def _query(target: Target) -> str:
    match target.kind:
        case TargetKind.HOST:
            names = names_of(target)
            named = [_like(noun, one) for one in names.exact for noun in ("principal.hostname", "target.hostname")]
            longer = [
                _like(noun, one, longer=True)
                for one in names.prefixes
                for noun in ("principal.hostname", "target.hostname")
            ]
            placed = [_is(noun, one) for one in names.addresses for noun in ("principal.ip", "target.ip")]
            return _both(_types(*_FLOWS), _any([*named, *longer, *placed]))
        case TargetKind.ACCOUNT:
            # A name with its domain before it would need a backslash; UDM keeps the domain in a field of its own.
            known = [one for one in names_of(target).exact if "\\" not in one]
            return _both(
                _types("USER_LOGIN"), _any(_like(f"target.user.{field}", one) for one in known for field in _USER)
            )
        case TargetKind.ADDRESS if "/" not in target.value:
            return _both(_types(*_FLOWS), _any([_is("principal.ip", target.value), _is("target.ip", target.value)]))
        case TargetKind.DOMAIN:
            fields = ("target.hostname", "target.domain.name")
            return _both(_types(*_FLOWS), _any(_like(field, target.value) for field in fields))
        case TargetKind.URL:
            return _both(_types(*_FLOWS), _is("target.url", target.value, _LINK))
        case TargetKind.FILE:
            kind, _, digest = target.value.partition(":")
            return _both(_types("PROCESS_LAUNCH"), _is(f"target.process.file.{kind}", digest.lower(), ""))
    raise UnsupportedError(f"{VENDOR}: no telemetry of {target.key} is read")


_USER = ("userid", "email_addresses", "windows_sid", "product_object_id")


def _types(*names: str) -> str:
    return _any(f'metadata.event_type = "{name}"' for name in names)


def _is(field: str, value: str, allowed: str = _NAME) -> str:
    return f'{field} = "{plain(value, allowed, vendor=VENDOR)}"'


def _like(field: str, value: str, *, longer: bool = False) -> str:
    """The whole name whatever its case; ``longer``: what begins with it. No letter but a word's has a meaning."""
    text = "".join(one if one.isalnum() or one == "_" else f"[{one}]" for one in plain(value, _NAME, vendor=VENDOR))
    return f"{field} = /(?i)^{text}{'' if longer else '$'}/"


def _any(tests: Iterable[str]) -> str:
    return f"({' or '.join(tests)})"


def _both(first: str, second: str) -> str:
    return f"{first} and {second}"


def _sighting(target: Target, event: Mapping[str, Any]) -> Sighting:
    body, at = body_of(event), time_of(event)
    metadata = _part(body, "metadata")
    said = repr(sorted((key, str(value)) for key, value in body.items()))
    native = str(metadata.get("id") or "") or hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
    if target.kind is TargetKind.ACCOUNT:
        return _sign_in(body, native, at)
    if target.kind is TargetKind.FILE:
        return _process(body, native, at)
    return _flow(target, body, native, at)


def _flow(target: Target, body: Mapping[str, Any], native: str, at: datetime) -> Sighting:
    near, far, actions = _part(body, "principal"), _part(body, "target"), _actions(body)
    stopped = bool(actions & _STOPPED)
    outbound = _begins_at(target, near)
    other, end = (far, near) if outbound else (near, far)
    facts = {
        "direction": "outbound" if outbound else "inbound",
        "port": _text(other, "port"),
        "peer_name": _text(other, "hostname") or _text(_part(other, "domain"), "name"),
        "hostname": _text(end, "hostname"),
        "sensor": _sensor(body),
        # Telemetry without a verdict, as a sensor's own or a flow record, is of what took place; FAIL is neither.
        "passage": "" if stopped or not actions or actions & _PASSED else "unknown",
    }
    link = _text(far, "url") or f"{_text(far, 'hostname', 'ip')}:{_text(far, 'port')}"
    began = at - timedelta(seconds=_lasted(body))
    return Sighting(
        _K.BLOCKED_FLOW if stopped else _K.NETWORK_FLOW,
        at,
        native,
        f"{_text(near, 'hostname', 'ip')} to {link}, {', '.join(sorted(actions)) or 'no action told'}",
        peer=_text(other, "ip"),
        began=began if began < at else None,
        facts=_known(facts),
    )


def _begins_at(target: Target, near: Mapping[str, Any]) -> bool:
    """Whether the target is at the beginning of a flow; what is asked for by name is at its end."""
    addresses = set(_texts(near, "ip"))
    if target.kind is TargetKind.ADDRESS:
        return target.value in addresses
    if target.kind is not TargetKind.HOST:
        return False
    names, host = names_of(target), _text(near, "hostname").lower()
    return (
        host in {one.lower() for one in names.exact}
        or host.startswith(tuple(one.lower() for one in names.prefixes))
        or bool(addresses & set(names.addresses))
    )


def _sign_in(body: Mapping[str, Any], native: str, at: datetime) -> Sighting:
    user, actions = _part(_part(body, "target"), "user"), _actions(body)
    auth = _part(_part(body, "extensions"), "auth")
    on_host = _text(auth, "type") == "MACHINE" or bool(set(_texts(auth, "mechanism")) & _HOST_MECHANISMS)
    refused, let_in = bool(actions & _REFUSED), bool(actions & _PASSED)
    kinds = (_K.LOGON, _K.LOGON_REFUSED) if on_host else (_K.SIGN_IN, _K.SIGN_IN_REFUSED)
    provider = "" if on_host else _sensor(body)
    facts = {
        "provider": provider,
        "account": _text(user, "emailAddresses", "userid"),
        "hostname": _text(_part(body, "target"), "hostname") if on_host else "",
        "reason": next((_text(one, "summary", "description") for one in _results(body)), "") if refused else "",
        "sensor": _sensor(body),
        "passage": "" if refused or let_in else "unknown",
    }
    where = _text(_part(body, "target"), "application", "hostname") or provider or "an application"
    peer = _text(_part(body, "principal"), "ip")
    said = f"{facts['account']} signing in to {where} from {peer}, {', '.join(sorted(actions)) or 'no action told'}"
    return Sighting(kinds[refused], at, native, said, peer=peer, facts=_known(facts))


def _process(body: Mapping[str, Any], native: str, at: datetime) -> Sighting:
    file = _part(_part(_part(body, "target"), "process"), "file")
    host, path = _text(_part(body, "principal"), "hostname"), _text(file, "fullPath")
    kind = _K.PROCESS_BLOCKED if _actions(body) & _STOPPED else _K.PROCESS_START
    facts = {"hostname": host, "path": path, "sensor": _sensor(body)}
    return Sighting(kind, at, native, f"{path} starting on {host}", facts=_known(facts))


def _sensor(body: Mapping[str, Any]) -> str:
    """Whose record it is: our word for that product where we have one, else its own name."""
    metadata = _part(body, "metadata")
    return slug_of(_text(metadata, "logType")) or _text(metadata, "productName", "vendorName")


def _actions(body: Mapping[str, Any]) -> frozenset[str]:
    """What the product did; a value that says nothing is none."""
    told = {action for one in _results(body) for action in _texts(one, "action")}
    return frozenset(told - {"UNKNOWN_ACTION"})


def _results(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = body.get("securityResult")
    rows = found if isinstance(found, list) else [found]
    return [one for one in rows if isinstance(one, Mapping)]


def _lasted(body: Mapping[str, Any]) -> float:
    """How long a session was that is written at its end: a duration in JSON is ``12.5s``."""
    text = _text(_part(body, "network"), "sessionDuration").removesuffix("s")
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < 86_400 * 30 else 0.0


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    return found if isinstance(found, Mapping) else {}


def _texts(part: Mapping[str, Any], name: str) -> list[str]:
    value = part.get(name)
    return [str(one) for one in (value if isinstance(value, list) else [value]) if one not in (None, "", [])]


def _text(part: Mapping[str, Any], *names: str) -> str:
    return next((one for name in names for one in _texts(part, name)), "")


def _known(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in facts.items() if value}
