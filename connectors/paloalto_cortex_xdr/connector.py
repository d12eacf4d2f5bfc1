"""The Cortex XDR connector: alerts or incidents in, triage and response actions out, read back from Cortex's state."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from nightdesk.connectors.paloalto_cortex_xdr import triage
from nightdesk.connectors.paloalto_cortex_xdr.alerts import Alerts
from nightdesk.connectors.paloalto_cortex_xdr.client import ENDPOINTS_VIEW, VENDOR, Cortex
from nightdesk.connectors.paloalto_cortex_xdr.files import Files
from nightdesk.connectors.paloalto_cortex_xdr.hosts import Hosts
from nightdesk.connectors.paloalto_cortex_xdr.incidents import Incidents
from nightdesk.connectors.paloalto_cortex_xdr.indicators import Indicators
from nightdesk.connectors.paloalto_cortex_xdr.memory import Memory
from nightdesk.connectors.paloalto_cortex_xdr.orders import Orders
from nightdesk.connectors.paloalto_cortex_xdr.scripts import Scripts
from nightdesk.connectors.paloalto_cortex_xdr.units import Unit
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError, ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, start_of
from nightdesk.sdk.targets import Asset, AssetQuery
from nightdesk.sdk.triage import Wish

__all__ = ["Connector"]

_STREAMS = ("alerts", "incidents")
_MOST = 100  # rows a call; more is an error
_MILLISECOND = 1_000_000
_MAX_SKEW = 120.0  # seconds; a signature carries our time, and a few minutes off it is refused


class Connector:
    """One Cortex XDR tenant."""

    def __init__(self, context: Context) -> None:
        self._context = context
        start_of(context)
        self._size = context.settings.integer("page_size", _MOST)
        if not 1 <= self._size <= _MOST:
            raise ConfigError([Problem(context.instance, "page_size", f"must be 1 to {_MOST}")])
        self._works_on = context.settings.text("works_on", "alerts")
        self._cortex = Cortex(context)
        self._unit: Unit = Incidents(self._cortex) if self._works_on == "incidents" else Alerts(self._cortex)
        orders = Orders(self._cortex)
        self._hosts = Hosts(self._cortex, orders)
        self._files = Files(self._cortex, orders, self._hosts)
        self._scripts = Scripts(self._cortex, orders, self._hosts)
        self._indicators = Indicators(self._cortex)
        self._commented: Memory[bool] = Memory()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._cortex.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Oldest first; the stream that this instance does not work on is empty.

        After each full page it asks anew from the last time it met: offsets shift while incidents change, and grow
        only through what shares one millisecond.
        """
        if not self._is_ours(stream):
            return
        unit, sweep = self._unit, self._unit.sweep
        position = Position.load(cursor, start=start_of(self._context), sweeps=(sweep,))
        since, offset, size = position.since(sweep) // _MILLISECOND, 0, max(1, min(limit, self._size))
        while True:
            page = await unit.page(since, offset, size)
            fresh, failures = position.page(sweep, page.elements, unit.record)
            records = await unit.filled(fresh)
            if not page.whole:
                # Part of the page is missing: what came is kept, but where to go on stays where it was.
                yield Batch(records, None, failures)
                message = f"the reply says more {stream} than it holds; they are asked for again"
                raise ResponseError(message, vendor=VENDOR, operation=f"pull {stream}")
            more = len(page.elements) >= size
            if not more:
                position.forget()
            yield Batch(records, position.dump(), failures, more=more)
            if not more:
                return
            if page.last is not None and page.last > since:
                since, offset = page.last, 0
            else:
                offset += len(page.elements)

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert or incident as it is now."""
        if not self._is_ours(stream):
            message = f"{self._context.instance} works on {self._works_on}; another instance may work on {stream}"
            raise UnsupportedError(message)
        return self._unit.record(*await self._unit.read(native_id))[0]

    async def write_back(self, command: Command) -> Receipt:
        """One update with what is still missing; an alert that is already so is left alone."""
        wish = Wish.of(command)
        item, _ = await self._unit.read(command.native_id)
        now = triage.state(self._unit.word(item))
        said = bool(self._commented.get(wish.marker)) or self._unit.said(item, wish.marker)
        missing = triage.change(now, wish, command, said=said)
        repeated = (said and bool(wish.comment)) or triage.VERDICTS.repeated(command, wish)
        if missing.status or missing.comment:
            await self._unit.change(command.native_id, missing.status, wish.comment if missing.comment else "")
        if missing.comment:
            self._commented.note(wish.marker, True)
        # A comment on an alert that is already so changes nothing that an undo would have to give back.
        changed = bool(missing.status) or repeated or (missing.comment and command.verb == "alert.comment")
        return Receipt(command.native_id, changed=changed, losses=missing.losses, evidence={"before": now})

    async def act(self, command: Command) -> Receipt:
        """Asks Cortex for the response action."""
        match command.verb:
            case "host.isolate" | "host.release":
                return await self._hosts.contain(command)
            case "host.scan":
                return await self._hosts.scan(command)
            case "file.quarantine" | "file.restore":
                return await self._files.move(command)
            case "file.fetch":
                return await self._files.fetch(command)
            case "hash.block":
                return await self._indicators.block(command)
            case "hash.unblock":
                return await self._indicators.unblock(command)
            case "host.run_script":
                return await self._scripts.run(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """The endpoint, the quarantine, the action, or the alert, as Cortex shows it now."""
        state: Mapping[str, Any]
        match command.verb:
            case "host.isolate" | "host.release":
                effect, state, native = await self._hosts.containment(command)
            case "host.scan":
                effect, state, native = await self._hosts.scanned(command)
            case "file.quarantine" | "file.restore":
                effect, state, native = await self._files.moved(command)
            case "file.fetch":
                effect, state, native = await self._files.fetched(command)
            case "alert.set_disposition":
                item, _ = await self._unit.read(command.native_id)
                word = triage.state(self._unit.word(item))
                done = triage.settled(word, Wish.of(command), command)
                effect, state, native = _effect(done), word, word["native_status"]
            case _:
                raise UnsupportedError(f"{VENDOR}: {command.verb} has no read-back")
        return Reading(effect, self._context.clock(), state, native)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """By endpoint id, else by name, else by address; of a reinstalled agent's records the live one."""
        return await self._hosts.find(query)

    async def check_health(self) -> Health:
        """One row of what is pulled and one endpoint: that proves signature, kind of key and permissions to read."""
        problems: list[str] = []
        begin = self._context.clock()
        for probe in (self._probe_unit, self._probe_endpoints):
            try:
                await probe()
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again
        skew = self._cortex.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        latency = (self._context.clock() - begin).total_seconds() / 2
        return Health(not problems, tuple(problems), version="public API v1/v2", clock_skew=skew, latency=latency)

    async def _probe_unit(self) -> None:
        await self._unit.page(start_of(self._context, hours=1) // _MILLISECOND, 0, 1)

    async def _probe_endpoints(self) -> None:
        window = {"filters": [], "search_from": 0, "search_to": 1}
        await self._cortex.ask(
            "v1/endpoints/get_endpoint/", window, operation="check health", scope=ENDPOINTS_VIEW, repeatable=True
        )

    def _is_ours(self, stream: str) -> bool:
        if stream not in _STREAMS:
            raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there are {', '.join(_STREAMS)}")
        return stream == self._works_on


def _effect(done: bool) -> Effect:
    return Effect.IN_EFFECT if done else Effect.NOT_IN_EFFECT
