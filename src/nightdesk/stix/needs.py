"""What an object cannot be without, so that generated code sees at one look that there is none."""

from collections.abc import Iterable, Mapping
from typing import Final

from nightdesk.stix.mapping import Entry, Expression

__all__ = ["ALL_NEEDED", "ESSENTIAL", "gate_of", "needs_objects"]

# Without one of these (of ``traffic`` and ``link``: without all) there is no such object, whatever else is known.
ESSENTIAL: Final[Mapping[str, tuple[str, ...]]] = {
    "file": ("name", "path", "hashes"), "account": ("login", "uid"), "asset": ("value", "hostname", "fqdn"),
    "process": ("pid", "command_line", "cwd", "image"), "message": ("subject", "sender"),
    "certificate": ("hashes", "serial"), "traffic": ("source_port", "destination_port"), "link": ("value", "target"),
}  # fmt: skip
ALL_NEEDED = frozenset({"traffic", "link"})


def gate_of(entry: Entry) -> tuple[str, ...]:
    """The payload's keys of which one must be there for the object to be; empty where that cannot be said."""
    if entry.when is not None:
        expression, operator, word = entry.when
        keys = _keys([expression])
        if keys and (not operator or (operator == "==" and word.lower() != "none")):
            return keys
    given = [entry.fields[name] for name in ESSENTIAL.get(entry.kind, ("value",)) if name in entry.fields]
    many = [field if field and isinstance(field[0], tuple) else (field,) for field in given]
    if entry.kind in ALL_NEEDED:
        return next((keys for field in many if (keys := _keys(field))), ())
    return _keys([expression for field in many for expression in field])


def _keys(expressions: Iterable[Expression]) -> tuple[str, ...]:
    found = [alternative for expression in expressions for alternative in expression]
    if any(item.reference or item.literal is not None or item.relative or not item.path for item in found):
        return ()
    return tuple(sorted({item.path[0] for item in found}))


def needs_objects(entry: Entry) -> bool:
    """True when an entry reads keys of the elements it repeats over, and never an element itself."""
    found = [item for expression in entry.expressions() for item in expression if item.relative]
    return bool(found) and all(item.path for item in found)
