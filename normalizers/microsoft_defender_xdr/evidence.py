"""Evidence of Defender in one shape: of which kind, how it is judged, paths in full, and what is said of several.

Graph's evidence is told apart by ``@odata.type`` and nests its details; the incidents API has flat entities told apart
by ``entityType``.
"""

import urllib.parse
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any, Final

from nightdesk.stix import networks, values

__all__ = ["facts_of", "flat_entity", "graph_evidence", "is_loopback", "is_outside", "joined_path", "without"]

Evidence = dict[str, Any]
_JUDGED: Final = frozenset({"malicious", "suspicious"})
_ATTACKING: Final = frozenset({"attacker", "commandandcontrol"})
_ACTING: Final = frozenset({"attacker", "policyviolator"})
_EVERYBODYS: Final = frozenset({"0.0.0.0", "::", "::1"})  # noqa: S104  # nothing listens here
_NESTED: Final = frozenset({dict, list})
_FILES: Final = ("fileDetails", "imageFile", "parentProcessImageFile")


def is_loopback(text: Any) -> bool:
    """Every machine has it: it ties nothing to anything."""
    found = values.address(str(text))
    return found is not None and (found[1].startswith("127.") or found[1] in _EVERYBODYS)


def is_outside(text: Any) -> bool:
    """False for addresses that can be the company's own, and for URLs that lead to one."""
    if isinstance(text, str) and "://" in text:
        try:
            text = urllib.parse.urlsplit(text).hostname
        except ValueError:
            return False
        if str(text).lower() == "localhost":
            return False
    return values.address(str(text)) is None or networks.is_outside(str(text))


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
    return {
        name: _bare(inner, depth + 1) if inner.__class__ in _NESTED else inner
        for name, inner in value.items()
        if "@odata." not in name
    }


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


def facts_of(elements: Iterable[Any], names: Iterable[str]) -> Mapping[str, list[Any]]:
    """All that the elements say under these names, each value once."""
    made: dict[str, dict[Hashable, Any]] = {}
    for element in elements:
        for name in [name for name in names if name in element] if isinstance(element, dict) else ():
            value = element[name]
            for part in value if isinstance(value, list) else (value,):
                if part or part not in (None, "", [], {}):
                    made.setdefault(name, {}).setdefault(part if part.__class__ is str else (repr(part),), part)
    return {name: list(known.values()) for name, known in made.items()}


def without(element: Any, names: Collection[str]) -> Any:
    """A copy of an element without what these names say; what is no object is itself."""
    if not isinstance(element, dict):
        return element
    return {name: value for name, value in element.items() if name not in names}
