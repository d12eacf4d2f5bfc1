"""What Snort's alerts leave to their reader: the parts of a line, their time, and who attacks whom."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.functions import utc
from nightdesk.stix.networks import is_inside, is_outside

__all__ = ["FUNCTIONS"]

# Classes (classification.config) under which nobody attacks anybody, by name and as the text that lines show.
_QUIET: Final = frozenset(
    {
        "not-suspicious", "unknown", "protocol-command-decode", "misc-activity", "icmp-event", "policy-violation",
        "network-event", "tcp-connection", "string-detect", "none", "not suspicious traffic", "unknown traffic",
        "generic protocol command decode", "misc activity", "generic icmp event", "a tcp connection was detected",
        "potential corporate privacy violation", "a network event was detected", "a suspicious string was detected",
    }
)  # fmt: skip
_PRIORITIES: Final = ("", "high", "medium", "low", "informational")
_LONGEST: Final = 4096
_LINE: Final = re.compile(
    r"(?:(?P<timestamp>\d\d/\d\d(?:/\d{2,4})?-\d\d:\d\d:\d\d(?:\.\d{1,6})?)\s+)?(?:\[(?P<action>\w+)\]\s+)?(?:\[\*\*\]\s+)?"
    r"\[(?P<gid>\d+):(?P<sid>\d+):(?P<rev>\d+)\]:?\s+(?P<msg>.*?)\s*(?:\[\*\*\]\s*)?"
    r"(?:\[Classification: (?P<class>[^\]]*)\]\s*)?(?:\[Priority: (?P<priority>\d+)\]:?\s*)?"
    r"(?:\[AppID: (?P<appid>[^\]]*)\]\s*)?"
    r"(?:<(?P<iface>\S+)>\s*)?\{(?P<proto>\S+)\}\s+(?P<source>\S+)\s+->\s+(?P<destination>\S+)\s*"
)
_STAMP: Final = re.compile(r"(\d\d)/(\d\d)/(\d{2,4})-(\d\d:\d\d:\d\d)(\.\d{1,6})?")
_MONTHS: Final = 12
_WITH_PORTS: Final = frozenset({"tcp", "udp"})


def _text(record: Any, key: str) -> str:
    found = record.get(key) if isinstance(record, dict) else None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _split(end: str, protocol: str) -> tuple[str | None, str | None]:
    """(address, port) of one end; Snort sets no brackets round IPv6, and writes port 0 where there is none."""
    if values.address(end) and (protocol.lower() not in _WITH_PORTS or ":" not in end):
        return end, None
    address, _, port = end.rpartition(":")
    if not values.address(address) or not port.isdecimal():
        return (end if values.address(end) else None), None
    return address, (port if protocol.lower() in _WITH_PORTS else None)


def complete(record: dict[str, Any]) -> dict[str, Any]:
    """The record with address and port of each end, and with the parts of the rule's number."""
    made: dict[str, Any] = {}
    for side in ("src", "dst"):
        both = record.get(f"{side}_ap")
        if isinstance(both, str):
            made[f"{side}_addr"], made[f"{side}_port"] = _split(both, _text(record, "proto"))
    rule = record.get("rule")
    if isinstance(rule, str) and rule.count(":") == 2:
        made |= dict(zip(("gid", "sid", "rev"), rule.split(":"), strict=True))
    if isinstance(record.get("msg"), str):
        made["msg"] = record["msg"].strip('"')
    return {key: value for key, value in made.items() if value is not None} | {
        key: value for key, value in record.items() if key != "msg" or "msg" not in made
    }


def take_apart(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the parts of its line under the names that Snort's JSON has for them."""
    line = record.get("message")
    match = _LINE.fullmatch(line.strip()[:_LONGEST]) if isinstance(line, str) else None
    if match is None:
        return record
    parts = {key: value for key, value in match.groupdict().items() if value}
    made = {key: value for key, value in parts.items() if key not in {"source", "destination"}}
    made["msg"] = made.get("msg", "").strip('"')
    made["rule"] = f"{made['gid']}:{made['sid']}:{made['rev']}"
    for name, side in (("source", "src"), ("destination", "dst")):
        address, port = _split(parts[name], made["proto"])
        made |= {f"{side}_addr": address or parts[name]} | ({f"{side}_port": port} if port else {})
    return {**made, **record}


def _stamped(text: str) -> str | None:
    """Snort's own time, when it has a year: version 3 writes it first, version 2 last, or all four digits."""
    match = _STAMP.fullmatch(text.strip())
    if match is None:
        return None
    one, two, three, clock, fraction = match.groups()
    year, month, day = (one, two, three) if len(three) == 2 and int(one) > _MONTHS else (three, one, two)
    return f"{year if len(year) == 4 else '20' + year}-{month}-{day}T{clock}{fraction or ''}Z"


def alert_time(record: Any) -> str | None:
    """The alert's time: seconds since 1970, or a time with a year, of the line or of its syslog header; else none."""
    stamp, seconds = _text(record, "timestamp"), _text(record, "seconds")
    if seconds.isdecimal() and len(seconds) == 10:
        whole = datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S")
        fraction = re.search(r"\.\d{1,6}$", stamp)
        return f"{whole}{fraction[0] if fraction else ''}Z"
    header = record.get("syslog") if isinstance(record, dict) else None
    outer = str(utc(_text(header, "timestamp")))
    return _stamped(stamp) or (outer if values.moment(outer) else None)


def alert_id(record: Any) -> str | None:
    """Rule, time, ends and, in JSON, the packet's number."""
    keys = ("rule", "src_addr", "src_port", "dst_addr", "dst_port", "pkt_num")
    moment = alert_time(record) or _text(record, "timestamp")
    parts = [_text(record, "rule"), moment, *(_text(record, key) for key in keys[1:])]
    return "|".join(part for part in parts if part) if parts[0] else None


def rule_title(rule: Any) -> str | None:
    """What an alert without a message is called."""
    return f"Snort rule {rule}" if isinstance(rule, str) else None


def level(priority: Any) -> str | None:
    """A priority: 1 is the gravest, 4 very low; a rule without a class has 0. Raises ValueError for any other."""
    number = int(priority) if isinstance(priority, int | str) and not isinstance(priority, bool) else -1
    if not 0 <= number < len(_PRIORITIES):
        raise ValueError(priority)
    return _PRIORITIES[number] or None


def _ends(record: Any) -> tuple[str | None, str | None]:
    """(attacker, victim): what the rule says; else, unless the class is a quiet one, (outside, inside)."""
    found = [values.address(_text(record, key)) for key in ("src_addr", "dst_addr", "target")]
    source, target, said = (pair[1] if pair else None for pair in found)
    if source is None or target is None:
        return None, None
    if said in (source, target):
        return (target if said == source else source), said
    if _text(record, "class").strip().lower() in _QUIET:
        return None, None
    if is_outside(source) and is_inside(target):
        return source, target
    return (target, source) if is_inside(source) and is_outside(target) else (None, None)


def attacker(record: Any) -> str | None:
    """The attacker's address, when it is outside; a machine of one's own is an actor, and nobody's to block."""
    found = _ends(record)[0]
    return found if found and is_outside(found) else None


def victim(record: Any) -> str | None:
    """The address of the machine that is attacked, or that talks to the attacker."""
    return _ends(record)[1]


def actor(record: Any) -> str | None:
    """A machine inside that attacks, as the rule says."""
    found = _ends(record)[0]
    return found if found and is_inside(found) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (complete, take_apart, alert_time, alert_id, rule_title, level, attacker, victim, actor)
}
