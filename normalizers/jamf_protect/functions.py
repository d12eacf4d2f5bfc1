"""Jamf Protect lists processes, binaries, files and users flat; here they are put together again.

A process names its parent by pid, its image by path and its user by uid, so which of the listed processes acted and who
started it is known only by comparing the lists with the event.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

_SLOTS: Final = ("process", "parent", "grandparent")
_STOPPED: Final = frozenset({"GPThreatMatchExecEvent", "GPPreventedExecutionEvent"})
_TENANT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# The numbers of an event's ``type``, as the vendor's parsers list them.
_ACTIONS: Final[Mapping[str, Mapping[int, str]]] = {
    "GPFSEvent": {
        0: "file-created",
        1: "file-deleted",
        3: "file-renamed",
        4: "file-modified",
        7: "directory-created",
    },
    "GPProcessEvent": {1: "process-created", 2: "process-exited"},
    "GPUSBEvent": {0: "device-inserted", 1: "device-removed"},
}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _strays(value: list[Any]) -> list[Any]:
    return [item for item in value if not isinstance(item, dict)]


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _acting(event: dict[str, Any], processes: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The process of the event: it stands there itself, or only its pid does."""
    own = _dict(event.get("process"))
    uuid = _text(own.get("uuid"))
    pids = [own.get("pid")] if own else [event.get("pid"), event.get("sourcePID")]
    pid = next((number for number in map(_number, pids) if number is not None), None)
    for process in processes:
        if (uuid and _text(process.get("uuid")) == uuid) or (pid is not None and _number(process.get("pid")) == pid):
            return process
    return None


def _parent(process: Mapping[str, Any], by_pid: Mapping[int, dict[str, Any]]) -> dict[str, Any] | None:
    for key in ("ppid", "originalParentPID"):
        pid = _number(process.get(key))
        if pid is not None and by_pid.get(pid) not in (None, process):
            return by_pid[pid]
    return None


def _attached(
    process: dict[str, Any], images: Mapping[str, dict[str, Any]], users: Mapping[int, dict[str, Any]]
) -> dict[str, Any]:
    """A process with its image and its user beside its own keys."""
    uid = _number(process.get("uid"))
    image, user = images.get(_text(process.get("path"))), users.get(uid) if uid is not None else None
    found = {"image": image or {"path": process["path"]}} if _text(process.get("path")) else {}
    if user is not None:
        found["account"] = {"name": user.get("name"), "uuid": user.get("uuid")}
    return {**process, **found}


def chain(document: dict[str, Any]) -> dict[str, Any]:
    """The acting process, its parent and grandparent under ``chain``, and what was convicted under ``subject``.

    What is moved is taken out of its list; what remains there has its image and user beside it.
    """
    given = _dict(document.get("input"))
    related, match = _dict(given.get("related")), _dict(given.get("match"))
    event = _dict(match.get("event"))
    processes, files = _dicts(related.get("processes")), _dicts(related.get("files"))
    images = {_text(item.get("path")): item for item in reversed(_dicts(related.get("binaries")))}
    users = {uid: item for item in _dicts(related.get("users")) if (uid := _number(item.get("uid"))) is not None}
    by_pid = {pid: item for item in processes if (pid := _number(item.get("pid"))) is not None}
    links: dict[str, dict[str, Any]] = {}
    current = _acting(event, processes)
    own = _dict(event.get("process"))
    for slot in _SLOTS:
        if current is None or any(current is known for known in links.values()):
            break
        links[slot] = current
        current = _parent(current, by_pid)
    taken = [id(item) for item in links.values()]
    rest = [item for item in processes if id(item) not in taken]
    if own:
        links["process"] = {**links.get("process", {}), **own}
    made = {slot: _attached(item, images, users) for slot, item in links.items()}
    used = {_text(item.get("path")) for item in (*made.values(), *rest)}
    subject = _subject(given, event, made.get("process", {}), files)
    known = {*used, *(_text(item.get("path")) for item in files), _text(_dict(subject).get("path"))}
    path = _text(event.get("path"))
    unused = [item for item in _dicts(related.get("binaries")) if _text(item.get("path")) not in used]
    lists = {
        "processes": [_attached(item, images, users) for item in rest],
        "binaries": unused,
        "files": [item for item in files if item is not subject],
    }
    # What is no object stays in its list, where the loss report finds it.
    replaced = {
        **related,
        **{
            name: [*made_of, *_strays(related[name])]
            for name, made_of in lists.items()
            if name in related and isinstance(related[name], list)
        },
    }
    left = {key: value for key, value in event.items() if key != "process"} if own else match.get("event")
    return {
        **document,
        **({"chain": made} if made else {}),
        **({"subject": subject} if subject else {}),
        **({"met": {"path": path}} if path and path not in known else {}),
        "input": {
            **given,
            **({"related": replaced} if related else {}),
            **({"match": {**match, "event": left}} if match else {}),
        },
    }


def _subject(
    given: Mapping[str, Any], event: Mapping[str, Any], process: Mapping[str, Any], files: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """What a prevention stopped: the script, the file of the event, or the image of the process."""
    if given.get("eventType") not in _STOPPED:
        return None
    path = _text(event.get("scriptPath")) or _text(event.get("path"))
    if not path:
        return process.get("image")
    return next((item for item in files if _text(item.get("path")) == path), {"path": path})


def console(document: Any) -> str | None:
    """The alert's page in the tenant's console, when the forwarding names the tenant."""
    context, given = (_dict(document).get(key) for key in ("context", "input"))
    tenant = _text(_dict(_dict(_dict(context).get("identity")).get("claims")).get("hd"))
    uuid = _text(_dict(_dict(given).get("match")).get("uuid"))
    if not _TENANT.fullmatch(tenant) or not _TENANT.fullmatch(uuid):
        return None
    return f"https://{tenant}.jamfcloud.com/Alerts/{uuid}"


def action(given: Any) -> str | None:
    """What happened, from the sensor and its number."""
    event = _dict(_dict(_dict(given).get("match")).get("event"))
    number = _number(event.get("type"))
    table = _ACTIONS.get(_text(_dict(given).get("eventType")), {})
    return table.get(number) if number is not None else None


def command_line(value: Any) -> str | None:
    """Arguments as one line."""
    if not isinstance(value, list):
        return value if isinstance(value, str) and value else None
    return " ".join(str(item) for item in value if isinstance(item, str | int | float)) or None


def spaced(value: Any) -> str | None:
    """``DefenseEvasion`` as ``Defense Evasion``: tags write tactics without blanks."""
    return _HUMP.sub(" ", value) if isinstance(value, str) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (chain, console, action, command_line, spaced)
}
