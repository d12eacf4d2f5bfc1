"""Workbench alerts: read by change in whole seconds without loss, one by one with their etag, written with If-Match."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import httpx

from nightdesk.connectors.trend_vision_one import triage
from nightdesk.connectors.trend_vision_one.client import VENDOR, VisionOne, broken, document
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import CursorExpiredError, RejectedError, ResponseError, UnavailableError
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.ports import Command
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, Times, start_of
from nightdesk.sdk.triage import Wish
from nightdesk.sdk.verbatim import cut

__all__ = ["LIST", "VIEW", "Alerts"]

LIST = "/workbench/alerts"
VIEW = "Workbench: View, filter, and search"
_MODIFY = "Workbench: Modify alert details"
_SWEEP = "updatedDateTime"
_OVERLAP = timedelta(minutes=5)
_RETAINED = 180 * 86_400 * SECOND  # an older startDateTime is a 400
_MARGIN = 600 * SECOND  # clocks differ, and time passes until the request arrives
_VERSION = ("status", "investigationStatus", "investigationResult", "severity", "score", "ownerIds", "incidentId")
_TRIES = 3


class Alerts:
    """The alerts of one company."""

    def __init__(self, api: VisionOne, context: Context) -> None:
        self._api = api
        self._context = context
        self._filter = context.settings.text("filter")

    async def pull(self, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """What was created or changed since the cursor, oldest change first.

        Each page begins where the time of the one before ended: an alert that changes meanwhile moves to the end, and
        pages counted from the start of the list would then skip its neighbour. Only inside one second, where times
        cannot part the alerts, the next link is followed.
        """
        position = Position.load(cursor, start=start_of(self._context), sweeps=(_SWEEP,), overlap=_OVERLAP)
        size, link, walked = max(limit, 1), "", set[str]()
        floor = self._floor(position.since(_SWEEP))
        while True:
            elements, following = await self._page(floor, link)
            newest = max((moment for row, _ in elements if (moment := _updated(row)) is not None), default=floor)
            chunks = [elements[at : at + size] for at in range(0, len(elements), size)] or [[]]
            for number, chunk in enumerate(chunks, 1):
                records, failures = position.page(_SWEEP, chunk, _read)
                last = not following and number == len(chunks)
                if last:
                    position.forget()
                yield Batch(records, position.dump(), failures, more=not last)
            if not following:
                return
            if newest > floor:
                floor, link = newest, ""
                walked.clear()
                continue
            if following in walked:
                raise ResponseError("the next link repeats", vendor=VENDOR, operation="pull alerts")
            walked.add(following)
            link = following

    async def record(self, native_id: str) -> RawRecord:
        """One alert as it is now, verbatim."""
        response = await self._get(native_id)
        return _read(document(response, "read alert"), response.content.strip())[0]

    async def one(self, native_id: str) -> tuple[dict[str, Any], str]:
        """One alert and the etag that an update of it must name."""
        response = await self._get(native_id)
        etag = response.headers.get("etag", "").removeprefix("W/")
        return document(response, "read alert"), etag if etag.startswith('"') else f'"{etag}"'

    async def notes(self, native_id: str) -> list[Mapping[str, Any]]:
        """The alert's notes, newest first."""
        path, params = f"{LIST}/{_quoted(native_id)}/notes", {"top": 200, "orderBy": "createdDateTime desc"}
        return [row async for row in self._api.rows(path, operation="read notes", scope=VIEW, params=params)]

    async def note(self, native_id: str, text: str) -> None:
        """Adds one note."""
        path = f"{LIST}/{_quoted(native_id)}/notes"
        response = await self._api.ask("POST", path, operation="add note", scope=_MODIFY, json={"content": text})
        if response.status_code != 201:
            raise broken("expected 201 for a note", "add note", response)

    async def write(self, command: Command, wish: Wish) -> tuple[dict[str, str], dict[str, str]]:
        """The state before, and the fields that were written, none when the alert was so already.

        Written is what was read: when somebody was faster (412), it is read and compared again.
        """
        path = f"{LIST}/{_quoted(command.native_id)}"
        for _ in range(_TRIES):
            alert, etag = await self.one(command.native_id)
            fields = triage.changes(alert, command, wish)
            if not fields:
                return triage.state(alert), {}
            headers = {"If-Match": etag}
            try:
                await self._api.ask(
                    "PATCH", path, operation="update alert", scope=_MODIFY, json=fields, headers=headers
                )
            except RejectedError as error:
                if error.status != 412:
                    raise
            else:
                return triage.state(alert), fields
        raise UnavailableError(
            f"{command.native_id} changed {_TRIES} times between reading and writing it; try again later",
            vendor=VENDOR,
            operation="update alert",
            status=412,
        )

    def _floor(self, moment: int) -> int:
        """From when on is asked: what is older than the retention is gone, and asking for it is an error."""
        oldest = int(self._context.clock().timestamp()) * SECOND - _RETAINED + _MARGIN
        return max(moment, oldest) // SECOND * SECOND

    async def _page(self, floor: int, link: str) -> tuple[list[tuple[Any, bytes]], str]:
        # Without startDateTime only the last 24 hours would be read.
        params = {"startDateTime": iso(floor), "dateTimeTarget": _SWEEP, "orderBy": f"{_SWEEP} asc"}
        try:
            response = await self._api.ask(
                "GET",
                link or LIST,
                operation="pull alerts",
                scope=VIEW,
                params=None if link else params,
                # The filter is no part of the next link: without the header the rest of the list is unfiltered.
                headers={"TMV1-Filter": self._filter} if self._filter else None,
            )
        except RejectedError as error:
            if not link or error.status != 400:
                raise
            raise CursorExpiredError(
                "the next link is no longer accepted; restart from the stored time",
                vendor=VENDOR,
                operation="pull alerts",
                status=error.status,
                request_id=error.request_id,
            ) from error
        page = document(response, "pull alerts")
        if "items" not in page:
            raise broken("expected a list with 'items'", "pull alerts", response)
        try:
            return cut(response.content, "items"), str(page.get("nextLink") or "")
        except ValueError as error:
            raise broken(f"expected a list of alerts ({error})", "pull alerts", response) from error

    async def _get(self, native_id: str) -> httpx.Response:
        return await self._api.ask("GET", f"{LIST}/{_quoted(native_id)}", operation="read alert", scope=VIEW)


def _quoted(native_id: str) -> str:
    if not native_id.strip("./ "):
        raise RejectedError("no alert is named", vendor=VENDOR, operation="read alert")
    return quote(native_id, safe="")


def _updated(row: Any) -> int | None:
    return instant(row.get(_SWEEP)) if isinstance(row, dict) else None


def _read(alert: Mapping[str, Any], raw: bytes) -> tuple[RawRecord, Times]:
    """The record, and when it changed. Two changes within one second are told apart by what triage can change."""
    native_id, updated = str(alert.get("id") or ""), str(alert.get(_SWEEP) or "")
    version = json.dumps([alert.get(name) for name in _VERSION], sort_keys=True)
    content = version.encode() if native_id and updated else raw
    key = f"{native_id}:{updated}:{sha256(content).hexdigest()[:12]}"
    return RawRecord(raw, key, native_id, VENDOR), {_SWEEP: instant(updated)}
