"""What the alerts of Defender for Endpoint need before their paths are read: flat evidence with its marks."""

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

# Antivirus finds the file itself bad; the sensor finds what was done with it.
_ANTIVIRUS: Final = frozenset({"windowsdefenderav", "antivirus", "windowsdefendersmartscreen"})
_DETECTED: Final = frozenset({"detected", "blocked", "prevented"})
_STOPPED: Final = frozenset({"blocked", "prevented"})
_PATHS: Final = (("filePath", "fileName"), ("parentProcessFilePath", "parentProcessFileName"))


def _path(folder: Any, name: Any) -> str | None:
    """Folder and file name as one path; a folder that is the whole path already stays it."""
    if not isinstance(folder, str) or not folder.strip():
        return None
    if not isinstance(name, str) or not name or folder.lower().endswith(("\\" + name.lower(), "/" + name.lower())):
        return folder
    return folder.rstrip("/\\") + ("/" if "/" in folder and "\\" not in folder else "\\") + name


def _key(hive: Any, key: Any) -> Any:
    parts = [part for part in (hive, key) if isinstance(part, str) and part]
    return "\\".join(parts) if isinstance(key, str) and key else key


def evidence_read(document: dict[str, Any]) -> dict[str, Any]:
    """The evidence with paths in full and marks that hold its kind: ``detected``, ``convicted`` by antivirus."""
    evidence = document.get("evidence")
    if not isinstance(evidence, list):
        return document
    antivirus = str(document.get("detectionSource")).lower() in _ANTIVIRUS
    made = [_marked(piece, antivirus=antivirus) for piece in evidence]
    states = [str(piece.get("detectionStatus")).lower() for piece in made if isinstance(piece, dict)]
    told = [state for state in states if state in _DETECTED]
    facts: dict[str, dict[str, Any]] = {}
    for piece in made:
        for name in ("detectionStatus", "aadUserId", "url") if isinstance(piece, dict) else ():
            if isinstance(piece.get(name), str) and piece[name]:
                facts.setdefault(name, {})[piece[name]] = None
    stopped = told[0] if told and set(told) <= _STOPPED else None
    return {
        **document,
        "evidence": made,
        "stopped": stopped,
        "facts": {name: list(found) for name, found in facts.items()},
    }


def _marked(raw: Any, *, antivirus: bool) -> Any:
    if not isinstance(raw, dict):
        return raw
    kind = str(raw.get("entityType") or "").lower()
    made = {name: value for name, value in raw.items() if name != "entityType"}
    made["kind"] = kind or None
    for folder, name in _PATHS:
        if path := _path(made.get(folder), made.get(name)):
            made[folder] = path
    if made.get("registryKey"):
        made["registryKey"] = _key(made.pop("registryHive", None), made["registryKey"])
    if str(made.get("detectionStatus")).lower() in _DETECTED or (antivirus and kind == "file"):
        made["detected"] = kind
    if antivirus and kind == "file":
        made["convicted"] = kind
    return made


def mail_of(name: Any) -> Any:
    """A principal name as a mail address; a guest's holds the address at home (``anna_example.com#EXT#@tenant``)."""
    home, guest, _ = str(name).partition("#EXT#")
    user, _, domain = home.rpartition("_")
    return (f"{user}@{domain}" if user and domain else None) if guest else name


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (evidence_read, mail_of)
}
