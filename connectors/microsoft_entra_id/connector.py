"""The Entra ID connector: risks in, verdicts and account changes out, each effect read from the directory itself."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from nightdesk.connectors.microsoft_entra_id.accounts import READ, Accounts
from nightdesk.connectors.microsoft_entra_id.changes import Changes
from nightdesk.connectors.microsoft_entra_id.client import VENDOR, VERSION, Graph
from nightdesk.connectors.microsoft_entra_id.factors import Factors
from nightdesk.connectors.microsoft_entra_id.memberships import Memberships
from nightdesk.connectors.microsoft_entra_id.risks import STREAMS, Risks
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import RejectedError, ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import start_of
from nightdesk.sdk.targets import Account, AccountQuery

__all__ = ["Connector"]

_MAX_SKEW = 120.0  # seconds; tokens are renewed that early
_PROBES = (*((stream.path, stream.scope) for stream in STREAMS.values()), ("/users?$select=id", READ))


class Connector:
    """One tenant."""

    def __init__(self, context: Context) -> None:
        self._context = context
        start_of(context)  # a start that is no time is told at once
        self._graph = Graph(context)
        self._risks = Risks(self._graph)
        self._accounts = Accounts(self._graph)
        changes = Changes(self._graph, self._accounts, with_mfa=context.settings.flag("password_change_with_mfa"))
        self._actors = (changes, Memberships(self._graph), Factors(self._graph))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._graph.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """New detections by detection, then changed ones by update; risky users by update."""
        async for batch in self._risks.pull(_known(stream), cursor, start=start_of(self._context), limit=limit):
            yield batch

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The risk as it is now."""
        return await self._risks.read_one(_known(stream), native_id)

    async def write_back(self, command: Command) -> Receipt:
        """A verdict on the sign-in of a detection, or on a risky user."""
        if command.verb != "alert.set_disposition":
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        return await self._risks.write_back(command)

    async def act(self, command: Command) -> Receipt:
        """Changes an account, its memberships or its factors."""
        return await self._actor(command).act(command)

    async def read_back(self, command: Command) -> Reading:
        """The account, membership, methods or risk as Entra shows it now."""
        state: Mapping[str, Any]
        effect: Effect
        if command.verb == "alert.set_disposition":
            effect, state, native = await self._risks.effect(command)
        else:
            effect, state, native = await self._actor(command).effect(command)
        return Reading(effect, self._context.clock(), state, native)

    async def find_account(self, query: AccountQuery) -> Sequence[Account]:
        """By object id, security identifier, address or name; exact matches only."""
        return await self._accounts.find(query)

    async def check_health(self) -> Health:
        """A token, then one object of each kind: a permission or licence that is missing shows only on use."""
        problems: list[str] = []
        begin = self._context.clock()
        for path, scope in _PROBES:
            try:
                await self._graph.read(path, operation="check health", scope=scope, params={"$top": 1})
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError | RejectedError):
                    break  # it would be the same again, and wrong credentials lock an app out
        latency = (self._context.clock() - begin).total_seconds() / len(_PROBES)
        skew = self._graph.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), version=f"graph {VERSION}", clock_skew=skew, latency=latency)

    def _actor(self, command: Command) -> Changes | Memberships | Factors:
        for actor in self._actors:
            if command.verb in actor.verbs:
                return actor
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")


def _known(stream: str) -> str:
    if stream not in STREAMS:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there are {', '.join(STREAMS)}")
    return stream
