"""What OCSF spreads over an event and its evidences, brought together; and what its numbers mean in which class."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_inside, is_outside
from nightdesk.stix.paths import value_at

__all__ = ["FUNCTIONS"]

_MOVED: Final = (
    "device", "actor", "user", "src_endpoint", "dst_endpoint", "process", "file", "tls", "query", "answers", "url",
    "http_request", "reg_key", "reg_value", "email", "api", "connection_info", "traffic",
)  # fmt: skip
_FINDINGS: Final = 2
_SECURITY_FINDING: Final = 2001
_INCIDENT: Final = 2005
_MEDIUM: Final = 3
_OTHER: Final = 99
# 1 New, 2 In Progress, 3 Suppressed (reviewed, and benign or false), 4 Resolved, 5 Archived, 6 Deleted.
_STATES: Final = {"1": "new", "2": "open", "3": "closed", "4": "closed", "5": "closed", "6": "closed"} | dict.fromkeys(
    ("0", "99", "-1"), ""
)
_OBSERVED: Final = {"address": {"2"}, "domain": {"1"}, "url": {"6", "23"}}
_MAILBOX: Final = re.compile(r"[^<>\s\",;:]{1,64}@[^<>\s\",;]{1,255}")
_VOLATILE: Final = frozenset({"logged_time", "processed_time", "sequence"})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _address(value: Any) -> str | None:
    found = values.address(value) if isinstance(value, str) else None
    return found[1] if found else None


def _warns(record: Mapping[str, Any]) -> bool:
    """Whether the event is a finding, an alert, or grave: only then is an end outside an attacker's."""
    grave = record.get("severity_id")
    finding = record.get("category_uid") == _FINDINGS or record.get("is_alert") is True
    return finding or (isinstance(grave, int) and _MEDIUM <= grave < _OTHER)


def _ends(part: Mapping[str, Any], *, warns: bool) -> dict[str, Any]:
    """Both endpoints of one event or evidence, the outer one marked when it is the attacker's."""
    source, target = value_at(part, "src_endpoint"), value_at(part, "dst_endpoint")
    first, second = _address(value_at(source, "ip")), _address(value_at(target, "ip"))
    made: dict[str, Any] = {}
    if isinstance(source, dict):
        hostile = warns and is_outside(first) and not (second and is_outside(second))
        made["src_endpoint"] = source | ({"attacks": True} if hostile else {})
    if isinstance(target, dict):
        hostile = warns and is_inside(first) and is_outside(second)
        made["dst_endpoint"] = target | ({"attacks": True} if hostile else {})
    return made


def _connection(part: Mapping[str, Any]) -> dict[str, Any] | None:
    source, target = value_at(part, "src_endpoint"), value_at(part, "dst_endpoint")
    if not isinstance(source, dict) or not isinstance(target, dict):
        return None
    request = value_at(part, "http_request")
    return {
        "src": source.get("ip"), "dst": target.get("ip"), "src_port": source.get("port"),
        "dst_port": target.get("port"),
        "protocol": value_at(part, "connection_info", "protocol_name"), "application": value_at(part, "app_name"),
        "sent": value_at(part, "traffic", "bytes_out"), "received": value_at(part, "traffic", "bytes_in"),
        "method": value_at(request, "http_method"), "agent": value_at(request, "user_agent"),
        "target": value_at(request, "url", "path") or value_at(request, "url", "url_string"),
    }  # fmt: skip


def _processes(part: Mapping[str, Any], machine: Any, *, warns: bool) -> Iterator[dict[str, Any]]:
    """The processes of one event or evidence; a warning is about its process, not about the one that acts beside it."""
    for found in _listed(part.get("process")):
        if isinstance(found, dict):
            yield found | {"device_uid": machine, "warns": warns}
    alone = warns and part.get("process") is None
    for found in _listed(value_at(part, "actor", "process")):
        if isinstance(found, dict):
            yield found | {"device_uid": machine, "warns": alone}


def _attacks(record: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """(technique ids, tactic ids or names) of the event, of its finding and of every kill chain in them."""
    techniques: list[Any] = []
    tactics: list[Any] = []
    held = (record.get("attacks"), value_at(record, "finding_info", "attacks"), value_at(record, "finding", "attacks"))
    for attack in (attack for found in held for attack in _listed(found)):
        techniques += [value_at(attack, "sub_technique", "uid"), value_at(attack, "technique", "uid")]
        named = (value_at(attack, "tactic"), *_listed(value_at(attack, "tactics")))
        tactics += [value_at(tactic, "uid") or value_at(tactic, "name") for tactic in named]
    return _texts(techniques), _texts(tactics)


def _texts(items: list[Any]) -> list[str]:
    return list(dict.fromkeys(item for item in items if isinstance(item, str) and item))


def gather_evidence(record: dict[str, Any]) -> dict[str, Any]:
    """The event with the objects of itself and of all its evidences as lists: ``all.file`` has every file.

    Beside them ``processes`` (with the device's id), ``connections`` (both ends), ``attack_ids`` and ``tactic_ids``.
    """
    evidences = record.get("evidences")
    extra = [part for part in _listed(evidences) if isinstance(part, dict)]
    parts = [record, *extra]
    machine, warns = value_at(record, "device", "uid") or value_at(record, "device", "hostname"), _warns(record)
    every: dict[str, list[Any]] = {}
    for part in parts:
        held = {key: part[key] for key in _MOVED if part.get(key) is not None} | _ends(part, warns=warns)
        for key, value in held.items():
            every.setdefault(key, []).extend(_listed(value))
    every["file"] = [item | {"warns": warns} if isinstance(item, dict) else item for item in every.get("file", [])]
    connections = [made for part in parts if (made := _connection(part))]
    processes = [made for part in parts for made in _processes(part, machine, warns=warns)]
    techniques, tactics = _attacks(record)
    rest = {key: value for key, value in record.items() if key not in _MOVED}
    if extra:
        kept = [{key: value for key, value in part.items() if key not in _MOVED} for part in extra]
        rest["evidences"] = [part for part in kept if part]
    lists = {"processes": processes, "connections": connections, "attack_ids": techniques, "tactic_ids": tactics}
    return rest | {key: value for key, value in ({"all": every} | lists).items() if value}


def digest(record: Any) -> str:
    """A digest of the event without the times of its way here: what the id is when the vendor gives none."""
    own = record if isinstance(record, dict) else {}
    metadata = own.get("metadata")
    if isinstance(metadata, dict):
        own = own | {"metadata": {key: value for key, value in metadata.items() if key not in _VOLATILE}}
    text = json.dumps(own, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()}"


def finding_status(record: Any) -> str | None:
    """Where the work on a finding stands; an event of another class has no such status. Raises ValueError."""
    if value_at(record, "category_uid") != _FINDINGS:
        return None
    kind = value_at(record, "class_uid")
    # Version 1.0 wrote the outcome of the event under status_id, and the state of the finding under state_id.
    number = value_at(record, "state_id" if kind == _SECURITY_FINDING else "status_id")
    if number is None or isinstance(number, dict | list):
        return None
    if kind == _INCIDENT and str(number) == "3":
        return "waiting"
    if str(number) not in _STATES:
        raise ValueError(number)
    return _STATES[str(number)] or None


def event_status(record: Any) -> str | None:
    """How an event that is no finding ended: its status_id."""
    number = value_at(record, "status_id")
    return str(number) if isinstance(number, int) and value_at(record, "category_uid") != _FINDINGS else None


def attacks(endpoint: Any) -> bool | None:
    """Whether the endpoint was marked as the attacker's."""
    return True if value_at(endpoint, "attacks") is True else None


def is_host(endpoint: Any) -> bool | None:
    """Whether the endpoint is a machine of one's own: it has a name or an id, and an address inside."""
    named = any(isinstance(value_at(endpoint, key), str) for key in ("uid", "instance_uid", "hostname", "name"))
    return True if named and is_inside(_address(value_at(endpoint, "ip"))) else None


def observed(entry: Any, kind: str) -> bool | None:
    """Whether an observable is of that kind, and has a value."""
    number, value = value_at(entry, "type_id"), value_at(entry, "value")
    fits = str(number) in _OBSERVED[kind] and isinstance(value, str) and bool(value.strip())
    return True if fits and (kind != "address" or _address(value)) else None


def digest_of(entry: Any) -> str | None:
    """A hash of the four algorithms that STIX knows; others may be as long as one of them."""
    number, value = value_at(entry, "algorithm_id"), value_at(entry, "value")
    known = number is None or str(number) in {"1", "2", "3", "4"}
    return value if known and isinstance(value, str) and values.hash_name(value) else None


def plain_name(value: Any) -> str | None:
    """A resource's name, when it is a name and no sentence."""
    return value if isinstance(value, str) and re.fullmatch(r"[\w.:/@-]{1,200}", value) else None


def mailbox(value: Any) -> str | None:
    """The address of a mail header, without name and brackets; one outside ASCII no STIX validator takes."""
    match = _MAILBOX.search(value[:1000]) if isinstance(value, str) else None
    return values.email(match[0]) if match and match[0].isascii() else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        gather_evidence,
        digest,
        finding_status,
        event_status,
        attacks,
        is_host,
        observed,
        digest_of,
        plain_name,
        mailbox,
    )
}
