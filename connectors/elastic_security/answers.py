"""What every failure of Elasticsearch's client means: the one table from its exceptions to our errors."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from elastic_transport import TlsError
from elasticsearch import ApiError, ConnectionTimeout, SerializationError, TransportError, UnsupportedProductError
from elasticsearch import ConnectionError as NodeConnectionError

from nightdesk.sdk.errors import (
    AuthError,
    CursorExpiredError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)

__all__ = ["VENDOR", "incomplete", "vendor_error"]

VENDOR = "elastic_security"
_ERROR_TYPE = re.compile(r"^[a-z_]{1,80}$")
_BACK_OFF = 30.0  # Elasticsearch sends no Retry-After with its 429

_UNANSWERED: Sequence[tuple[type[Exception], type[VendorError], str]] = (
    (ConnectionTimeout, UnavailableError, "no answer in time; check the cluster's load or raise the network timeout"),
    (TlsError, UnavailableError, "the TLS certificate is not trusted; set ca_file to the authority that signed it"),
    (NodeConnectionError, UnavailableError, "cannot be reached; check elasticsearch_url, the proxy and the firewall"),
    (SerializationError, ResponseError, "the answer is no JSON; check that elasticsearch_url is Elasticsearch itself"),
    (TransportError, UnavailableError, "the request did not get through; it will be tried again"),
)
_ANSWERED: Mapping[int, tuple[type[VendorError], str]] = {
    401: (AuthError, "the API key is wrong, expired or revoked; make a new one and update api_key"),
    403: (ScopeError, "the API key lacks {needs}; grant it to the key"),
    404: (NotFoundError, "there is no such thing; check space and elasticsearch_url"),
    408: (UnavailableError, "the cluster gave up waiting; it will be tried again"),
    409: (UnavailableError, "somebody else changed it at the same moment; it will be tried again"),
}
_ANSWERED_CLASS: Mapping[int, tuple[type[VendorError], str]] = {
    3: (RejectedError, "redirected elsewhere, which is not followed; set elasticsearch_url to the final address"),
    4: (RejectedError, "the request was refused; the cluster's version may not know it"),
    5: (UnavailableError, "the cluster cannot answer now; it will be tried again"),
}


def vendor_error(error: ApiError | TransportError, *, operation: str, needs: str) -> VendorError:
    """The one table from the client's exceptions to ours; total, and free of any text the cluster sent."""
    if isinstance(error, UnsupportedProductError):
        return ResponseError(
            "the server does not say that it is Elasticsearch; check elasticsearch_url, and that no proxy strips the "
            "header X-Elastic-Product",
            vendor=VENDOR,
            operation=operation,
        )
    if not isinstance(error, ApiError):
        kind, message = next((ours, text) for theirs, ours, text in _UNANSWERED if isinstance(error, theirs))
        return kind(message, vendor=VENDOR, operation=operation)
    status, types = error.meta.status, _error_types(error.body)
    if "search_context_missing_exception" in types:
        text = "the point in time has expired; the sweep restarts from the stored time"
        return CursorExpiredError(text, vendor=VENDOR, operation=operation, status=status)
    if status == 429:
        text = "the cluster is overloaded; it is left alone for a while"
        wait = _seconds(error.meta.headers.get("retry-after"))
        return RateLimitError(text, retry_after=wait, vendor=VENDOR, operation=operation, status=status)
    fallback = (ResponseError, "an answer of this status is not documented")
    kind, message = _ANSWERED.get(status) or _ANSWERED_CLASS.get(status // 100, fallback)
    said = f" ({types[0]})" if types else ""
    return kind(f"{message.format(needs=needs)}{said}", vendor=VENDOR, operation=operation, status=status)


def _error_types(body: Any) -> list[str]:
    """The machine-readable error types: a 404 of an expired snapshot and one of a missing index differ here."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return []
    causes = error.get("root_cause")
    nested = [cause.get("type") for cause in causes if isinstance(cause, dict)] if isinstance(causes, list) else []
    return [kind for kind in (error.get("type"), *nested) if isinstance(kind, str) and _ERROR_TYPE.match(kind)]


def _seconds(value: str | None) -> float:
    try:
        return max(0.0, float(value)) if value else _BACK_OFF
    except ValueError:
        return _BACK_OFF


def incomplete(operation: str) -> UnavailableError:
    """What an answer means that lacks some shards or ran out of time, although it is a 200."""
    text = "some shards did not answer, so alerts may be missing; nothing was taken and it will be tried again"
    return UnavailableError(text, vendor=VENDOR, operation=operation)
