"""The Local API's two planes, each with its own credential: machines see alerts and end bans, bouncers see the bans."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import AuthError, RejectedError, ResponseError, ScopeError, UnavailableError
from nightdesk.sdk.http import HeaderAuth, HttpClient, LoginAuth
from nightdesk.sdk.verbatim import cut

__all__ = ["MOST", "VENDOR", "Lapi"]

VENDOR = "crowdsec"
MOST = 100
"""Alerts in one answer. With a larger limit 1.4.6 may loop for ever: if it exceeds what there is by 100 or more."""

_TOKEN_LIFE = 3600.0  # seconds, by the server's clock
_REQUESTS_PER_MINUTE = 6000
# What is wrong with a request is a 500 too; only the text tells it from a server that failed.
_SAYS_NO = re.compile(r"validation failure|unable to parse|invalid|bad limit|doesn't exist")
_GONE = re.compile(r"doesn't exist")
_RESOLUTION = 2.0  # seconds; a smaller difference of clocks is the date header's


class Lapi:
    """One Local API as one machine and one bouncer. What it is asked raises VendorError."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self.machine_id = settings.text("machine_id")
        base_url = settings.text("base_url")
        login = LoginAuth(
            path="/v1/watchers/login",
            password=settings.secret("machine_password"),
            body=lambda password: {"machine_id": self.machine_id, "password": password, "scenarios": []},
            token=("token",),
            lifetime=_TOKEN_LIFE,
        )
        key = HeaderAuth("X-Api-Key", settings.secret("bouncer_key"))
        per_minute = _REQUESTS_PER_MINUTE
        self._machine = HttpClient(
            context, vendor=VENDOR, base_url=base_url, auth=login, requests_per_minute=per_minute
        )
        self._bouncer = HttpClient(context, vendor=VENDOR, base_url=base_url, auth=key)

    @property
    def clock_skew(self) -> float | None:
        """Seconds the server's clock is ahead of ours."""
        return self._machine.clock_skew if self._bouncer.clock_skew is None else self._bouncer.clock_skew

    def now(self) -> datetime:
        """The server's time, from which bans count; ours as long as the two agree or the server has said nothing."""
        skew = self.clock_skew or 0.0
        return self._context.clock() + timedelta(seconds=skew if abs(skew) >= _RESOLUTION else 0.0)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._machine.aclose()
        await self._bouncer.aclose()

    async def alerts(self, operation: str, **params: Any) -> list[tuple[Any, bytes]]:
        """Alerts, newest first unless ``sort`` is ASC, decoded and as the server wrote them."""
        return self._cut(await self._of_machine("GET", "/v1/alerts", operation, params=params), operation)

    async def alert(self, number: int, operation: str) -> tuple[dict[str, Any], bytes]:
        """One alert. Raises NotFoundError."""
        response = await self._of_machine("GET", f"/v1/alerts/{number}", operation)
        found = self._decoded(response, operation)
        if not isinstance(found, dict):
            raise self._unusable(response, operation, "the answer is no alert")
        return found, response.content.strip()

    async def push(self, alert: Mapping[str, Any], operation: str) -> str:
        """Stores one alert, gives its id. Never several: in a batch that fails, decisions of some may be in force."""
        response = await self._of_machine("POST", "/v1/alerts", operation, json=[alert])
        made = self._decoded(response, operation)
        if not isinstance(made, list) or len(made) != 1:
            raise self._unusable(response, operation, "the answer names no alert")
        return str(made[0])

    async def end_decision(self, number: int, operation: str) -> None:
        """Ends one decision by its id; one that is gone is what was wanted. There is no call here that ends several."""
        try:
            await self._of_machine("DELETE", f"/v1/decisions/{number}", operation, repeatable=False)
        except RejectedError as error:
            if not _GONE.search(str(error)):
                raise

    async def decisions(self, operation: str, **params: Any) -> list[Any]:
        """What bouncers are told of an ``ip`` or ``range``, also by decisions that cover more than it."""
        try:
            response = await self._bouncer.request("GET", "/v1/decisions", operation=operation, params=params)
        except ScopeError as error:
            # What a machine's token gets here too: the two planes are apart.
            raise AuthError(
                "the bouncer key is refused; make one with 'cscli bouncers add' and set bouncer_key",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
            ) from error
        except UnavailableError as error:
            if _is_refusal(error):
                raise _refusal(error) from error
            raise
        return [found for found, _ in self._cut(response, operation)]

    async def _of_machine(self, method: str, path: str, operation: str, **options: Any) -> httpx.Response:
        try:
            return await self._machine.request(method, path, operation=operation, **options)
        except ScopeError as error:
            raise ScopeError(
                "a machine account may do this, and CrowdSec knows no finer permissions: look for a proxy in front of"
                " the Local API, or let it trust this address",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
            ) from error
        except UnavailableError as error:
            if _is_refusal(error):
                raise _refusal(error) from error
            raise

    def _cut(self, response: httpx.Response, operation: str) -> list[tuple[Any, bytes]]:
        try:
            return cut(response.content)
        except ValueError as error:
            raise self._unusable(response, operation, f"expected a JSON array ({type(error).__name__})") from None

    def _decoded(self, response: httpx.Response, operation: str) -> Any:
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError) as error:
            raise self._unusable(response, operation, f"expected JSON ({type(error).__name__})") from None

    def _unusable(self, response: httpx.Response, operation: str, what: str) -> ResponseError:
        message = f"{what}, got {len(response.content)} bytes; check that base_url is the Local API's"
        return ResponseError(message, vendor=VENDOR, operation=operation, status=response.status_code)


def _is_refusal(error: UnavailableError) -> bool:
    """What the server says no to will always fail; what it broke at may work the next time."""
    return error.status == 500 and _SAYS_NO.search(str(error)) is not None


def _refusal(error: UnavailableError) -> RejectedError:
    said = str(error).partition("the server failed: ")[2].partition(" (HTTP")[0]
    return RejectedError(said, vendor=VENDOR, operation=error.operation, status=error.status)
