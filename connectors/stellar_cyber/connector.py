"""The Stellar Cyber connector: cases in, status, resolution and comments back, effects read back."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from nightdesk.connectors.stellar_cyber import triage
from nightdesk.connectors.stellar_cyber.cases import CHANGED, MOST_PAGE, Cases, record_of
from nightdesk.connectors.stellar_cyber.client import VENDOR, Platform
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, start_of
from nightdesk.sdk.triage import Wish

__all__ = ["Connector"]

_STREAM = "cases"
_SET, _COMMENT = "alert.set_disposition", "alert.comment"
_PAGE = 200
_MAX_SKEW = 30.0  # seconds; the token says by the vendor's clock when it ends, and is renewed a minute early


class Connector:
    """One Stellar Cyber platform, or one tenant of it."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._size = settings.integer("page_size", _PAGE)
        if not 1 <= self._size <= MOST_PAGE:
            raise ConfigError([Problem(context.instance, "page_size", f"must be 1 to {MOST_PAGE}")])
        self._start = start_of(context)
        self._resolutions = settings.flag("resolutions", True)
        self._platform = Platform(context)
        self._cases = Cases(self._platform, settings.text("tenant_id"))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._platform.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Cases in the order of their changes; one that changed comes again as a new version."""
        _known(stream)
        position = Position.load(cursor, start=self._start, sweeps=(CHANGED,))
        size = max(1, min(limit, self._size))
        async with aclosing(self._cases.drain(position.since(CHANGED), size)) as pages:
            async for elements, more in pages:
                records, failures = position.page(CHANGED, self._cases.ours(elements), record_of)
                if not more:
                    position.forget()
                yield Batch(records, position.dump(), failures, more=more)

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The case as it is now."""
        _known(stream)
        return record_of(*await self._cases.read(native_id))[0]

    async def write_back(self, command: Command) -> Receipt:
        """Status and resolution in one change, then the comment."""
        wish = _wish(command)
        case, _ = await self._cases.read(command.native_id)  # refuses another tenant's
        changed, lost = False, tuple[str, ...]()
        if command.verb == _SET:
            changed, lost = await self._settle(command, wish, case)
        if wish.comment and not await self._cases.says(command.native_id, wish.marker):
            await self._cases.say(command.native_id, wish.comment)
            changed = True
        elif wish.comment and command.verb == _COMMENT:
            changed = True  # the marker is this command's own: an earlier try of it wrote the comment
        evidence = {"before": triage.state(case)} if command.verb == _SET else {}
        return Receipt(command.native_id, changed=changed, losses=lost, evidence=evidence)

    async def read_back(self, command: Command) -> Reading:
        """The case and our comment at it, as the platform shows them now."""
        wish = _wish(command)
        case, _ = await self._cases.read(command.native_id)
        there = command.verb == _COMMENT or triage.settled(case, wish, resolutions=self._resolutions)
        if there and wish.comment:
            there = await self._cases.says(command.native_id, wish.marker)
        state = triage.state(case)
        native = f"{state['native_status']} {state['resolution']}".strip()
        effect = Effect.IN_EFFECT if there else Effect.NOT_IN_EFFECT
        return Reading(effect, self._context.clock(), state, native)

    async def check_health(self) -> Health:
        """A token, and one case as a pull reads it."""
        problems: list[str] = []
        begin = self._context.clock()
        try:
            await self._cases.probe()
        except (VendorError, ConfigError) as error:
            problems.append(str(error))
        latency = (self._context.clock() - begin).total_seconds()
        skew = self._platform.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), "connect/api/v1", skew, latency)

    async def _settle(self, command: Command, wish: Wish, case: Mapping[str, Any]) -> tuple[bool, tuple[str, ...]]:
        """Writes what is missing of status and resolution; whether it did, and what was lost."""
        kept = self._resolutions
        lost = triage.losses(case, wish, resolutions=kept)
        wanted = triage.body(case, wish, command, resolutions=kept)
        if wanted is None:
            return triage.VERDICTS.repeated(command, wish), lost
        await self._cases.change(command.native_id, wanted)
        if "resolution" in wanted:
            # Releases whose case API has no resolution take the request all the same.
            after = triage.state((await self._cases.read(command.native_id))[0])
            if after["status"] == "closed" and after["resolution"] != wanted["resolution"]:
                text = "the platform did not keep it; if its release keeps no resolution, set resolutions: false"
                lost = (*lost, f"disposition={wish.disposition}: {text}")
        return True, lost


def _known(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")


def _wish(command: Command) -> Wish:
    if command.verb not in {_SET, _COMMENT}:
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared; it can {_SET}, {_COMMENT}")
    return Wish.of(command)
