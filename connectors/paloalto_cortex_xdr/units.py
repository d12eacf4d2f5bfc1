"""What an instance works on: alerts, listed by arrival, or incidents, listed by their last change.

Both are numbered from one by one, so an instance works on one of them: closing incident 31 must not close alert 31.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nightdesk.connectors.paloalto_cortex_xdr.client import Answer
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.sweep import Times
from nightdesk.sdk.verbatim import cut

__all__ = ["EDIT", "Element", "Page", "Unit", "cut_out", "millis", "page_of"]

EDIT = "Alerts & Incidents: edit"
Element = tuple[Any, bytes]
"""One object of an answer: decoded, and as Cortex wrote it."""

_NO_MILLIS = 100_000_000_000  # the year 5138 in seconds, 1973 in milliseconds


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: its objects, the last one's milliseconds when they are in order, and whether all of them came."""

    elements: Sequence[Element]
    last: int | None
    whole: bool


class Unit(Protocol):
    """Reads and changes one kind of thing."""

    sweep: str

    async def page(self, since: int, offset: int, size: int) -> Page:
        """Up to ``size`` of what arrived or changed since that millisecond, oldest first."""
        ...

    def record(self, item: Any, raw: bytes) -> tuple[RawRecord, Times]:
        """One object as a record, and when it arrived or changed."""
        ...

    async def filled(self, records: Sequence[RawRecord]) -> list[RawRecord]:
        """The records with what the list leaves out."""
        ...

    async def read(self, native_id: str) -> Element:
        """The thing as it is now. Raises NotFoundError."""
        ...

    def word(self, item: Mapping[str, Any]) -> Any:
        """Its status in Cortex's words."""
        ...

    def said(self, item: Mapping[str, Any], mark: str) -> bool:
        """Whether a comment with that marker shows on it."""
        ...

    async def change(self, native_id: str, status: str, comment: str) -> None:
        """Sets the status and adds the comment; what is empty stays. Raises ResponseError when it did not."""
        ...


def cut_out(answer: Answer, name: str) -> list[Element]:
    """The objects of one array in the reply, verbatim. Raises ResponseError when there is none to cut."""
    answer.mapping()
    try:
        return cut(answer.body, "reply", name)
    except ValueError as error:
        raise answer.broken(f"cannot be read: {error}") from error


def page_of(answer: Answer, name: str, field: str) -> Page:
    """One answer of a list call; ``field`` is the time it is sorted by."""
    elements = cut_out(answer, name)
    moments = [item.get(field) for item, _ in elements if isinstance(item, dict)]
    numbers = [found for each in moments if (found := millis(each)) is not None]
    reply = answer.mapping()
    if name not in reply:
        raise answer.broken(f"the reply has no {name}")
    count = reply.get("result_count")
    whole = not isinstance(count, int) or count == len(elements)
    # Out of order, the last one is no place to go on from.
    ordered = bool(numbers) and numbers == sorted(numbers)
    return Page(elements, numbers[-1] if ordered else None, whole)


def millis(value: Any) -> int | None:
    """Milliseconds since 1970; older tenants give some times in seconds."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value * 1000 if value < _NO_MILLIS else value
