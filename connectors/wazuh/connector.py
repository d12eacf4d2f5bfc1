"""The Wazuh connector: alerts in from the indexer, commands out through the server API, effects read from the hosts."""

from collections.abc import AsyncIterator, Sequence

from nightdesk.connectors.wazuh.accounts import Accounts
from nightdesk.connectors.wazuh.alerts import SWEEP, Alerts
from nightdesk.connectors.wazuh.hosts import Hosts
from nightdesk.connectors.wazuh.indexer import VENDOR, Indexer
from nightdesk.connectors.wazuh.indicators import Indicators
from nightdesk.connectors.wazuh.options import Options
from nightdesk.connectors.wazuh.responses import Responses
from nightdesk.connectors.wazuh.server import Server
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, start_of
from nightdesk.sdk.targets import Account, AccountQuery, Asset, AssetQuery

__all__ = ["Connector"]

_STREAM = "alerts"
_BLOCKS = frozenset({"ip.block", "ip.unblock"})
_LOCKS = frozenset({"account.disable", "account.enable"})


class Connector:
    """One indexer and the manager or cluster whose alerts it holds."""

    def __init__(self, context: Context) -> None:
        start_of(context)  # a wrong setting is said now
        self._context = context
        self._options = options = Options.of(context)
        self._indexer = Indexer(context)
        self._server = Server(context)
        responses = Responses(self._server, self._indexer, options.index, context.clock)
        self._alerts = Alerts(self._indexer, options, context.clock)
        self._hosts = Hosts(self._server, responses, options)
        self._accounts = Accounts(responses, self._indexer, options)
        self._indicators = Indicators(responses, self._indexer, options, context.clock)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._indexer.aclose()
        await self._server.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Every alert that was not delivered before, by the time it was raised."""
        _check(stream)
        position = Position.load(cursor, start=start_of(self._context), sweeps=(SWEEP,), overlap=self._options.overlap)
        async for batch in self._alerts.since(position, limit=max(1, limit)):
            yield batch

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert, which never changes."""
        _check(stream)
        return await self._alerts.one(native_id)

    async def act(self, command: Command) -> Receipt:
        """Has agents do what the command wants; accepted means sent."""
        match command.verb:
            case "ip.block":
                return await self._indicators.block(command)
            case "ip.unblock":
                return await self._indicators.unblock(command)
            case "account.disable" | "account.enable":
                return await self._accounts.change(command)
            case "host.run_script":
                return await self._hosts.run_script(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """What the hosts themselves list: their firewall, their accounts."""
        if command.verb in _BLOCKS:
            effect, state, native = await self._indicators.effect(command)
        elif command.verb in _LOCKS:
            effect, state, native = await self._accounts.effect(command)
        else:
            raise UnsupportedError(f"{VENDOR}: {command.verb} has no read-back")
        return Reading(effect, self._context.clock(), state, native)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """The agents that the query stands for."""
        return await self._hosts.find(query)

    async def find_account(self, query: AccountQuery) -> Sequence[Account]:
        """The local accounts that the query stands for."""
        return await self._accounts.find(query)

    async def check_health(self) -> Health:
        """A look at the alerts' indices and at one agent: the two credentials fail apart."""
        problems: list[str] = []
        version = ""
        begin = self._context.clock()
        operation = "check health"
        try:
            found = await self._indexer.search(self._options.index, {"size": 0}, operation)
            if not found.shards:
                problems.append(
                    f"{VENDOR}: the indexer shows no index {self._options.index}; check the setting index, that the"
                    " user's role covers it, and that the manager ships alerts"
                )
        except VendorError as error:
            problems.append(str(error))
        try:
            version = await self._server.version(operation)
            await self._server.may_read_agents(operation)
        except VendorError as error:
            problems.append(str(error))
        if int(version.partition(".")[0] or 0) > 4:
            problems.append(f"{VENDOR}: version {version} is not supported: alerts and responses are others since 5.0")
        latency = (self._context.clock() - begin).total_seconds() / 3
        return Health(not problems, tuple(problems), version, self._indexer.clock_skew, latency)


def _check(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")
