"""The TheHive connector: one case of TheHive a case of ours, followed both ways, each effect read from the case."""

from collections.abc import AsyncIterator

from nightdesk.connectors.thehive.client import VENDOR, Api
from nightdesk.connectors.thehive.comments import COMMENT, Comments
from nightdesk.connectors.thehive.follow import Changes
from nightdesk.connectors.thehive.lookup import READ, Lookup
from nightdesk.connectors.thehive.tickets import CREATE, IMPORT, REOPEN, UPDATE, Tickets
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.ports import CaseChanges, Command, Health, Reading, Receipt
from nightdesk.sdk.records import Cursor

__all__ = ["Connector"]

_VERBS = frozenset({"case.open", "case.update", "case.comment", "case.close", "case.reopen"})
_NEEDED = (CREATE, *IMPORT.split(" and "), UPDATE, REOPEN, COMMENT)
_MAX_SKEW = 120.0  # seconds


class Connector:
    """One organisation at one server."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._api = Api(context)
        lookup, comments = Lookup(self._api, context.tenant), Comments(self._api)
        self._tickets = Tickets(self._api, lookup, comments, context.tenant)
        self._changes = Changes(self._api, lookup, comments, context.clock)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def act(self, command: Command) -> Receipt:
        """Opens, changes, comments on, closes or re-opens the case's case of TheHive."""
        _known(command)
        return await self._tickets.act(command)

    async def read_back(self, command: Command) -> Reading:
        """The case of TheHive and its comments as they are now."""
        _known(command)
        effect, state, native = await self._tickets.effect(command)
        return Reading(effect, self._context.clock(), state, native)

    async def follow_cases(self, cursor: Cursor | None, *, limit: int) -> AsyncIterator[CaseChanges]:
        """Changes of our tickets, oldest first, then what was said at them."""
        async for page in self._changes.pages(cursor, limit=limit):
            yield page

    async def check_health(self) -> Health:
        """A page of changes, and what the user may do in this organisation."""
        problems: list[str] = []
        begin = self._context.clock()
        version = ""
        try:
            await self._changes.now()
            await self._permissions()
            found = await self._api.read("/status/public", operation="check health", scope=READ)
            version = str(found.get("version") or "")
        except VendorError as error:
            problems.append(str(error))
        latency = (self._context.clock() - begin).total_seconds() / 3
        skew = self._api.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), version, clock_skew=skew, latency=latency)

    async def _permissions(self) -> None:
        """Raises ScopeError with all that the user's profile lacks; ``manageCase`` has all that begins so."""
        operation = "check health"
        user = await self._api.read("/user/current", operation=operation, scope=READ)
        found = user.get("permissions")
        if not isinstance(found, list):
            return  # this version does not say
        held = set(map(str, found))
        lacking = [name for name in _NEEDED if not {name, name.partition("/")[0]} & held]
        if lacking:
            message = f"grant {', '.join(lacking)} to the profile of {user.get('login')} in {user.get('organisation')}"
            raise ScopeError(message, vendor=VENDOR, operation=operation)


def _known(command: Command) -> None:
    if command.verb not in _VERBS:
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
