"""The CrowdSec connector: alerts in by number, bans out, each effect read from what bouncers are told."""

from collections.abc import AsyncIterator
from functools import partial

from nightdesk.connectors.crowdsec.client import VENDOR, Lapi
from nightdesk.connectors.crowdsec.indicators import SCENARIO, Decisions
from nightdesk.connectors.crowdsec.numbering import Alert, Numbering, Position
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NotFoundError, UnavailableError, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import start_of

__all__ = ["Connector"]

_STREAM = "alerts"
_LISTS = frozenset({"CAPI", "lists"})


class Connector:
    """One Local API."""

    def __init__(self, context: Context) -> None:
        start_of(context)  # a wrong setting is said now
        self._context = context
        self._blocklists = context.settings.flag("blocklists")
        self._lapi = Lapi(context)
        self._numbering = Numbering(self._lapi, self._is_wanted)
        self._decisions = Decisions(self._lapi, context.tenant, context.clock)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._lapi.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Every alert behind the cursor's number; without a cursor those created since the start."""
        _alerts(stream)
        position = Position.load(cursor) if cursor is not None else await self._numbering.first(start_of(self._context))
        if position is None:
            yield Batch((), None)
            return
        async for batch in self._numbering.after(position, limit=max(1, limit)):
            yield batch

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert as it is now: only what is left of its decisions changes."""
        _alerts(stream)
        operation = "read alert"
        if not (native_id.isascii() and native_id.isdecimal()):
            raise NotFoundError(f"no alert {native_id!r}: ids are numbers", vendor=VENDOR, operation=operation)
        item, raw = await self._lapi.alert(int(native_id), operation)
        alert = Alert.of(item, raw)
        return RawRecord(raw, native_id, native_id) if alert is None else alert.record

    async def act(self, command: Command) -> Receipt:
        """Blocks or unblocks."""
        match command.verb:
            case "ip.block":
                return await self._decisions.block(command)
            case "ip.unblock":
                return await self._decisions.unblock(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """What bouncers are told now."""
        if command.verb not in {"ip.block", "ip.unblock"}:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        effect, state, native = await self._decisions.effect(command)
        return Reading(effect, self._context.clock(), state, native)

    async def check_health(self) -> Health:
        """One alert as the machine, one look-up as the bouncer: the two credentials fail apart."""
        problems: list[str] = []
        begin = self._context.clock()
        for ask in (partial(self._lapi.alerts, limit=1), partial(self._lapi.decisions, ip="127.0.0.1")):
            try:
                await ask("check health")
            except VendorError as error:
                problems.append(str(error))
                if isinstance(error, UnavailableError):
                    break  # it would be the same again
        latency = (self._context.clock() - begin).total_seconds() / 2
        skew = self._lapi.clock_skew
        return Health(not problems, tuple(problems), version="v1", clock_skew=skew, latency=latency)

    def _is_wanted(self, alert: Alert) -> bool:
        """Not what we posted ourselves, and not what the central API sent, which nobody here has seen."""
        item = alert.item
        if item.get("scenario") == SCENARIO and item.get("machine_id") == self._lapi.machine_id:
            return False
        return self._blocklists or not _is_blocklist(item)


def _is_blocklist(item: dict[str, object]) -> bool:
    # Not by include_capi=false: in 1.4.6 that also hides what has no decision or one of another origin.
    source, decisions = item.get("source"), item.get("decisions")
    scope = str(source.get("scope", "")) if isinstance(source, dict) else ""
    if scope.endswith("/community-blocklist") or scope.startswith("lists:"):
        return True
    rows = decisions if isinstance(decisions, list) else []
    origins = {row.get("origin") for row in rows if isinstance(row, dict)}
    return bool(origins) and origins <= _LISTS


def _alerts(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")
