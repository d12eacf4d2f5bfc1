"""The Vision One connector: Workbench alerts in, triage and response out, each effect read from the vendor's state."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from nightdesk.connectors.trend_vision_one import alerts, hosts, indicators, tasks, triage
from nightdesk.connectors.trend_vision_one.accounts import find_accounts
from nightdesk.connectors.trend_vision_one.alerts import Alerts
from nightdesk.connectors.trend_vision_one.client import VENDOR, VisionOne
from nightdesk.connectors.trend_vision_one.hosts import Hosts
from nightdesk.connectors.trend_vision_one.indicators import BLOCKS, UNBLOCKS, Indicators
from nightdesk.connectors.trend_vision_one.orders import ORDERS, Orders
from nightdesk.connectors.trend_vision_one.tasks import Tasks
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.moments import iso
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import start_of
from nightdesk.sdk.targets import Account, AccountQuery, Asset, AssetQuery
from nightdesk.sdk.triage import Wish

__all__ = ["Connector"]

_STREAM = "workbench_alerts"
_ISOLATION = frozenset({"host.isolate", "host.release"})
_WRITES = frozenset({"alert.set_disposition", "alert.comment"})
_MAX_SKEW = 120.0  # seconds
_PROBES: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    (hosts.LIST, hosts.VIEW, {"top": 10}),
    (tasks.LIST, tasks.VIEW, {"top": 50}),
    (indicators.LIST, indicators.VIEW, {"top": 50}),
)


class Connector:
    """One Vision One company, through one API key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        text = context.settings.text("filter")
        if not text.isascii() or not text.isprintable():
            raise ConfigError(
                [Problem(context.instance, "filter", "must be one line of ASCII: it is sent as a header")]
            )
        start_of(context)  # a start that is none is said now, not at the first pull
        self._responds = context.settings.flag("response", default=True)
        self._api = VisionOne(context)
        self._alerts = Alerts(self._api, context)
        known = Tasks(self._api, context.clock)
        self._hosts = Hosts(self._api, known, context.clock)
        self._orders = Orders(self._api, known)
        self._indicators = Indicators(self._api, context.tenant, context.clock)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """What was created or changed since the cursor, oldest change first."""
        _workbench(stream)
        async for batch in self._alerts.pull(cursor, limit=limit):
            yield batch

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert as it is now."""
        _workbench(stream)
        return await self._alerts.record(native_id)

    async def write_back(self, command: Command) -> Receipt:
        """The fields that are missing, under the etag of what was read, then the note; what is already so is left."""
        if command.verb not in _WRITES:
            raise UnsupportedError(f"{command.verb} does not write to an alert")
        wish = Wish.of(command)
        lost = triage.VERDICTS.losses(wish)
        before, fields = await self._alerts.write(command, wish)
        to_say = bool(wish.comment) and not triage.noted(await self._alerts.notes(command.native_id), wish)
        if to_say:
            await self._alerts.note(command.native_id, wish.comment)
        if not fields and not to_say:
            said = bool(wish.comment)  # a note of this command is there: an earlier try wrote it
            changed = said or triage.VERDICTS.repeated(command, wish)
            return Receipt(command.native_id, changed=changed, losses=lost)
        return Receipt(command.native_id, losses=lost, evidence={"before": before, "written": fields})

    async def act(self, command: Command) -> Receipt:
        """Orders a response task, or makes or deletes a suspicious object."""
        if command.verb in _ISOLATION:
            return await self._hosts.isolate(command)
        if command.verb in ORDERS:
            return await self._orders.act(command)
        if command.verb in BLOCKS:
            return await self._indicators.block(command)
        if command.verb in UNBLOCKS:
            return await self._indicators.unblock(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """The endpoint, the tasks, the suspicious object, or the alert, as Vision One shows them now."""
        state: Mapping[str, Any]
        if command.verb in _ISOLATION:
            effect, state, native = await self._hosts.effect(command)
        elif command.verb in ORDERS:
            effect, state, native = await self._orders.effect(command)
        elif command.verb in BLOCKS | UNBLOCKS:
            effect, state, native = await self._indicators.effect(command)
        elif command.verb in _WRITES:
            wish = Wish.of(command)
            alert, _ = await self._alerts.one(command.native_id)
            notes = await self._alerts.notes(command.native_id) if wish.comment else []
            effect = Effect.IN_EFFECT if triage.settled(alert, notes, command, wish) else Effect.NOT_IN_EFFECT
            state = triage.state(alert)
            native = state["native_status"]
        else:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        return Reading(effect, self._context.clock(), state, native)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """By agent GUID, else by name, else by address."""
        return await self._hosts.find(query)

    async def find_account(self, query: AccountQuery) -> Sequence[Account]:
        """By the name that response tasks take, else by address, else by name and domain."""
        return await find_accounts(self._api, query)

    async def check_health(self) -> Health:
        """The vendor's own check, then one page of each list: a missing permission shows only on use."""
        problems: list[str] = []
        begin = self._context.clock()
        hour_ago = int((begin - timedelta(hours=1)).timestamp()) * 1_000_000_000
        probes = [
            ("/healthcheck/connectivity", "", {}),
            (alerts.LIST, alerts.VIEW, {"startDateTime": iso(hour_ago)}),
            *(_PROBES if self._responds else ()),
        ]
        for path, scope, params in probes:
            try:
                answer = await self._api.read(path, operation="check health", scope=scope, params=params)
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again
            else:
                if not scope and answer.get("status") != "available":
                    problems.append("Vision One says that it is not available; try again later")
        latency = (self._context.clock() - begin).total_seconds() / len(probes)
        skew = self._api.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), version="v3.0", clock_skew=skew, latency=latency)


def _workbench(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")
