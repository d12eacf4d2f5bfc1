"""What Zeek's records say in several fields at once: their id, who did what to whom, and what a sighting means."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_inside, is_outside
from nightdesk.stix.paths import value_at

__all__ = ["FUNCTIONS"]

# Notices whose ``src`` is the one who acts (the scripts that raise them fill it so), by module or by full name.
_ACTED_BY_SOURCE: Final = frozenset(
    {
        "scan", "attack", "scan::port_scan", "scan::address_scan", "scan::random_scan", "ssh::password_guessing",
        "ssh::login_by_password_guesser", "ftp::bruteforcing", "http::sql_injection_attacker", "traceroute::detected",
        "heartbleed::ssl_heartbeat_attack", "heartbleed::ssl_heartbeat_attack_success", "simplescan",
    }
)  # fmt: skip
# Notices that something known to be bad reached the machine inside.
_REACHED: Final = frozenset({"teamcymrumalwarehashregistry::match", "intel::notice"})
_TECHNIQUE: Final = re.compile(r"\bT\d{4}(?:\.\d{3})?\b")
_SENT: Final = frozenset(
    {"smtp::in_from", "smtp::in_mail_from", "smtp::in_reply_to", "smtp::in_x_originating_ip_header"}
)


def _text(record: Any, *steps: str) -> str:
    found = value_at(record, *steps)
    return str(found) if isinstance(found, str | int | float) else ""


def _address(record: Any, *steps: str) -> str | None:
    found = values.address(_text(record, *steps))
    return found[1] if found else None


def _joined(*parts: str) -> str | None:
    return "|".join(parts) if parts[0] and parts[1] else None


def notice_id(record: Any) -> str | None:
    """Time, kind, connection, ends and what tells equal notices apart."""
    keys = ("uid", "src", "dst", "p", "identifier", "fuid", "sub")
    return _joined(_text(record, "ts"), _text(record, "note"), *(part for key in keys if (part := _text(record, key))))


def notice_title(note: Any) -> str | None:
    """``SSL::Invalid_Server_Cert`` in words."""
    return note.replace("::", ": ").replace("_", " ") if isinstance(note, str) else None


def _source(record: Any) -> str | None:
    """The address that the notice names as the one who acts."""
    note = _text(record, "note").lower()
    if note in _ACTED_BY_SOURCE or note.partition("::")[0] in _ACTED_BY_SOURCE:
        return _address(record, "src") or _address(record, "id", "orig_h")
    return None


def attacker(record: Any) -> str | None:
    """Who acts, when that is outside."""
    found = _source(record)
    return found if is_outside(found) else None


def actor(record: Any) -> str | None:
    """Who acts, when that is a machine inside."""
    found = _source(record)
    return found if is_inside(found) else None


def victim(record: Any) -> str | None:
    """The machine inside that is acted upon."""
    if _text(record, "note").lower() in _REACHED:
        return _own(record)
    source, target = _source(record), _address(record, "dst") or _address(record, "id", "resp_h")
    return target if source and source != target and is_inside(target) else None


def machine(record: Any) -> str | None:
    """The machine inside that a notice is about which blames nobody."""
    return None if _source(record) or victim(record) else _own(record)


def _own(record: Any) -> str | None:
    ends = (_address(record, "src"), _address(record, "id", "orig_h"), _address(record, "dst"))
    return next((end for end in ends if end and is_inside(end)), None)


def techniques_of(record: Any) -> list[str]:
    """ATT&CK ids in the sub message of a behaviour notice (the scripts of MITRE's BZAR write them there)."""
    return _TECHNIQUE.findall(_text(record, "sub")[:2000]) if _text(record, "note").startswith("ATTACK::") else []


def tactic_of(record: Any) -> str | None:
    """The ATT&CK tactic after which a behaviour notice is named."""
    module, _, name = _text(record, "note").partition("::")
    return name.replace("_", " ") if module == "ATTACK" and name else None


def file_name(description: Any) -> str | None:
    """The name in a file's description, which is an address or a name."""
    if not isinstance(description, str):
        return None
    path = description.split("?")[0] if values.url(description) else description
    return values.split_path(path)[1] or None


def sighting_id(record: Any) -> str | None:
    """Time, what was seen, where, and in which connection."""
    keys = (("uid",), ("fuid",), ("seen", "where"), ("seen", "node"))
    parts = [part for steps in keys if (part := _text(record, *steps))]
    return _joined(_text(record, "ts"), _text(record, "seen", "indicator"), *parts)


def sighting_title(record: Any) -> str | None:
    """One sentence: what was seen, and where."""
    what, kind = _text(record, "seen", "indicator"), _text(record, "seen", "indicator_type").rpartition(":")[2]
    where = _text(record, "seen", "where")
    return f"Intel {kind} {what} seen" + (f" in {where}" if where else "") if what else None


def full_url(value: Any) -> str | None:
    """An address with its scheme; without one the framework compared plain HTTP."""
    if not isinstance(value, str):
        return None
    return values.url(value) or values.url(f"http://{value.strip()}")


def sent_by(record: Any) -> str | None:
    """``sender`` when the mail address stood where a sender stands."""
    kind, where = _text(record, "seen", "indicator_type"), _text(record, "seen", "where").lower()
    return "sender" if kind == "Intel::EMAIL" and where in _SENT else None


def seen_at(record: Any) -> str | None:
    """The machine inside that took part in the connection, and is not itself what is looked for."""
    wanted = _address(record, "seen", "indicator")
    ends = (_address(record, "id", "orig_h"), _address(record, "id", "resp_h"))
    return next((end for end in ends if end and end != wanted and is_inside(end)), None)


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        notice_id, notice_title, attacker, actor, victim, machine, techniques_of, tactic_of, file_name, sighting_id,
        sighting_title, full_url, sent_by, seen_at,
    )
}  # fmt: skip
