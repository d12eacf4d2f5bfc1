"""A Zeek log in its tab-separated form as the JSON that Zeek writes with ``LogAscii::use_json``.

Format: https://docs.zeek.org/en/master/log-formats.html
"""

import re
from dataclasses import dataclass
from typing import IO, Any

__all__ = ["Header"]

_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})")
_LISTS = re.compile(r"^(?:set|vector|list|table)\[(\w+)\]$")
_WHOLE = frozenset({"count", "int", "port", "counter"})
_DECIMAL = frozenset({"double", "time", "interval"})


@dataclass(frozen=True, slots=True)
class Header:
    """What the lines of one log mean."""

    separator: str
    inner: str
    empty: str
    unset: str
    fields: tuple[str, ...]
    types: tuple[str, ...]

    @classmethod
    def read(cls, handle: IO[bytes]) -> "Header":
        """The header that begins here; stops behind ``#types``."""
        said: dict[str, str] = {}
        separator = "\t"
        for raw in iter(handle.readline, b""):
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not line.startswith("#"):
                break
            if line.startswith("#separator"):
                separator = _plain(line.partition(" ")[2]) or "\t"
                continue
            name, _, rest = line[1:].partition(separator)
            said[name] = rest
            if name == "types":
                break
        names = said.get("fields", "").split(separator) if said.get("fields") else []
        return cls(
            separator,
            _plain(said.get("set_separator", ",")),
            said.get("empty_field", "(empty)"),
            said.get("unset_field", "-"),
            tuple(names),
            tuple(said.get("types", "").split(separator)),
        )

    def document(self, line: bytes) -> dict[str, Any]:
        """One line. Raises ValueError when it has not the fields that the header names."""
        try:
            values = line.decode().split(self.separator)
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8: {error.reason}") from error
        if len(values) != len(self.fields) or len(self.types) != len(self.fields):
            raise ValueError(f"{len(values)} values, the header names {len(self.fields)} fields")
        rows = zip(self.fields, self.types, values, strict=True)
        return {name: self._value(kind, text) for name, kind, text in rows if text != self.unset}

    def _value(self, kind: str, text: str) -> Any:
        inner = _LISTS.match(kind)
        if inner:
            parts = [] if text == self.empty else text.split(self.inner)
            return [None if part == self.unset else _single(inner[1], part) for part in parts]
        return "" if text == self.empty else _single(kind, text)


def _single(kind: str, text: str) -> Any:
    """A number must be one: ValueError else."""
    if kind == "bool":
        return text == "T"
    if kind in _WHOLE:
        return int(text)
    if kind in _DECIMAL:
        return float(text)
    return _plain(text)


def _plain(text: str) -> str:
    r"""``\x09`` and its like undone; several in a row may be one character of UTF-8."""
    if "\\x" not in text:
        return text
    data = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    try:
        return data.encode("latin-1").decode()
    except UnicodeError:
        return data
