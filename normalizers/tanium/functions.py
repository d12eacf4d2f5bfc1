"""Tanium's nested matches laid out flat: the match, its finding and their chain of processes.

An alert names the same process twice, once in what matched and once in what acted, each with its ancestors inside; what
only one of them knows (hashes, user ids) is put together here.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

__all__ = ["FUNCTIONS"]

_SLOTS: Final = ("process", "parent", "grandparent", "ancestor")
_DEEPEST: Final = 32
_HASHES: Final = ("md5", "sha1", "sha256")
_SID: Final = re.compile(r"S-1-\d+(?:-\d+)+")
_TECHNIQUE: Final = re.compile(r"T\d{4}(?:\.\d{3})?")
# (uid_t)-1 is how the recorder writes that nobody is logged in.
_NO_UID: Final = 2**32 - 1


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def _parameters(text: str) -> dict[str, str]:
    """``name=…|source=…``; a part without a sign of equality belongs to the one before it."""
    made: dict[str, str] = {}
    name = ""
    for part in text.split("|"):
        key, mark, value = part.partition("=")
        if mark and key.strip().isidentifier():
            name = key.strip()
            made[name] = value
        elif name:
            made[name] += "|" + part
        else:
            return {"text": text}
    return made


def _decoded(payload: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(base64.b64decode(payload, validate=True))
    except (binascii.Error, orjson.JSONDecodeError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _account(user: Any, platform: str) -> dict[str, Any]:
    r"""A user from ``domain\name`` or from an object; ids of no account are left out."""
    given = _dict(_dict(user).get("user")) or _dict(user)
    name, domain, uid = _text(given.get("name")), _text(given.get("domain")), _text(given.get("user_id"))
    if isinstance(user, str):
        domain, _, name = user.strip().rpartition("\\")
    unix = platform.lower() in {"linux", "mac", "macos", "darwin", "solaris", "aix"}
    known = uid if _SID.fullmatch(uid) or (unix and uid.isdigit() and int(uid[:20]) < _NO_UID) else ""
    found = {"name": name, "domain": "" if unix else domain, "uid": known, "kind": "unix" if unix and name else ""}
    return {key: value for key, value in found.items() if value}


def _file(*given: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for item in map(_dict, given):
        inner = _dict(item.get("file")) or item
        digests = _dict(inner.get("hash")) or inner
        found = {"path": inner.get("fullpath") or inner.get("path"), **{name: digests.get(name) for name in _HASHES}}
        made.update({name: value for name, value in found.items() if value and name not in made})
    return made


def _process(matched: dict[str, Any], acting: dict[str, Any], platform: str) -> dict[str, Any]:
    user = {**_account(acting.get("user"), platform)}
    for name, value in _account(matched.get("user"), platform).items():
        user.setdefault(name, value)
    found = {
        "pid": matched.get("pid", acting.get("pid")),
        "args": matched.get("args") or acting.get("arguments"),
        "cwd": matched.get("cwd") or acting.get("cwd"),
        "start": matched.get("start_time") or acting.get("start_time"),
        "unique_id": matched.get("recorder_unique_id") or acting.get("tanium_unique_id"),
        "file": _file(matched.get("file"), acting.get("file")) or _file({"path": matched.get("name")}),
        "user": user,
    }
    return {name: value for name, value in found.items() if value not in (None, "", {}, [])}


def _processes(details: dict[str, Any], platform: str) -> list[dict[str, Any]]:
    match = _dict(details.get("match"))
    whats = _list(_dict(details.get("finding")).get("whats"))
    activities = [_dict(_dict(what).get("artifact_activity")) for what in whats]
    matched = _dict(match.get("properties")) if _text(match.get("type")) == "process" else {}
    acting = next(
        (found for item in activities if (found := _dict(_dict(item.get("acting_artifact")).get("process")))), {}
    )
    made: list[dict[str, Any]] = []
    while (matched or acting) and len(made) < _DEEPEST:
        made.append(_process(matched, acting, platform))
        matched = _dict(matched.get("parent"))
        acting = _dict(_dict(acting.get("parent")).get("process"))
    return [item for item in made if item]


def _leaves(node: Any) -> set[str]:
    if isinstance(node, dict):
        return set().union(*map(_leaves, node.values())) if node else set()
    return {_text(node)}


def _left(node: Any, carried: set[str], depth: int = 0) -> Any:
    """What of a nested process is not carried by the chain; only hashes and counters of the recorder should be."""
    if depth > _DEEPEST * 4:
        return node
    if isinstance(node, dict):
        kept = {key: _left(value, carried, depth + 1) for key, value in node.items()}
        return {key: value for key, value in kept.items() if value not in (None, {}, [])}
    if isinstance(node, list):
        return [value for item in node if (value := _left(item, carried, depth + 1)) not in (None, {}, [])]
    text = _text(node)
    return None if text in carried or text.rpartition("\\")[2] in carried else node


def _lightened(details: dict[str, Any], processes: list[dict[str, Any]]) -> dict[str, Any]:
    """The details without what the chain carries."""
    carried = set().union(*map(_leaves, processes))
    match, finding = _dict(details.get("match")), _dict(details.get("finding"))
    made = dict(details)
    if _text(match.get("type")) == "process" and "properties" in match:
        made["match"] = {**match, "properties": _left(match["properties"], carried)}
    if isinstance(finding.get("whats"), list):
        made["finding"] = {**finding, "whats": [_without_actor(what, carried) for what in finding["whats"]]}
    return made


def _without_actor(what: Any, carried: set[str]) -> Any:
    activity = _dict(_dict(what).get("artifact_activity"))
    if "acting_artifact" not in activity:
        return what
    return {**what, "artifact_activity": {**activity, "acting_artifact": _left(activity["acting_artifact"], carried)}}


def opened(document: dict[str, Any]) -> dict[str, Any]:
    """The alert with its match opened: ``Parameters``, ``Match Details``, ``Chain`` and ``Ancestors``."""
    made = dict(document)
    other = made.get("Other Parameters")
    if isinstance(other, str) and other.strip():
        parameters = _parameters(other)
        details = _decoded(parameters["payload"].strip()) if "payload" in parameters else None
        if details is not None:
            del parameters["payload"]
            made["Match Details"] = details
        del made["Other Parameters"]
        if parameters:
            made["Parameters"] = parameters
    details = made.get("Match Details")
    if isinstance(details, str) and details.lstrip()[:1] == "{":
        try:
            details = made["Match Details"] = orjson.loads(details)
        except orjson.JSONDecodeError:
            return made
    if not isinstance(details, dict):
        return made
    platform = _text(_dict(_dict(details.get("finding")).get("system_info")).get("platform"))
    processes = _processes(details, platform)
    if processes:
        made["Match Details"] = _lightened(details, processes)
        made["Chain"] = dict(zip(_SLOTS, processes, strict=False))
    if len(processes) > len(_SLOTS):
        made["Ancestors"] = " < ".join(
            _text(item.get("args")) or _text(_dict(item.get("file")).get("path")) for item in processes[len(_SLOTS) :]
        )
    return made


def headline(document: Any) -> str | None:
    """What happened to what, where the alert does not name the intelligence that matched."""
    given = _dict(document)
    kind = _text(given.get("Event Name")) or _text(given.get("event"))
    match = _dict(_dict(given.get("Match Details")).get("match"))
    if not kind and _text(match.get("type")):
        kind = f"{_text(match['type'])} match"
    properties, fields = _dict(match.get("properties")), _dict(given.get("fields"))
    acting = _dict(_dict(given.get("Chain")).get("process"))
    target = _file(properties).get("path") or _dict(acting.get("file")).get("path")
    what = _text(target) or _text(acting.get("args")) or _text(fields.get("file__full_path"))
    return f"{kind}: {what}" if kind and what else kind or None


def event_key(event: Any) -> str | None:
    """The id of a recorder's event, which has none of its own: where, what, which process, when."""
    given = _dict(event)
    fields = _dict(given.get("fields"))
    where = _text(given.get("tanium_computer_id")) or _text(given.get("hostname")) or _text(given.get("host"))
    when = _text(given.get("timestamp")) or _text(fields.get("create_time"))
    process = _text(fields.get("tanium_process_id"))
    parts = (where, _text(given.get("event")), process, when)
    return "/".join(part for part in parts if part) if process else None


def user_id(value: Any) -> str | None:
    """A numeric user id, unless it is the one that stands for nobody."""
    text = _text(value)
    return text if text.isdigit() and len(text) <= len(str(_NO_UID)) and int(text) < _NO_UID else None


def unquoted(value: Any) -> str | None:
    """The operating system's name, which some platforms hand on in quotes."""
    return _text(value).strip('"').strip() or None


def techniques(value: Any) -> list[str]:
    """The ATT&CK ids in a text (a JSON list, or words)."""
    text = value if isinstance(value, str) else " ".join(_text(item) for item in _list(value))
    return list(dict.fromkeys(_TECHNIQUE.findall(text)))


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (opened, headline, event_key, user_id, unquoted, techniques)
}
