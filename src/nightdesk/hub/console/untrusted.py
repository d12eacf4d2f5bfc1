"""Makes text from alerts safe to look at: escaped, with every invisible or order-changing character shown as a mark."""

import re
import unicodedata
from urllib.parse import urlsplit

from markupsafe import Markup, escape

__all__ = ["plain", "safe_link", "shortened", "untrusted"]

# Letters by category, blanks by sight: a name made of them looks empty.
_BLANK_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_SUSPECT = re.compile(rf"[^\x20-\x7e\n\t]|[{_BLANK_LETTERS}]")
_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_MARK = '<span class="hidden-character" title="{}">[U+{:04X}]</span>'


def _hidden(character: str) -> bool:
    return character in _BLANK_LETTERS or unicodedata.category(character) in _HIDDEN


def _plain_mark(found: re.Match[str]) -> str:
    return f"[U+{ord(found[0]):04X}]" if _hidden(found[0]) else found[0]


def _html_mark(found: re.Match[str]) -> str:
    character = found[0]
    if not _hidden(character):
        return character
    return _MARK.format(escape(unicodedata.name(character, "control character")), ord(character))


def plain(value: object) -> str:
    """One line with hidden characters as ``[U+202E]``, unescaped: for attributes and drawings, which escape it."""
    return _SUSPECT.sub(_plain_mark, " ".join(re.split(r"[\n\t ]+", str(value))))


def untrusted(value: object) -> Markup:
    """HTML of a text that somebody else wrote. Line breaks stay, everything hidden becomes a visible mark.

    It stands in a ``bdi`` of its own, so that right-to-left letters in it never re-order the words around it.
    """
    escaped = str(escape(str(value).replace("\r\n", "\n")))
    marked = _SUSPECT.sub(_html_mark, escaped)
    return Markup(f'<bdi class="untrusted">{marked}</bdi>')  # noqa: S704  # escaped above; marks hold no foreign text


def shortened(value: object, length: int) -> str:
    """At most that many characters, with an ellipsis for the rest."""
    text = str(value)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def safe_link(value: str) -> str:
    """The address if a browser may be sent to it (http or https, with a host), else nothing."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return ""
    fit = parts.scheme in {"http", "https"} and bool(parts.netloc) and not any(map(_hidden, value))
    return value if fit else ""
