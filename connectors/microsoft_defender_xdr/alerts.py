"""Reads alerts and incidents of Graph in the order of their last change, so that a moving list loses nothing."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.microsoft_defender_xdr.client import VENDOR, Surface, incomplete, quoted
from nightdesk.sdk.errors import CursorExpiredError, RejectedError, ResponseError, VendorError
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position
from nightdesk.sdk.verbatim import cut

__all__ = ["ALERTS", "INCIDENTS", "Kind", "Listing", "kind_of"]

UPDATED = "lastUpdateDateTime"
_OVERLAP = timedelta(minutes=30)  # alerts become queryable minutes after their time, and not in its order
_SWEEP = "updated"


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between alerts and incidents; ``opened`` is what the status is set to when one is reopened."""

    stream: str
    path: str
    most: int
    reads: str
    writes: str
    opened: str


ALERTS = Kind(
    "alerts",
    "/v1.0/security/alerts_v2",
    1000,
    "SecurityAlert.Read.All",
    "SecurityAlert.ReadWrite.All",
    "new",
)
INCIDENTS = Kind(
    "incidents",
    "/v1.0/security/incidents",
    50,
    "SecurityIncident.Read.All",
    "SecurityIncident.ReadWrite.All",
    "active",
)


@dataclass(frozen=True, slots=True)
class _Page:
    """One page: elements decoded and verbatim, the link to the next, and what is missing from it."""

    elements: list[tuple[Any, bytes]]
    link: str
    lacking: VendorError | None

    @property
    def times(self) -> list[int | None]:
        """When each element last changed."""
        return [instant(item.get(UPDATED)) if isinstance(item, dict) else None for item, _ in self.elements]


def kind_of(native_id: str) -> Kind:
    """Incidents are numbered; the id of an alert begins with the two letters of its source."""
    return INCIDENTS if native_id.isdecimal() else ALERTS


class Listing:
    """The list of one kind. ``sources`` narrows alerts to those products."""

    def __init__(self, graph: Surface, kind: Kind, *, page_size: int, sources: Sequence[str] = ()) -> None:
        self._graph = graph
        self._kind = kind
        self._most = max(1, min(page_size, kind.most))
        self._narrowed = " or ".join(f"serviceSource eq {quoted(source)}" for source in sources)

    async def pull(self, cursor: Cursor | None, *, start: int, limit: int) -> AsyncIterator[Batch]:
        """Pages from the oldest change on.

        The next page is asked for by the last time of this one, inclusive: a link to the next page is an offset, which
        rows that change meanwhile shift, and equal times across a border are dropped as repeats. Only within one
        instant the link is followed. ``$orderby`` is not documented: where it has no effect the links are followed to
        the end, and the cursor moves there.
        """
        position = Position.load(cursor, start=start, sweeps=(_SWEEP,), overlap=_OVERLAP)
        size = max(1, min(limit, self._most))
        bound, link, ordered = position.since(_SWEEP), "", True
        while True:
            page = await self._page(bound, size, link)
            records, failures = position.page(_SWEEP, page.elements, self._read)
            if page.lacking is not None:
                # What came is kept; where to go on stays where it was.
                yield Batch(records, None, failures)
                raise page.lacking
            if page.link and page.link == link:
                raise ResponseError("the link to the next page repeats", vendor=VENDOR, operation=self._operation)
            known = [moment for moment in page.times if moment is not None]
            ordered = ordered and known == sorted(known)
            if not page.link:
                position.forget()
                yield Batch(records, position.dump(), failures)
                return
            yield Batch(records, position.dump() if ordered else None, failures, more=True)
            if ordered and len(known) == len(page.elements) and known and known[-1] > bound:
                bound, link = known[-1], ""
            else:
                link = page.link

    async def one(self, native_id: str) -> tuple[dict[str, Any], bytes]:
        """One as it is now, decoded and verbatim. Raises NotFoundError."""
        if not native_id:
            raise RejectedError(f"no {self._noun} is named", vendor=VENDOR, operation=f"read {self._noun}")
        operation = f"read {self._noun}"
        path = f"{self._kind.path}/{quote(native_id, safe='')}"
        response = await self._graph.ask("GET", path, operation=operation, role=self._kind.reads)
        try:
            found = json.loads(response.content)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("id") != native_id:
            raise ResponseError(
                f"the answer is not {self._noun} {native_id}",
                vendor=VENDOR,
                operation=operation,
                status=response.status_code,
                request_id=response.headers.get("request-id"),
            )
        return found, response.content

    async def record(self, native_id: str) -> RawRecord:
        """One as it is now."""
        return self._read(*await self.one(native_id))[0]

    @property
    def _noun(self) -> str:
        return self._kind.stream.removesuffix("s")

    @property
    def _operation(self) -> str:
        return f"pull {self._kind.stream}"

    def _read(self, item: Any, raw: bytes) -> tuple[RawRecord, dict[str, int | None]]:
        """``key`` falls back to the content where an id or a time is missing, so that nothing is dropped here."""
        native_id = str(item.get("id") or "")
        version = str(item.get(UPDATED) or "") if native_id else ""
        record = RawRecord(raw, f"{native_id}:{version or sha256(raw).hexdigest()}", native_id, VENDOR)
        return record, {_SWEEP: instant(item.get(UPDATED))}

    async def _page(self, bound: int, size: int, link: str) -> _Page:
        terms = [f"{UPDATED} ge {iso(bound, 7)}", *([f"({self._narrowed})"] if self._narrowed else [])]
        params = {"$filter": " and ".join(terms), "$orderby": f"{UPDATED} asc", "$top": size}
        try:
            response = await self._graph.ask(
                "GET",
                link or self._kind.path,
                operation=self._operation,
                role=self._kind.reads,
                partial=True,
                params=None if link else params,
            )
        except RejectedError as error:
            if not link or error.status != 400:
                raise
            raise CursorExpiredError(
                "the link to the next page is no longer accepted; restart from the stored time",
                vendor=VENDOR,
                operation=self._operation,
                status=error.status,
                request_id=error.request_id,
            ) from error
        try:
            elements, answer = cut(response.content, "value"), json.loads(response.content)
        except ValueError as error:
            raise ResponseError(
                f"expected a JSON list, got {len(response.content)} bytes that are none ({error}); check graph_url",
                vendor=VENDOR,
                operation=self._operation,
                status=response.status_code,
                request_id=response.headers.get("request-id"),
            ) from None
        if not isinstance(answer, dict) or "value" not in answer:
            raise ResponseError("the list has no 'value'", vendor=VENDOR, operation=self._operation)
        following = answer.get("@odata.nextLink")
        return _Page(elements, str(following or ""), incomplete(response, self._operation))
