"""What every HTTP answer and every failure of the wire means: the one table from transport to our errors."""

import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from nightdesk.sdk.errors import (
    AuthError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)
from nightdesk.sdk.redaction import Redactor
from nightdesk.sdk.retry import MAX_WAIT, asked_wait

__all__ = ["WIRE_ERRORS", "Answers", "Setback"]

WIRE_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError, TimeoutError)
"""All that can come out of one exchange."""

_REQUEST_ID = re.compile(r"^(?:x-)?(?:[a-z0-9]+-)*(request|trace|correlation)-?id$")
"""A header that names the request; most vendors put a word of their own before it."""
_READABLE = 1_048_576  # bytes; a longer error page is not searched for a message
_PRIVATE_CA = frozenset({18, 19, 20, 21})  # X509_V_ERR_*: self-signed, or its issuer is unknown

_STATUS: Mapping[int, tuple[type[VendorError], str]] = {
    401: (AuthError, "the credentials were refused; {advice}"),
    402: (RejectedError, "the licence or plan does not cover this"),
    403: (ScopeError, "a permission is missing; grant the scope that the manifest names for {operation}"),
    404: (NotFoundError, "not found"),
    405: (RejectedError, "the method is not allowed; check that the base URL is the API's"),
    407: (UnavailableError, "the proxy wants credentials; put them into network.proxy"),
    408: (UnavailableError, "the request took too long to arrive"),
    410: (NotFoundError, "no longer there"),
    425: (UnavailableError, "too early; the server wants it again later"),
    429: (RateLimitError, "too many requests"),
}
_FAMILY: Mapping[int, tuple[type[VendorError], str]] = {
    1: (ResponseError, "an interim answer came instead of a final one"),
    2: (ResponseError, "an unusable success"),
    3: (ResponseError, "a redirect without a destination"),
    4: (RejectedError, "the request was rejected"),
    5: (UnavailableError, "the server failed"),
}
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})

_WIRE: tuple[tuple[type[Exception], type[VendorError], bool, str], ...] = (
    # Kind, error, transient, message; the first that fits is taken.
    (httpx.ConnectTimeout, UnavailableError, True, "no connection to {peer} in time; check network and base URL"),
    (httpx.PoolTimeout, UnavailableError, True, "all connections to {peer} stayed busy; lower the number of calls"),
    (
        httpx.TimeoutException,
        UnavailableError,
        True,
        "{peer} did not answer in time; raise network.timeout if it is slow",
    ),
    (TimeoutError, UnavailableError, True, "{peer} sent its answer too slowly and was cut off; ask for less at once"),
    (httpx.ProxyError, UnavailableError, True, "the proxy {proxy} refused or failed ({detail}); check network.proxy"),
    (httpx.ConnectError, UnavailableError, True, "cannot connect to {peer} ({detail}); check network and base URL"),
    (httpx.NetworkError, UnavailableError, True, "the connection to {peer} broke ({detail})"),
    (httpx.RemoteProtocolError, UnavailableError, True, "the answer of {peer} broke off or is no HTTP ({detail})"),
    (httpx.LocalProtocolError, RejectedError, False, "the request cannot be sent as HTTP; check its headers and path"),
    (httpx.UnsupportedProtocol, RejectedError, False, "the URL is neither http nor https"),
    (httpx.InvalidURL, RejectedError, False, "the URL is malformed ({detail})"),
    (httpx.DecodingError, ResponseError, False, "the answer's content encoding is broken"),
    (httpx.TooManyRedirects, RejectedError, False, "too many redirects; check the base URL"),
    (httpx.CookieConflict, ResponseError, False, "the answer sets contradictory cookies"),
    (httpx.StreamError, ResponseError, False, "the answer could not be read ({detail})"),
    (httpx.TransportError, UnavailableError, True, "the exchange with {peer} failed ({detail})"),
    (Exception, UnavailableError, False, "the exchange with {peer} failed ({detail})"),
)


@dataclass(frozen=True, slots=True)
class Setback:
    """One failed attempt: the error it becomes, and when trying again makes sense.

    ``transient``: a repeatable request may be sent again. ``untouched``: the vendor did nothing, so any may.
    """

    error: VendorError
    transient: bool = False
    untouched: bool = False
    wait: float | None = None
    cause: BaseException | None = None


class Answers:
    """Turns what came back to one instance's client into errors, free of its secrets."""

    def __init__(self, vendor: str, proxy: str, redactor: Redactor) -> None:
        self._vendor = vendor
        self._proxy = proxy
        self._redactor = redactor

    def refused(self, operation: str, response: httpx.Response, now: datetime, *, advice: str, token: bool) -> Setback:
        """The meaning of an answer outside 200-299. ``token``: it came from a token endpoint."""
        status = response.status_code
        kind, message = _STATUS.get(status) or _FAMILY.get(status // 100) or (ResponseError, "an impossible status")
        if token and 400 <= status < 500 and status != 429:
            kind, message = AuthError, "the token endpoint refused; {advice}"
        location = response.headers.get("location")
        if 300 <= status < 400 and location:
            kind, message = RejectedError, self._redirect(response.url, location)
        body = _error_body(response)
        text = self._redactor.clean(_vendor_text(body))
        message = message.replace("{advice}", advice).replace("{operation}", operation)
        wait = asked_wait(response.headers, now)
        return Setback(
            self.error(
                kind,
                f"{message}: {text}" if text else message,
                operation=operation,
                status=status,
                request_id=self.request_id(response, body),
                retry_after=MAX_WAIT if wait is None else wait,
            ),
            transient=status in _TRANSIENT and kind is not AuthError,
            untouched=status == 429,
            wait=wait,
        )

    def broken(self, operation: str, url: httpx.URL, error: Exception) -> Setback:
        """The meaning of an exception of httpx, or of a deadline that passed."""
        host = self._redactor.clean(url.host)
        peer = f"{host} through the proxy {self._proxy}" if self._proxy else host
        kind: type[VendorError] = UnavailableError
        transient, message = True, ""
        for link in _chain(error):
            if isinstance(link, ssl.SSLCertVerificationError):
                transient = False
                message = f"the certificate of {peer} is not trusted ({link.verify_message}); " + (
                    "if a private CA signed it, set network.ca_file"
                    if link.verify_code in _PRIVATE_CA
                    else "renew it or correct the base URL"
                )
                break
            if isinstance(link, ssl.SSLError):
                message = (
                    f"TLS with {peer} failed ({link.reason or 'no reason given'}); check that the base URL is https"
                )
                break
            if isinstance(link, socket.gaierror):
                message = f"the name of {peer} does not resolve; check the base URL, network.proxy and DNS"
                break
        if not message:
            kind, transient, message = self._from_table(error, peer)
        # The original may quote a header: it goes along only when it holds no secret.
        clean = all(self._redactor.mask(str(link)) == str(link) for link in _chain(error))
        return Setback(
            self.error(kind, message, operation=operation), transient=transient, cause=error if clean else None
        )

    def inspected(self, error: VendorError) -> Setback:
        """A vendor's own error inside a success, without our secrets."""
        error.args = tuple(self._redactor.mask(part) if isinstance(part, str) else part for part in error.args)
        error.request_id = error.request_id and self._redactor.mask(error.request_id)
        return Setback(
            error,
            transient=isinstance(error, (RateLimitError, UnavailableError)),
            wait=error.retry_after if isinstance(error, RateLimitError) else None,
        )

    def decoded(self, operation: str, response: httpx.Response) -> Any:
        """The JSON of an answer. Raises ResponseError that says what it is instead, never what is in it."""
        try:
            return json.loads(response.content, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            media = self._redactor.clean(response.headers.get("content-type", "")) or "no content type"
            size = len(response.content)
            where = f" (broken at {error.pos})" if isinstance(error, json.JSONDecodeError) and "json" in media else ""
            raise self.error(
                ResponseError,
                f"expected JSON, got {size} bytes of {media}{where}; check that the base URL is the API's and that no"
                " sign-in page or proxy answers in its place",
                operation=operation,
                status=response.status_code,
                request_id=self.request_id(response, None),
            ) from None  # the original holds the document

    def error(
        self,
        kind: type[VendorError],
        message: str,
        *,
        operation: str,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float = MAX_WAIT,
    ) -> VendorError:
        """An error of this vendor."""
        message = self._redactor.mask(message)
        if issubclass(kind, RateLimitError):
            return kind(
                message,
                retry_after=retry_after,
                vendor=self._vendor,
                operation=operation,
                status=status,
                request_id=request_id,
            )
        return kind(message, vendor=self._vendor, operation=operation, status=status, request_id=request_id)

    def request_id(self, response: httpx.Response, body: Any) -> str | None:
        """The vendor's own name for this request, for its support."""
        named = [name for name in response.headers if _REQUEST_ID.match(name)]
        # The request's own name before one that several share.
        chosen = min(named, key=lambda name: ("request" not in name, len(name), name), default=None)
        found: Any = response.headers[chosen] if chosen else None
        return self._redactor.clean(str(found or _at(body, "meta", "trace_id") or ""), 100) or None

    def _redirect(self, here: httpx.URL, location: str) -> str:
        there = here.join(location)  # httpx has refused a malformed one
        if (there.scheme, there.host, there.port) == (here.scheme, here.host, here.port):
            return "a redirect within the host was refused; check path and base URL"
        host = self._redactor.clean(f"{there.scheme}://{there.netloc.decode('ascii', 'replace').rpartition('@')[2]}")
        return f"a redirect to another host, {host}, was refused; if it is the vendor's, make it the base URL"

    def _from_table(self, error: Exception, peer: str) -> tuple[type[VendorError], bool, str]:
        kind, transient, template = next(row[1:] for row in _WIRE if isinstance(error, row[0]))
        name = type(error).__name__
        text = self._redactor.clean(str(error))
        detail = f"{name}: {text}" if text else name
        return kind, transient, template.format(peer=peer, proxy=self._proxy, detail=detail)


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _error_body(response: httpx.Response) -> Any:
    if len(response.content) > _READABLE or response.content.lstrip()[:1] not in {b"{", b"["}:
        return None
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _vendor_text(body: Any) -> str:
    """The message in an error envelope; the shapes are those that REST APIs of security products share."""
    parts = [text for name in ("err_msg", "err_extra") if isinstance(text := _at(body, "reply", name), str)]
    if any(text.strip() for text in parts):
        return ": ".join(text for text in parts if text.strip())
    fields = _at(body, "errors")  # some give a message for each field that does not fit
    if isinstance(fields, dict) and fields and all(isinstance(text, str) for text in fields.values()):
        return "; ".join(f"{name}: {text}" for name, text in sorted(fields.items()))
    places: tuple[tuple[str | int, ...], ...] = (
        ("errorMessages", 0),
        ("errors", 0, "message"),
        ("errors", 0, "detail"),
        ("errors", 0, "title"),
        ("errors", 0),
        ("error", "reason"),
        ("error", "message"),
        ("error_description",),
        ("messages", 0, "text"),
        ("message",),
        ("detail",),
        ("errorCauses", 0, "errorSummary"),
        ("errorSummary",),
        ("reason",),
        ("error",),
    )
    found = (_at(body, *place) for place in places)
    return next((text for text in found if isinstance(text, str) and text.strip()), "")


def _at(body: Any, *place: str | int) -> Any:
    for step in place:
        if isinstance(step, str) and isinstance(body, dict):
            body = body.get(step)
        elif isinstance(step, int) and isinstance(body, list) and len(body) > step:
            body = body[step]
        else:
            return None
    return body
