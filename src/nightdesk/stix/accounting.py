"""Where each value of an alert ended: in a standard STIX property, in an extension, ignored, or lost.

Every leaf of the payload is looked for among the values of the bundle, in the forms that normalising gives a value
(an address in RFC 5952 form, a time in UTC, a path taken apart). What was read and stands there in other words (a
severity as a number, a status by a scale) is *translated*.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.loss import Coverage, leaves
from nightdesk.stix.normalize import Normalized

__all__ = ["PLACES", "Account", "account"]

PLACES: Final = ("standard", "extension", "vendor_fields", "translated", "ignored", "lost")
"""From the best place to the worst; a leaf counts once, at the best place where its value stands."""
_NO_COVERAGE: Final = Coverage()
_BOOKKEEPING = frozenset({"extension-definition", "marking-definition"})
_SHORTEST_PART = 4
"""A shorter text is found inside some longer one by chance."""


@dataclass
class Account:
    """Leaf values of some alerts by where they ended."""

    alerts: int = 0
    places: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    wrong: int = 0

    def add(self, made: Normalized) -> None:
        """Counts one alert."""
        self.alerts += 1
        self.wrong += len(made.loss.wrong)
        self.places.update(account(made))
        self.lost.update(made.loss.lost)

    @property
    def leaves(self) -> int:
        """All values that carry something."""
        return self.places.total()

    def share(self, place: str) -> float:
        """0 to 1; 0 where there is no value at all."""
        return self.places[place] / self.leaves if self.leaves else 0.0


def account(made: Normalized) -> Counter[str]:
    """The leaves of one alert by place."""
    standing = _Standing(made.objects)
    found: Counter[str] = Counter()
    if made.mapping is None:
        # Its reader says which paths it left; what stands nowhere is one of those.
        found.update(standing.place(value) for value, _ in leaves(made.document, _NO_COVERAGE))
        left = min(found["translated"], len(made.loss.lost))
        return found + Counter({"translated": -left, "lost": left})
    for value, fate in leaves(made.document, made.mapping.coverage):
        place = standing.place(value)
        if place == "translated" and fate != "read":
            place = fate
        found[place] += 1
    return found


class _Standing:
    """The values of a bundle by place."""

    def __init__(self, objects: Iterable[Mapping[str, Any]]) -> None:
        self.standard: set[str] = set()
        self.extension: set[str] = set()
        self.vendor: set[str] = set()
        for entry in objects:
            if entry["type"] in _BOOKKEEPING:
                continue
            for name, value in entry.items():
                if name != "extensions":
                    self.standard.update(_texts(value))
                    continue
                for key, body in value.items():
                    own = key.startswith("extension-definition--")
                    (self.extension if own else self.standard).update(
                        _texts({inner: text for inner, text in body.items() if inner != "vendor_fields"})
                    )
                    self.vendor.update(_texts(body.get("vendor_fields")))
        self._long = "\n".join(sorted(self.standard))
        self._long_vendor = "\n".join(sorted(self.vendor))

    def place(self, value: Any) -> str:
        forms = list(_forms(value))
        if any(form in self.standard for form in forms):
            return "standard"
        long = [form for form in forms if len(form) >= _SHORTEST_PART and value.__class__ is str]
        if any(form in self._long for form in long):
            return "standard"
        if any(form in self.extension for form in forms):
            return "extension"
        if any(form in self.vendor for form in forms) or any(form in self._long_vendor for form in long):
            return "vendor_fields"
        return "translated"


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for inner in node.values():
            yield from _texts(inner)
    elif isinstance(node, list | tuple):
        for inner in node:
            yield from _texts(inner)
    elif node is not None:
        yield str(node).lower()


def _forms(value: Any) -> Iterator[str]:
    """The forms in which normalising may have written a value, all in lower case."""
    text = str(value).strip()
    yield text.lower()
    if isinstance(value, bool):
        return
    moment = values.parse_time(text) if isinstance(value, str) else values.epoch(repr(value))
    if moment is not None:
        yield values.clock_text(moment).lower()
        yield values.created_text(moment).lower()
        return
    if not isinstance(value, str):
        return
    for found in (values.address(text), values.hash_name(text)):
        if found is not None:
            yield found[1]
    for known in (values.domain(text), values.url(text), values.mac(text), values.protocol(text)):
        if known is not None:
            yield known.lower()
    folder, name = values.split_path(text)
    if folder and name:
        yield name.lower()
