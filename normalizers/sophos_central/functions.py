"""Sophos Central says much in sentences; these functions take the facts out of them.

Sources: the event texts of KB-000038309 and the patterns of the vendor's own SIEM integration script.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

_LONGEST: Final = 4096
# Straight and typographic quotes; a single quote inside a word is an apostrophe.
_QUOTED: Final = re.compile(r"(?<!\w)'([^']+)'(?!\w)|\"([^\"]+)\"|\u2033([^\u2033]+)\u2033|\u2032([^\u2032]+)\u2032")
_NOBODY: Final = frozenset({"n/a", "none", "unknown", "unknown user", "-"})
_THREAT: Final = re.compile(r"[A-Za-z0-9_]{2,12}/[A-Za-z0-9][A-Za-z0-9._-]*")
_LOCAL: Final = re.compile(r"(?:[A-Za-z]:|\\)\\[^\r\n]*|/[^/\r\n][^\r\n]*")
# A slash is written as this character where the console must make no link of an address.
_SLASH: Final = "\u2215"


def _text(value: Any) -> str:
    return value[:_LONGEST].strip() if isinstance(value, str) else ""


def quoted(value: Any, number: str = "1") -> str | None:
    """The text inside the first, second … pair of quotes of a sentence."""
    found = [next(part for part in match.groups() if part) for match in _QUOTED.finditer(_text(value))]
    at = int(number) - 1
    return found[at].strip() or None if at < len(found) else None


def if_path(value: Any) -> str | None:
    """The value when it is a local path."""
    text = _text(value)
    return text if _LOCAL.fullmatch(text) else None


def if_threat(value: Any) -> str | None:
    """The value when it is named as SophosLabs name threats, ``Mal/HTMLGen-A``."""
    text = _text(value).replace(_SLASH, "/")
    return text if _THREAT.fullmatch(text) else None


def site(value: Any) -> str | None:
    """The host of a web address, which may have neither scheme nor path."""
    text = _text(value).replace(_SLASH, "/")
    rest = text.partition("://")[2] or text
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0] or None
    return host.partition(":")[0] or None


def blocked_for(value: Any) -> str | None:
    """Why web control acted: the second quoted text of a sentence whose first is a site."""
    host = site(quoted(value)) or ""
    return quoted(value, "2") if "." in host and "\\" not in host and " " not in host else None


def address_bar(value: Any) -> str | None:
    """A web address that has a scheme, with its slashes."""
    text = _text(value).replace(_SLASH, "/")
    return text if "://" in text else None


def known(value: Any) -> str | None:
    """A user, unless the text says that there is none."""
    text = _text(value)
    return text if text and text.lower() not in _NOBODY else None


def full_name(value: Any) -> str | None:
    """The value when it is the name of a person and no login."""
    text = known(value) or ""
    return text if " " in text and "\\" not in text and "@" not in text else None


def told(value: Any, *words: str) -> str | None:
    """What stands behind ``Words: `` in a sentence of data control, up to two blanks or the end."""
    text, label = _text(value), " ".join(words) + ": "
    at = text.find(label)
    if at < 0:
        return None
    return text[at + len(label) :].partition("  ")[0].strip() or None


def lined(value: Any, *words: str) -> str | None:
    """What stands behind ``Words`` at the beginning of a line of the network detection's raw data."""
    label = " ".join(words)
    for line in _text(value).splitlines():
        head, rest = line[: len(label)], line[len(label) :]
        if head == label and rest[:1] in {":", " ", "\t"}:
            return rest.lstrip(": \t").strip() or None
    return None


def arrived(value: Any) -> str | None:
    """``inbound`` when the number of a network detection says that a remote computer began; 1 and 2 are outbound."""
    return "inbound" if value in (0, "0") and not isinstance(value, bool) else None


def remedies(items: Any) -> str | None:
    """What was cleaned up and how that went, item by item."""
    made = []
    for item in items if isinstance(items, list) else [items]:
        if isinstance(item, dict):
            parts = (_text(item.get(key)) for key in ("type", "descriptor", "result", "suspendResult"))
            made.append(" ".join(part for part in parts if part))
    return "; ".join(part for part in made if part) or None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        quoted,
        if_path,
        if_threat,
        site,
        blocked_for,
        address_bar,
        known,
        full_name,
        told,
        lined,
        arrived,
        remedies,
    )
}
