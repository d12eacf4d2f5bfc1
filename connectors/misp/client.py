"""One MISP instance as one auth key: searches, single attributes, and what changes them."""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import AuthError, NotFoundError, RejectedError, ResponseError, ScopeError
from nightdesk.sdk.http import HeaderAuth, HttpClient
from nightdesk.sdk.verbatim import cut

__all__ = ["VENDOR", "Misp"]

VENDOR = "misp"
_REQUESTS_PER_MINUTE = 300
# Every refusal is a 403; only the text tells a wrong key and a wrong attribute from a missing permission.
_WRONG_KEY = re.compile(r"authentication failed|auth key|not authenticated|api key", re.IGNORECASE)
_WRONG_INPUT = re.compile(r"could not (?:add|be|save)|already exists|validation|invalid attribute", re.IGNORECASE)


class Misp:
    """What it is asked raises VendorError."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self.base_url = settings.text("base_url")
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=self.base_url,
            auth=HeaderAuth("Authorization", settings.secret("auth_key")),
            requests_per_minute=_REQUESTS_PER_MINUTE,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the instance's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def attributes(self, operation: str, **filters: Any) -> list[tuple[Any, bytes]]:
        """Attributes, decoded and as MISP wrote them. A search by POST changes nothing, so it is repeatable."""
        body = {"returnFormat": "json", **filters}
        response = await self._request("POST", "attributes/restSearch", operation, json=body, repeatable=True)
        try:
            return cut(response.content, "response", "Attribute")
        except ValueError:
            alone = self._within(self._decoded(response, operation), "response", "Attribute")
            if not isinstance(alone, dict):
                raise self._unusable(response, operation, "expected a list of attributes") from None
            return [(alone, json.dumps(alone).encode())]  # old versions write a single one without its list

    async def events(self, operation: str, **filters: Any) -> list[dict[str, Any]]:
        """Events without what is in them."""
        body = {"returnFormat": "json", "metadata": True, **filters}
        response = await self._request("POST", "events/restSearch", operation, json=body, repeatable=True)
        found = self._within(self._decoded(response, operation), "response")
        rows = found if isinstance(found, list) else [found]
        events = [row.get("Event") for row in rows if isinstance(row, dict)]
        if found is None or len(events) != len(rows):
            raise self._unusable(response, operation, "expected a list of events")
        return [event for event in events if isinstance(event, dict)]

    async def attribute(self, uuid: str, operation: str) -> tuple[dict[str, Any], bytes]:
        """One attribute by UUID or number. Raises NotFoundError."""
        response = await self._request("GET", f"attributes/view/{quote(uuid, safe='')}", operation)
        inner = self._within(self._decoded(response, operation), "Attribute")
        if not isinstance(inner, dict):
            raise self._unusable(response, operation, "the answer is no attribute")
        return inner, _inside(response.content)

    async def warninglists(self, value: str, operation: str) -> list[str]:
        """The names of the lists of known-good things that hold this value."""
        response = await self._request("POST", "warninglists/checkValue", operation, json=[value], repeatable=True)
        found = self._decoded(response, operation)
        rows = found.get(value, []) if isinstance(found, dict) else []  # nothing found is an empty list
        return [str(row.get("name", "")) for row in rows if isinstance(row, dict)]

    async def change(self, path: str, operation: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One change. Never sent twice: a repeat looks first."""
        response = await self._request("POST", path, operation, json=dict(body or {}))
        found = self._decoded(response, operation)
        if not isinstance(found, dict):
            raise self._unusable(response, operation, "expected a JSON object")
        return found

    async def version(self, operation: str) -> str:
        """The instance's version; asked with the key, so it proves that too."""
        response = await self._request("GET", "servers/getVersion", operation)
        found = self._decoded(response, operation)
        if not isinstance(found, dict) or not isinstance(found.get("version"), str):
            raise self._unusable(response, operation, "the answer has no version; check that base_url is MISP's")
        return str(found["version"])

    async def _request(self, method: str, path: str, operation: str, **options: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, operation=operation, **options)
        except ScopeError as error:
            self._refused(error, operation)
        except RejectedError as error:
            if error.status == 405 and "view/" in path:  # how some versions say that there is none
                raise NotFoundError("not found", vendor=VENDOR, operation=operation, status=405) from error
            raise

    def _refused(self, error: ScopeError, operation: str) -> NoReturn:
        text = str(error)
        if _WRONG_KEY.search(text):
            message = "the auth key is refused; check that it has not expired and that this address may use it"
            raise AuthError(message, vendor=VENDOR, operation=operation, status=error.status) from error
        if _WRONG_INPUT.search(text):
            raise RejectedError(text, vendor=VENDOR, operation=operation, status=error.status) from error
        raise error

    def _decoded(self, response: httpx.Response, operation: str) -> Any:
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError) as error:
            why = f"expected JSON ({type(error).__name__}); check that base_url is MISP's and no sign-in page answers"
            raise self._unusable(response, operation, why) from None

    def _within(self, found: Any, *path: str) -> Any:
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def _unusable(self, response: httpx.Response, operation: str, why: str) -> ResponseError:
        return ResponseError(why, vendor=VENDOR, operation=operation, status=response.status_code)


def _inside(raw: bytes) -> bytes:
    """The value of the only key of an object, as it was written."""
    text = raw.decode()
    begin = text.index(":") + 1
    return text[begin : text.rindex("}")].strip().encode()
