"""Reads findings in the order of their updates, in one region after the other, so that nothing is passed over.

A page is asked for from the newest time of the page before, not by the page token: a finding that changes meanwhile
moves to the end, and whatever counts rows would then skip one. The token serves only within one instant.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from nightdesk.connectors.aws.client import VENDOR
from nightdesk.sdk.errors import CursorExpiredError, RejectedError, ResponseError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, Times
from nightdesk.sdk.verbatim import cut

__all__ = ["Fetch", "Page", "Shape", "elements", "position_of", "read"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a product's findings have what a record needs. ``restless`` members change without any news in them."""

    product: str
    identity: str
    updated: str
    restless: frozenset[str]

    def record(self, item: Mapping[str, Any], raw: bytes) -> RawRecord:
        """One finding; its key changes with whatever is news in it, since neither service counts versions."""
        news = {name: value for name, value in item.items() if name not in self.restless}
        digest = hashlib.blake2b(orjson.dumps(news, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()
        native_id = str(item.get(self.identity) or "")
        return RawRecord(raw, f"{native_id}:{digest}", native_id, self.product)


@dataclass(frozen=True, slots=True)
class Page:
    """One page: findings, the token of the next, and by the vendor's clock when it was asked for (nanoseconds)."""

    elements: Sequence[tuple[Any, bytes]]
    token: str
    asked_at: int


Fetch = Callable[[str, int, str, int], Awaitable[Page | None]]
"""Region, updated since (nanoseconds, inclusive), token, size; None where the product is not in use."""


def position_of(cursor: Cursor | None, *, start: int, regions: Sequence[str], overlap: timedelta) -> Position:
    """The position in every region; a region that is new to a stored cursor begins at its start."""
    if cursor is not None and isinstance(cursor.get("newest"), Mapping):
        cursor = {**cursor, "newest": {**dict.fromkeys(regions, 0), **cursor["newest"]}}
    return Position.load(cursor, start=start, sweeps=regions, overlap=overlap)


def elements(body: bytes, name: str, operation: str) -> list[tuple[Any, bytes]]:
    """The findings as the vendor wrote them. Raises ResponseError when the answer has no list of them."""
    try:
        return cut(body, name)
    except ValueError as error:
        raise ResponseError(f"no list of findings came: {error}", vendor=VENDOR, operation=operation) from None


async def read(
    shape: Shape, fetch: Fetch, regions: Sequence[str], position: Position, size: int
) -> AsyncIterator[Batch]:
    """Pages of every region until all are drained."""
    for region in regions:
        since, token = position.since(region), ""
        while True:
            page = await _fetched(fetch, region, since, token, size)
            reader = _Reader(shape, region, since, page.asked_at)
            records, failures = position.page(region, page.elements, reader)
            done = not page.token and region == regions[-1]
            if done:
                position.forget()
            yield Batch(records, position.dump(), failures, more=not done)
            if not page.token:
                break
            if reader.reached > since:
                since, token = reader.reached, ""
            elif page.token == token:
                raise ResponseError("the page token repeats", vendor=VENDOR, operation=f"pull {shape.product}")
            else:
                token = page.token


async def _fetched(fetch: Fetch, region: str, since: int, token: str, size: int) -> Page:
    try:
        return await fetch(region, since, token, size) or Page((), "", 0)
    except RejectedError as error:
        if not token or error.status != 400:
            raise
        raise CursorExpiredError(
            "the page token is no longer accepted; restart from the stored time",
            vendor=VENDOR,
            operation=error.operation,
            status=error.status,
            request_id=error.request_id,
        ) from error


class _Reader:
    """Reads one page; ``reached`` is how far in time it surely goes.

    A time at or after the request is none to go on from: the finding changed after it was listed, and others are
    still before it; or its provider's clock is wrong.
    """

    def __init__(self, shape: Shape, region: str, since: int, asked_at: int) -> None:
        self._shape = shape
        self._region = region
        self._asked_at = asked_at
        self.reached = since

    def __call__(self, item: Any, raw: bytes) -> tuple[RawRecord, Times]:
        moment = instant(item.get(self._shape.updated))
        if moment is not None and moment < self._asked_at:
            self.reached = max(self.reached, moment)
        return self._shape.record(item, raw), {self._region: self.reached}
