"""Evidence of Defender in one shape: of which kind, how it is judged, paths in full, and what is said of several.

Graph's evidence is told apart by ``@odata.type`` and nests its details; the incidents API has flat entities told apart
by ``entityType``.
"""

import ipaddress
import urllib.parse
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from nightdesk.stix import networks

__all__ = ["facts_of", "flat_entity", "graph_evidence", "is_loopback", "is_outside", "joined_path"]

Evidence = dict[str, Any]
_JUDGED: Final = frozenset({"malicious", "suspicious"})
_ATTACKING: Final = frozenset({"attacker", "commandandcontrol"})
_ACTING: Final = frozenset({"attacker", "policyviolator"})
_FILES: Final = ("fileDetails", "imageFile", "parentProcessImageFile")


def _address(text: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(str(text).strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def is_loopback(text: Any) -> bool:
    """Every machine has it: it ties nothing to anything."""
    found = _address(text)
    return found is not None and (found.is_loopback or found.is_unspecified)


def is_outside(text: Any) -> bool:
    """False for addresses that can be the company's own, and for URLs that lead to one."""
    if isinstance(text, str) and "://" in text:
        try:
            text = urllib.parse.urlsplit(text).hostname
        except ValueError:
            return False
        if str(text).lower() == "localhost":
            return False
    return _address(text) is None or networks.is_outside(str(text))


def joined_path(folder: Any, name: Any) -> str | None:
    """Folder and file name as one path; a folder that is the whole path already stays it."""
    if not isinstance(folder, str) or not folder.strip():
        return None
    if not isinstance(name, str) or not name or folder.lower().endswith(("\\" + name.lower(), "/" + name.lower())):
        return folder
    return folder.rstrip("/\\") + ("/" if "/" in folder and "\\" not in folder else "\\") + name


def _bare(value: Any, depth: int = 0) -> Any:
    """Without OData's annotations; they name types and say nothing of what happened."""
    if isinstance(value, list) and depth < 8:
        return [_bare(item, depth + 1) for item in value]
    if not isinstance(value, dict) or depth >= 8:
        return value
    return {name: _bare(inner, depth + 1) for name, inner in value.items() if "@odata." not in str(name)}


def _words(value: Any) -> set[str]:
    every = value if isinstance(value, list) else [value]
    return {word.replace(" ", "").lower() for word in every if isinstance(word, str)}


def _file(details: Any) -> Any:
    """File details with the path in full."""
    if not isinstance(details, dict):
        return details
    path = joined_path(details.get("filePath"), details.get("fileName"))
    return {**details, "filePath": path} if path else details


def _key(hive: Any, key: Any) -> Any:
    parts = [part for part in (hive, key) if isinstance(part, str) and part]
    return "\\".join(parts) if isinstance(key, str) and key else key


def graph_evidence(raw: Any) -> Any:
    """One piece of Graph's evidence with what a mapping asks of it under ``kind``, ``judged`` and ``attacking``."""
    if not isinstance(raw, dict):
        return raw
    made: Evidence = _bare(raw)
    kind = str(raw.get("@odata.type", "")).rpartition(".")[2].removesuffix("Evidence").lower()
    made["kind"] = kind or None
    for name in _FILES:
        if name in made:
            made[name] = _file(made[name])
    if "registryKey" in made:
        made["registryKey"] = _key(made.pop("registryHive", None), made["registryKey"])
    if isinstance(own := made.get("ipInterfaces"), list):
        del made["ipInterfaces"]
        made["addresses"] = [item for item in own if not is_loopback(item)]
        made["loopbacks"] = [item for item in own if is_loopback(item)]
    _judge(made, kind, made.get("ipAddress") if kind == "ip" else made.get("url") if kind == "url" else None)
    return made


def flat_entity(raw: Any) -> Any:
    """One entity of the incidents API, the same way."""
    if not isinstance(raw, dict):
        return raw
    kind = str(raw.get("entityType") or "").lower()
    made: Evidence = {name: value for name, value in raw.items() if name != "entityType"}
    made["kind"] = kind or None
    for folder, name in (("filePath", "fileName"), ("parentProcessFilePath", "parentProcessFileName")):
        if path := joined_path(made.get(folder), made.get(name)):
            made[folder] = path
    if "registryKey" in made:
        made["registryKey"] = _key(made.pop("registryHive", None), made["registryKey"])
    _judge(made, kind, made.get("ipAddress") if kind == "ip" else made.get("url") if kind == "url" else None)
    return made


def _judge(made: Evidence, kind: str, seen: Any) -> None:
    """Marks by the vendor's own verdict and roles; each holds the evidence's kind: a condition asks for both."""
    roles = _words(made.get("roles")) | _words(made.get("detailedRoles"))
    verdicts = _words(made.get("verdict")) & _JUDGED
    if is_loopback(seen):
        made["loopback"] = kind
    elif seen is None or is_outside(seen):
        if verdicts:
            made["judged"] = kind
        if "malicious" in verdicts:
            made["malicious"] = kind
        if verdicts or roles & _ATTACKING:
            made["attacking"] = kind
    if roles & _ACTING:
        made["acting"] = kind
    made["neutral"] = None if "attacking" in made or "loopback" in made else kind
    made["suffering"] = None if "acting" in made else kind


def facts_of(elements: Iterable[Any], names: Iterable[str], kept: Collection[str] = ()) -> Mapping[str, list[Any]]:
    """All that the elements say under these names, each value once; it leaves them but where it is kept."""
    wanted = list(names)
    made: dict[str, dict[str, Any]] = {}
    for element in elements:
        for name in wanted if isinstance(element, dict) else ():
            value = element.get(name) if name in kept else element.pop(name, None)
            for part in value if isinstance(value, list) else (value,):
                if part not in (None, "", [], {}):
                    made.setdefault(name, {}).setdefault(repr(part), part)
    return {name: list(values.values()) for name, values in made.items()}
