"""The closed list of functions a mapping may call: each takes a value and words and returns a value or None.

Documented in docs/reference/mappings.md; a product that needs more brings ``functions.py`` beside its mapping.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.ids import observable_id

__all__ = ["FUNCTIONS", "PREPARE", "Function", "check_call", "check_pattern"]

Function = Callable[..., Any]

_PAIR = re.compile(r'(?:^|[,\s])\s*([A-Za-z_][\w.:-]*)=(?:"((?:[^"\\]|\\.)*)"|([^,\s"]+))')
_LEADING_TIME = re.compile(r"^\s*(\d{9,10}(?:\.\d+)?)")
_ESCAPE = re.compile(r"\\(.)")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def bands(value: Any, low: str, medium: str, high: str, critical: str) -> str | None:
    """A number to a severity word: below ``low`` informational, then low, medium, high, critical."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    limits = ((critical, "critical"), (high, "high"), (medium, "medium"), (low, "low"))
    return next((word for limit, word in limits if number >= float(limit)), "informational")


def split(value: Any, separator: str = ",") -> list[str]:
    """A text to a list at a separator (the word ``comma``, ``semicolon`` or ``space``, or the separator itself)."""
    named = {"comma": ",", "semicolon": ";", "space": " ", "bar": "|"}
    return [part.strip() for part in _text(value).split(named.get(separator, separator)) if part.strip()]


def after(value: Any, mark: str) -> str | None:
    """What stands after the last ``mark``; None without it."""
    _, found, rest = _text(value).rpartition(mark)
    return (rest or None) if found else None


def before(value: Any, mark: str) -> str | None:
    """What stands before the first ``mark``; None without it."""
    head, found, _ = _text(value).partition(mark)
    return (head or None) if found else None


def labelled(value: Any, label: str) -> str | None:
    """One of several ``NAME=value`` pairs, as Sysmon writes hashes."""
    for part in _text(value).split(","):
        name, _, rest = part.strip().partition("=")
        if name.lower() == label.lower() and rest:
            return rest
    return None


def basename(value: Any) -> str | None:
    """The last part of a path."""
    return values.split_path(_text(value))[1] or None


def shaped(value: Any, pattern: str) -> str | None:
    """The value when the whole of it matches a regular expression, else None."""
    text = _text(value)
    return text if re.fullmatch(pattern, text) else None


def flag(value: Any, word: str) -> str | None:
    """The word, when the value is true."""
    return word if value is True or _text(value).lower() in {"true", "1", "yes"} else None


def if_address(value: Any) -> str | None:
    """The value when it is an address; a host field often holds either."""
    return _text(value) if values.address(_text(value)) else None


def if_name(value: Any) -> str | None:
    """The value when it is no address."""
    text = _text(value).strip()
    return text if text and not values.address(text) else None


def if_domain(value: Any) -> str | None:
    """The value when it is a domain name."""
    return values.domain(_text(value))


def if_hash(value: Any) -> str | None:
    """The value when it is a hash."""
    return _text(value) if values.hash_name(_text(value)) else None


def if_technique(value: Any) -> str | None:
    """The value when it has the shape of an ATT&CK technique id."""
    return shaped(_text(value).strip().upper(), r"T\d{4}(\.\d{3})?")


def lower(value: Any) -> str:
    """Lower case."""
    return _text(value).lower()


def prefixed(value: Any, word: str) -> str:
    """``word:value``: one id of the vendor becomes the key of several things."""
    return f"{word}:{_text(value)}"


def address_id(value: Any) -> str | None:
    """The STIX id of an address: inside a list ``@label`` is the list's last object, not the element's own."""
    found = values.address(_text(value))
    return observable_id(found[0], {"value": found[1]}) if found else None


FUNCTIONS: Final[Mapping[str, Function]] = {
    function.__name__: function
    for function in (
        bands, split, after, before, labelled, basename, shaped, flag, if_address, if_name, if_domain, if_hash,
        if_technique, lower, prefixed, address_id,
    )
}  # fmt: skip


def expand_dots(document: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys beside nested objects (Elasticsearch ``_source``) become nested objects; nested ones win."""
    if not any("." in key for key in document):
        return document
    result: dict[str, Any] = {}
    dotted: list[tuple[str, Any]] = []
    for key, value in document.items():
        if "." in key:
            dotted.append((key, value))
        else:
            result[key] = value
    copied: set[tuple[str, ...]] = set()
    for key, value in dotted:
        node, steps = result, key.split(".")
        for depth, step in enumerate(steps[:-1], start=1):
            child = node.get(step)
            if not isinstance(child, dict):
                child = {} if child is None else {"": child}
                node[step] = child
                copied.add(tuple(steps[:depth]))
            elif tuple(steps[:depth]) not in copied:
                # The caller's document is not ours to change.
                child = dict(child)
                node[step] = child
                copied.add(tuple(steps[:depth]))
            node = child
        if isinstance(node.get(steps[-1]), dict) and isinstance(value, dict):
            node[steps[-1]] = {**value, **node[steps[-1]]}
        else:
            node.setdefault(steps[-1], value)
    return result


def raw_pairs(document: dict[str, Any]) -> dict[str, Any]:
    """The ``key="value"`` pairs of a stash event's ``_raw`` stand as fields where the row itself lacks them."""
    raw = document.get("_raw")
    if not isinstance(raw, str):
        return document
    result = dict(document)
    found: dict[str, Any] = {}
    leading = _LEADING_TIME.match(raw)
    if leading:
        found["_raw_time"] = leading[1]
    for match in _PAIR.finditer(raw):
        key = match[1]
        value = _ESCAPE.sub(r"\1", match[2]) if match[2] is not None else match[3]
        if key in found and found[key] != value:
            known = found[key]
            found[key] = [*known, value] if isinstance(known, list) else [known, value]
        else:
            found[key] = value
    for key, value in found.items():
        result.setdefault(key, value)
    return result


PREPARE: Final[Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "expand_dots": expand_dots,
    "raw_pairs": raw_pairs,
}


def check_call(name: str, function: Function, words: Sequence[str]) -> None:
    """Raises ValueError when the function cannot take these words, so that a mapping is refused when it is loaded."""
    try:
        inspect.signature(function).bind(None, *words)
    except TypeError as error:
        raise ValueError(f"{name} cannot take {' '.join(words) or 'no word'}: {error}") from error
    if name == "shaped":
        check_pattern(words[0])


def check_pattern(text: str) -> str:
    """The text, when it is a regular expression. Raises ValueError."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    return text
