"""Incidents of one workspace: pages in order of change, each incident with its alerts and entities, writes by etag."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from nightdesk.connectors.microsoft_sentinel import triage
from nightdesk.connectors.microsoft_sentinel.client import READER, RESPONDER, VENDOR, Arm, broken, document
from nightdesk.sdk.context import Sleep
from nightdesk.sdk.errors import CursorExpiredError, NotFoundError, RejectedError, ResponseError, UnavailableError
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.ports import Command
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.retry import backoff
from nightdesk.sdk.sweep import Times
from nightdesk.sdk.triage import Wish
from nightdesk.sdk.verbatim import cut

__all__ = ["CHANGED", "Incidents", "Page", "record_of"]

CHANGED = "lastModifiedTimeUtc"
_DIGITS = 7  # of a second, as Sentinel keeps them
_TRIES = 5  # writes against a newer version: automation rules and the Defender portal change incidents too
_CREATED, _BAD, _CONFLICT = 201, 400, 409
_COMMENTS = UUID("6f5b1f0e-7a51-5c0e-9d0a-2d5a4c1f7b11")
"""The namespace of our comments' names: any that nobody else uses."""

_MAX_COMMENT = 30_000  # characters


@dataclass(frozen=True, slots=True)
class Page:
    """One page: incidents decoded and verbatim, and the link to the next page, empty on the last."""

    elements: Sequence[tuple[Any, bytes]]
    link: str

    @property
    def span(self) -> tuple[int, int] | None:
        """The changes of its first and last incident; None when one of them has no time."""
        ends = [_changed(self.elements[at][0]) for at in (0, -1)] if self.elements else [None]
        first, last = ends[0], ends[-1]
        return None if first is None or last is None else (first, last)


def record_of(incident: Mapping[str, Any], raw: bytes) -> tuple[RawRecord, Times]:
    """The record and when the sweep meets it. The etag changes with every change; without one the content says it."""
    name = str(incident.get("name") or "")
    version = str(incident.get("etag") or "").strip('"') if name else ""
    return RawRecord(raw, f"{name}:{version or sha256(raw).hexdigest()}", name, VENDOR), {CHANGED: _changed(incident)}


class Incidents:
    """Reads and writes; writes of one instance go one after the other, because each moves its incident's etag."""

    def __init__(self, arm: Arm, sleep: Sleep) -> None:
        self._arm = arm
        self._sleep = sleep
        self._writing = asyncio.Lock()

    async def page(self, since: int, size: int, link: str = "") -> Page:
        """Incidents by change, oldest first, from that nanosecond on; or what a link of an earlier page leads to."""
        operation = "pull incidents"
        asked = {
            "$filter": f"properties/{CHANGED} ge {iso(since, _DIGITS)}",
            "$orderby": f"properties/{CHANGED} asc",
            "$top": size,
        }
        try:
            response = await self._arm.ask("GET", link or "/incidents", operation=operation, role=READER, params=asked)
        except RejectedError as error:
            if not link or error.status != _BAD:
                raise
            raise CursorExpiredError(
                "the link to the next page is no longer accepted; restart from the stored time",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
                request_id=error.request_id,
            ) from error
        except NotFoundError as error:
            raise NotFoundError(
                "there is no such workspace with Sentinel in it; check subscription_id, resource_group and workspace",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
                request_id=error.request_id,
            ) from error
        body = document(response, operation)
        try:
            return Page(cut(response.content, "value"), str(body.get("nextLink") or ""))
        except ValueError as error:
            raise broken(f"the page holds no list of incidents: {error}", operation, response) from error

    async def read(self, native_id: str) -> tuple[dict[str, Any], bytes]:
        """One incident, decoded and verbatim. Raises NotFoundError."""
        if not native_id:
            raise RejectedError("no incident is named", vendor=VENDOR, operation="read incident")
        response = await self._arm.ask("GET", _path(native_id), operation="read incident", role=READER)
        return document(response, "read incident"), response.content

    async def whole(self, record: RawRecord) -> RawRecord:
        """The record with the answers for its alerts and entities put in beside the incident, all of them verbatim.

        An incident that is gone by now, or whose entities are no longer kept, is delivered without them.
        """
        if not record.native_id:
            return record
        parts = [record.payload.strip()[:-1]]
        for name, key in (("alerts", "value"), ("entities", "entities")):
            operation = f"read {name}"
            path = f"{_path(record.native_id)}/{name}"
            try:
                # A POST that reads.
                response = await self._arm.ask("POST", path, operation=operation, role=READER, repeatable=True)
            except NotFoundError:
                continue
            try:
                cut(response.content, key)
            except ValueError as error:
                raise broken(f"the answer holds no list of {name}: {error}", operation, response) from error
            parts.append(f'"{name}":'.encode() + response.content.strip())
        return replace(record, payload=b",".join(parts) + b"}")

    async def settle(self, command: Command, wish: Wish) -> tuple[bool, Mapping[str, Any]]:
        """Writes what is missing of status and classification; whether it did, and the incident as it was.

        The PUT replaces the incident, so it carries all that was read, and the etag it was read with: whoever was
        quicker is merged with, never overwritten.
        """
        async with self._writing:
            before, _ = await self.read(command.native_id)
            incident = before
            for attempt in range(1, _TRIES + 1):
                body = triage.body(incident, wish, command)
                if body is None:
                    # After a conflict: a PUT of ours arrived although its answer was lost, as far as can be told.
                    return attempt > 1, before
                if not body["etag"]:
                    # Without it the last writer wins, over an analyst too.
                    message = f"incident {command.native_id} came without an etag, so it cannot be written safely"
                    raise ResponseError(message, vendor=VENDOR, operation="update incident")
                if await self._put(command.native_id, body):
                    return True, before
                await self._sleep(backoff(attempt, random.random))
                incident, _ = await self.read(command.native_id)
        raise UnavailableError(
            f"incident {command.native_id} changed during each of {_TRIES} tries to write it; if its providerName is"
            " Microsoft XDR, write it through the connector microsoft_defender_xdr instead",
            vendor=VENDOR,
            operation="update incident",
            status=_CONFLICT,
        )

    async def says(self, command: Command) -> bool:
        """Whether the comment of this command is there."""
        try:
            await self._arm.ask("GET", _comment(command), operation="read comment", role=READER)
        except NotFoundError:
            return False
        return True

    async def say(self, command: Command, text: str) -> None:
        """Makes the comment, unless an earlier try of this command did: its name follows from the command."""
        if len(text) > _MAX_COMMENT:
            message = f"the comment has {len(text)} characters, Sentinel takes {_MAX_COMMENT}; shorten it"
            raise RejectedError(message, vendor=VENDOR, operation="comment")
        async with self._writing:
            await self.read(command.native_id)
            if not await self.says(command):
                body = {"properties": {"message": text}}
                await self._arm.ask("PUT", _comment(command), operation="comment", role=RESPONDER, json=body)

    async def _put(self, native_id: str, body: Mapping[str, Any]) -> bool:
        """True when it was saved, False when somebody else's version is newer."""
        operation = "update incident"
        try:
            response = await self._arm.ask("PUT", _path(native_id), operation=operation, role=RESPONDER, json=body)
        except RejectedError as error:
            if error.status != _CONFLICT:
                raise
            return False
        if response.status_code == _CREATED:
            message = (
                f"incident {native_id} was deleted meanwhile and the update made an empty one; delete it in Sentinel"
            )
            raise broken(message, operation, response)
        return True


def _changed(incident: Any) -> int | None:
    properties = incident.get("properties") if isinstance(incident, Mapping) else None
    return instant(properties.get(CHANGED)) if isinstance(properties, Mapping) else None


def _path(native_id: str) -> str:
    return f"/incidents/{quote(native_id, safe='')}"


def _comment(command: Command) -> str:
    return f"{_path(command.native_id)}/comments/{uuid5(_COMMENTS, f'{command.native_id} {command.idempotency_key}')}"
