"""What one of Sentinel's entities is called: names, paths and keys put together, also from what it points at."""

from collections.abc import Mapping
from typing import Any

__all__ = ["Entity", "host_name", "identity", "linked", "named"]

Entity = dict[str, Any]
_MOST_HASHES = 8  # more than there are algorithms


def linked(entity: Entity, name: str, found: Mapping[str, Entity]) -> list[Entity]:
    """The entities that a key points at."""
    link = entity.get(name)
    return [found[at] for at in link["pointers"] if at in found] if isinstance(link, dict) else []


def host_name(entity: Entity) -> str | None:
    """A host's name, in full when its domain is known."""
    host, domain = entity.get("hostname") or entity.get("netbiosname"), entity.get("dnsdomain")
    if not isinstance(host, str) or not host:
        return None
    return f"{host}.{domain}" if isinstance(domain, str) and domain and "." not in host else host


def _path(entity: Entity) -> str | None:
    folder, name = entity.get("directory"), entity.get("name")
    if not isinstance(folder, str) or not folder.strip() or not isinstance(name, str):
        return None
    if folder.endswith(("/" + name, "\\" + name)):
        return folder
    return folder.rstrip("/\\") + ("/" if "/" in folder and "\\" not in folder else "\\") + name


def _digests(entity: Entity, found: Mapping[str, Entity]) -> list[Any]:
    """The file's hashes; an Authenticode hash (SHA256AC) is none of the whole file."""
    parts = [*linked(entity, "filehashes", found), *linked(entity, "filehash", found)]
    return [part.get("value") for part in parts[:_MOST_HASHES] if str(part.get("algorithm")).upper() != "SHA256AC"]


def identity(entity: Entity, found: Mapping[str, Entity], *, parents: bool = True) -> Entity:
    """As much of an entity as another one that points at it needs."""
    kind = entity["type"]
    if kind == "file":
        path = _path(entity)
        return {"path": path, "name": None if path else entity.get("name"), "hashes": _digests(entity, found)}
    if kind == "account":
        names = ("name", "ntdomain", "sid", "aaduserid", "displayname")
        return {**{name: entity.get(name) for name in names}, "scope": _scope(entity, found)}
    made: Entity = {name: entity.get(name) for name in ("processid", "commandline", "creationtimeutc")}
    for name in ("host", "imagefile", "account"):
        for part in linked(entity, name, found)[:1]:
            made[name] = host_name(part) if name == "host" else identity(part, found)
    for part in linked(entity, "parentprocess", found)[:1] if parents else ():
        made["parentprocess"] = identity(part, found, parents=False)
    return made


def _scope(entity: Entity, found: Mapping[str, Entity]) -> str | None:
    """An account whose domain is its host's own name is a local one."""
    domain = entity.get("ntdomain")
    hosts = {str(host_name(host)).partition(".")[0].lower() for host in linked(entity, "host", found)}
    return "windows-local" if isinstance(domain, str) and domain.lower() in hosts else None


def _key(entity: Entity) -> str | None:
    parts = [part for name in ("hive", "key") if isinstance(part := entity.get(name), str) and part]
    return "\\".join(parts) or None


def named(entity: Entity, made: Entity, found: Mapping[str, Entity]) -> Entity:
    """``made`` with the names that a mapping reads; parts that stand in them leave it."""
    kind = entity["type"]
    if kind == "host":
        name = host_name(entity)
        made["fqdn"] = entity.get("fqdn") or (name if name and "." in name else None)
    elif kind == "account":
        made["victim"] = None if "bystander" in entity else True
        made["scope"] = _scope(entity, found)
        name, suffix = entity.get("name"), entity.get("upnsuffix")
        if isinstance(name, str) and isinstance(suffix, str) and name and suffix:
            made["upn"] = name if "@" in name else f"{name}@{suffix}"
    elif kind == "file":
        made["hashes"] = _digests(entity, found)
        if path := _path(entity):
            made["path"] = path
            del made["directory"]
    elif kind == "filehash" and "told" not in entity and str(entity.get("algorithm")).upper() != "SHA256AC":
        made["hash"] = made.pop("value", None)
    elif kind == "registryvalue":
        made["path"] = next((_key(part) for part in linked(entity, "key", found)), None)
    elif kind == "registrykey" and (path := _key(entity)):
        made = {name: value for name, value in made.items() if name not in {"hive", "key"}} | {"path": path}
    return made
