"""The Falcon connector: alerts in, triage and response out, each effect read from the vendor's own state."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.alerts import READ, Alerts
from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Falcon
from nightdesk.connectors.crowdstrike_falcon.hosts import Hosts
from nightdesk.connectors.crowdstrike_falcon.indicators import Indicators
from nightdesk.connectors.crowdstrike_falcon.quarantine import Quarantine
from nightdesk.connectors.crowdstrike_falcon.remote import Remote
from nightdesk.connectors.crowdstrike_falcon.scans import Scans
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["Connector"]

_STREAM = "alerts"
_MAX_SKEW = 120.0  # seconds; tokens are renewed that early
_PROBES = (
    ("/alerts/queries/alerts/v2", READ),
    ("/devices/queries/devices/v1", "Hosts: read"),
    ("/iocs/combined/indicator/v1", "IOC Management: read"),
)


class Connector:
    """One Falcon CID."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._falcon = Falcon(context)
        self._alerts = Alerts(self._falcon, context)
        self._hosts = Hosts(self._falcon)
        self._scans = Scans(self._falcon, self._hosts)
        self._remote = Remote(self._falcon)
        self._quarantine = Quarantine(self._falcon, self._hosts)
        self._indicators = Indicators(self._falcon, context.tenant)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._falcon.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """New and changed alerts."""
        _alerts(stream)
        async for batch in self._alerts.pull(cursor, limit=limit):
            yield batch

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert as it is now."""
        _alerts(stream)
        return await self._alerts.record(native_id)

    async def write_back(self, command: Command) -> Receipt:
        """Status, verdict tag and comment, in one request."""
        if not command.verb.startswith("alert."):
            raise UnsupportedError(f"{command.verb} does not write to an alert; it is for act")
        return await self._alerts.write(command)

    async def act(self, command: Command) -> Receipt:
        """Asks for it, unless it is so already or on its way."""
        match command.verb:
            case "host.isolate" | "host.release":
                return await self._hosts.contain(command)
            case "host.scan":
                return await self._scans.scan(command)
            case "process.terminate" | "file.fetch" | "host.run_script":
                return await self._remote.act(command)
            case "file.quarantine" | "file.restore":
                return await self._quarantine.change(command)
            case "hash.block":
                return await self._indicators.block(command)
            case "hash.unblock":
                return await self._indicators.unblock(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """The device, scan, command, file, indicator or alert, as Falcon shows it now."""
        state: Mapping[str, Any]
        match command.verb:
            case "host.isolate" | "host.release":
                effect, state, native = await self._hosts.effect(command)
            case "host.scan":
                effect, state, native = await self._scans.effect(command)
            case "process.terminate" | "file.fetch" | "host.run_script":
                effect, state, native = await self._remote.effect(command)
            case "file.quarantine" | "file.restore":
                effect, state, native = await self._quarantine.effect(command)
            case "hash.block" | "hash.unblock":
                effect, state, native = await self._indicators.effect(command)
            case "alert.set_disposition" | "alert.comment":
                effect, state, native = await self._alerts.effect(command)
            case _:
                raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        return Reading(effect, self._context.clock(), state, native)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """By device id, else by name, else by local address; of a reinstalled sensor's records the live one."""
        return await self._hosts.find(query)

    async def check_health(self) -> Health:
        """A token, then one record of each API: a missing scope shows only on use."""
        problems: list[str] = []
        begin = self._context.clock()
        for path, scope in _PROBES:
            try:
                answer = await self._falcon.ask("GET", path, operation="check health", scope=scope, params={"limit": 1})
                if answer.errors:
                    problems.append(str(self._falcon.complaint(answer)))
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again, and wrong credentials lock a client out
        latency = (self._context.clock() - begin).total_seconds() / len(_PROBES)
        elsewhere = "" if problems else await self._falcon.other_cloud()
        skew = self._falcon.clock_skew
        if elsewhere:
            problems.append(elsewhere)
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), version="alerts v2", clock_skew=skew, latency=latency)


def _alerts(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")
