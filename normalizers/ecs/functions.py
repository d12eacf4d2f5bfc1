"""What ECS says with several fields at once, and what of a document is not ECS at all."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_inside, is_outside
from nightdesk.stix.paths import value_at

__all__ = ["FUNCTIONS"]

# The field sets of ECS 8 and 9, and what Elastic's own shippers put beside them.
_ECS: Final = frozenset(
    {
        "@timestamp", "@version", "agent", "as", "client", "cloud", "code_signature", "container", "data_stream",
        "destination", "device", "dll", "dns", "ecs", "elf", "email", "error", "event", "faas", "file", "geo", "group",
        "hash", "host", "http", "interface", "labels", "log", "macho", "message", "network", "observer", "orchestrator",
        "organization", "os", "package", "pe", "process", "registry", "related", "rule", "server", "service", "source",
        "span", "tags", "threat", "tls", "trace", "transaction", "url", "user", "user_agent", "vlan", "volume",
        "vulnerability", "x509", "input", "fileset", "elastic", "elastic_agent", "_id", "_index", "_score", "_type",
        "_version", "sort", "fields",
    }
)  # fmt: skip
_GRADES: Final = {21: "low", 47: "medium", 73: "high", 99: "critical"}
_ALERTS: Final = frozenset({"alert", "signal"})
_LONGEST: Final = 200


def set_apart(record: dict[str, Any]) -> dict[str, Any]:
    """The document with everything that is not ECS under one key, where it is carried as it is."""
    own = {key: value for key, value in record.items() if key not in _ECS}
    return {key: value for key, value in record.items() if key in _ECS} | ({"vendor_own": own} if own else {})


def digest(record: Any) -> str:
    """A digest of the document without what its way here adds: what the id is when it has none."""
    own = dict(record) if isinstance(record, dict) else {}
    for name in ("agent", "elastic_agent", "data_stream", "input", "log", "_index", "_score", "sort", "@version"):
        own.pop(name, None)
    if isinstance(own.get("event"), dict):
        own["event"] = {key: value for key, value in own["event"].items() if key not in {"ingested", "created"}}
    text = json.dumps(own, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()}"


def graded(severity: Any) -> str | None:
    """The word for one of the four numbers that Elastic's rules use; another vendor's number has no word here."""
    return _GRADES.get(severity) if isinstance(severity, int) else None


def headline(message: Any) -> str | None:
    """The first line of a message, as a title."""
    lines = message.strip().splitlines() if isinstance(message, str) else []
    return lines[0][:_LONGEST] if lines else None


def stopped(event: Any) -> str | None:
    """``denied`` when the event is of that type and succeeded, as ECS defines it."""
    kinds = value_at(event, "type")
    denied = "denied" in (kinds if isinstance(kinds, list) else [kinds])
    return "denied" if denied and value_at(event, "outcome") != "failure" else None


def warns(record: Any) -> bool | None:
    """Whether the document is an alert, and not only an event: then process and file are what it warns of."""
    return True if value_at(record, "event", "kind") in _ALERTS else None


def _end(record: Any, *names: str) -> str | None:
    for name in names:
        for key in ("ip", "address"):
            text = value_at(record, name, key)
            found = values.address(text) if isinstance(text, str) else None
            if found:
                return found[1]
    return None


def attacker(record: Any) -> str | None:
    """Of an alert, the end outside private space: of two only when the other one is inside."""
    if not warns(record):
        return None
    source, target = _end(record, "source", "client"), _end(record, "destination", "server")
    if is_outside(source) and not is_outside(target):
        return source
    return target if is_inside(source) and is_outside(target) else None


def key_of(registry: Any) -> str | None:
    """Hive and key without the value's name, which ``registry.path`` holds too."""
    hive, key, path = (value_at(registry, name) for name in ("hive", "key", "path"))
    if isinstance(hive, str) and isinstance(key, str) and hive and key:
        return f"{hive}\\{key}"
    return path if isinstance(path, str) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (set_apart, digest, graded, headline, stopped, warns, attacker, key_of)
}
