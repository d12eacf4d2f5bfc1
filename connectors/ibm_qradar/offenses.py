"""Offenses of one console: sweeps without offsets, reading and writing one, its notes and its closing reasons."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.ibm_qradar.client import CLOSE, OFFENSES, VENDOR, Console, Version, document
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.sweep import Times

__all__ = ["CHANGED", "CLOSED", "NEW", "Offenses", "Reason", "Sweep", "record_of", "sweeps_of"]

NEW, CHANGED, CLOSED = "new", "changed", "closed"
_MILLISECOND = SECOND // 1000
_PERSISTED_SINCE: Version = (15, 0)
_LIST = 500  # elements a request of short lists
_MAX_NOTE = 2_000  # characters; the text travels in the URL
_MAX_ENCODED = 6_000  # bytes of it, below what web servers take of a request line

Elements = Sequence[tuple[Any, bytes]]


@dataclass(frozen=True, slots=True)
class Sweep:
    """One way to come upon offenses: in the order of ``field``, among those for which ``extra`` holds."""

    name: str
    field: str
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """One closing reason; ``usable`` when an offense can be closed with it today."""

    reason_id: int
    text: str
    usable: bool


def sweeps_of(version: Version, start: int) -> tuple[Sweep, ...]:
    """By number, by change and by closing, from that nanosecond on.

    A console before API 15 has no persisted times: what people do to an offense shows only when they close it.
    """
    persisted = version >= _PERSISTED_SINCE
    born, changed = ("first_persisted_time", "last_persisted_time") if persisted else ("last_updated_time",) * 2
    return (
        Sweep(NEW, "id", f" and {born} >= {start // _MILLISECOND}"),
        Sweep(CHANGED, changed),
        # Offenses that keep growing must not stand before a closing.
        Sweep(CLOSED, "close_time", " and status = CLOSED"),
    )


def record_of(offense: Mapping[str, Any], raw: bytes) -> tuple[RawRecord, Times]:
    """The record and when each sweep meets it. Without a persisted time the content tells one version from another."""
    native_id = str(offense.get("id") or "")
    persisted = instant(offense.get("last_persisted_time"), "ms")
    version = str(persisted // _MILLISECOND) if native_id and persisted is not None else sha256(raw).hexdigest()
    changed = persisted if persisted is not None else instant(offense.get("last_updated_time"), "ms")
    times = {CHANGED: changed, CLOSED: instant(offense.get("close_time"), "ms")}
    return RawRecord(raw, f"{native_id}:{version}", native_id, VENDOR), times


class Offenses:
    """Reads and writes offenses."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def sweep(self, sweep: Sweep, since: int, size: int) -> AsyncIterator[Elements]:
        """Pages in the order of the sweep from ``since`` on, inclusive; what changes meanwhile comes again later.

        Every page is asked for by where the one before ended, never by an offset: an offense that changes leaves its
        place, and all behind it move up. The rest of a value that fills a page is read by number.
        """
        while True:
            found, more = await self._page(f"{sweep.field} >= {since}{sweep.extra}", sweep.field, size)
            yield found
            if not more:
                return
            last = _last(found, sweep.field)
            if sweep.field == "id":
                since = last + 1
            elif last > since:
                since = last
            else:
                async for page in self._ties(f"{sweep.field} = {since}{sweep.extra}", size):
                    yield page
                since += 1

    async def newest(self) -> Elements:
        """The offense with the highest number."""
        found, _ = await self._console.rows(
            "/siem/offenses", operation="pull offenses", capability=OFFENSES, size=1, params={"sort": "-id"}
        )
        return found

    async def read(self, native_id: str) -> tuple[dict[str, Any], bytes]:
        """One offense, decoded and verbatim. Raises NotFoundError."""
        operation = "read offense"
        response = await self._console.ask("GET", _path(native_id), operation=operation, capability=OFFENSES)
        return document(response, operation), response.content

    async def update(self, native_id: str, change: Mapping[str, Any]) -> None:
        """Writes fields of an offense. Raises RejectedError (409) when its state forbids it."""
        await self._console.ask(
            "POST",
            _path(native_id),
            operation="update offense",
            capability=CLOSE,
            params={**change, "fields": "id,status"},
        )

    async def reasons(self) -> Mapping[int, Reason]:
        """Every closing reason by its id, those included that old offenses have and new ones cannot get."""
        rows = await self._every(
            "/siem/offense_closing_reasons",
            "read closing reasons",
            {"include_reserved": "true", "include_deleted": "true"},
        )
        return {
            row["id"]: Reason(row["id"], str(row.get("text")), not (row.get("is_reserved") or row.get("is_deleted")))
            for row in rows
            if isinstance(row.get("id"), int)
        }

    async def says(self, native_id: str, mark: str) -> bool:
        """Whether a note of the offense has the marker."""
        rows = await self._every(f"{_path(native_id)}/notes", "read notes", {"fields": "id,note_text"})
        return any(mark in str(row.get("note_text")) for row in rows)

    async def say(self, native_id: str, text: str, mark: str) -> bool:
        """Writes a note unless one with the marker is there; whether it did. Nothing changes or removes a note."""
        if len(text) > _MAX_NOTE or len(quote(text)) > _MAX_ENCODED:
            message = f"the comment has {len(text)} characters; it travels in the URL, so write at most {_MAX_NOTE}"
            raise RejectedError(message, vendor=VENDOR, operation="write note")
        if await self.says(native_id, mark):
            return False
        await self._console.ask(
            "POST",
            f"{_path(native_id)}/notes",
            operation="write note",
            capability=OFFENSES,
            params={"note_text": text, "fields": "id"},
        )
        return True

    async def _page(self, condition: str, field: str, size: int) -> tuple[Elements, bool]:
        return await self._console.rows(
            "/siem/offenses",
            operation="pull offenses",
            capability=OFFENSES,
            size=size,
            params={"filter": condition, "sort": f"+{field}"},
        )

    async def _ties(self, condition: str, size: int) -> AsyncIterator[Elements]:
        """All offenses of one value, by number: in which order the others came is not said."""
        above, more = 0, True
        while more:
            found, more = await self._page(f"{condition} and id > {above}", "id", size)
            yield found
            above = _last(found, "id") if more else above

    async def _every(self, path: str, operation: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        """A list that only grows, to its end."""
        rows: list[dict[str, Any]] = []
        begin, more = 0, True
        while more:
            found, more = await self._console.rows(
                path, operation=operation, capability=OFFENSES, size=_LIST, begin=begin, params=params
            )
            rows += [item for item, _ in found if isinstance(item, dict)]
            begin += len(found)
            more = more and bool(found)
        return rows


def _last(found: Elements, field: str) -> int:
    """The highest value of a page that others follow. Raises ResponseError when none says where to go on."""
    values = [value for item, _ in found if (value := _value(item, field)) is not None]
    if not values:
        message = f"{len(found)} offenses came without {field}, so the ones behind them cannot be asked for"
        raise ResponseError(message, vendor=VENDOR, operation="pull offenses")
    return max(values)


def _value(item: Any, field: str) -> int | None:
    value = item.get(field) if isinstance(item, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _path(native_id: str) -> str:
    if not (native_id.isascii() and native_id.isdecimal()):
        raise NotFoundError(f"{native_id!r} is no offense; its id is a number", vendor=VENDOR, operation="read offense")
    return f"/siem/offenses/{native_id}"
