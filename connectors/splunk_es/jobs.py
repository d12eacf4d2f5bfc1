"""Search jobs: run to the end, read page by page, deleted; an answer with a hole in it never passes as whole."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from re import Pattern
from typing import Any, TypeVar

import orjson

from nightdesk.connectors.splunk_es.splunkd import Splunkd
from nightdesk.sdk.context import Sleep
from nightdesk.sdk.errors import NotFoundError, ResponseError, UnavailableError, VendorError

__all__ = ["ALL_TIME", "MAX_RESULTS", "Found", "Jobs", "Rows"]

MAX_RESULTS = 500_000
"""Rows that a job may keep (limits.conf, ``[search] max_count``)."""

ALL_TIME: Mapping[str, Any] = {"earliest_time": 0, "latest_time": 2_147_483_647}
"""No bound on event time; without one the server would leave out what a fast clock stamped into its future."""

_FEW = 10_000
_AT_ONCE = 3
"""The default srchJobsQuota of a role."""
_FIRST_POLL, _SLOWEST_POLL, _PATIENCE = 0.05, 2.0, 300.0

Rows = list[dict[str, Any]]
T = TypeVar("T")


@dataclass(slots=True)
class Found:
    """A finished job. ``problems`` says why rows may be missing; it can still grow while pages are read."""

    count: int
    problems: list[str]
    read: Callable[[int, int], Awaitable[Rows]] = field(repr=False)

    @property
    def capped(self) -> bool:
        """True when the job kept as many rows as it may: there are more behind the last one."""
        return self.count >= MAX_RESULTS

    async def pages(self, size: int) -> AsyncIterator[Rows]:
        """All rows, ``size`` at a time or as many as the server gives; by offset, which is safe in a finished job."""
        offset = 0
        while offset < self.count:
            rows = await self.read(offset, size)
            offset += len(rows)
            yield rows


class Jobs:
    """The searches of one search head. ``ignore_warnings``: warnings that are known not to mean missing rows."""

    def __init__(self, splunkd: Splunkd, sleep: Sleep, *, ignore_warnings: Pattern[str] | None = None) -> None:
        self._splunkd = splunkd
        self._sleep = sleep
        self._ignore = ignore_warnings
        # A user's searches are counted (srchJobsQuota); asking for more at once only earns 503s.
        self._places = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def search(self, spl: str, operation: str, **arguments: Any) -> AsyncIterator[Found]:
        """Runs a job to its end and deletes it afterwards: it holds one of the user's few places (srchJobsQuota).

        A job rather than export or one-shot, because it says how many rows there are: a short answer is noticed, a
        page can be asked for again, and nothing moves between pages. Raises UnavailableError when the search failed.
        """
        async with self._places:
            job = await self._splunkd.call(
                operation,
                lambda service: service.jobs.create(
                    spl, output_mode="json", exec_mode="normal", max_count=MAX_RESULTS, **arguments
                ),
            )
            try:
                yield await self._finished(job, operation)
            finally:
                with suppress(VendorError):  # it expires by itself, and the answer matters more
                    await self._splunkd.call("delete search job", lambda _: job.cancel())

    async def rows(self, spl: str, operation: str, **arguments: Any) -> Rows:
        """Every row of a search. Raises UnavailableError unless all of them came."""
        async with self.search(spl, operation, **arguments) as found:
            rows = [row async for page in found.pages(1000) for row in page]
            if found.problems:
                raise self.incomplete(found, operation)
            return rows

    async def few(self, spl: str, operation: str, **arguments: Any) -> Rows:
        """The rows of a search that can only find a few: one request, no job to poll. Raises UnavailableError.

        A one-shot search is cut at the server's ``maxresultrows`` without a word, so it is only for what cannot be
        many: one notable, its review history.
        """
        async with self._places:
            answer = await self._splunkd.call(
                operation,
                lambda service: orjson.loads(
                    service.jobs.oneshot(spl, output_mode="json", count=_FEW, **arguments).read()
                ),
            )
        problems = self._doubts(answer.get("messages") if isinstance(answer, Mapping) else None, operation)
        if problems:
            raise self.incomplete(Found(0, problems, self._none), operation)
        rows = answer.get("results") if isinstance(answer, Mapping) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._splunkd.error(ResponseError, "the results hold no list of rows", operation)
        if len(rows) >= _FEW:
            return await self.rows(spl, operation, **arguments)
        return rows

    @staticmethod
    async def _none(offset: int, size: int) -> Rows:
        raise ValueError(f"no rows at {offset} ({size})")

    def incomplete(self, found: Found, operation: str) -> VendorError:
        """The error for a search that could not ask every indexer."""
        message = f"the search is incomplete ({'; '.join(found.problems)}); it will be run again from the same place"
        return self._splunkd.error(UnavailableError, message, operation)

    async def _finished(self, job: Any, operation: str) -> Found:
        waited, delay = 0.0, _FIRST_POLL
        while True:
            ready = await self._of_job(operation, lambda _: job.is_ready())
            content: Mapping[str, Any] = job.state.content if ready else {}
            if content.get("dispatchState") == "FAILED" or content.get("isFailed") == "1":
                said = "; ".join(text for _, text in self._messages(content.get("messages"))) or "no reason given"
                raise self._splunkd.error(UnavailableError, f"the search failed: {said}", operation)
            if content.get("isDone") == "1":
                break
            if waited >= _PATIENCE:
                message = f"the search did not finish within {_PATIENCE:g} s; look at the search head's load"
                raise self._splunkd.error(UnavailableError, message, operation)
            await self._sleep(delay)
            waited, delay = waited + delay, min(delay * 2, _SLOWEST_POLL)
        problems = self._doubts(content.get("messages"), operation)
        if content.get("isFinalized") == "1":
            problems.append("it was finalized before its end, see srchMaxTime of the role")

        async def read(offset: int, size: int) -> Rows:
            answer = await self._of_job(
                operation,
                lambda _: orjson.loads(job.results(output_mode="json", count=size, offset=offset).read()),
            )
            rows = answer.get("results") if isinstance(answer, Mapping) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise self._splunkd.error(ResponseError, "the results hold no list of rows", operation)
            if not rows:
                message = f"only {offset} of {found.count} rows came; the search will be run again"
                raise self._splunkd.error(UnavailableError, message, operation)
            found.problems.extend(
                text for text in self._doubts(answer.get("messages"), operation) if text not in found.problems
            )
            return rows

        found = Found(await self._of_job(operation, lambda _: int(content["resultCount"])), problems, read)
        return found

    async def _of_job(self, operation: str, work: Callable[[Any], T]) -> T:
        try:
            return await self._splunkd.call(operation, work)
        except NotFoundError as error:
            message = "the search job is gone: it expired, or the load balancer has no sticky sessions"
            raise self._splunkd.error(UnavailableError, message, operation) from error

    def _doubts(self, raw: Any, operation: str) -> list[str]:
        """Warnings that rows may be missing. Raises UnavailableError for errors: HTTP 200 is not success."""
        found = self._messages(raw)
        errors = [text for kind, text in found if kind in {"FATAL", "ERROR"}]
        if errors:
            raise self._splunkd.error(UnavailableError, f"the search failed: {'; '.join(errors)}", operation)
        warnings = [text for kind, text in found if kind == "WARN"]
        return [text for text in warnings if self._ignore is None or not self._ignore.search(text)]

    def _messages(self, raw: Any) -> list[tuple[str, str]]:
        """``(TYPE, text)`` of a list of objects (JSON) or an object of lists (Atom)."""
        pairs: list[tuple[Any, Any]] = []
        if isinstance(raw, Mapping):
            pairs = [(kind, text) for kind, texts in raw.items() for text in _many(texts)]
        elif isinstance(raw, list):
            pairs = [(item.get("type"), item.get("text")) for item in raw if isinstance(item, Mapping)]
        return [(str(kind).upper(), self._splunkd.said(text)) for kind, text in pairs]


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
