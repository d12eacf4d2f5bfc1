"""The events of an alarm in one shape: without the product's words for *nothing*, and with who is on which side."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.functions import utc
from nightdesk.stix.networks import is_inside

__all__ = ["FUNCTIONS"]

# How the product writes a field that a log did not have: numbers of ids, ports and counts, texts of all others.
_NOTHING: Final[tuple[Any, ...]] = (
    None,
    "",
    -1,
    "-1",
    -100,
    -1000001,
    "0x0",
    "0001-01-01T00:00:00",
    "Unknown",
    "NULL",
    [],
    {},
)
_COUNTS: Final = frozenset(
    {
        "duration", "itemsPacketsIn", "itemsPacketsOut", "quantity", "rate", "amount", "direction", "directionId",
        "originZone", "impactedZone", "bytesIn", "bytesOut",
    }
)  # fmt: skip
_PLACES: Final = frozenset({"originLocation", "impactedLocation", "originNetwork", "impactedNetwork"})
# What objects are made of; everything else an event says goes to the facts of all events together.
_READ: Final = frozenset(
    {
        "commonEventName", "classificationName", "logSourceTypeName", "logSourceHostName", "messageId", "mpeRuleId",
        "mpeRuleName", "originMAC", "impactedMAC", "originNATIP", "impactedNATIP", "originPort", "impactedPort",
        "protocolName", "bytesIn", "bytesOut", "process", "processId", "parentProcessId", "parentProcessName",
        "parentProcessPath", "command", "url", "sender", "recipient", "subject", "cve", "reason", "session",
        "vendorMessageId",
    }
)  # fmt: skip
# Facts that a mapping gives a name; the others stand together under ``other``.
_NAMED: Final = frozenset(
    {
        "commonEventName", "classificationName", "classificationTypeName", "logSourceName", "logSourceHostName",
        "messageId", "mpeRuleId", "mpeRuleName", "logDate", "command", "object", "objectName", "subject",
        "userAgent", "logMessage",
        "url", "process", "action", "hash", "protocolName", "originPort", "impactedPort", "priority", "cve",
    }
)  # fmt: skip
_NAMES: Final = ("HostName", "Host", "Name", "HostOrIp")
_HASHES: Final = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{64}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32})(?![0-9A-Fa-f])")


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def _said(name: str, value: Any) -> bool:
    """Whether a field of an event says anything."""
    if isinstance(value, bool):
        return True
    if value in _NOTHING or (value == 0 and name in _COUNTS):
        return False
    return not (name in _PLACES and isinstance(value, dict) and not value.get("name"))


def _whole(value: Any) -> int:
    return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else 0


def _ip(value: Any) -> str | None:
    """An address, bare or as ``{"value": …}``."""
    text = value.get("value") if isinstance(value, dict) else value
    known = values.address(text) if isinstance(text, str) else None
    return known[1] if known else None


def _key(value: Any) -> str:
    """What tells two values apart; one that is nested too deeply to be written is only itself."""
    try:
        return repr(value)
    except RecursionError:
        return f"#{id(value)}"


def _side(event: Mapping[str, Any], prefix: str) -> tuple[str | None, str | None, bool]:
    """(host name, address, whether it is the company's own) of the origin or the impacted end."""
    texts = [event.get(prefix + name) for name in _NAMES]
    names = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    host = next((text for text in names if values.address(text) is None), None)
    found = (_ip(item) for item in (event.get(f"{prefix}IP"), *names))
    address = next((item for item in found if item), None)
    zones = {str(event.get(prefix + name)).lower() for name in ("Zone", "ZoneName")}
    listed = event.get(f"{prefix}HostId")
    own = bool(zones & {"internal", "dmz"}) or (isinstance(listed, int) and listed > 0)
    guessed = is_inside(address) if address else host is not None
    return host, address, own or ("external" not in zones and guessed)


def _event(raw: dict[str, Any]) -> dict[str, Any]:
    """What objects are made of: the fields of one event, and both ends with the side they are on."""
    said = {name: value for name, value in raw.items() if _said(name, value)}
    made = {name: value for name, value in said.items() if name in _READ}
    ends = ("origin", "impacted")
    (origin_host, origin, origin_own), (host, impacted, own) = (_side(said, end) for end in ends)
    login, account = said.get("login"), said.get("account")
    acting = isinstance(login, str) and isinstance(account, str) and login.lower() != account.lower()
    found: dict[str, Any] = {
        "origin": origin, "impacted": impacted,
        # An address outside that begins something at an own host; what two strangers do is nobody's attack.
        "attacker": origin if not origin_own and (own or not (host or impacted)) else None,
        "victim_host": host if own else None, "victim_address": impacted if own else None,
        "other_host": None if own else host, "actor_host": origin_host if origin_own else None,
        "actor_address": origin if origin_own else None, "far_host": None if origin_own else origin_host,
        "actor": login if acting else None, "victim_account": account if acting else None,
        "victim_user": None if acting else login or account,
        "hashes": _HASHES.findall(said["hash"]) if isinstance(said.get("hash"), str) else None,
    }  # fmt: skip
    return made | {name: value for name, value in found.items() if value}


def _facts(raws: list[dict[str, Any]]) -> dict[str, Any]:
    """What the events say beside their objects, each value once; counts and times of all of them as one."""
    ends = {end + name for end in ("origin", "impacted") for name in (*_NAMES, "IP")} | {"login", "account", "count"}
    named: dict[str, dict[str, Any]] = {}
    other: dict[str, dict[str, Any]] = {}
    for raw in raws:
        for name, value in raw.items():
            if not _said(name, value) or name in ends or (name in _READ and name not in _NAMED) or name == "normalDate":
                continue
            (named if name in _NAMED else other).setdefault(name, {}).setdefault(_key(value), value)
    made: dict[str, Any] = {name: list(found.values()) for name, found in named.items()}
    rest = {
        name: list(found.values()) if len(found) > 1 else next(iter(found.values())) for name, found in other.items()
    }
    numbers, counts = ([_whole(raw.get(name)) for raw in raws] for name in ("priority", "count"))
    texts = [utc(raw["normalDate"]) for raw in raws if isinstance(raw.get("normalDate"), str)]
    moments = sorted((found, text) for text in texts if (found := values.parse_time(text)))
    made |= {"other": rest, "highest": max(numbers, default=0) or None, "total": sum(counts) or None}
    made |= {"first": moments[0][1], "last": moments[-1][1]} if moments else {}
    return {name: value for name, value in made.items() if value not in (None, {}, [])}


def gathered(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The document with its events under ``events`` and ``facts``; what is no event stays, to be seen as lost."""
    raws = _dicts(document.get(name))
    made = {key: value for key, value in document.items() if key != name or (value and not raws)}
    return {**made, "events": [_event(raw) for raw in raws], "facts": _facts(raws)} if raws else made


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {"gathered": gathered}
