"""The Cortex public API: signed POSTs of ``request_data``, replies that may be errors, permissions that are named."""

import json
import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    NotFoundError,
    Problem,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)
from nightdesk.sdk.http import ComputedAuth, HttpClient
from nightdesk.sdk.redaction import Redactor

__all__ = ["ALERTS_VIEW", "ENDPOINTS_VIEW", "VENDOR", "Answer", "Cortex"]

VENDOR = "paloalto_cortex_xdr"
ALERTS_VIEW = "Alerts & Incidents: view"
ENDPOINTS_VIEW = "Endpoint Administration: view"

_NONCE = 64  # letters and digits, as the vendor's own signing example has them
_ALPHABET = string.ascii_letters + string.digits
_CONSOLE = ".paloaltonetworks.com"
_CODES: Mapping[int, type[VendorError]] = {
    400: RejectedError,
    401: AuthError,
    402: RejectedError,
    403: ScopeError,
    404: NotFoundError,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One success: what stands in ``reply``, and the body it stood in, verbatim."""

    operation: str
    reply: Any
    body: bytes

    def mapping(self) -> Mapping[str, Any]:
        """The reply as an object. Raises ResponseError when it is none."""
        if not isinstance(self.reply, dict):
            raise self.broken(f"the reply is no object but {type(self.reply).__name__}")
        return self.reply

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        """The objects of one array in the reply."""
        rows = self.mapping().get(name)
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    def broken(self, message: str) -> ResponseError:
        """An error about what this answer holds."""
        return ResponseError(message, vendor=VENDOR, operation=self.operation)


class Cortex:
    """One API key of one tenant. Every call names the permission it needs, so that a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        base_url = settings.text("base_url")
        host = (urlsplit(base_url).hostname or "").lower()
        if host.endswith(_CONSOLE) and not host.startswith("api-"):
            hint = f"is the console's address; the API's is https://api-{host}"
            raise ConfigError([Problem(context.instance, "base_url", hint)])
        advanced = settings.text("key_kind", "advanced") == "advanced"
        sign = _advanced if advanced else _standard
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=base_url,
            auth=ComputedAuth(
                secrets=(settings.secret("api_key"),),
                compute=sign(str(settings.integer("api_key_id"))),
                advice="check API key, key id and kind of key (advanced or standard), whether the key has expired,"
                " and the clock of this machine",
            ),
            requests_per_minute=settings.integer("requests_per_minute", 60),
            inspect=_error_inside,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def ask(
        self, path: str, data: Mapping[str, Any], *, operation: str, scope: str, repeatable: bool = False
    ) -> Answer:
        """One call under ``/public_api``. Raises VendorError; every call is a POST, so readers say ``repeatable``."""
        try:
            response = await self._http.request(
                "POST",
                f"/public_api/{path}",
                operation=operation,
                json={"request_data": dict(data)},
                repeatable=repeatable,
            )
        except ScopeError as error:
            message = f"the role of the API key lacks '{scope}'; grant it in the console under Access Management"
            raise ScopeError(message, vendor=VENDOR, operation=operation, status=error.status) from error
        document = _decoded(response)
        if not isinstance(document, dict) or "reply" not in document:
            media = Redactor().clean(response.headers.get("content-type", "")) or "no content type"
            raise ResponseError(
                f"expected JSON with a reply, got {len(response.content)} bytes of {media}; check that base_url is the"
                " API's and that no sign-in page or proxy answers in its place",
                vendor=VENDOR,
                operation=operation,
                status=response.status_code,
            )
        return Answer(operation, document["reply"], response.content)


def _advanced(key_id: str) -> Callable[[Sequence[str], datetime], Mapping[str, str]]:
    """A signature over key, nonce and time, made anew for each request; the key itself never travels."""

    def sign(revealed: Sequence[str], now: datetime) -> Mapping[str, str]:
        nonce = "".join(secrets.choice(_ALPHABET) for _ in range(_NONCE))
        moment = str(int(now.timestamp() * 1000))
        return {
            "x-xdr-auth-id": key_id,
            "x-xdr-nonce": nonce,
            "x-xdr-timestamp": moment,
            "Authorization": sha256(f"{revealed[0]}{nonce}{moment}".encode()).hexdigest(),
        }

    return sign


def _standard(key_id: str) -> Callable[[Sequence[str], datetime], Mapping[str, str]]:
    def sign(revealed: Sequence[str], _: datetime) -> Mapping[str, str]:
        return {"x-xdr-auth-id": key_id, "Authorization": revealed[0]}

    return sign


def _error_inside(response: httpx.Response, operation: str) -> VendorError | None:
    """The error of a success whose reply is an error envelope."""
    document = _decoded(response)
    reply = document.get("reply") if isinstance(document, dict) else None
    if not isinstance(reply, dict) or "err_code" not in reply:
        return None
    code = reply["err_code"]
    kind = _CODES.get(code if isinstance(code, int) else 0, UnavailableError)
    text = ": ".join(str(reply[name]) for name in ("err_msg", "err_extra") if reply.get(name))
    message = Redactor().clean(text) or "no message"
    return kind(f"the answer is an error: {message}", vendor=VENDOR, operation=operation, status=response.status_code)


def _decoded(response: httpx.Response) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None
