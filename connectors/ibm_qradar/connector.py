"""The QRadar connector: offenses in, triage out, blocklists in reference sets, each effect read from the console."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.ibm_qradar import sets, triage
from nightdesk.connectors.ibm_qradar.ariel import Ariel
from nightdesk.connectors.ibm_qradar.client import OFFENSES, VENDOR, Console, document
from nightdesk.connectors.ibm_qradar.lookups import Lookups
from nightdesk.connectors.ibm_qradar.offenses import CHANGED, CLOSED, NEW, Offenses, record_of, sweeps_of
from nightdesk.connectors.ibm_qradar.telemetry import Telemetry
from nightdesk.connectors.ibm_qradar.trail import Trail
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt, Sighting
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, start_of
from nightdesk.sdk.targets import Target
from nightdesk.sdk.triage import Wish

__all__ = ["Connector"]

_STREAM = "offenses"
_SET, _COMMENT = "alert.set_disposition", "alert.comment"
_PAGE, _MAX_PAGE = 50, 1000
_OVERLAP = timedelta(minutes=10)
_MAX_SKEW = 300.0  # seconds
_CONFLICT = 409


class Connector:
    """One console. It contains no host: QRadar cannot."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._start = start_of(context)
        self._page_size = context.settings.integer("page_size", _PAGE)
        if not 1 <= self._page_size <= _MAX_PAGE:
            raise ConfigError([Problem(context.instance, "page_size", f"must be 1 to {_MAX_PAGE}")])
        self._verdicts = triage.verdicts_of(context)
        self._console = Console(context)
        self._offenses = Offenses(self._console)
        self._lookups = Lookups(self._console, context.clock)
        self._sets = sets.ReferenceSets(self._console, context)
        self._ariel = Ariel(self._console, context.sleep)
        self._telemetry = Telemetry(self._ariel, context.clock)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._console.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Offenses by number, then by change, then by closing; what an earlier sweep delivered is not repeated."""
        _known(stream)
        position = Position.load(cursor, start=self._start, sweeps=(NEW, CHANGED, CLOSED), overlap=_OVERLAP)
        trail = Trail.load(cursor)
        size = max(1, min(limit, self._page_size))
        begin = int(position.dump()["start"])
        for sweep in sweeps_of(await self._console.version(), begin):
            since = trail.since if sweep.name == NEW else position.since(sweep.name) // 1_000_000
            async for elements in self._offenses.sweep(sweep, since, size):
                fresh = trail.fresh(elements) if sweep.name == NEW else elements
                records, failures = position.page(sweep.name, fresh, record_of)
                whole = await self._lookups.whole(records)
                yield Batch(whole, {**position.dump(), **trail.dump()}, failures, more=True)
        position.forget()
        yield Batch((), {**position.dump(), **trail.dump()})

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The offense as it is now, with what it points at."""
        _known(stream)
        record, _ = record_of(*await self._offenses.read(native_id))
        return (await self._lookups.whole([record]))[0]

    async def write_back(self, command: Command) -> Receipt:
        """Status with its reason, and a note, which is written while the offense is open."""
        wish = _wish(command)
        if command.verb == _COMMENT:
            return Receipt(command.native_id, changed=await self._say(command, wish))
        offense, _ = await self._offenses.read(command.native_id)
        reasons = await self._offenses.reasons()
        before = triage.state(offense, reasons, self._verdicts)
        changes = triage.changes(before, wish, command, reasons, self._verdicts)
        said = wish.status != "open" and await self._say(command, wish)
        moved = await self._move(command, wish, changes)
        said = said or await self._say(command, wish)
        return Receipt(
            command.native_id,
            changed=moved or said or self._verdicts.repeated(command, wish),
            losses=triage.losses(wish, command, self._verdicts),
            evidence={"before": before},
        )

    async def act(self, command: Command) -> Receipt:
        """Puts a value into a reference set, or takes it out."""
        if command.verb not in sets.VERBS:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        return await (self._sets.block if command.verb.endswith(".block") else self._sets.unblock)(command)

    async def read_back(self, command: Command) -> Reading:
        """The offense and our note at it, or the set's own content, as the console shows them now."""
        state: Mapping[str, Any]
        if command.verb in sets.VERBS:
            effect, state, native = await self._sets.effect(command)
        else:
            wish = _wish(command)
            offense, _ = await self._offenses.read(command.native_id)
            state = triage.state(offense, await self._offenses.reasons(), self._verdicts)
            there = command.verb == _COMMENT or triage.settled(state, wish, self._verdicts)
            if there and wish.comment:
                there = await self._offenses.says(command.native_id, wish.marker)
            effect = Effect.IN_EFFECT if there else Effect.NOT_IN_EFFECT
            native = f"{state['native_status']} {state['closing_reason']}".strip()
        return Reading(effect, self._context.clock(), state, native)

    async def search(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """Rows of any AQL that has a time window."""
        return await self._ariel.rows(query, limit=limit)

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """What events and flows hold of a host, account or address."""
        return await self._telemetry.activity(target, since, until, limit=limit)

    async def check_health(self) -> Health:
        """The newest offense with what it points at, the closing reasons, the sets, and what searches need."""
        begin = self._context.clock()
        problems: list[str] = []
        version = ""
        try:
            version = await self._version()
            records = [record_of(item, raw)[0] for item, raw in await self._offenses.newest() if isinstance(item, dict)]
            await self._lookups.whole(records)
            await self._offenses.reasons()
        except VendorError as error:
            problems.append(str(error))
        else:
            problems += [self._lookups.problem] if self._lookups.problem else []
            problems += await self._side_problems()
        latency = (self._context.clock() - begin).total_seconds()
        skew = self._console.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the console's clock differs by {skew:.0f} s from ours; set the wrong one right")
        return Health(not problems, tuple(problems), version, skew, latency)

    async def _side_problems(self) -> list[str]:
        """What keeps blocklists or searches from working, while offenses do."""
        problems: list[str] = []
        try:
            problems += await self._sets.problems()
        except VendorError as error:
            problems.append(str(error))
        try:
            await self._ariel.ready()
        except VendorError as error:
            problems.append(str(error))
        return problems

    async def _version(self) -> str:
        operation = "read version"
        response = await self._console.ask(
            "GET", "/system/about", operation=operation, capability=OFFENSES, params={"fields": "external_version"}
        )
        return str(document(response, operation).get("external_version") or "")

    async def _move(self, command: Command, wish: Wish, changes: Sequence[Mapping[str, Any]]) -> bool:
        """Writes the changes; False when there are none, or when somebody else was quicker to make them."""
        try:
            for change in changes:
                await self._offenses.update(command.native_id, change)
        except RejectedError as error:
            if error.status != _CONFLICT:
                raise
            offense, _ = await self._offenses.read(command.native_id)
            now = triage.state(offense, await self._offenses.reasons(), self._verdicts)
            if not triage.settled(now, wish, self._verdicts):
                raise
            return False
        return bool(changes)

    async def _say(self, command: Command, wish: Wish) -> bool:
        """Whether a note was written; not when none is wished or an earlier try wrote it."""
        return bool(wish.comment) and await self._offenses.say(command.native_id, wish.comment, wish.marker)


def _known(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")


def _wish(command: Command) -> Wish:
    if command.verb not in {_SET, _COMMENT}:
        raise UnsupportedError(f"{VENDOR}: {command.verb} does not write to an offense")
    return Wish.of(command)
