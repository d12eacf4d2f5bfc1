"""The SentinelOne connector: threats or unified alerts in; triage, isolation, mitigation and blocks out."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from nightdesk.connectors.sentinelone import triage
from nightdesk.connectors.sentinelone.client import VENDOR, Console
from nightdesk.connectors.sentinelone.hosts import VIEW as HOSTS_VIEW
from nightdesk.connectors.sentinelone.hosts import Hosts
from nightdesk.connectors.sentinelone.indicators import VIEW as BLOCKLIST_VIEW
from nightdesk.connectors.sentinelone.indicators import Indicators
from nightdesk.connectors.sentinelone.mitigation import MITIGATIONS, Mitigation
from nightdesk.connectors.sentinelone.threats import Threats
from nightdesk.connectors.sentinelone.triage import Surface
from nightdesk.connectors.sentinelone.unified import Unified
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError, ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, start_of
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["Connector"]

_SWEEPS = ("created", "updated")
_OVERLAP = timedelta(minutes=5)
_MOST = 1000  # a larger limit is a 400, not a clamp
_MAX_SKEW = 120.0  # seconds
_SOON = 14 * 86_400 * SECOND  # a token that ends within two weeks should be replaced
_ALERT_VERBS = frozenset({"alert.set_disposition", "alert.comment"})


class Connector:
    """One service user of one console; ``surface`` says which of its two kinds of alerts is used."""

    def __init__(self, context: Context) -> None:
        self._context = context
        size = context.settings.integer("page_size", _MOST)
        if not 1 <= size <= _MOST:
            raise ConfigError([Problem(context.instance, "page_size", f"must be 1 to {_MOST}")])
        start_of(context)
        self._console = Console(context)
        surfaces: tuple[Surface, ...] = (Threats(self._console, size), Unified(self._console, size))
        self._surfaces = {surface.stream: surface for surface in surfaces}
        self._surface = self._surfaces[context.settings.text("surface", "threats")]
        self._hosts = Hosts(self._console)
        self._mitigation = Mitigation(context, self._console)
        self._indicators = Indicators(context, self._console)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._console.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """New alerts by creation, then changed ones by change; nothing of the surface that is not in use.

        Paging by creation cannot miss an alert that changes meanwhile; paging by change finds its new version.
        """
        surface = self._known(stream)
        if surface is not self._surface:
            return
        position = Position.load(cursor, start=start_of(self._context), sweeps=_SWEEPS, overlap=_OVERLAP)
        for sweep in _SWEEPS:
            since, token = position.since(sweep), ""
            while True:
                page = await surface.page(sweep, since, limit, token)
                records, failures = position.page(sweep, page.elements, surface.record)
                if page.failed is not None:
                    # Part of the page is missing: what came is kept, but where to go on stays where it was.
                    yield Batch(records, None, failures)
                    raise page.failed
                if page.token and page.token == token:
                    raise ResponseError("the page token repeats", vendor=VENDOR, operation=f"pull {stream}")
                last = not page.token or not page.elements
                done = last and sweep == _SWEEPS[-1]
                if done:
                    position.forget()
                yield Batch(records, position.dump(), failures, more=not done)
                if last:
                    break
                token = page.token

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert as it is now, of either surface."""
        surface = self._known(stream)
        return surface.record(*await surface.one(native_id))[0]

    async def write_back(self, command: Command) -> Receipt:
        """Sets what is still missing; an alert that is already so is left alone."""
        if command.verb not in _ALERT_VERBS:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared for alerts")
        return await triage.write(self._of(command), command)

    async def act(self, command: Command) -> Receipt:
        """Isolates or releases, scans, mitigates or fetches by threat, blocks or unblocks."""
        match command.verb:
            case "host.isolate" | "host.release":
                return await self._hosts.isolate(command)
            case "host.scan":
                return await self._hosts.scan(command)
            case verb if verb in MITIGATIONS:
                return await self._mitigation.mitigate(command)
            case "file.fetch":
                return await self._mitigation.fetch(command)
            case "hash.block":
                return await self._indicators.block(command)
            case "hash.unblock":
                return await self._indicators.unblock(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """The agent, the threats behind the target, the blocklist or the alert, as the console shows them now."""
        effect: Effect
        state: Mapping[str, Any]
        match command.verb:
            case "host.isolate" | "host.release":
                effect, state, native = await self._hosts.isolation(command)
            case "host.scan":
                effect, state, native = await self._hosts.scanning(command)
            case verb if verb in MITIGATIONS:
                effect, state, native = await self._mitigation.effect(command)
            case "file.fetch":
                effect, state, native = await self._mitigation.fetched(command)
            case "hash.block" | "hash.unblock":
                effect, state, native = await self._indicators.effect(command)
            case verb if verb in _ALERT_VERBS:
                effect, state, native = await triage.effect(self._of(command), command)
            case _:
                raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        return Reading(effect, self._context.clock(), state, native)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """By agent id or uuid, else by name, else by address; decommissioned agents are not among them."""
        return await self._hosts.find(query)

    async def check_health(self) -> Health:
        """One record of each API that is used, the version, and how long the token still lives."""
        problems: list[str] = []
        begin, version = self._context.clock(), ""
        probes = (self._probe_alerts, self._probe_hosts, self._probe_blocklist)
        for probe in probes:
            try:
                await probe()
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again
        latency = (self._context.clock() - begin).total_seconds() / len(probes)
        ok, skew = not problems, self._console.clock_skew
        if ok:
            version = await self._version()
            problems += await self._token_problem()
        if skew is not None and abs(skew) > _MAX_SKEW:
            ok = False
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(ok, tuple(problems), version=version, clock_skew=skew, latency=latency)

    async def _probe_alerts(self) -> None:
        page = await self._surface.page("created", start_of(self._context), 1, "")
        if page.failed is not None:
            raise page.failed

    async def _probe_hosts(self) -> None:
        params = {"limit": 1, **self._console.narrowed}
        await self._console.ask("GET", "/agents", operation="check health", permission=HOSTS_VIEW, params=params)

    async def _probe_blocklist(self) -> None:
        params = {"limit": 1, "type": "black_hash", **(self._console.narrowed or {"tenant": "true"})}
        await self._console.ask(
            "GET", "/restrictions", operation="check health", permission=BLOCKLIST_VIEW, params=params
        )

    async def _version(self) -> str:
        try:
            answer = await self._console.ask("GET", "/system/info", operation="read version", permission="none")
        except VendorError:
            return ""  # it works without; some roles do not see it
        return str(answer.data.get("version") or "") if isinstance(answer.data, dict) else ""

    async def _token_problem(self) -> list[str]:
        try:
            ends = await self._console.token_ends()
        except VendorError:
            return []  # it works without; some roles may not ask
        left = instant(ends)
        if left is None or left - int(self._context.clock().timestamp()) * SECOND > _SOON:
            return []
        return [f"the API token ends at {ends} and cannot be renewed by itself; make a new one for the service user"]

    def _known(self, stream: str) -> Surface:
        if stream not in self._surfaces:
            raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there are {', '.join(self._surfaces)}")
        return self._surfaces[stream]

    def _of(self, command: Command) -> Surface:
        """Threats have numbers, unified alerts have UUIDs: alerts of before a change of surface stay writable."""
        return self._surfaces["threats" if command.native_id.isdecimal() else "unified_alerts"]
