"""Reads a page of whole lines from the files in their order; what is wanted of them becomes records."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import orjson

from nightdesk.connectors.file_tail.family import Part, digest
from nightdesk.connectors.file_tail.standing import Place, Standing
from nightdesk.connectors.file_tail.zeek_log import Header
from nightdesk.sdk.errors import ConfigError, MappingError, Problem, UnavailableError
from nightdesk.sdk.records import Failure, RawRecord

__all__ = ["LONGEST", "Page", "Sieve", "read_page"]

LONGEST = 16 * 1024 * 1024
_AT_ONCE = 32 * 1024 * 1024  # bytes read for one page, so that the cursor moves through what nobody wants


@dataclass(frozen=True, slots=True)
class Sieve:
    """``KEY=VALUE`` that a line must have; an empty key takes every line."""

    key: str
    value: str

    @classmethod
    def of(cls, text: str, instance: str) -> "Sieve":
        """Raises ConfigError for what is neither ``*`` nor ``KEY=VALUE``."""
        if text == "*":
            return cls("", "")
        key, mark, value = text.partition("=")
        if not mark or not key.strip():
            raise ConfigError([Problem(instance, "only", "write KEY=VALUE, such as event_type=alert, or *")])
        return cls(key.strip(), value.strip())

    def wants(self, line: bytes) -> bool:
        """False only for a JSON object that says otherwise: what cannot be read is never passed over."""
        if not self.key:
            return True
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError:
            return True
        return not isinstance(document, dict) or str(document.get(self.key)) == self.value


@dataclass(slots=True)
class Page:
    """What was read, and where reading stands after it."""

    standing: Standing
    records: list[RawRecord] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    more: bool = False


def read_page(parts: Sequence[Part], standing: Standing, *, sieve: Sieve, product: str, limit: int) -> Page:
    """At most ``limit`` lines that are wanted. Raises UnavailableError when a file breaks off under our hands."""
    page = Page(standing)
    # What is out of sight for a moment (being renamed or packed) is not forgotten.
    seen = {part.place for part in parts}
    places = [place for place in standing.places if place not in seen]
    unread: list[Part] = []
    left, since = _AT_ONCE, 0
    for part in parts:
        if len(page.records) >= limit or left <= 0:
            # Not reached: what is known of it stays, and a new one must still be newer than `since` afterwards.
            if part.place is not None:
                places.append(part.place)
            else:
                unread.append(part)
            page.more = True
            continue
        tail = _Tail(part, sieve, product, page)
        try:
            left -= tail.read(limit, left)
        except (EOFError, OSError, zlib.error) as error:
            raise UnavailableError(
                f"{part.path} breaks off: {type(error).__name__}", vendor="file_tail", operation="read the file"
            ) from error
        page.more = page.more or tail.more
        if tail.place.offset:
            places.append(tail.place)
            since = max(since, part.written)
        else:
            unread.append(part)  # without a whole line nothing tells it from other files
    since = min([since, *(part.written - 1 for part in unread)])
    page.standing = standing.moved(places, since)
    return page


class _Tail:
    """The unread end of one file."""

    def __init__(self, part: Part, sieve: Sieve, product: str, page: Page) -> None:
        self._part, self._sieve, self._product, self._page = part, sieve, product, page
        self._offset = part.place.offset if part.place else 0
        self._header_at = part.place.header if part.place else -1
        self._header: Header | None = None
        self.more = False

    @property
    def place(self) -> Place:
        """Where it is now read to."""
        part = self._part
        return Place(part.inode, digest(part.begin), len(part.begin), self._offset, part.size, self._header_at)

    def read(self, limit: int, left: int) -> int:
        """Lines until the page is full or the file ends; returns the bytes read."""
        handle, begun = self._part.handle, self._offset
        if self._header_at >= 0:
            handle.seek(self._header_at)
            self._header = Header.read(handle)
        handle.seek(self._offset)
        while True:
            line = handle.readline(LONGEST)
            if not line or not (line.endswith(b"\n") or len(line) == LONGEST or self._is_final(line)):
                return self._offset - begun
            if len(self._page.records) >= limit or self._offset - begun >= left:
                self.more = True
                return self._offset - begun
            self._take(handle, line)

    def _is_final(self, line: bytes) -> bool:
        """Whether a last line without an end will never get one: its file was left, and did not grow since."""
        part = self._part
        unchanged = part.place is not None and part.place.size == part.size
        return not part.active and (part.packed or unchanged) and bool(line.strip())

    def _take(self, handle: IO[bytes], line: bytes) -> None:
        at, text = self._offset, line.rstrip(b"\r\n")
        self._offset += len(line)
        if len(line) == LONGEST and not line.endswith(b"\n"):
            self._fail(line, at, f"a line of more than {LONGEST} bytes")
        elif text.startswith(b"#") and (self._header is not None or text.startswith(b"#separator")):
            if text.startswith(b"#separator"):
                self._header_at = at
                handle.seek(at)
                self._header = Header.read(handle)
                handle.seek(self._offset)
        elif self._header is not None:
            try:
                self._keep(self._header.document(text))
            except ValueError as error:
                self._fail(text, at, str(error))
        elif text.strip() and self._sieve.wants(text):
            self._keep(text)

    def _keep(self, payload: bytes | dict[str, Any]) -> None:
        data = (
            payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
        )
        # Equal bytes are one alert: after a rotation that could not be followed a file may be read twice.
        key = hashlib.sha256(data).hexdigest()
        media_type = "application/json" if data.startswith(b"{") else "text/plain"
        self._page.records.append(RawRecord(data, key, product=self._product, media_type=media_type))

    def _fail(self, data: bytes, at: int, why: str) -> None:
        pointer = f"@{at}"
        error = MappingError(why, pointer=pointer, source=self._part.path)
        self._page.failures.append(Failure(data, hashlib.sha256(data).hexdigest(), error, pointer))
