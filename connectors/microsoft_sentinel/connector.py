"""The Sentinel connector: incidents in, triage and indicators out, each effect read from the workspace's own state."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.microsoft_sentinel import triage
from nightdesk.connectors.microsoft_sentinel.client import VENDOR, Arm
from nightdesk.connectors.microsoft_sentinel.incidents import CHANGED, Incidents, record_of
from nightdesk.connectors.microsoft_sentinel.indicators import Indicators
from nightdesk.connectors.microsoft_sentinel.logs import Logs
from nightdesk.connectors.microsoft_sentinel.telemetry import Telemetry
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt, Sighting
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, start_of
from nightdesk.sdk.targets import Target
from nightdesk.sdk.triage import Wish

__all__ = ["Connector"]

_STREAM = "incidents"
_SET, _COMMENT = "alert.set_disposition", "alert.comment"
_PUBLISH, _WITHDRAW = "indicator.publish", "indicator.withdraw"
_PAGE, _MAX_PAGE = 100, 1000
_MAX_SKEW = 120.0  # seconds; tokens are renewed that early
_OVERLAP = timedelta(minutes=10)  # incidents of connected products are indexed that late


class Connector:
    """One workspace. Nothing here contains a host: Sentinel cannot."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._start = start_of(context)
        self._page_size = context.settings.integer("page_size", _PAGE)
        if not 1 <= self._page_size <= _MAX_PAGE:
            raise ConfigError([Problem(context.instance, "page_size", f"must be 1 to {_MAX_PAGE}")])
        self._arm = Arm(context)
        self._incidents = Incidents(self._arm, context.sleep)
        self._indicators = Indicators(self._arm, context.tenant, context.clock)
        self._logs = Logs(context)
        self._telemetry = Telemetry(self._logs)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._arm.aclose()
        await self._logs.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Incidents by their last change, new ones among them.

        An incident that changes meanwhile moves to the end, and links by offset would then skip another one. So each
        page is asked for by the time where the one before ended; links lead only through incidents of one instant.
        """
        _known(stream)
        position = Position.load(cursor, start=self._start, sweeps=(CHANGED,), overlap=_OVERLAP)
        size = max(1, min(limit, self._page_size))
        since, link = position.since(CHANGED), ""
        while True:
            page = await self._incidents.page(since, size, link)
            records, failures = position.page(CHANGED, page.elements, record_of)
            whole = [await self._incidents.whole(record) for record in records]
            if not page.link:
                position.forget()
            yield Batch(whole, position.dump(), failures, more=bool(page.link))
            if not page.link:
                return
            if page.span is not None and max(page.span[0], since) < page.span[1]:
                since, link = page.span[1], ""
            elif page.link == link:
                raise ResponseError("the link to the next page repeats", vendor=VENDOR, operation="pull incidents")
            else:
                link = page.link

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The incident as it is now, with its alerts and entities."""
        _known(stream)
        record, _ = record_of(*await self._incidents.read(native_id))
        return await self._incidents.whole(record)

    async def write_back(self, command: Command) -> Receipt:
        """One PUT with what is still missing, then the comment: that one moves the etag too."""
        wish = _wish(command)
        changed, before = False, {}
        lost: tuple[str, ...] = ()
        if command.verb == _SET:
            changed, incident = await self._incidents.settle(command, wish)
            changed = changed or triage.VERDICTS.repeated(command, wish)
            before, lost = triage.state(incident), triage.losses(incident, wish)
        if wish.comment:
            # Its name follows from the command: one that is there already was made by an earlier try.
            await self._incidents.say(command, wish.comment)
            changed = True
        return Receipt(command.native_id, changed=changed, losses=lost, evidence={"before": before} if before else {})

    async def act(self, command: Command) -> Receipt:
        """Publishes or withdraws an indicator."""
        match command.verb:
            case "indicator.publish":
                return await self._indicators.publish(command)
            case "indicator.withdraw":
                return await self._indicators.withdraw(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """The incident and our comment at it, or our indicator, as the workspace shows them now."""
        state: Mapping[str, Any]
        if command.verb in {_PUBLISH, _WITHDRAW}:
            effect, state, native = await self._indicators.effect(command)
        else:
            wish = _wish(command)
            incident, _ = await self._incidents.read(command.native_id)
            there = triage.settled(incident, wish) and (not wish.comment or await self._incidents.says(command))
            effect, state = Effect.IN_EFFECT if there else Effect.NOT_IN_EFFECT, triage.state(incident)
            native = f"{state['native_status']} {state['classification']}".strip()
        return Reading(effect, self._context.clock(), state, native)

    async def search(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """Rows of any KQL; without a time in the query, over all that the workspace keeps."""
        return await self._logs.rows(query, limit=limit)

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """What the tables of devices, sign-ins and firewalls hold of a host, account, address, domain, URL or file."""
        return await self._telemetry.activity(target, since, until, limit=limit)

    async def check_health(self) -> Health:
        """The newest page as a pull reads it, one incident with its alerts and entities, and a query."""
        problems: list[str] = []
        begin = self._context.clock()
        try:
            page = await self._incidents.page(self._start, 1)
            for item, raw in page.elements:
                await self._incidents.whole(record_of(item, raw)[0])
        except VendorError as error:
            problems.append(str(error))
        if not problems and self._logs.configured:
            try:
                await self._logs.rows("print ready = 1", limit=1)
            except VendorError as error:
                problems.append(str(error))
        latency = (self._context.clock() - begin).total_seconds()
        skew = self._arm.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), self._arm.version, skew, latency)


def _known(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")


def _wish(command: Command) -> Wish:
    if command.verb not in {_SET, _COMMENT}:
        raise UnsupportedError(f"{VENDOR}: {command.verb} does not write to an incident")
    return Wish.of(command)
