"""Mail addresses for misp-stix 2026.10.12, which cannot take one address in two places of an event.

An address becomes an attribute of a message or of the event, under its own UUID: of two with one UUID, MISP keeps one
("Colliding MISP attribute uuid"), and an observation that lists an address again fails from there on ("'tuple' object
has no attribute 'get'"). So the first place keeps the address, a later message gets a copy under another id, and a
later observation does without.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from nightdesk.stix.egress.graph import derived_id, references, renamed

__all__ = ["in_one_place"]

_ADDRESS: Final = "email-addr--"
_MESSAGE: Final = "email-message--"

_Objects = Mapping[str, Mapping[str, Any]]


def in_one_place(groupings: Sequence[Mapping[str, Any]], by_id: _Objects) -> dict[str, Mapping[str, Any]]:
    """Every object by its id, the groupings among them, with each address in one place of each event."""
    made: dict[str, Mapping[str, Any]] = {**by_id, **{grouping["id"]: grouping for grouping in groupings}}
    for grouping in groupings:
        event = _Event(made)
        for ref in grouping["object_refs"]:
            if ref.startswith("observed-data--") and ref in made:
                event.observed(ref)
        if event.copies:
            made[grouping["id"]] = {**grouping, "object_refs": [*grouping["object_refs"], *event.copies]}
    return made


def _addresses(refs: Iterable[str]) -> list[str]:
    return [ref for ref in dict.fromkeys(refs) if ref.startswith(_ADDRESS)]


class _Event:
    """One event: the addresses that have their place, and the messages that were looked at."""

    def __init__(self, made: dict[str, Mapping[str, Any]]) -> None:
        self._made = made
        self._placed: set[str] = set()
        self._messages: set[str] = set()
        self.copies: list[str] = []

    def observed(self, ref: str) -> None:
        """The next observation of the event: its messages come first, as they do at the import."""
        entry = self._made[ref]
        before = frozenset(self._placed)
        copies = [copy for message in entry["object_refs"] if message in self._made for copy in self._copied(message)]
        self._placed.update(_addresses(entry["object_refs"]))
        refs = [*(one for one in entry["object_refs"] if one not in before), *copies]
        if refs != entry["object_refs"]:
            self._made[ref] = {**entry, "object_refs": refs}
        self.copies += copies

    def _copied(self, ref: str) -> list[str]:
        """The copies that a message needs of addresses that have their place already."""
        if not ref.startswith(_MESSAGE) or ref in self._messages:
            return []
        self._messages.add(ref)
        message = self._made[ref]
        used = [one for one in _addresses(references(message)) if one in self._made]
        names = {one: derived_id("email-addr", ref, one) for one in used if one in self._placed}
        self._placed.update(used)
        if names:
            self._made[ref] = renamed(message, names)
            self._made |= {copy: {**self._made[one], "id": copy} for one, copy in names.items()}
        return list(names.values())
