"""The ServiceNow connector: one ticket a case, followed both ways, each effect read from the ticket itself."""

from collections.abc import AsyncIterator
from typing import Any

from nightdesk.connectors.servicenow.client import VENDOR, TableApi
from nightdesk.connectors.servicenow.follow import Changes, in_utc
from nightdesk.connectors.servicenow.journal import JOURNAL, READ_JOURNAL, Journal
from nightdesk.connectors.servicenow.lookup import READ
from nightdesk.connectors.servicenow.tickets import Tickets
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.ports import CaseChanges, Command, Health, Reading, Receipt
from nightdesk.sdk.records import Cursor

__all__ = ["Connector"]

_VERBS = frozenset({"case.open", "case.update", "case.comment", "case.close", "case.reopen"})
_MAX_SKEW = 120.0  # seconds


class Connector:
    """One table of tickets at one instance."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._table = context.settings.text("table", "incident")
        self._close_code = context.settings.text("close_code")
        self._api = TableApi(context)
        journal = Journal(self._api, self._table)
        where: dict[str, Any] = {"table": self._table, "tenant": context.tenant}
        self._tickets = Tickets(self._api, journal, close_code=self._close_code, **where)
        self._changes = Changes(self._api, journal, context.clock, **where)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def act(self, command: Command) -> Receipt:
        """Opens, changes, comments on, closes or re-opens the case's ticket."""
        _known(command)
        return await self._tickets.act(command)

    async def read_back(self, command: Command) -> Reading:
        """The ticket and its journal as they are now."""
        _known(command)
        effect, state, native = await self._tickets.effect(command)
        return Reading(effect, self._context.clock(), state, native)

    async def follow_cases(self, cursor: Cursor | None, *, limit: int) -> AsyncIterator[CaseChanges]:
        """Changes of our tickets, oldest first."""
        async for page in self._changes.pages(cursor, limit=limit):
            yield page

    async def check_health(self) -> Health:
        """A page of changes, any ticket (for the user's time zone), the journal, and the close codes."""
        problems: list[str] = []
        begin = self._context.clock()
        for probe in (self._changes.now, self._zone, self._journal, self._codes):
            try:
                await probe()
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again
        latency = (self._context.clock() - begin).total_seconds() / 4
        skew = self._api.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), version="api/now", clock_skew=skew, latency=latency)

    async def _zone(self) -> None:
        fields = ("sys_id", "sys_updated_on")
        for row in await self._api.rows(self._table, "", fields, limit=1, operation="check health", role=READ):
            in_utc(row, "check health")

    async def _journal(self) -> None:
        await self._api.rows(JOURNAL, "", ("sys_id",), limit=1, operation="check health", role=READ_JOURNAL)

    async def _codes(self) -> None:
        if not self._close_code:
            await self._tickets.choices()


def _known(command: Command) -> None:
    if command.verb not in _VERBS:
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
