"""Sentinel's entities in one shape, whichever way they came.

A row of SecurityAlert writes them in PascalCase, nested or pointing at each other by ``$id`` and ``$ref``; the
management API in camelCase under ``properties``, pointing by ``…EntityId``; its Python SDK in snake_case. Here every
key is in lower case without separators, every entity stands by itself, and what it points at is copied in as far as its
identity goes.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from nightdesk.normalizers.microsoft_sentinel.names import Entity, host_name, identity, linked, named

__all__ = ["flat", "folded"]

_SEPARATORS: Final = re.compile(r"[^a-z0-9$]")
_NESTED: Final = frozenset({dict, list})
_OPEN: Final = frozenset({"additionaldata", "extendedproperties"})  # bags of fields that customers name
_RENAMED: Final = {
    "accountname": "name", "filename": "name", "malwarename": "name", "appname": "name", "valuename": "name",
    "hashvalue": "value", "valuedata": "value", "receivedate": "receiveddate",
}  # fmt: skip
# What a key that points at another entity points at; the documentation calls these internal entities.
_LINKS: Final = {
    "host": "host", "account": "account", "imagefile": "file", "parentprocess": "process", "filehashes": "filehash",
    "filehash": "filehash", "files": "file", "processes": "process", "key": "registrykey", "ipinterfaces": "ip",
    "lastipaddress": "ip", "lastexternalipaddress": "ip", "ipaddress": "ip", "dnsserverip": "ip",
    "hostipaddress": "ip", "logonsession": "hostlogonsession", "hostlogonsession": "hostlogonsession",
    "loggedonusers": "account", "hosturl": "url", "referrerurl": "url", "iothub": "azureresource",
    "iotdevice": "iotdevice", "resource": "azureresource",
}  # fmt: skip
_TOLD_BY: Final = {"ip": "address", "url": "url"}
_MODELLED: Final = frozenset(
    {
        "account", "host", "ip", "file", "filehash", "process", "registrykey", "registryvalue", "url", "mailmessage",
        "mailbox", "submissionmail", "malware", "dns", "azureresource", "hostlogonsession", "nic", "iotdevice",
    }
)  # fmt: skip
_DEEPEST: Final = 8
_VERDICTS: Final = frozenset({"malicious", "suspicious", "malware", "phish", "phishing"})

# What it says of an entity that another one points at it: its facts are told there, or it is only context.
_MARKS: Final = {
    "told": ("filehashes", "filehash", "key"),
    "own": ("ipinterfaces", "lastipaddress"),
    "egress": ("lastexternalipaddress",),
    "bystander": ("loggedonusers",),
}


def _fold(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())


def folded(value: Any, depth: int = 0) -> Any:
    """Keys in lower case without separators, all the way down but for bags of fields that customers name."""
    if isinstance(value, list) and depth < _DEEPEST:
        return [folded(item, depth + 1) for item in value]
    if not isinstance(value, dict) or depth >= _DEEPEST:
        return value
    made: Entity = {}
    for name, inner in value.items():
        key = name.lower()
        if not (key.isalnum() and key.isascii()):
            key = _SEPARATORS.sub("", key)
        if inner.__class__ in _NESTED and key not in _OPEN:
            inner = folded(inner, depth + 1)  # noqa: PLW2901  # the rest of the loop wants it plain
        made[key if key not in made else name] = inner
    return made


def _last(reference: Any) -> str:
    """An entity's id, of an ARM path its last part."""
    return str(reference).rstrip("/").rpartition("/")[2].lower()


def _opened(raw: Any) -> Entity | None:
    """One entity with its properties beside its kind; None for what is no object."""
    if not isinstance(raw, dict):
        return None
    entity: Entity = folded(raw)
    if "kind" in entity:
        inner = entity.pop("properties", None)
        outer = {name: value for name, value in entity.items() if name not in {"name", "type", "kind"}}
        outer["$id"] = entity.get("name") or _last(entity.get("id", ""))
        outer.pop("id", None)
        entity = {**outer, **(inner if isinstance(inner, dict) else {}), "type": entity["kind"]}
    made: Entity = {}
    for name, value in entity.items():
        key = _RENAMED.get(name, name)
        if "entityid" in name and name.endswith(("entityid", "entityids")):
            key = name.removesuffix("s").removesuffix("entityid")
            key = {"filehash": "filehashes", "file": "files", "process": "processes"}.get(key, key)
            every = value if isinstance(value, list) else [value]
            value = [{"$ref": item} for item in every if item]  # noqa: PLW2901  # a pointer, as a row writes it
        made[key] = value
    made["type"] = _fold(str(made.get("type", ""))).replace("dnsresolution", "dns")
    return made


def _parts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def flat(raw: list[Any]) -> tuple[list[Entity], list[Any]]:
    """(every entity of a modelled type by itself, what else there is)."""
    found: dict[str, Entity] = {}
    others: list[Any] = []
    waiting = list(reversed(raw))
    while waiting:
        item = waiting.pop()
        entity = _opened(item)
        if entity is None or entity.keys() <= {"$ref", "type"}:
            others += [item] if entity is None else []
            continue
        key = str(entity.pop("$id", "") or f"n{len(found)}").lower()
        for name in [name for name in _LINKS if name in entity]:
            if not any(isinstance(part, dict) for part in _parts(entity[name])):
                continue
            pointers: list[str] = []
            for part in _parts(entity[name]):
                if not isinstance(part, dict):
                    continue
                if "$ref" in part:
                    pointers.append(_last(part["$ref"]))
                    continue
                inner = {"type": _LINKS[name], **part}
                inner["$id"] = str(inner.get("$id") or f"{key}.{name}.{len(pointers)}").lower()
                pointers.append(inner["$id"])
                waiting.append(inner)
            entity[name] = {"pointers": pointers}
        if key in found:
            key = f"{key}.{len(found)}"
        found[key] = entity
    for entity in found.values():
        _judge(entity, found)
    made = [_linked(entity, found) for entity in found.values()]
    others += [entity for entity in made if entity["type"] not in _MODELLED]
    return [entity for entity in made if entity["type"] in _MODELLED], others


def _judge(entity: Entity, found: Mapping[str, Entity]) -> None:
    """What the product itself holds to be bad, and what other entities already say."""
    for name in ("lastverdict", "suspicionlevel", "verdict"):
        word = entity.get(name)
        if isinstance(word, str) and word.lower() in _VERDICTS:
            entity["hostile"] = entity["type"]
    for mark, names in _MARKS.items():
        for name in names:
            if name in entity:
                for part in linked(entity, name, found):
                    part[mark] = True
    if entity["type"] == "malware":
        for part in (*linked(entity, "files", found), *linked(entity, "processes", found)):
            part["hostile"] = part["type"]


def _linked(entity: Entity, found: Mapping[str, Entity]) -> Entity:
    """The entity with what it points at in place, and its own names put together."""
    made = dict(entity)
    for name in [name for name in _LINKS if name in entity]:
        if not isinstance(entity[name], dict):
            continue
        target, parts = _LINKS[name], linked(entity, name, found)
        if len(parts) < len(entity[name]["pointers"]):
            made["dangling"] = [pointer for pointer in entity[name]["pointers"] if pointer not in found]
        if target in _TOLD_BY:
            made[name] = [part.get(_TOLD_BY[target]) for part in parts]
        elif target == "host":
            made[name] = host_name(parts[0]) if parts else None
        elif name in {"imagefile", "parentprocess", "account"}:
            made[name] = identity(parts[0], found) if parts else None
        else:
            del made[name]  # both ends stand by themselves, or are put together by name
    return named(entity, made, found)
