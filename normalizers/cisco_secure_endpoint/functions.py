"""What Secure Endpoint says in two fields at once, or in a spelling of its own (ids, paths, users)."""

import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

_DRIVE: Final = re.compile(r"/?[A-Za-z]:[/\\]")
_NOBODY: Final = frozenset({"not available", "n/a", "unknown", "-"})
_OUTWARD: Final = "outgoing"
_FULL: Final = 9


def _scalar(record: Any, key: str) -> str:
    value = record.get(key) if isinstance(record, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    return str(value).strip()


def event_key(event: Any) -> str | None:
    """The id of one event.

    The API's ``id`` is a number rounded to 53 bits, and what was detected shares it with what was then quarantined;
    event type, detection and connector tell them apart. A threat hunt has no ``id`` but a GUID.
    """
    hunt = event.get("threat_hunting") if isinstance(event, dict) else None
    own = _scalar(event, "id") or _scalar(hunt, "incident_hunt_guid") or _scalar(hunt, "incident_report_guid")
    if not own:
        return None
    rest = (_scalar(event, key) for key in ("event_type_id", "detection_id", "connector_guid"))
    return "/".join([own, *(part for part in rest if part)])


def moment(event: Any) -> str | None:
    """Seconds since 1970 with the nanoseconds that stand beside them."""
    seconds, fraction = _scalar(event, "timestamp"), _scalar(event, "timestamp_nanoseconds")
    if not seconds.isdigit() or not fraction.isdigit() or len(fraction) > _FULL:
        return None
    return f"{seconds}.{fraction.zfill(_FULL)}"


def local_path(value: Any) -> str | None:
    r"""A path as the machine writes it: ``\\?\C:\a``, ``/C:/a`` and ``file:///C%3A/a`` are ``C:\a``."""
    if not isinstance(value, str) or not value.strip():
        return None
    path = value.strip()
    if path.lower().startswith("file://"):
        path = urllib.parse.unquote(path[len("file://") :])
    path = path.removeprefix("\\\\?\\")
    if _DRIVE.match(path):
        return path.lstrip("/").replace("/", "\\")
    return path


def user_name(value: Any) -> str | None:
    """The login name of ``name@DOMAIN``; what says that nobody is known is nobody."""
    if not isinstance(value, str) or value.strip().lower() in {"", *_NOBODY}:
        return None
    return value.strip().rpartition("@")[0] or value.strip()


def user_domain(value: Any) -> str | None:
    """The domain of ``name@DOMAIN``."""
    if not isinstance(value, str) or not value.strip().rpartition("@")[0]:
        return None
    return value.strip().rpartition("@")[2] or None


def attack_id(value: Any) -> str | None:
    """An ATT&CK id, which stands as a text or as ``external_id`` of an object."""
    found = value.get("external_id") if isinstance(value, dict) else value
    return found.strip() if isinstance(found, str) and found.strip() else None


def outward(value: Any) -> str | None:
    """``outward`` for *Outgoing connection from*."""
    return "outward" if isinstance(value, str) and value.strip().lower().startswith(_OUTWARD) else None


def listed(elements: Any, key: str) -> str | None:
    """That key of every element of a list, each value once."""
    found = [_scalar(element, key) for element in (elements if isinstance(elements, list) else [elements])]
    return ", ".join(dict.fromkeys(text for text in found if text)) or None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (event_key, moment, local_path, user_name, user_domain, attack_id, outward, listed)
}
