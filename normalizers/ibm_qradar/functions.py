"""What an offense says in several fields at once: whose side an address is on, what was counted, who works on it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_inside

__all__ = ["FUNCTIONS"]

# What the field source_network and destination_networks say of addresses outside the network hierarchy.
_NO_NETWORK: Final = "other"
_SEVERAL: Final = "multiple"
_SOURCE_TYPES: Final = frozenset({"0", "10", "source ip", "source ipv6"})
_TARGET_TYPES: Final = frozenset({"1", "11", "destination ip", "destination ipv6"})
# The rule engine reports what the other log sources saw.
_ENGINE: Final = "EventCRE"


def _field(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, dict) else None


def _word(value: Any) -> str:
    return str(value).strip().lower()


def _addresses(found: Any) -> list[str]:
    """The addresses among ids and addresses; the ids of look-ups are numbers."""
    texts = found if isinstance(found, list) else [found]
    known = [values.address(text) for text in texts if isinstance(text, str)]
    return [item[1] for item in known if item]


def line(value: Any) -> str | None:
    """A text of several lines as one: the console writes the names of the events it saw one below the other."""
    return " ".join(value.split()) or None if isinstance(value, str) else None


def untouched(record: Any) -> str | None:
    """``new`` for an open offense that nobody was given."""
    return "new" if _word(_field(record, "status")) == "open" and not _field(record, "assigned_to") else None


def total(record: Any) -> int | None:
    """Events and flows together."""
    counts = [_field(record, name) for name in ("event_count", "flow_count")]
    return sum(n for n in counts if isinstance(n, int) and not isinstance(n, bool) and n > 0) or None


def reporter(name: Any) -> str | None:
    """The type of a log source, but for the console's own rule engine."""
    return name if isinstance(name, str) and name != _ENGINE else None


def sources(record: Any, side: str) -> list[str]:
    """The source addresses that are ``outside`` the company's networks, or ``inside`` them."""
    network = _word(_field(record, "source_network") or "")
    kind = _word(_field(record, "offense_type"))
    found = _addresses(_field(record, "offense_source")) if kind in _SOURCE_TYPES else []
    found += _addresses(_field(record, "source_address_ids"))
    made = []
    for text in dict.fromkeys(found):
        # A named network is the company's own, whatever its addresses look like.
        outside = not is_inside(text) and network in {_NO_NETWORK, _SEVERAL, ""}
        if outside == (side == "outside"):
            made.append(text)
    return made


def victims(record: Any) -> list[str]:
    """The company's own addresses at the other end: local destinations, and a destination the offense is indexed by."""
    networks = _field(record, "destination_networks")
    named = [_word(name) for name in networks if isinstance(name, str)] if isinstance(networks, list) else []
    remote = bool(named) and set(named) == {_NO_NETWORK}
    indexed = _word(_field(record, "offense_type")) in _TARGET_TYPES
    found = _addresses(_field(record, "offense_source")) if indexed else []
    own = [text for text in found if is_inside(text) or not remote]
    return list(dict.fromkeys([*own, *_addresses(_field(record, "local_destination_address_ids"))]))


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (line, untouched, total, reporter, sources, victims)
}
