"""The MISP connector: attributes by two sweeps, indicators into an event of our own, opinions about values."""

from collections.abc import AsyncIterator, Sequence
from itertools import count

from nightdesk.connectors.misp.client import VENDOR, Misp
from nightdesk.connectors.misp.indicators import Indicators
from nightdesk.connectors.misp.opinions import Opinions
from nightdesk.connectors.misp.sweep import CHANGED, PUBLISHED, Sweeps, record_of
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import UnsupportedError, VendorError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.ports import Command, Health, Opinion, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import start_of
from nightdesk.sdk.targets import Target

__all__ = ["Connector"]

_STREAM = "attributes"
_A_MONTH = 24.0 * 30  # hours: an indicator is good for longer than an alert
_MOST = 5000
_EVENTS = 50  # events whose attributes are asked for at once
_VERBS = frozenset({"indicator.publish", "indicator.withdraw"})


class Connector:
    """One instance."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        start_of(context)  # a wrong setting is said now
        self._context = context
        self._misp = Misp(context)
        self._page_size = min(max(1, settings.integer("page_size", 1000)), _MOST)
        self._published = None if settings.flag("unpublished") else True
        self._indicators = Indicators(self._misp, settings.text("event"))
        self._opinions = Opinions(self._misp, context.clock)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._misp.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Every attribute that changed or was published since the last complete sweeps."""
        _known(stream)
        limit = min(max(1, limit), self._page_size)
        sweeps = Sweeps(cursor, start=start_of(self._context, hours=_A_MONTH))
        async for batch in self._changed(sweeps, limit):
            yield batch
        async for batch in self._newly_published(sweeps, limit):
            yield batch
        sweeps.forget()
        yield Batch((), sweeps.dump())

    async def _changed(self, sweeps: Sweeps, limit: int) -> AsyncIterator[Batch]:
        # Not `timestamp`, which asks for the event's too.
        filters = {"attribute_timestamp": sweeps.since(CHANGED), "deleted": [0, 1], "includeContext": True}
        if self._published:
            filters["published"] = True
        for page in count(1):
            found = await self._misp.attributes("pull attributes", **filters, page=page, limit=limit)
            if not found:
                break
            records, failures = sweeps.page(CHANGED, found)
            yield Batch(records, sweeps.dump(), failures, more=True)
        sweeps.complete(CHANGED)

    async def _newly_published(self, sweeps: Sweeps, limit: int) -> AsyncIterator[Batch]:
        since = sweeps.since(PUBLISHED)
        for events_page in count(1):
            events = await self._misp.events(
                "pull attributes", publish_timestamp=since, published=True, page=events_page, limit=_EVENTS
            )
            if not events:
                break
            moments = {
                str(one.get("id")): instant(one.get("publish_timestamp"), "s") or since * SECOND for one in events
            }
            for page in count(1):
                found = await self._misp.attributes(
                    "pull attributes",
                    eventid=list(moments),
                    deleted=[0, 1],
                    includeContext=True,
                    page=page,
                    limit=limit,
                )
                if not found:
                    break
                records, failures = sweeps.page(PUBLISHED, found, moments)
                yield Batch(records, sweeps.dump(), failures, more=True)
        sweeps.complete(PUBLISHED)

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The attribute as it is now."""
        _known(stream)
        return record_of(*await self._misp.attribute(native_id, "read attribute"))

    async def act(self, command: Command) -> Receipt:
        """Publishes or withdraws."""
        match command.verb:
            case "indicator.publish":
                return await self._indicators.publish(command)
            case "indicator.withdraw":
                return await self._indicators.withdraw(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """What our event holds now."""
        if command.verb not in _VERBS:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        effect, state, native = await self._indicators.effect(command)
        return Reading(effect, self._context.clock(), state, native)

    async def enrich(self, target: Target) -> Sequence[Opinion]:
        """What the instance knows of it."""
        return await self._opinions.of(target)

    async def check_health(self) -> Health:
        """Asks for the version and for one attribute: the second is what the role may lack."""
        begin, version = self._context.clock(), ""
        problems: list[str] = []
        try:
            version = await self._misp.version("check health")
            await self._misp.attributes("check health", page=1, limit=1)
        except VendorError as error:
            problems.append(str(error))
        latency = (self._context.clock() - begin).total_seconds() / 2
        skew = self._misp.clock_skew
        return Health(not problems, tuple(problems), version=version, clock_skew=skew, latency=latency)


def _known(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")
