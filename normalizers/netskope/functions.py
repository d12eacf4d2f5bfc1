"""What Netskope's flat records need: placeholders left out, addresses of pages made whole, and what it convicts."""

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

_PLACEHOLDERS: Final = frozenset({"na", "n/a", "notavailable", "not available", "none", "null"})
# Alert types whose remote side Netskope holds for hostile; malware may lie in an innocent cloud application.
# https://docs.netskope.com/en/alerts-events
_HOSTILE: Final = frozenset({"malsite", "ips", "c2", "ctep"})
_KEYS: Final = ("alert_type", "type")


def _text(document: Any, key: str) -> str:
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""


def given(document: Any) -> Any:
    """The record without its fillers: the service writes 0 or ``N/A`` in every field that the event did not set."""
    if not isinstance(document, dict):
        return document
    return {key: value for key, value in document.items() if not _filler(value)}


def _filler(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _PLACEHOLDERS
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def hostile(document: Any) -> bool | None:
    """Whether the alert is of a type whose page and address are the attacker's."""
    if _text(document, "malicious").lower() == "yes":
        return True
    return True if any(_text(document, key).lower() in _HOSTILE for key in _KEYS) else None


def malware(document: Any) -> bool | None:
    """Whether the alert convicts its file."""
    return True if _text(document, "alert_type").lower() == "malware" else None


def page(document: Any) -> str | None:
    """The address that was called; the record leaves the scheme out, which its protocol names."""
    found, protocol = _text(document, "url").strip(), _text(document, "protocol").upper()
    if not found or "://" in found:
        return found or None
    scheme = "https" if protocol.startswith("HTTPS") else "http" if protocol.startswith("HTTP") else ""
    return f"{scheme}://{found}" if scheme else None


def site(document: Any) -> str | None:
    """The name or address of the server that was called."""
    for key in ("dsthost", "domain", "url", "page"):
        found = _text(document, key).strip()
        host = found.rpartition("://")[2].partition("/")[0].partition("?")[0]
        name, colon, port = host.rpartition(":")
        host = name if colon and port.isdigit() and ":" not in name else host
        if host:
            return host
    return None


def device_kind(value: Any) -> str | None:
    """The kind of machine: ``Windows Device``, ``Mac Device``, ``iPhone``."""
    word = value.lower() if isinstance(value, str) else ""
    if any(part in word for part in ("iphone", "ipad", "ios", "android", "mobile", "phone")):
        return "mobile"
    if "server" in word:
        return "server"
    return "workstation" if any(part in word for part in ("windows", "mac", "linux", "chrome")) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (given, hostile, malware, page, site, device_kind)
}
