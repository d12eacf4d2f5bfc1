"""What Trend Vision One's records need beyond paths: indicators put together to processes, entities told apart."""

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

_RISKS: Final = ("critical", "high", "medium", "low", "info", "undefined")
_FAILED: Final = ("unsuccess", "fail", "unable", "cannot", "error", "not ")
_DONE: Final[Mapping[str, str]] = {
    "block": "blocked", "blocked": "blocked", "drop": "blocked", "reset": "blocked", "reject": "blocked",
    "deny": "denied", "denied": "denied", "deny access": "denied", "quarantine": "quarantined",
    "quarantined": "quarantined", "terminate": "killed", "terminated": "killed", "kill": "killed",
    "delete": "deleted", "deleted": "deleted", "clean": "cleaned", "cleaned": "cleaned", "pass": "allowed",
    "allow": "allowed", "allowed": "allowed", "bypass": "allowed",
}  # fmt: skip
# What an indicator's field says of which process or object; the rest is told by the indicator's type.
_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    f"{prefix}{suffix}": (prefix, name)
    for prefix in ("process", "parent", "object")
    for suffix, name in (
        ("Cmd", "cmd"), ("FilePath", "path"), ("Name", "path"), ("FileHashSha1", "sha1"),
        ("FileHashSha256", "sha256"), ("FileHashMd5", "md5"), ("Pid", "pid"), ("User", "user"),
        ("RegistryKeyHandle", "key"), ("RegistryValue", "name"), ("RegistryData", "data"),
    )
}  # fmt: skip
_OWN_FIELDS: Final = frozenset({"endpointIp", "src", "clientIp", "endpointHostName", "deviceHostName"})
_MOST: Final = 2000


def _list(node: Any) -> list[Any]:
    return node if isinstance(node, list) else [] if node is None else [node]


def _texts(value: Any) -> list[str]:
    return [
        str(item) for item in _list(value) if isinstance(item, str | int) and not isinstance(item, bool) and item != ""
    ]


def told_apart(document: dict[str, Any]) -> dict[str, Any]:
    """A Workbench alert whose hosts stand under ``host``, and whose indicators stand together as processes.

    A value that is an object is a host. Indicators of one filter that come once each are of one event; where a field
    has several values nobody says which belongs to which, and each stands alone.
    """
    made = dict(document)
    scope = document.get("impactScope")
    if isinstance(scope, dict) and isinstance(scope.get("entities"), list):
        made["impactScope"] = {
            **scope,
            "entities": [_host_apart(entity, "entityValue") for entity in scope["entities"]],
        }
    if isinstance(document.get("indicators"), list):
        indicators = [_host_apart(found, "value") for found in document["indicators"][:_MOST]]
        made["indicators"] = [_plain(found) for found in indicators]
        made["observed"] = _together(indicators)
    return made


def _host_apart(node: Any, key: str) -> Any:
    if not isinstance(node, dict) or not isinstance(node.get(key), dict):
        return node
    return {**{name: value for name, value in node.items() if name != key}, "host": node[key]}


def _plain(found: Any) -> Any:
    """An indicator whose value stands under its type too, unless it is the company's own."""
    if not isinstance(found, dict) or _field(found) in _OWN_FIELDS:
        return found
    kind = found.get("type")
    return (
        {**found, "of": {kind: found["value"]}} if isinstance(kind, str) and found.get("value") is not None else found
    )


def _field(found: Mapping[str, Any]) -> str:
    field = found.get("field")
    return field if isinstance(field, str) else ""


def _together(indicators: list[Any]) -> list[dict[str, Any]]:
    """Processes and objects, one for each filter, and the fields that have several values one by one."""
    filters: dict[str, dict[tuple[str, str], dict[str, None]]] = {}
    for found in indicators:
        if not isinstance(found, dict) or _field(found) not in _FIELDS:
            continue
        for filter_id in _texts(found.get("filterIds"))[:_MOST] or [""]:
            values = filters.setdefault(filter_id, {}).setdefault(_FIELDS[_field(found)], {})
            for text in _texts(found.get("value")):
                values[text] = None
    made: list[dict[str, Any]] = []
    for filter_id, fields in filters.items():
        single: dict[str, Any] = {"filter": filter_id}
        alone: list[dict[str, Any]] = []
        for (whose, name), values in fields.items():
            if len(values) == 1:
                single.setdefault(whose, {})[name] = next(iter(values))
            else:
                alone += [{"filter": f"{filter_id} {name} {at}", whose: {name: text}} for at, text in enumerate(values)]
        made += [single, *alone]
    return made


def lifted(document: dict[str, Any]) -> dict[str, Any]:
    """An Observed Attack Technique whose event (``detail``) stands beside its filters, as that of a detection does."""
    detail = document.get("detail")
    if not isinstance(detail, dict):
        return document
    outer = {key: value for key, value in document.items() if key != "detail"}
    return {**detail, **outer, "eventUuid": detail.get("uuid")}


def highest(filters: Any) -> str | None:
    """The highest risk level among the filters of an Observed Attack Technique."""
    found = {str(item.get("riskLevel")).lower() for item in _list(filters) if isinstance(item, dict)}
    return next((level for level in _RISKS if level in found), None)


def stopped(record: Any) -> str | None:
    """What the product did, by its own word; nothing when it says that this did not succeed."""
    if not isinstance(record, dict):
        return None
    results = " ".join(_texts(record.get("actResult"))).lower()
    if any(word in results for word in _FAILED):
        return None
    words = (word.strip().lower() for word in _texts(record.get("act")))
    return next((_DONE[word] for word in words if word in _DONE), None)


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (told_apart, lifted, highest, stopped)
}
