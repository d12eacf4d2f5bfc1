"""Errors, named after what the caller can do next.

NightdeskError
├─ ConfigError            a person must change the configuration (a group of problems, each with file and key)
├─ VendorError            vendor, operation, status, request id; never a secret, never a body
│  ├─ AuthError             ask for new credentials; stop this vendor
│  ├─ ScopeError            authenticated, but lacks a named permission
│  ├─ RateLimitError        wait ``retry_after`` seconds
│  ├─ UnavailableError      retry with backoff (network, timeout, 5xx)
│  ├─ RejectedError         the same input will always fail: do not retry
│  ├─ NotFoundError         the named thing is not there
│  ├─ CursorExpiredError    the vendor forgot where we were: restart from the stored time
│  └─ ResponseError         the answer breaks its documented shape: keep the evidence
├─ MappingError           one record does not map: quarantine it with its JSON pointer, the batch goes on
├─ UnsupportedError       not declared in the manifest
└─ PolicyError            autonomy may not do this; recorded, never retried
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "AuthError",
    "ConfigError",
    "CursorExpiredError",
    "MappingError",
    "NightdeskError",
    "NotFoundError",
    "PolicyError",
    "Problem",
    "RateLimitError",
    "RejectedError",
    "ResponseError",
    "ScopeError",
    "UnavailableError",
    "UnsupportedError",
    "VendorError",
]


class NightdeskError(Exception):
    """Any error this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file: where it stands, what is wrong, what to do."""

    file: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}" if self.key else f"{self.file}: {self.message}"


class ConfigError(NightdeskError):
    """A person must change the configuration; carries all problems at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class VendorError(NightdeskError):
    """A vendor's API failed; says which vendor, in which operation, with which status and request id."""

    def __init__(
        self,
        message: str,
        *,
        vendor: str = "",
        operation: str = "",
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        self.vendor = vendor
        self.operation = operation
        self.status = status
        self.request_id = request_id
        head = ": ".join(part for part in (vendor, operation) if part)
        tail = "".join(
            [
                f" (HTTP {status})" if status is not None else "",
                f" [request {request_id}]" if request_id else "",
            ]
        )
        super().__init__(f"{head}: {message}{tail}" if head else f"{message}{tail}")


class AuthError(VendorError):
    """The credentials are wrong, expired or revoked: ask for new ones and stop this vendor."""


class ScopeError(VendorError):
    """Authenticated, but a permission is missing; the message names it."""


class RateLimitError(VendorError):
    """Too many requests; ``retry_after`` is in seconds."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: float,
        vendor: str = "",
        operation: str = "",
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        self.retry_after = retry_after
        super().__init__(message, vendor=vendor, operation=operation, status=status, request_id=request_id)


class UnavailableError(VendorError):
    """Network, timeout or server error: retry with backoff."""


class RejectedError(VendorError):
    """The same request will always fail: do not retry."""


class NotFoundError(VendorError):
    """The named thing does not exist at the vendor, or not for us."""


class CursorExpiredError(VendorError):
    """The vendor no longer knows our page token or snapshot: restart from the stored time."""


class ResponseError(VendorError):
    """The vendor's answer breaks its documented shape."""


class MappingError(NightdeskError):
    """One record does not map; ``pointer`` is a JSON pointer into the payload, or ``@N`` for byte offset N."""

    def __init__(self, message: str, *, pointer: str = "", source: str = "") -> None:
        self.pointer = pointer
        self.source = source
        self.reason = message
        where = " at ".join(part for part in (source, pointer or "/") if part)
        super().__init__(f"{where}: {message}")


class UnsupportedError(NightdeskError):
    """Asked for something that the manifest does not declare."""


class PolicyError(NightdeskError):
    """The autonomy may not do this; recorded, never retried."""
