"""What a case is about, out of the key by which the product gathers its alerts."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_inside

__all__ = ["FUNCTIONS"]


def _parts(value: Any) -> list[str]:
    """Kind, ids and the thing itself; a key of one part says nothing."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else []
    return parts if len(parts) > 1 and all((parts[0], parts[-1])) else []


def kind_of(value: Any) -> str | None:
    """What kind of thing the case is about: ``asset``, ``user``."""
    parts = _parts(value)
    return parts[0] if parts else None


def entity(value: Any, kind: str) -> str | None:
    """The thing itself, when it is of that kind."""
    parts = _parts(value)
    return parts[-1] if parts and parts[0].lower() == kind else None


def own(value: Any, kind: str) -> str | None:
    """The same without an address outside private space: every address the product meets is an asset to it."""
    found = entity(value, kind)
    known = values.address(found) if found else None
    if known is None:
        return found
    return known[1] if is_inside(known[1]) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (kind_of, entity, own)
}
