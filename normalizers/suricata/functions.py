"""What an EVE alert says in several fields at once: its id, who attacks whom, the connection, the request's address."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_inside, is_outside
from nightdesk.stix.paths import value_at

__all__ = ["FUNCTIONS"]

# Classes of classification.config under which nobody attacks anybody.
_QUIET: Final = frozenset(
    {
        "not suspicious traffic", "unknown traffic", "generic protocol command decode", "misc activity",
        "generic icmp event", "potential corporate privacy violation", "device retrieving external ip address detected",
        "a network event was detected", "a suspicious string was detected",
    }
)  # fmt: skip
# Rule families that remark on traffic (names of the Emerging Threats rules, and the engine's own events).
_REMARKS: Final = ("ET INFO ", "ET POLICY ", "ETPRO INFO ", "ETPRO POLICY ", "SURICATA ")
_PRIORITIES: Final = ("high", "medium", "low")
_LEAST: Final = 255
_HTTP_PORT: Final = 80
_MAILBOX: Final = re.compile(r"[^<>\s\",;:]{1,64}@[^<>\s\",;]{1,255}")
_CVE: Final = re.compile(r"(?:CVE[-_ ]?)?(\d{4})[-_](\d{4,7})", re.IGNORECASE)


def _address(value: Any) -> str | None:
    found = values.address(value) if isinstance(value, str) else None
    return found[1] if found else None


def alert_id(record: Any) -> str | None:
    """Flow, rule, packet time and transaction; without a flow the two ends stand for it."""
    moment, sid = value_at(record, "timestamp"), value_at(record, "alert", "signature_id")
    if not isinstance(moment, str) or not isinstance(sid, int | str):
        return None
    flow = value_at(record, "flow_id")
    ends = [value_at(record, key) for key in ("src_ip", "src_port", "dest_ip", "dest_port")]
    parts = [flow] if isinstance(flow, int | str) else [part for part in ends if isinstance(part, int | str)]
    parts += [value_at(record, "alert", "gid"), sid, moment, value_at(record, "tx_id")]
    return ":".join(str(part) for part in parts if isinstance(part, int | str))


def level(priority: Any) -> str:
    """A rule's priority: 1 is the gravest, 255 the least (classification.config). Raises ValueError for any other."""
    number = int(priority) if isinstance(priority, int | str) and not isinstance(priority, bool) else 0
    if not 1 <= number <= _LEAST:
        raise ValueError(priority)
    return _PRIORITIES[number - 1] if number <= len(_PRIORITIES) else "informational"


def _said(record: Any) -> tuple[str | None, str | None]:
    """(attacker, target) as the rule itself names them: its keyword ``target``, or its metadata ``hostile``."""
    source, target = (
        _address(value_at(record, "alert", "source", "ip")),
        _address(value_at(record, "alert", "target", "ip")),
    )
    if source or target:
        return source, target
    ends = {"src_ip": _address(value_at(record, "src_ip")), "dest_ip": _address(value_at(record, "dest_ip"))}
    hostile = value_at(record, "alert", "metadata", "hostile")
    named = hostile[0] if isinstance(hostile, list) and hostile else hostile
    if named in ("src_ip", "dest_ip"):
        return ends[named], ends["dest_ip" if named == "src_ip" else "src_ip"]
    return None, None


def _ends(record: Any) -> tuple[str | None, str | None]:
    """(attacker, victim): said by the rule; else, unless the class is a quiet one, (outside, inside)."""
    said = _said(record)
    category, name = value_at(record, "alert", "category"), value_at(record, "alert", "signature")
    quiet = isinstance(category, str) and category.strip().lower() in _QUIET
    if any(said) or quiet or (isinstance(name, str) and name.startswith(_REMARKS)):
        return said
    source, target = _address(value_at(record, "src_ip")), _address(value_at(record, "dest_ip"))
    if source and target and is_outside(source) and is_inside(target):
        return source, target
    if source and target and is_inside(source) and is_outside(target):
        return target, source
    return None, None


def attacker(record: Any) -> str | None:
    """The attacker's address, when it is outside; a machine of one's own is an actor, and nobody's to block."""
    found = _ends(record)[0]
    return found if found and is_outside(found) else None


def victim(record: Any) -> str | None:
    """The address of the machine that is attacked, or that talks to the attacker."""
    return _ends(record)[1]


def actor(record: Any) -> str | None:
    """A machine inside that the rule itself names as the attacker."""
    found = _ends(record)[0]
    return found if found and is_inside(found) else None


def connection(record: Any) -> list[dict[str, Any]]:
    """The flow from client to server where EVE says who is which, else the packet's two ends without byte counts."""
    flow, at = value_at(record, "flow"), ("src_ip", "src_port", "dest_ip", "dest_port")
    ends = [value_at(flow, key) for key in at]
    counts = [value_at(flow, "bytes_toserver"), value_at(flow, "bytes_toclient")]
    if None in ends:
        ends = [value_at(record, key) for key in at]
        side = value_at(record, "direction")
        if side == "to_client":
            ends = [*ends[2:], *ends[:2]]
        elif side != "to_server":
            counts = [None, None]
    if None in ends:
        return []
    names = ("from_address", "from_port", "to_address", "to_port", "sent_bytes", "received_bytes")
    return [dict(zip(names, [*ends, *counts], strict=True))]


def request_url(record: Any) -> str | None:
    """The address that was asked for over plain HTTP, put together from the host and the request line."""
    http = value_at(record, "http")
    host, path = value_at(http, "hostname"), value_at(http, "url")
    if not isinstance(path, str) or values.url(path):
        return path if isinstance(path, str) else None
    if not isinstance(host, str) or not path.startswith("/"):
        return None
    port = value_at(http, "http_port")
    where = f"{host}:{port}" if isinstance(port, int) and port != _HTTP_PORT and ":" not in host else host
    scheme = "http" if value_at(record, "tls") is None else "https"
    return values.url(f"{scheme}://{where}{path}")


def host_name(value: Any) -> str | None:
    """The domain of a Host header, without its port."""
    return values.domain(value.rpartition(":")[0] or value) if isinstance(value, str) else None


def _records(dns: Any, *keys: str) -> list[Any]:
    """The entries under these keys: version 2 has one ``query`` or ``answer``, version 3 lists of them."""
    found: list[Any] = []
    for key in keys:
        held = value_at(dns, key)
        found.extend(held if isinstance(held, list) else [] if held is None else [held])
    return found


def questions(record: Any) -> list[str]:
    """The names that were asked for."""
    dns = value_at(record, "dns")
    asked = [value_at(entry, "rrname") for entry in (dns, *_records(dns, "query", "queries"))]
    names = [values.domain(name) for name in asked if isinstance(name, str)]
    return list(dict.fromkeys(name for name in names if name))


def answers(record: Any) -> list[str]:
    """What was answered: addresses and names."""
    dns = value_at(record, "dns")
    entries = [*_records(dns, "answers"), *_records(value_at(dns, "answer"), "answers")]
    data = [value_at(entry, "rdata") for entry in entries]
    grouped = value_at(dns, "grouped")
    data += [item for kind in ("A", "AAAA", "CNAME") for item in _records(grouped, kind)]
    return list(dict.fromkeys(text for text in data if isinstance(text, str)))


def mailbox(value: Any) -> str | None:
    """The address of a mail header or of the envelope, without name and brackets."""
    match = _MAILBOX.search(value[:1000]) if isinstance(value, str) else None
    # What is outside ASCII no STIX validator takes as a mail address; it stays readable as a vendor field.
    return values.email(match[0]) if match and match[0].isascii() else None


def link(value: Any) -> str | None:
    """An address in a mail; Suricata leaves its scheme off."""
    if not isinstance(value, str) or not value.strip():
        return None
    return values.url(value) or values.url(f"http://{value.strip()}")


def cve(value: Any) -> str | None:
    """A CVE id, which rules also write ``CVE_2021_44228`` or ``2021-44228``."""
    match = _CVE.fullmatch(value.strip()) if isinstance(value, str) else None
    return f"CVE-{match[1]}-{match[2]}" if match else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        alert_id, level, attacker, victim, actor, connection, request_url, host_name, questions, answers, mailbox,
        link, cve,
    )
}  # fmt: skip
