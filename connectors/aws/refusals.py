"""The one table from what boto3 raises to our errors: by the vendor's code, else by status, else by what broke.

Sources: the Common Errors pages of each service's API reference, and
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-error-codes.html
"""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ParamValidationError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from nightdesk.connectors.aws.answers import BrokenAnswerError, StrayRequestError
from nightdesk.sdk.answers import Setback
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
from nightdesk.sdk.retry import MAX_WAIT

__all__ = ["code_of", "meaning"]

_VENDOR = "aws"
_KEYS = "the keys are wrong or revoked, or the account has not enabled the region {region}; check both"
_SIGNED = "the signature was refused; correct secret_access_key, or the clock of this machine"
_OLD = "the credentials or the signature have expired; renew the session token, or correct the clock of this machine"
_RIGHT = "the permission {operation} is missing; allow it in the policy of the key or role"
_FAST = "too many requests"

_CODES: Mapping[str, tuple[type[VendorError], str]] = {
    **dict.fromkeys(("UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure"), (AuthError, _KEYS)),
    **dict.fromkeys(("InvalidAccessKeyId", "NotSignedUp", "OptInRequired"), (AuthError, _KEYS)),
    **dict.fromkeys(("SignatureDoesNotMatch", "InvalidSignatureException"), (AuthError, _SIGNED)),
    **dict.fromkeys(("IncompleteSignature", "IncompleteSignatureException"), (AuthError, _SIGNED)),
    **dict.fromkeys(("MissingAuthenticationToken", "MissingAuthenticationTokenException"), (AuthError, _SIGNED)),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired"), (AuthError, _OLD)),
    "RequestTimeTooSkewed": (AuthError, _OLD),
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"), (ScopeError, _RIGHT)),
    **dict.fromkeys(("Throttling", "ThrottlingException", "ThrottledException"), (RateLimitError, _FAST)),
    **dict.fromkeys(("RequestLimitExceeded", "RequestThrottled", "RequestThrottledException"), (RateLimitError, _FAST)),
    **dict.fromkeys(("TooManyRequestsException", "SlowDown"), (RateLimitError, _FAST)),
    **dict.fromkeys(("ResourceNotFoundException", "NoSuchEntity"), (NotFoundError, "not found")),
    "WAFNonexistentItemException": (NotFoundError, "not found"),
    "InvalidAccessException": (
        RejectedError,
        "Security Hub is not enabled in {region}; enable it there, leave the region out, or set security_hub: false",
    ),
    **dict.fromkeys(
        ("WAFOptimisticLockException", "ConcurrentModification", "EntityTemporarilyUnmodifiable"),
        (UnavailableError, "somebody else is changing it; ask again"),
    ),
    **dict.fromkeys(
        ("RequestTimeout", "RequestTimeoutException", "InternalError", "InternalFailure", "Unavailable"),
        (UnavailableError, "the service failed"),
    ),
}
_STATUS: Mapping[int, tuple[type[VendorError], str]] = {
    401: (AuthError, _KEYS),
    403: (ScopeError, _RIGHT),
    404: (NotFoundError, "not found"),
    429: (RateLimitError, _FAST),
}
_FAMILY: Mapping[int, tuple[type[VendorError], str]] = {
    3: (RejectedError, "a redirect was refused; if it leads to the vendor, make it the endpoint_url"),
    4: (RejectedError, "the request was rejected"),
    5: (UnavailableError, "the service failed"),
}
_WIRE: tuple[tuple[type[Exception], type[VendorError], bool, str], ...] = (
    # Kind, error, transient, message; the first that fits is taken.
    (SSLError, UnavailableError, False, "TLS failed; if a private CA signs here, set network.ca_file"),
    (ProxyConnectionError, UnavailableError, True, "the proxy refused or failed; check network.proxy"),
    (ConnectTimeoutError, UnavailableError, True, "no connection in time; check network, regions and endpoint_url"),
    (ReadTimeoutError, UnavailableError, True, "no answer in time; raise network.timeout if it is slow"),
    (EndpointConnectionError, UnavailableError, True, "cannot connect; check network, regions and endpoint_url"),
    (ConnectionClosedError, UnavailableError, True, "the connection broke"),
    (HTTPClientError, UnavailableError, True, "the exchange failed"),
    (ResponseParserError, ResponseError, False, "the answer is not in the service's format; check endpoint_url"),
    (ParamValidationError, RejectedError, False, "the request is malformed"),
    (StrayRequestError, RejectedError, False, "the request is for another host"),
    (TimeoutError, UnavailableError, True, "the answer came too slowly and was not waited for"),
    (Exception, UnavailableError, False, "the exchange failed"),
)


def code_of(error: Exception) -> str:
    """The vendor's error code; empty when it is no answer of the vendor."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def meaning(error: Exception, operation: str, region: str, redactor: Redactor) -> Setback:
    """What it means. ``operation`` is the name that IAM policies know it by."""
    if isinstance(error, ClientError):
        return _refused(error, operation, region, redactor)
    detail = redactor.clean(str(error))
    if isinstance(error, BrokenAnswerError):
        kind: type[VendorError] = UnavailableError if error.lost else ResponseError
        advice = "the answer broke off" if error.lost else "no answer of AWS; check that no sign-in page replies for it"
        return Setback(kind(f"{advice}: {detail}", vendor=_VENDOR, operation=operation), transient=error.lost)
    kind, transient, message = next(row[1:] for row in _WIRE if isinstance(error, row[0]))
    text = f"{message} ({region}; {type(error).__name__}: {detail})"
    return Setback(kind(text, vendor=_VENDOR, operation=operation), transient=transient)


def _refused(error: ClientError, operation: str, region: str, redactor: Redactor) -> Setback:
    said, about = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    code, status = str(said.get("Code", "")), int(about.get("HTTPStatusCode") or 0)
    kind, message = (
        _CODES.get(code)
        or ((NotFoundError, "not found") if code.endswith(".NotFound") else None)
        or _STATUS.get(status)
        or _FAMILY.get(status // 100)
        or (ResponseError, "an impossible status")
    )
    text = redactor.clean(str(said.get("Message", "")))
    message = message.format(operation=operation, region=region)
    message = f"{message}: {code}: {text}" if code and not code.isdecimal() else message
    facts: dict[str, Any] = {"vendor": _VENDOR, "operation": operation, "status": status or None}
    name = redactor.clean(str(about.get("RequestId") or ""), 100) or None
    if issubclass(kind, RateLimitError):  # AWS never says how long
        made: VendorError = RateLimitError(message, retry_after=MAX_WAIT, request_id=name, **facts)
        return Setback(made, transient=True, untouched=True)
    return Setback(kind(message, request_id=name, **facts), transient=issubclass(kind, UnavailableError))
