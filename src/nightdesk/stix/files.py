"""A file of alerts to what becomes of each of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from nightdesk.sdk.errors import MappingError
from nightdesk.stix.framing import frame
from nightdesk.stix.normalize import Normalized, Normalizer
from nightdesk.stix.scope import Scope

__all__ = ["Refused", "read_alerts"]

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Refused:
    """One alert that could not be normalised: where it stands (a JSON pointer, ``@N`` for bytes), and why."""

    pointer: str
    reason: str


def read_alerts(
    normalizer: Normalizer, product: str, payload: bytes, scope: Scope, *, source: str = "", strict: bool = False
) -> Iterator[tuple[bytes, Normalized | Refused]]:
    """Each alert's bytes and what became of it; ``strict`` refuses an alert with a value that no mapping reads."""
    try:
        framed = list(
            frame(
                payload, is_alert=lambda found: normalizer.knows(product, found), pages=normalizer.pages(product),
                source=source,
            )
        )  # fmt: skip
    except MappingError as error:
        yield payload, Refused(error.pointer, error.reason)
        return
    for piece in framed:
        try:
            made = normalizer.normalize(product, piece.payload, scope)
        except MappingError as error:
            pointer = error.pointer if piece.pointer == "/" else f"{piece.pointer}{error.pointer.rstrip('/')}"
            yield piece.payload, Refused(pointer, error.reason)
            continue
        if strict and made.loss.lost:
            more = len(made.loss.lost) - _NAMED
            named = ", ".join(made.loss.lost[:_NAMED]) + (f" and {more} more" if more > 0 else "")
            yield piece.payload, Refused(piece.pointer, f"strict: no mapping reads {named}")
            continue
        yield piece.payload, made
