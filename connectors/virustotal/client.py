"""The API as one key: look-ups within its quota, and submissions."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NotFoundError, RateLimitError, ResponseError, VendorError
from nightdesk.sdk.http import HeaderAuth, HttpClient

__all__ = ["VENDOR", "VirusTotal", "used_up"]

VENDOR = "virustotal"
_A_MINUTE = timedelta(seconds=60)
_QUOTAS = {"api_requests_daily": "day", "api_requests_monthly": "month"}


class VirusTotal:
    """What it is asked raises VendorError; RateLimitError without a call once the day's quota is known to be spent."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._clock = context.clock
        self._user = settings.text("user")
        self._per_day = settings.integer("requests_per_day", 500)
        base_url = settings.text("base_url", "https://www.virustotal.com/api/v3")
        auth = HeaderAuth("x-apikey", settings.secret("api_key"))
        per_minute = max(1, settings.integer("requests_per_minute", 4))
        self._http = HttpClient(context, vendor=VENDOR, base_url=base_url, auth=auth, requests_per_minute=per_minute)
        # What is asked of one's own account costs nothing and waits for no turn.
        self._account = HttpClient(context, vendor=VENDOR, base_url=base_url, auth=auth)
        self._day: date | None = None
        self._used = 0
        self._closed_until: datetime | None = None

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._account.clock_skew if self._http.clock_skew is None else self._http.clock_skew

    @property
    def used_today(self) -> int:
        """Calls that cost quota since midnight UTC, or since the start."""
        return self._used if self._day == self._clock().date() else 0

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()
        await self._account.aclose()

    async def find(self, collection: str, object_id: str, operation: str) -> dict[str, Any] | None:
        """The attributes of an object; None when VirusTotal does not know it, which is an answer and no failure."""
        path = f"{collection}/{quote(object_id, safe='')}"
        try:
            data = await self._data("GET", path, operation)
        except NotFoundError:
            return None
        attributes = data.get("attributes")
        if not isinstance(attributes, dict):
            raise ResponseError("the object has no attributes", vendor=VENDOR, operation=operation)
        return attributes

    async def submit(self, path: str, operation: str, form: Mapping[str, str] | None = None) -> str:
        """Asks for an analysis; gives its id. Raises NotFoundError for a file that is not there."""
        data = await self._data("POST", path, operation, form=form)
        if not isinstance(data.get("id"), str):
            raise ResponseError("the answer names no analysis", vendor=VENDOR, operation=operation)
        return str(data["id"])

    async def quotas(self, user: str, operation: str) -> dict[str, Any]:
        """What a user may ask and has asked; costs no quota."""
        path = f"users/{quote(user, safe='')}/overall_quotas"
        answer = await self._account.json("GET", path, operation=operation)
        return _inner(answer, operation)

    def closed(self) -> str:
        """Why nothing more is asked today; empty when it is."""
        now = self._clock()
        if self._closed_until is not None and now < self._closed_until:
            return f"the quota is used up; nothing is asked before {self._closed_until:%Y-%m-%dT%H:%M:%SZ}"
        if self._per_day and self.used_today >= self._per_day:
            return f"the {self._per_day} look-ups of the setting requests_per_day are used up until 00:00 UTC"
        return ""

    async def _data(self, method: str, path: str, operation: str, **options: Any) -> dict[str, Any]:
        self._spend(operation)
        try:
            return _inner(await self._http.json(method, path, operation=operation, **options), operation)
        except RateLimitError as error:
            if "quota" not in str(error).lower():
                raise  # too many in this minute
            self._closed_until = await self._end_of_quota(operation)
            raise self._exhausted(operation, error.status) from error

    async def _end_of_quota(self, operation: str) -> datetime:
        """When a refused quota begins anew: the service may call a minute's limit a quota too, so it is asked."""
        if self._user:
            with suppress(VendorError):  # then its word is taken as it is
                if not used_up(await self.quotas(self._user, operation)):
                    return self._clock() + _A_MINUTE
        return _midnight(self._clock())

    def _spend(self, operation: str) -> None:
        if self.closed():
            raise self._exhausted(operation, None)
        today = self._clock().date()
        self._used = self.used_today + 1
        self._day = today

    def _exhausted(self, operation: str, status: int | None) -> RateLimitError:
        now = self._clock()
        end = self._closed_until if self._closed_until is not None and now < self._closed_until else _midnight(now)
        wait = (end - now).total_seconds()
        return RateLimitError(self.closed(), retry_after=wait, vendor=VENDOR, operation=operation, status=status)


def used_up(quotas: Mapping[str, Any]) -> list[str]:
    """The quotas that are at their end, in words."""
    told = []
    for name, period in _QUOTAS.items():
        whole = quotas.get(name)
        row = whole.get("user") if isinstance(whole, Mapping) else None
        used, allowed = (row.get(key) if isinstance(row, Mapping) else None for key in ("used", "allowed"))
        if isinstance(used, int) and isinstance(allowed, int) and 0 < allowed <= used:
            told.append(f"the quota of the {period} is used up: {used} of {allowed}")
    return told


def _inner(answer: Any, operation: str) -> dict[str, Any]:
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict):
        message = "expected an object under data; check that base_url ends with /api/v3"
        raise ResponseError(message, vendor=VENDOR, operation=operation)
    return data


def _midnight(now: datetime) -> datetime:
    """The next 00:00 UTC, when quotas begin anew."""
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
