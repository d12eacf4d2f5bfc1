"""What Falco says through the form of a value: a missing one, a connection in a name, a tactic in a tag."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_outside

__all__ = ["FUNCTIONS"]

_MISSING: Final = frozenset({"<NA>", "N/A", ""})
_CONNECTION: Final = re.compile(r"(\S{2,45}):(\d{1,5})->(\S{2,45}):(\d{1,5})")


def _fields(record: Any) -> dict[str, Any]:
    found = record.get("output_fields") if isinstance(record, dict) else None
    return found if isinstance(found, dict) else {}


def without_na(record: dict[str, Any]) -> dict[str, Any]:
    """The alert without the fields for which Falco writes that there is no value."""
    fields = record.get("output_fields")
    if not isinstance(fields, dict):
        return record
    kept = {key: value for key, value in fields.items() if not (isinstance(value, str) and value in _MISSING)}
    return {**record, "output_fields": kept}


def alert_id(record: Any) -> str | None:
    """Machine, rule, time to the nanosecond, and process or event number where the output has one."""
    if not isinstance(record, dict):
        return None
    fields = _fields(record)
    parts = [record.get("time"), record.get("rule"), record.get("hostname")]
    parts += [fields.get(key) for key in ("evt.time", "evt.num", "proc.pid", "container.id")]
    texts = [str(part) for part in parts if isinstance(part, str | int) and not isinstance(part, bool)]
    return "|".join(texts) if isinstance(parts[0], str) and isinstance(parts[1], str) else None


def tactic_of(tag: Any) -> str | None:
    """``mitre_lateral_movement`` in words; an ATT&CK id as it is."""
    if isinstance(tag, str) and re.fullmatch(r"TA\d{4}", tag):
        return tag
    if not isinstance(tag, str) or not tag.lower().startswith("mitre_"):
        return None
    return tag[6:].replace("_", " ").title().replace(" And ", " and ")


def far_end(record: Any) -> str | None:
    """The far end of the connection, when it is outside private space."""
    text = _fields(record).get("fd.rip")
    found = values.address(text) if isinstance(text, str) else None
    return found[1] if found and is_outside(found[1]) else None


def connection(record: Any) -> list[dict[str, Any]]:
    """Client and server of the connection: from their own fields, else from the name of the descriptor."""
    fields = _fields(record)
    names = ("from_ip", "from_port", "to_ip", "to_port")
    ends = [fields.get(key) for key in ("fd.cip", "fd.cport", "fd.sip", "fd.sport")]
    if None in ends:
        name = fields.get("fd.name")
        match = _CONNECTION.fullmatch(name) if isinstance(name, str) else None
        ends = list(match.groups()) if match else []
    return [dict(zip(names, ends, strict=True))] if ends else []


def source_ips(record: Any) -> list[str]:
    """The addresses from which an API server was called."""
    found = _fields(record).get("ka.sourceips")
    texts = re.findall(r"[0-9A-Fa-f:.]{3,45}", found[:1000]) if isinstance(found, str) else found
    known = (values.address(text) for text in (texts if isinstance(texts, list) else []) if isinstance(text, str))
    return list(dict.fromkeys(pair[1] for pair in known if pair))


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (without_na, alert_id, tactic_of, far_end, connection, source_ips)
}
