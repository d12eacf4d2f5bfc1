"""The Carbon Black Cloud connector: alerts in, triage and response out, effects read from the vendor's own state."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from nightdesk.connectors.carbon_black_cloud.alerts import REACH, Alerts
from nightdesk.connectors.carbon_black_cloud.client import VENDOR, Cloud
from nightdesk.connectors.carbon_black_cloud.hosts import Hosts
from nightdesk.connectors.carbon_black_cloud.indicators import Indicators
from nightdesk.connectors.carbon_black_cloud.live import LiveResponse
from nightdesk.connectors.carbon_black_cloud.remote import Remote
from nightdesk.connectors.carbon_black_cloud.workflow import Workflow
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError, ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, start_of
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["Connector"]

_STREAM = "alerts"
_MOST = 1000  # alerts a page; the vendor takes more, but an answer of theirs is cut at 64 MiB
_MAX_SKEW = 120.0  # seconds; time ranges end at our present


class Connector:
    """One organisation of Carbon Black Cloud."""

    def __init__(self, context: Context) -> None:
        self._context = context
        start_of(context)
        self._size = context.settings.integer("page_size", 500)
        if not 1 <= self._size <= _MOST:
            raise ConfigError([Problem(context.instance, "page_size", f"must be 1 to {_MOST}")])
        self._cloud = Cloud(context)
        self._alerts = Alerts(self._cloud, context.clock, context.settings, context.instance)
        self._workflow = Workflow(self._cloud, self._alerts, context)
        self._hosts = Hosts(self._cloud, context.clock)
        self._remote = Remote(LiveResponse(self._cloud, context.sleep))
        self._indicators = Indicators(self._cloud, context.tenant)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._cloud.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """New alerts by arrival, then changed ones by each time that a change moves; oldest first."""
        _known(stream)
        sweeps = self._alerts.sweeps
        position = Position.load(cursor, start=start_of(self._context), sweeps=sweeps)
        for sweep in sweeps:
            async for batch in self._sweep(position, sweep, max(1, min(limit, self._size)), last=sweep == sweeps[-1]):
                yield batch

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert as it is now."""
        _known(stream)
        return self._alerts.record(*await self._alerts.read(native_id))[0]

    async def write_back(self, command: Command) -> Receipt:
        """Status, verdict and comment of one alert; what is so already is left alone."""
        return await self._workflow.write(command)

    async def act(self, command: Command) -> Receipt:
        """Asks Carbon Black Cloud for the response action."""
        match command.verb:
            case "host.isolate" | "host.release":
                return await self._hosts.quarantine(command)
            case "host.scan":
                return await self._hosts.scan(command)
            case "process.terminate":
                return await self._remote.terminate(command)
            case "file.fetch":
                return await self._remote.fetch(command)
            case "hash.block":
                return await self._indicators.block(command)
            case "hash.unblock":
                return await self._indicators.unblock(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """The device, its processes, the override, or the alert, as it is now."""
        found: tuple[Effect, Mapping[str, Any], str]
        match command.verb:
            case "host.isolate" | "host.release":
                found = await self._hosts.quarantined(command)
            case "process.terminate":
                found = await self._remote.terminated(command)
            case "file.fetch":
                found = await self._remote.fetched(command)
            case "hash.block" | "hash.unblock":
                found = await self._indicators.blocked(command)
            case "alert.set_disposition" | "alert.comment":
                found = await self._workflow.written(command)
            case _:
                raise UnsupportedError(f"{VENDOR}: {command.verb} has no read-back")
        effect, state, native = found
        return Reading(effect, self._context.clock(), state, native)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """By device id, else by name, else by address; of a reinstalled sensor's records the live one."""
        return await self._hosts.find(query)

    async def check_health(self) -> Health:
        """One alert and one device: that proves key, org key and permissions to read."""
        problems: list[str] = []
        begin = self._context.clock()
        for probe in (self._probe_alerts, self._hosts.probe):
            try:
                await probe()
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again
        skew = self._cloud.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        latency = (self._context.clock() - begin).total_seconds() / 2
        return Health(not problems, tuple(problems), version="alerts v7", clock_skew=skew, latency=latency)

    async def _sweep(self, position: Position, sweep: str, size: int, *, last: bool) -> AsyncIterator[Batch]:
        """One sweep to its end.

        After each full page it asks anew from the last time it met: what changes meanwhile moves to the end and would
        shift row numbers, which grow only through what shares one millisecond.
        """
        since, start = position.since(sweep), 1
        while True:
            if start + size > REACH:
                message = f"more than {REACH - size} alerts share one {sweep}, and no search shows more"
                raise ResponseError(message, vendor=VENDOR, operation="search alerts")
            page = await self._alerts.page(sweep, since, start, size)
            records, failures = position.page(sweep, page.elements, self._alerts.record)
            if not page.whole:
                # Part of the page is missing: what came is kept, but where to go on stays where it was.
                yield Batch(records, None, failures)
                message = "the answer says more alerts than it holds; they are asked for again"
                raise ResponseError(message, vendor=VENDOR, operation="search alerts")
            more = len(page.elements) >= size
            if last and not more:
                position.forget()
            yield Batch(records, position.dump(), failures, more=more or not last)
            if not more:
                return
            if page.last is not None and page.last > since:
                since, start = page.last, 1
            else:
                start += len(page.elements)

    async def _probe_alerts(self) -> None:
        await self._alerts.page(self._alerts.sweeps[0], start_of(self._context, hours=1), 1, 1)


def _known(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")
