"""The ports of Splunk Enterprise Security: notables by index time, HEC bodies, review read and written back."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.splunk_es import hec, notables
from nightdesk.connectors.splunk_es.health import examine
from nightdesk.connectors.splunk_es.jobs import ALL_TIME, Found, Jobs, Rows
from nightdesk.connectors.splunk_es.notables import LOOK_BEHIND, Position
from nightdesk.connectors.splunk_es.reviews import Vocabulary, marker, refusal
from nightdesk.connectors.splunk_es.splunkd import VENDOR, Splunkd
from nightdesk.connectors.splunk_es.telemetry import Telemetry
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    ConfigError,
    NotFoundError,
    Problem,
    RejectedError,
    UnsupportedError,
)
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt, Sighting
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.targets import Target

__all__ = ["Connector"]

_SET, _COMMENT = "alert.set_disposition", "alert.comment"
_MANY_IDS = 100


class Connector:
    """One Splunk Enterprise Security. Nothing here contains a host: Splunk cannot."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._base = notables.base_search(settings)
        self._index = settings.text("index", "notable")
        self._settle = settings.integer("settle", 30)
        self._page = max(settings.integer("page_size", 1000), 1)
        self._lookback = settings.integer("lookback_days", 30)
        notables.start_of(settings, context.clock())
        self._splunkd = Splunkd(context)
        self._jobs = Jobs(self._splunkd, context.sleep, ignore_warnings=_pattern(settings.text("ignore_warnings")))
        self._telemetry = Telemetry(self._jobs)

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """New notables by index time, then those whose review changed; both up to one frozen moment."""
        if stream != "notables":
            raise UnsupportedError(f"{VENDOR}: no stream {stream!r} to pull; there is notables")
        now = self._context.clock()
        # Half-open; the last second is read again, so it may still be filling up.
        until = int(now.timestamp()) - self._settle + 1
        size = max(1, min(limit, self._page))
        position = Position.of(cursor, start=notables.start_of(self._context.settings, now))
        if position.index_time < until:
            window = {"index_earliest": position.index_time, "index_latest": until, **self._event_window(position)}
            async with self._jobs.search(notables.new(self._base), "pull notables", **window) as found:
                async for rows in found.pages(size):
                    position, records = notables.fresh(rows, position)
                    if records:
                        yield Batch(records, None if found.problems else position.cursor(), more=True)
                self._require_whole(found)
                if found.capped:
                    return  # the rest stands behind the cursor; reviews can wait
        if notables.MACRO in self._base:
            async for behind, changed in self._reviewed(position, until, size):
                position = behind
                yield Batch(changed, position.cursor(), more=True)
        yield Batch((), position.cursor())

    def receive(self, stream: str, headers: Mapping[str, str], body: bytes) -> Batch:
        """A body for ``/services/collector/event`` or ``/raw``; Splunk sends it to us as it would to itself."""
        if stream != "hec":
            raise UnsupportedError(f"{VENDOR}: no stream {stream!r} to receive; there is hec")
        settings = self._context.settings
        hec.authenticate(headers, settings.secret("hec_token") if settings.has("hec_token") else None)
        return hec.cut(headers, body)

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The notable as it is now."""
        if stream not in {"notables", "hec"}:
            raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there are notables and hec")
        return notables.record_of(await self._row(native_id, "read one notable"))

    async def write_back(self, command: Command) -> Receipt:
        """Status, disposition, comment, in one update; a repeated key finds its own mark in the history."""
        native_id = notables.event_id(command.native_id)
        form, losses, same = await self._plan(command)
        mark = marker(command.idempotency_key)
        if any(mark in comment for comment in await self._comments(native_id)):
            return Receipt(mark, losses=losses, evidence={"repeated": True})
        if same:
            unsaid = ("comment: not written, because nothing was changed",) if command.parameters.get("comment") else ()
            return Receipt(changed=False, losses=losses + unsaid, evidence={"already": form})
        comment = " ".join(filter(None, (str(command.parameters.get("comment") or ""), mark)))
        operation = "update notable"
        answer = await self._splunkd.post(
            "/services/notable_update", operation, ruleUIDs=native_id, comment=comment, **form
        )
        why = refusal(answer)
        if why:
            message = f"notable {native_id} was not updated: {self._splunkd.said(why)}"
            raise self._splunkd.error(RejectedError, message, operation)
        return Receipt(mark, losses=losses, evidence={"sent": form})

    async def read_back(self, command: Command) -> Reading:
        """The review as ``notable`` shows it, or whether our comment stands in the history."""
        native_id = notables.event_id(command.native_id)
        if command.verb == _COMMENT:
            state = (await self._vocabulary()).state(await self._row(native_id, "read back"))
            written = any(marker(command.idempotency_key) in one for one in await self._comments(native_id))
            return self._reading(state, in_effect=written)
        if command.verb != _SET:
            raise UnsupportedError(f"{VENDOR}: {command.verb} has no read-back; it can {_SET} and {_COMMENT}")
        vocabulary = await self._vocabulary()
        state = vocabulary.state(await self._row(native_id, "read back"))
        return self._reading(state, in_effect=vocabulary.matches(state, command))

    async def search(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """Rows of any SPL that only reads; without ``earliest=`` in it, over all time the role may see."""
        notables.refuse_side_effects(query)
        rows: Rows = []
        async with self._jobs.search(query, "search") as found:
            if limit > 0:
                async for page in found.pages(min(limit, 1000)):
                    rows.extend(page)
                    if len(rows) >= limit:
                        break
            self._require_whole(found)
        return rows[:limit]

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """What the data models of the CIM hold of a host, account, address, domain, URL or file."""
        return await self._telemetry.activity(target, since, until, limit=limit)

    async def check_health(self) -> Health:
        """Who the token is, what it lacks, and the sweep's own search over the last minute."""
        query = notables.new(self._base)
        return await examine(self._splunkd, self._jobs, query, self._context.clock, settle=self._settle)

    async def aclose(self) -> None:
        """Closes connections and threads."""
        await self._splunkd.aclose()

    async def _reviewed(
        self, position: Position, until: int, size: int
    ) -> AsyncIterator[tuple[Position, Sequence[RawRecord]]]:
        """Notables whose review changed, in the order of the changes; each page with the position behind it."""
        operation = "pull reviews"
        history = notables.reviews(position.review_time - LOOK_BEHIND, until)
        changes = notables.changes(await self._jobs.rows(history, operation, **ALL_TIME))
        fresh = [change for change in changes if notables.digest(change) not in position.reviewed]
        done = [change for change in changes if notables.digest(change) in position.reviewed]
        for at in range(0, len(fresh), step := min(size, _MANY_IDS)):
            part = fresh[at : at + step]
            done.extend(part)
            ids = notables.quotable(name for _, name in part)
            query = notables.by_ids(self._base, ids)
            rows = await self._jobs.rows(query, operation, **self._event_window(position)) if ids else []
            last = max(position.review_time, part[-1][0])
            near = frozenset(notables.digest(change) for change in done if change[0] >= last - LOOK_BEHIND)
            position = replace(position, review_time=last, reviewed=near)
            yield position, [notables.record_of(row) for row in notables.in_order(rows, ids)]

    async def _plan(self, command: Command) -> tuple[dict[str, str], tuple[str, ...], bool]:
        """The fields to send, what is lost, and whether the notable is so already."""
        if command.verb == _COMMENT:
            if not command.parameters.get("comment"):
                raise RejectedError(f"{VENDOR}: {_COMMENT} needs a comment")
            await self._row(command.native_id, "read before update")
            return {}, (), False
        if command.verb != _SET:
            raise UnsupportedError(f"{VENDOR}: {command.verb} cannot be written back; it can {_SET} and {_COMMENT}")
        vocabulary = await self._vocabulary()
        wanted = vocabulary.wanted(command)
        # The vendor reports success for ids that do not exist: read first.
        state = vocabulary.state(await self._row(command.native_id, "read before update"))
        return wanted.form(), wanted.losses, vocabulary.matches(state, command)

    async def _row(self, native_id: str, operation: str) -> Mapping[str, Any]:
        rows = await self._jobs.few(notables.one(native_id, self._index), operation, **ALL_TIME)
        if not rows:
            message = f"no notable {native_id}: it was removed, its index was rebuilt, or the role may not see it"
            raise self._splunkd.error(NotFoundError, message, operation)
        return rows[0]

    async def _comments(self, native_id: str) -> list[str]:
        rows = await self._jobs.few(notables.history(native_id), "read review history", **ALL_TIME)
        return [str(row.get("comment") or "") for row in rows]

    async def _vocabulary(self) -> Vocabulary:
        return Vocabulary.of(await self._splunkd.get("/services/alerts/reviewstatuses", "read review words", count=-1))

    def _reading(self, state: Mapping[str, Any], *, in_effect: bool) -> Reading:
        effect = Effect.IN_EFFECT if in_effect else Effect.NOT_IN_EFFECT
        return Reading(effect, self._context.clock(), state, f"{state['native_status']} {state['native_disposition']}")

    def _require_whole(self, found: Found) -> None:
        if found.problems:
            raise self._jobs.incomplete(found, "search")

    def _event_window(self, position: Position) -> dict[str, Any]:
        """Event time is only a bound for the server's work: wide behind, open ahead (a source's clock may be fast)."""
        if not self._lookback:
            return dict(ALL_TIME)
        earliest = position.index_time - int(timedelta(days=self._lookback).total_seconds())
        return {**ALL_TIME, "earliest_time": max(earliest, 0)}


def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        problem = f"is no regular expression: {error}"
        raise ConfigError([Problem("settings", "ignore_warnings", problem)]) from error
