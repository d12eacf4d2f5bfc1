"""The Sophos Central connector: the SIEM feed in, acknowledging, isolation and blocked items out, effects read back."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from nightdesk.connectors.sophos_central.client import VENDOR, Central
from nightdesk.connectors.sophos_central.feed import LEAST_PAGE, MOST_PAGE, PATHS, Feed
from nightdesk.connectors.sophos_central.hosts import ENDPOINTS, Hosts
from nightdesk.connectors.sophos_central.indicators import ITEMS, Indicators
from nightdesk.connectors.sophos_central.triage import ALERTS, Triage
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["Connector"]

_MAX_SKEW = 120.0  # seconds; tokens are renewed that early
_PROBES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (PATHS["alerts"], {"limit": LEAST_PAGE}),
    (ALERTS, {"pageSize": 1}),
    (ENDPOINTS, {"pageSize": 1}),
    (ITEMS, {"pageSize": 1}),
)


class Connector:
    """One Sophos Central tenant."""

    def __init__(self, context: Context) -> None:
        self._context = context
        if not LEAST_PAGE <= context.settings.integer("page_size", MOST_PAGE) <= MOST_PAGE:
            raise ConfigError([Problem(context.instance, "page_size", f"must be {LEAST_PAGE} to {MOST_PAGE}")])
        self._central = Central(context)
        self._feed = Feed(context, self._central)
        self._triage = Triage(self._central)
        self._hosts = Hosts(self._central)
        self._indicators = Indicators(self._central, context.tenant)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._central.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """New alerts or events in the order the feed gives them, and late ones up to ten minutes behind."""
        async for batch in self._feed.pull(_known(stream), cursor, limit):
            yield batch

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert as the feed gives it, if it is of the last 24 hours."""
        return await self._feed.one(_known(stream), native_id)

    async def write_back(self, command: Command) -> Receipt:
        """Acknowledges an open alert, the comment as its message."""
        if command.verb != "alert.set_disposition":
            raise _undeclared(command)
        return await self._triage.acknowledge(command)

    async def act(self, command: Command) -> Receipt:
        """Isolates or releases, scans, blocks or unblocks."""
        match command.verb:
            case "host.isolate" | "host.release":
                return await self._hosts.isolate(command)
            case "host.scan":
                return await self._hosts.scan(command)
            case "hash.block":
                return await self._indicators.block(command)
            case "hash.unblock":
                return await self._indicators.unblock(command)
        raise _undeclared(command)

    async def read_back(self, command: Command) -> Reading:
        """The endpoint's isolation, the blocked item, or whether the alert is open, as the vendor shows it now."""
        effect: Effect
        match command.verb:
            case "host.isolate" | "host.release":
                effect, state, native = await self._hosts.isolation(command)
            case "hash.block" | "hash.unblock":
                effect, state, native = await self._indicators.effect(command)
            case "alert.set_disposition":
                effect, state, native = await self._triage.effect(command)
            case "host.scan":
                raise UnsupportedError(f"{VENDOR}: the vendor shows no state of a scan")
            case _:
                raise _undeclared(command)
        return Reading(effect, self._context.clock(), state, native)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """By endpoint id, else by name, else by address."""
        return await self._hosts.find(query)

    async def check_health(self) -> Health:
        """A token, who we are and where we live, then one record of each API."""
        problems: list[str] = []
        begin = self._context.clock()
        for path, params in _PROBES:
            try:
                await self._central.read(path, operation="check health", params=params)
            except (VendorError, ConfigError) as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again
        latency = (self._context.clock() - begin).total_seconds() / len(_PROBES)
        skew = self._central.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        version = "siem v1, common v1, endpoint v1"
        return Health(not problems, tuple(problems), version=version, clock_skew=skew, latency=latency)


def _known(stream: str) -> str:
    if stream not in PATHS:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there are {', '.join(PATHS)}")
    return stream


def _undeclared(command: Command) -> UnsupportedError:
    return UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
