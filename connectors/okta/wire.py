"""How the simulated Okta speaks: its error envelope, its rate-limit buckets and their headers, its links."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Clock

__all__ = ["Call", "OktaError", "Routes", "Wire", "flag", "linked", "not_found", "page_limit", "stamp"]

Call = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[str, str, str, Call]]
"""Method, path, scope, handler."""

_CODES: Mapping[int, str] = {
    400: "E0000001",
    401: "E0000011",
    403: "E0000006",
    404: "E0000007",
    405: "E0000022",
    429: "E0000047",
    500: "E0000009",
}


class OktaError(Exception):
    """A refusal; ``code`` is empty for the usual one of its status."""

    def __init__(self, status: int, summary: str, code: str = "", causes: Sequence[str] = ()) -> None:
        super().__init__(summary)
        self.status = status
        self.summary = summary
        self.code = code or _CODES.get(status, "E0000009")
        self.causes = causes


@dataclass(slots=True)
class _Bucket:
    limit: int
    minute: int = -1
    spent: int = 0


class Wire:
    """Counts requests in a bucket for each kind of endpoint, and numbers errors."""

    def __init__(self, clock: Clock, per_minute: Mapping[str, int]) -> None:
        self._clock = clock
        self._buckets = {prefix: _Bucket(limit) for prefix, limit in per_minute.items()}
        self._errors = 0

    def spend(self, path: str) -> dict[str, str]:
        """Counts one request; the headers that every answer has. Raises OktaError when the bucket is empty."""
        bucket = next(found for prefix, found in self._buckets.items() if path.startswith(prefix))
        now = self._clock().timestamp()
        if int(now) // 60 != bucket.minute:
            bucket.minute, bucket.spent = int(now) // 60, 0
        bucket.spent += 1
        if bucket.spent > bucket.limit:
            raise OktaError(429, "API call exceeded rate limit due to too many requests.")
        return _rate_headers(bucket.limit, bucket.limit - bucket.spent, (bucket.minute + 1) * 60)

    def come_back(self, seconds: float) -> dict[str, str]:
        """When to come back: epoch seconds, and no Retry-After."""
        return _rate_headers(next(iter(self._buckets.values())).limit, 0, ceil(self._clock().timestamp() + seconds))

    def next_minute(self) -> dict[str, str]:
        """The headers of an empty bucket."""
        return self.come_back(60 - self._clock().timestamp() % 60)

    def refuse(self, error: OktaError, headers: Mapping[str, str] | None = None) -> Response:
        """The envelope of an error."""
        self._errors += 1
        body = {
            "errorCode": error.code,
            "errorSummary": error.summary,
            "errorLink": error.code,
            "errorId": f"oae{self._errors:022d}",
            "errorCauses": [{"errorSummary": cause} for cause in error.causes],
        }
        return JSONResponse(body, error.status, headers=dict(headers or {}))


def _rate_headers(limit: int, remaining: int, reset: int) -> dict[str, str]:
    return {
        "X-Rate-Limit-Limit": str(limit),
        "X-Rate-Limit-Remaining": str(remaining),
        "X-Rate-Limit-Reset": str(reset),
    }


def linked(response: Response, request: Request, following: Mapping[str, Any] | None) -> Response:
    """Adds the links, each in a header of its own: the page itself, and the next one with these parameters."""
    response.headers.append("Link", f'<{request.url}>; rel="self"')
    if following is not None:
        url = request.url.include_query_params(**following)
        response.headers.append("Link", f'<{url}>; rel="next"')
    return response


def page_limit(request: Request, default: int, most: int, least: int = 1) -> int:
    """``limit``. Raises OktaError beyond its bounds, which is no clamp."""
    text = request.query_params.get("limit", str(default))
    if not text.isdecimal() or not least <= int(text) <= most:
        cause = f"limit: must be between {least} and {most}"
        raise OktaError(400, "Api validation failed: limit", causes=[cause])
    return int(text)


def flag(request: Request, name: str, default: bool = False) -> bool:
    """A query parameter that is true or false. Raises OktaError for anything else."""
    text = request.query_params.get(name, str(default).lower())
    if text not in {"true", "false"}:
        raise OktaError(400, f"Api validation failed: {name}", causes=[f"{name}: must be true or false"])
    return text == "true"


def not_found(name: str, kind: str) -> OktaError:
    """What Okta says of an id that it does not know."""
    return OktaError(404, f"Not found: Resource not found: {name} ({kind})")


def stamp(moment: datetime) -> str:
    """Okta's time: UTC with milliseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
