"""The Okta connector: System Log events in; users, memberships and addresses changed, each effect read from Okta."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from nightdesk.connectors.okta.accounts import Accounts
from nightdesk.connectors.okta.client import VENDOR, Okta
from nightdesk.connectors.okta.groups import Memberships
from nightdesk.connectors.okta.logs import PATH, READ, SystemLog
from nightdesk.connectors.okta.zones import READ as ZONES_READ
from nightdesk.connectors.okta.zones import Zones
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import RejectedError, ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.moments import SECOND, iso
from nightdesk.sdk.ports import Command, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.targets import Account, AccountQuery

__all__ = ["Connector"]

_STREAM = "system_log"
_ZONE = "BlockedIpZone"  # the blocklist that every org has
_MAX_SKEW = 120.0  # seconds; an assertion lives five minutes, and read-backs compare times
_ACCOUNT = frozenset(
    {
        "account.disable",
        "account.enable",
        "account.revoke_sessions",
        "account.reset_password",
        "account.require_reauth_factors",
    }
)
_MEMBERSHIP = frozenset({"account.remove_from_group", "account.add_to_group"})
_ADDRESS = frozenset({"ip.block", "ip.unblock"})


class Connector:
    """One Okta org."""

    def __init__(self, context: Context) -> None:
        self._context = context
        settings = context.settings
        self._okta = Okta(context)
        self._log = SystemLog(self._okta, context)
        self._accounts = Accounts(self._okta, self._log, mailed=settings.flag("reset_by_mail", default=True))
        self._memberships = Memberships(self._okta)
        self._zones = Zones(self._okta, settings.text("block_zone", _ZONE))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._okta.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Events in the order in which the log got them."""
        _known(stream)
        async for batch in self._log.pull(cursor, limit):
            yield batch

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The event of that uuid, searched in the last 90 days."""
        _known(stream)
        return await self._log.one(native_id)

    async def act(self, command: Command) -> Receipt:
        """Changes a user, a membership or the zone of blocked addresses."""
        if command.verb in _ACCOUNT:
            return await self._accounts.act(command)
        if command.verb in _MEMBERSHIP:
            return await self._memberships.act(command)
        if command.verb == "ip.block":
            return await self._zones.block(command)
        if command.verb == "ip.unblock":
            return await self._zones.unblock(command)
        raise _undeclared(command)

    async def read_back(self, command: Command) -> Reading:
        """The user's status, factors, groups or log, or the zone, as Okta shows it now."""
        if command.verb in _ACCOUNT:
            effect, state, native = await self._accounts.effect(command)
        elif command.verb in _MEMBERSHIP:
            effect, state, native = await self._memberships.effect(command)
        elif command.verb in _ADDRESS:
            effect, state, native = await self._zones.effect(command)
        else:
            raise _undeclared(command)
        return Reading(effect, self._context.clock(), state, native)

    async def find_account(self, query: AccountQuery) -> Sequence[Account]:
        """By id, else by login or address, else by the short name of a login."""
        return await self._accounts.find(query)

    async def search(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """Events of the last week that a filter expression fits, newest first."""
        if not query.strip():
            message = "an empty filter would be the whole log; write one like eventType sw 'user.session'"
            raise RejectedError(message.replace("'", '"'), vendor=VENDOR, operation="search logs")
        return [event async for event, _ in self._log.rows(query, limit=limit, newest_first=True)]

    async def check_health(self) -> Health:
        """One event of the configured query, one user, and the zone if one is configured."""
        problems: list[str] = []
        begin = self._context.clock()
        since = int(begin.timestamp() - 60) * SECOND
        probes: list[tuple[str, str, Mapping[str, str]]] = [
            (PATH, READ, {"since": iso(since, 3), "limit": "1", **self._log.query}),
            ("/api/v1/users", "okta.users.read", {"limit": "1"}),
        ]
        if self._context.settings.has("block_zone"):
            probes.append(("/api/v1/zones", ZONES_READ, {"limit": "1"}))
        for path, scope, params in probes:
            try:
                await self._okta.page(path, operation="check health", scope=scope, params=params)
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again
        latency = (self._context.clock() - begin).total_seconds() / len(probes)
        skew = self._okta.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), version="api/v1", clock_skew=skew, latency=latency)


def _known(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")


def _undeclared(command: Command) -> UnsupportedError:
    return UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
