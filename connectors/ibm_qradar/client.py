"""The console's REST API: the token, the version that both sides know, ranges, capabilities named in refusals."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError, ResponseError, ScopeError, VendorError
from nightdesk.sdk.http import ComputedAuth, HttpClient
from nightdesk.sdk.verbatim import cut

__all__ = [
    "ARIEL",
    "CLOSE",
    "MANAGE_SETS",
    "OFFENSES",
    "RULES",
    "VENDOR",
    "VIEW_SETS",
    "Console",
    "Version",
    "broken",
    "document",
    "total_of",
]

VENDOR = "ibm_qradar"
OFFENSES, CLOSE, RULES = "Offenses", "Manage Offense Closing Reasons", "View Custom Rules"
ARIEL, VIEW_SETS, MANAGE_SETS = "Log Activity", "View Reference Data", "Manage Reference Data"
Version = tuple[int, int]

_OLDEST: Version = (10, 1)  # before it lists cannot be sorted
_NEWEST: Version = (27, 0)
_VERSION = re.compile(r"(\d+)\.(\d+)")
_TOTAL = re.compile(r"items \d+-\d+/(\d+)")
_REQUESTS_PER_MINUTE = 240  # none is published; the console is the bottleneck
_AT_ONCE = 2
_ADVICE = (
    "the authorized service may have expired, or its creation was not deployed: Admin > Authorized Services, then"
    " Deploy Changes"
)


def _headers(revealed: Sequence[str], _: object) -> Mapping[str, str]:
    return {"SEC": revealed[0]}


class Console:
    """One console. Every call names the capability that it needs, so that a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._pinned = _pinned(context)
        self._version: Version | None = self._pinned
        self._choosing = asyncio.Lock()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("base_url").removesuffix("/api"),
            auth=ComputedAuth((settings.secret("token"),), _headers, derived=("SEC",), advice=_ADVICE),
            requests_per_minute=_REQUESTS_PER_MINUTE,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the console's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def version(self) -> Version:
        """The pinned version of the API, else the newest that the console serves and this connector knows.

        Raises RejectedError when there is none.
        """
        async with self._choosing:
            if self._version is None:
                self._version = await self._chosen()
            return self._version

    async def ask(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        capability: str,
        params: Mapping[str, Any] | None = None,
        span: tuple[int, int] | None = None,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        """One call under /api; ``span``: the first and the last element of a list, from 0. Raises VendorError."""
        headers = {"Version": _written(await self.version())}
        if span is not None:
            headers["Range"] = f"items={span[0]}-{span[1]}"
        return await self._send(
            method, path, operation=operation, capability=capability, params=params, headers=headers,
            repeatable=repeatable,
        )  # fmt: skip

    async def rows(
        self,
        path: str,
        *,
        operation: str,
        capability: str,
        size: int,
        begin: int = 0,
        params: Mapping[str, Any] | None = None,
    ) -> tuple[list[tuple[Any, bytes]], bool]:
        """``size`` elements of a list, decoded and verbatim, and whether there are more behind them."""
        span = (begin, begin + size - 1)
        response = await self.ask("GET", path, operation=operation, capability=capability, params=params, span=span)
        try:
            found = cut(response.content)
        except ValueError as error:
            raise broken(f"the answer is no list: {error}", operation, response) from error
        total = total_of(response)
        return found, len(found) >= size if total is None else total > begin + len(found)

    async def _chosen(self) -> Version:
        operation = "choose version"
        response = await self._send("GET", "/help/versions", operation=operation, capability=OFFENSES)
        try:
            rows = [row for row, _ in cut(response.content) if isinstance(row, dict)]
        except ValueError as error:
            raise broken(f"the versions are no list: {error}", operation, response) from error
        served = sorted(
            version
            for row in rows
            if not row.get("removed") and (version := _read(str(row.get("version")))) is not None
        )
        known = [version for version in served if _OLDEST <= version <= _NEWEST]
        if not known:
            raise RejectedError(
                f"the console serves API {', '.join(map(_written, served)) or 'of no version'}, this connector knows"
                f" {_written(_OLDEST)} to {_written(_NEWEST)}; set api_version to try another",
                vendor=VENDOR,
                operation=operation,
            )
        return known[-1]

    async def _send(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        capability: str,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        async with self._turns:
            try:
                return await self._http.request(
                    method, f"/api{path}", operation=operation, params=params, headers=headers, repeatable=repeatable
                )
            except ScopeError as error:
                raise ScopeError(
                    f"grant the user role of the authorized service the capability '{capability}', then deploy",
                    vendor=VENDOR,
                    operation=operation,
                    status=error.status,
                    request_id=error.request_id,
                ) from error


def total_of(response: httpx.Response) -> int | None:
    """How many elements the whole list has, if the answer says so."""
    found = _TOTAL.fullmatch(response.headers.get("content-range", ""))
    return int(found[1]) if found else None


def document(response: httpx.Response, operation: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises ResponseError that says what came instead, never what is in it."""
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    raise broken("the answer is no JSON object", operation, response)


def broken(message: str, operation: str, response: httpx.Response) -> VendorError:
    """An answer that is not of its documented shape."""
    media = "".join(letter for letter in response.headers.get("content-type", "") if letter.isprintable())[:60]
    return ResponseError(
        f"{message} ({len(response.content)} bytes of {media or 'no content type'}); check base_url and that no sign-in"
        " page or proxy answers in its place",
        vendor=VENDOR,
        operation=operation,
        status=response.status_code,
    )


def _pinned(context: Context) -> Version | None:
    text = context.settings.text("api_version")
    if not text:
        return None
    version = _read(text)
    if version is None or version < _OLDEST:
        problem = f"write a version from {_written(_OLDEST)} on, like 20.0, or leave it out"
        raise ConfigError([Problem(context.instance, "api_version", problem)])
    return version


def _read(text: str) -> Version | None:
    found = _VERSION.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


def _written(version: Version) -> str:
    return ".".join(map(str, version))
