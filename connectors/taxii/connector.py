"""The TAXII connector: a collection read in complete sweeps, indicators of our own published to another."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from nightdesk.connectors.taxii.client import VENDOR, Taxii
from nightdesk.connectors.taxii.indicators import Indicators
from nightdesk.connectors.taxii.sweep import Sweep, record_of
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NotFoundError, UnavailableError, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import start_of

__all__ = ["Connector"]

_STREAM = "objects"
_A_MONTH = 24.0 * 30  # hours: an indicator is good for longer than an alert
_VERBS = frozenset({"indicator.publish", "indicator.withdraw"})


class Connector:
    """One API root: one collection to read, and one to publish to."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        start_of(context)  # a wrong setting is said now
        self._context = context
        self._taxii = Taxii(context)
        self._collection = settings.text("collection")
        self._publish = settings.text("publish_collection")
        self._types = ",".join(part.strip() for part in settings.text("types").split(",") if part.strip())
        self._page_size = max(1, settings.integer("page_size", 1000))
        self._indicators = Indicators(self._taxii, self._publish, context.tenant, context.clock)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._taxii.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Every object and new version since the last complete sweep."""
        _known(stream)
        limit = max(1, limit)
        sweep = Sweep.load(cursor, start=start_of(self._context, hours=_A_MONTH), now=self._taxii.now())
        params: dict[str, Any] = {"added_after": sweep.added_after, "limit": min(limit, self._page_size)}
        if self._types:
            params["match[type]"] = self._types
        while True:
            page = await self._taxii.page(self._collection, params, "pull objects")
            parts = _parts(page.objects, limit)
            for number, part in enumerate(parts, start=1):
                records, failures = sweep.page(part, page.newest, self._indicators.author)
                more = bool(page.next) or number < len(parts)
                if not more:
                    sweep.complete()
                yield Batch(records, sweep.dump(), failures, more=more)
            if not page.next:
                return
            params = {**params, "next": page.next}

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The newest version of an object."""
        _known(stream)
        operation = "read object"
        found = await self._taxii.latest(self._collection, native_id, operation)
        if found is None:
            raise NotFoundError(f"no object {native_id!r} in the collection", vendor=VENDOR, operation=operation)
        return record_of(*found)

    async def act(self, command: Command) -> Receipt:
        """Publishes or withdraws."""
        match command.verb:
            case "indicator.publish":
                return await self._indicators.publish(command)
            case "indicator.withdraw":
                return await self._indicators.withdraw(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """What the collection holds now."""
        if command.verb not in _VERBS:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        effect, state, native = await self._indicators.effect(command)
        return Reading(effect, self._context.clock(), state, native)

    async def check_health(self) -> Health:
        """Asks for both collections and for the rights on them."""
        problems: list[str] = []
        begin = self._context.clock()
        wanted: dict[str, tuple[str, ...]] = {self._collection: ("can_read",)}
        if self._publish:
            wanted[self._publish] = ("can_read", "can_write")
        for collection, rights in wanted.items():
            try:
                found = await self._taxii.collection(collection, "check health")
            except VendorError as error:
                problems.append(str(error))
                if isinstance(error, UnavailableError):
                    break  # it would be the same again
                continue
            problems += [
                f"{VENDOR}: the account lacks {right} on the collection {collection}; have its owner grant it"
                for right in rights
                if found.get(right) is not True
            ]
        latency = (self._context.clock() - begin).total_seconds() / len(wanted)
        skew = self._taxii.clock_skew
        return Health(not problems, tuple(problems), version="2.1", clock_skew=skew, latency=latency)


def _parts(objects: Sequence[tuple[Any, bytes]], limit: int) -> list[Sequence[tuple[Any, bytes]]]:
    """A page in parts of the size that was asked for: a server may give more. An empty page is one empty part."""
    return [objects[at : at + limit] for at in range(0, len(objects), limit)] or [()]


def _known(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")
