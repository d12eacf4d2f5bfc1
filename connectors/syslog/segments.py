"""How a spool lies on disk: numbered segments, appended and never changed, and how they are read from a mark on.

A message is its length, its CRC-32 and its bytes.
"""

import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from nightdesk.sdk.errors import CursorExpiredError, MappingError, UnavailableError
from nightdesk.sdk.records import Cursor, Failure

__all__ = [
    "HEAD",
    "Mark",
    "Message",
    "Page",
    "broken",
    "last_number",
    "name_of",
    "path_of",
    "read_spool",
    "read_state",
    "segments",
]

HEAD = struct.Struct(">II")
_SUFFIX = ".messages"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a spool."""

    spool: str
    segment: int
    offset: int

    @classmethod
    def load(cls, cursor: Cursor | None) -> "Mark | None":
        """Raises CursorExpiredError for a cursor that is not ours."""
        if cursor is None:
            return None
        try:
            return cls(str(cursor["spool"]), int(cursor["segment"]), int(cursor["offset"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _expired("the stored cursor is not one of ours") from error

    def dump(self) -> Cursor:
        """As it is stored."""
        return {"spool": self.spool, "segment": self.segment, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class Message:
    """One message; its key is its place, for two equal messages are two."""

    data: bytes
    key: str


@dataclass(frozen=True, slots=True)
class Page:
    """What was read, and where to go on."""

    messages: tuple[Message, ...]
    failures: tuple[Failure, ...]
    mark: Mark | None
    more: bool


def read_spool(folder: Path, mark: Mark | None, limit: int) -> Page:
    """At most ``limit`` messages from the mark on, None for the oldest.

    What cannot be read is a failure with its bytes; at the end of the newest segment it may still be being written, and
    is left alone. Raises CursorExpiredError when the mark's place is gone, UnavailableError when the disk fails.
    """
    try:
        return _read(folder, mark, limit)
    except OSError as error:
        raise broken(folder, error) from error


def read_state(folder: Path) -> dict[str, Any]:
    """What the listener last said of itself, and ``waiting``, the bytes that are on disk now."""
    try:
        found = json.loads((folder / "state").read_bytes())
    except (OSError, ValueError):
        found = {}
    waiting = sum(path.stat().st_size for path in segments(folder).values())
    return {**(found if isinstance(found, dict) else {}), "waiting": waiting}


def _read(folder: Path, mark: Mark | None, limit: int) -> Page:
    there, name = segments(folder), name_of(folder)
    if mark is not None and (mark.spool != name or (mark.segment not in there and mark.segment <= last_number(folder))):
        raise _expired(f"the spool {folder} no longer has what the cursor stands at")
    if not there:
        return Page((), (), mark, more=False)
    at = mark or Mark(name, min(there), 0)
    messages: list[Message] = []
    failures: list[Failure] = []
    for number in sorted(one for one in there if one >= at.segment):
        offset = at.offset if number == at.segment else 0
        with there[number].open("rb") as file:
            file.seek(offset)
            while True:
                data = _one(file)
                if data is None:
                    break
                if len(messages) >= limit:
                    return Page(tuple(messages), tuple(failures), Mark(name, number, offset), more=True)
                messages.append(Message(data, f"{name}-{number}-{offset}"))
                offset += HEAD.size + len(data)
            if number != max(there):
                file.seek(offset)
                rest = file.read()
                if rest:
                    failures.append(_torn(rest, f"{name}-{number}-{offset}"))
                    offset += len(rest)
        at = Mark(name, number, offset)
    return Page(tuple(messages), tuple(failures), at, more=False)


def _one(file: IO[bytes]) -> bytes | None:
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    size, check = HEAD.unpack(head)
    data = file.read(size)
    return data if len(data) == size and zlib.crc32(data) == check else None


def _torn(rest: bytes, key: str) -> Failure:
    error = MappingError("a message that was being written when the process ended", pointer="@0", source="syslog spool")
    return Failure(rest, key, error, "@0")


def segments(folder: Path) -> dict[int, Path]:
    """Every segment by its number."""
    return {int(path.stem): path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdigit()}


def path_of(folder: Path, number: int) -> Path:
    """Where the segment of that number lies."""
    return folder / f"{number:012d}{_SUFFIX}"


def name_of(folder: Path) -> str:
    """What tells this spool from one that lay here before; empty before the first message."""
    return _text(folder / "id")


def last_number(folder: Path) -> int:
    """The highest number ever used."""
    text = _text(folder / "last")
    return int(text) if text.isdigit() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _expired(why: str) -> CursorExpiredError:
    return CursorExpiredError(f"{why}: it is read from its oldest message", vendor="syslog", operation="read the spool")


def broken(folder: Path, error: OSError) -> UnavailableError:
    """The disk fails: wait and try again."""
    return UnavailableError(
        f"the spool {folder} cannot be used: {error.strerror or type(error).__name__}",
        vendor="syslog",
        operation="open the spool",
    )
