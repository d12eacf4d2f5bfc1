"""Where reading stands: of each file that was read, how far, and how to know it again under another name."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nightdesk.sdk.errors import CursorExpiredError
from nightdesk.sdk.records import Cursor

__all__ = ["HEAD", "Place", "Standing"]

HEAD = 1024
"""Bytes at the beginning of a file that tell it from every other: a new file begins with a new time."""
_KEPT = 4  # files; a sensor that was not yet told of a rotation still writes to the one before


@dataclass(frozen=True, slots=True)
class Place:
    """One file: ``offset`` of the next line, unpacked; ``head`` is the digest of its first ``head_size`` bytes.

    ``size`` is what it was when last looked at. ``header`` is where the Zeek header begins that its lines are under, -1
    without one.
    """

    inode: int
    head: str
    head_size: int
    offset: int
    size: int
    header: int = -1


@dataclass(frozen=True, slots=True)
class Standing:
    """Every known file, oldest first; what was last written to before ``since`` (nanoseconds) is not for us."""

    places: tuple[Place, ...]
    since: int

    @classmethod
    def load(cls, cursor: Cursor | None) -> "Standing | None":
        """Raises CursorExpiredError for a cursor that is not ours."""
        if cursor is None:
            return None
        try:
            return cls(tuple(_place(one) for one in cursor["files"]), int(cursor["since"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CursorExpiredError(
                "the stored cursor is not one of ours: the file is read from its beginning",
                vendor="file_tail",
                operation="read the file",
            ) from error

    def dump(self) -> Cursor:
        """As it is stored."""
        names = Place.__slots__
        return {"files": [{name: getattr(one, name) for name in names} for one in self.places], "since": self.since}

    def moved(self, places: Iterable[Place], since: int) -> "Standing":
        """The standing after a page."""
        return Standing(tuple(places)[-_KEPT:], max(since, self.since))


def _place(stored: dict[str, Any]) -> Place:
    numbers = {name: int(stored[name]) for name in ("inode", "head_size", "offset", "size", "header")}
    return Place(head=str(stored["head"]), **numbers)
