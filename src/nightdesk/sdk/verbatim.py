"""Cuts the records out of a vendor's answer as the vendor wrote them, byte for byte: a raw alert is evidence."""

import json
from typing import Any

__all__ = ["cut"]

_BLANK = " \t\r\n"
_decode = json.JSONDecoder().raw_decode


def cut(body: bytes, *path: str) -> list[tuple[Any, bytes]]:
    """The elements of the array at that path of keys (none: the document itself), decoded and verbatim.

    Empty when the path leads nowhere or to null. Raises ValueError when the body is no JSON or no array is there.
    """
    try:
        text = body.decode("utf-8")
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    text, at = text.lstrip("\ufeff"), 0
    for key in path:
        if not isinstance(document, dict) or document.get(key) is None:
            return []
        document, at = document[key], _value_of(text, _skip(text, at), key)
    if document is None:
        return []
    if not isinstance(document, list):
        raise ValueError(f"{'.'.join(path) or 'the answer'} is no array")  # noqa: TRY004  # of the data, not of an argument
    return _elements(text, _skip(text, at))


def _skip(text: str, at: int) -> int:
    while text[at] in _BLANK:
        at += 1
    return at


def _value_of(text: str, at: int, wanted: str) -> int:
    """Where the value of the key begins in the object at ``at``; of a key given twice the last, as decoders take it."""
    found = -1
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = _decode(text, _skip(text, at + 1) if text[at] == "," else at)
        at = _skip(text, _skip(text, at) + 1)
        if key == wanted:
            found = at
        at = _skip(text, _decode(text, at)[1])
    return found


def _elements(text: str, at: int) -> list[tuple[Any, bytes]]:
    found: list[tuple[Any, bytes]] = []
    at = _skip(text, at + 1)
    while text[at] != "]":
        begin = _skip(text, at + 1) if text[at] == "," else at
        value, end = _decode(text, begin)
        found.append((value, text[begin:end].encode()))
        at = _skip(text, end)
    return found
