"""AQL over the console's events and flows: a search is made, waited for, read, and deleted whatever happens."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx

from nightdesk.connectors.ibm_qradar.client import ARIEL, VENDOR, Console, broken, document
from nightdesk.sdk.context import Sleep
from nightdesk.sdk.errors import RejectedError, UnavailableError, VendorError

__all__ = ["Ariel"]

_PATIENCE = 300.0  # seconds that a search may take
_SLOWEST = 10.0  # seconds between two looks
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_WINDOW = re.compile(r"\b(LAST\s+\d+\s+(MINUTE|HOUR|DAY)S?|START\s)", re.IGNORECASE)


class Ariel:
    """Searches of one console, one after the other: each costs the box that collects the events."""

    def __init__(self, console: Console, sleep: Sleep) -> None:
        self._console, self._sleep = console, sleep
        self._turn = asyncio.Lock()

    async def rows(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """The first rows of a query. Raises RejectedError for one without a time window."""
        if not query.strip():
            raise RejectedError("the query is empty", vendor=VENDOR, operation="search")
        if _WINDOW.search(_QUOTED.sub("''", query)) is None:
            message = (
                "the query has no time window, and QRadar would look at the last minute alone; end it with LAST 24"
                " HOURS or START … STOP …"
            )
            raise RejectedError(message, vendor=VENDOR, operation="search")
        if limit < 1:
            return []
        async with self._turn:
            made = document(await self._ask("POST", "", {"query_expression": query.strip()}), "search")
            path = f"/{quote(str(made.get('search_id') or ''), safe='')}"
            try:
                await self._finished(path, made)
                return _rows(await self._ask("GET", f"{path}/results", None, span=(0, limit - 1)))
            finally:
                await self._deleted(path)

    async def ready(self) -> None:
        """Asks what searches need. Raises VendorError."""
        await self._console.ask("GET", "/ariel/databases", operation="check searches", capability=ARIEL)

    async def _finished(self, path: str, made: Mapping[str, Any]) -> None:
        """Returns once the search is complete. Raises RejectedError when it fails: HTTP 200 is not success.

        One that was completed with warnings may lack the rows of a host: UnavailableError.
        """
        search, waited, delay = made, 0.0, 0.5
        while True:
            status = str(search.get("status") or "")
            if status == "COMPLETED":
                _whole(search)
                return
            if status in {"CANCELED", "ERROR"}:
                raise RejectedError(f"the search ended as {status}: {_said(search)}", vendor=VENDOR, operation="search")
            if waited >= _PATIENCE:
                message = f"the search did not finish within {_PATIENCE:g} s; narrow its time window"
                raise UnavailableError(message, vendor=VENDOR, operation="search")
            await self._sleep(delay)
            waited, delay = waited + delay, min(delay * 2, _SLOWEST)
            search = document(await self._ask("GET", path), "search")

    async def _deleted(self, path: str) -> None:
        # What is left is deleted by the console within a day; the rows, or why there are none, are worth more.
        with suppress(VendorError):
            await self._ask("DELETE", path)

    async def _ask(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, span: tuple[int, int] | None = None
    ) -> httpx.Response:
        return await self._console.ask(
            method, f"/ariel/searches{path}", operation="search", capability=ARIEL, params=params, span=span
        )


def _whole(search: Mapping[str, Any]) -> None:
    """Raises UnavailableError for a search that is complete and says that something is missing."""
    said = search.get("error_messages")
    found = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    if any(str(one.get("severity")).upper() != "INFO" for one in found):
        message = f"the search is incomplete: {_said(search)}"
        raise UnavailableError(message, vendor=VENDOR, operation="search")


def _said(search: Mapping[str, Any]) -> str:
    said = search.get("error_messages")
    texts = [str(one.get("message") or "") for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    return "; ".join(filter(None, texts))[:200] or "no reason given"


def _rows(response: httpx.Response) -> list[dict[str, Any]]:
    """The rows, under the name of what was searched."""
    try:
        tables = [value for value in json.loads(response.content).values() if isinstance(value, list)]
    except (ValueError, RecursionError, AttributeError):
        tables = []
    if not tables:
        raise broken("the results hold no rows", "search", response)
    return [row for row in tables[0] if isinstance(row, dict)]
