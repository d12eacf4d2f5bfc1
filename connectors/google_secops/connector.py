"""The SecOps connector: detections in, feedback and indicators out, each effect read from the instance's own state."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.google_secops import triage
from nightdesk.connectors.google_secops.client import VENDOR, Chronicle
from nightdesk.connectors.google_secops.detections import CREATED, MAX_OVERLAP, Detections, record_of
from nightdesk.connectors.google_secops.indicators import Indicators
from nightdesk.connectors.google_secops.search import Search
from nightdesk.connectors.google_secops.telemetry import Telemetry
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt, Sighting
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, start_of
from nightdesk.sdk.targets import Target
from nightdesk.sdk.triage import Wish

__all__ = ["Connector"]

_STREAM = "detections"
_SET, _COMMENT = "alert.set_disposition", "alert.comment"
_PUBLISH, _WITHDRAW = "indicator.publish", "indicator.withdraw"
_PAGE, _MAX_PAGE = 500, 1000
_OVERLAP, _MIN_OVERLAP = 60, 10  # minutes
_MAX_SKEW = 120.0  # seconds; tokens are renewed that early


class Connector:
    """One instance. Nothing here contains a host: SecOps itself cannot, its playbooks can."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._start = start_of(context)
        self._page_size = _within(context, "page_size", _PAGE, 1, _MAX_PAGE)
        most = MAX_OVERLAP // timedelta(minutes=1)
        minutes = _within(context, "overlap_minutes", _OVERLAP, _MIN_OVERLAP, most)
        self._overlap = timedelta(minutes=minutes)
        self._chronicle = Chronicle(context)
        self._detections = Detections(self._chronicle, context)
        self._indicators = Indicators(self._chronicle, context)
        self._search = Search(self._chronicle, context)
        self._telemetry = Telemetry(self._search)
        self._writing = asyncio.Lock()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._chronicle.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Detections by the time of their creation, window after window.

        Within a window the newest come first, so until it is drained the cursor stays where it began, and only
        remembers what was delivered: whoever is interrupted reads the window again and gets the rest.
        """
        _known(stream)
        position = self._position(cursor)
        size = max(1, min(limit, self._page_size))
        while True:
            began, since = position.dump()["newest"], position.since(CREATED)
            until = self._detections.end_of(since, self._overlap)
            async for page in self._detections.pages(since, until, size):
                records, broken = position.page(CREATED, page.elements, record_of)
                failures = [*broken, *page.failures]
                if not page.last:
                    yield Batch(records, {**position.dump(), "newest": began}, failures, more=True)
                    continue
                position.forget()
                if until is not None:
                    position = self._position({**position.dump(), "newest": {CREATED: until}})
                yield Batch(records, position.dump(), failures, more=until is not None)
            if until is None:
                return

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The detection as it is now, alerting or not."""
        _known(stream)
        record, _ = record_of(*await self._detections.read(native_id))
        return record

    async def write_back(self, command: Command) -> Receipt:
        """One update with what is still missing, comment and all; nothing when it is so already."""
        wish = _wish(command)
        async with self._writing:  # a comment carries the one before it: two at once would lose one
            alert, _ = await self._detections.read(command.native_id)
            missing = triage.feedback(alert, wish, command)
            if missing:
                await self._detections.update(command.native_id, missing)
        before = triage.state(alert)
        # A comment of this command that is there already was made by an earlier try of it.
        changed = bool(missing or wish.comment) or triage.VERDICTS.repeated(command, wish)
        return Receipt(
            command.native_id, changed=changed, losses=triage.VERDICTS.losses(wish), evidence={"before": before}
        )

    async def act(self, command: Command) -> Receipt:
        """Publishes or withdraws an indicator."""
        match command.verb:
            case "indicator.publish":
                return await self._indicators.publish(command)
            case "indicator.withdraw":
                return await self._indicators.withdraw(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """The alert's feedback and our comment in it, or our row, as the instance shows them now."""
        state: Mapping[str, Any]
        if command.verb in {_PUBLISH, _WITHDRAW}:
            effect, state, native = await self._indicators.effect(command)
        else:
            wish = _wish(command)
            alert, _ = await self._detections.read(command.native_id)
            effect = Effect.IN_EFFECT if triage.settled(alert, wish, command) else Effect.NOT_IN_EFFECT
            state = triage.state(alert)
            native = " ".join(filter(None, (state[f"native_{name}"] for name in ("status", "verdict", "reason"))))
        return Reading(effect, self._context.clock(), state, native)

    async def search(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """Events of a UDM search over the last hours that ``search_hours`` names."""
        return await self._search.events(query, limit=limit)

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """What the instance's events hold of a host, account, address, domain, URL or file."""
        return await self._telemetry.activity(target, since, until, limit=limit)

    async def check_health(self) -> Health:
        """The newest detection of each source as a pull asks for it, and the table of indicators when one is named."""
        problems: list[str] = []
        begin = self._context.clock()
        try:
            await self._detections.probe(self._start)
            if self._indicators.configured:
                await self._indicators.columns()
        except (VendorError, ConfigError) as error:
            problems.append(str(error))
        latency = (self._context.clock() - begin).total_seconds()
        skew = self._chronicle.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), self._chronicle.version, skew, latency)

    def _position(self, cursor: Cursor | None) -> Position:
        return Position.load(cursor, start=self._start, sweeps=(CREATED,), overlap=self._overlap)


def _within(context: Context, name: str, default: int, least: int, most: int) -> int:
    value = context.settings.integer(name, default)
    if not least <= value <= most:
        raise ConfigError([Problem(context.instance, name, f"must be {least} to {most}")])
    return value


def _known(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")


def _wish(command: Command) -> Wish:
    if command.verb not in {_SET, _COMMENT}:
        raise UnsupportedError(f"{VENDOR}: {command.verb} does not write to an alert")
    return Wish.of(command)
