"""Reads a request's body within a limit, gzip included, so that no sender can fill the hub's memory."""

import zlib
from typing import NamedTuple

from fastapi import Request

from nightdesk.hub.api.problems import ProblemError

__all__ = ["MAX_BODY", "Body", "read_body"]

MAX_BODY = 64 * 1024 * 1024
_STEP = 256 * 1024
_GZIP = 31  # zlib: largest window, gzip framing


class Body(NamedTuple):
    """A request's body, unpacked; or, when its gzip stream is damaged at ``torn_at``, as it was sent."""

    data: bytes
    torn_at: int | None = None


async def read_body(request: Request, limit: int = MAX_BODY) -> Body:
    """The body, unpacked. Raises a 413 over the limit (sent or unpacked), a 415 for another encoding."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise ProblemError(
            415,
            "unsupported-encoding",
            f"the body is encoded as {encoding[:40]!r}",
            where="header Content-Encoding",
            what_to_do="send it plain or with gzip",
        )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    body = b"".join(parts)
    return Body(body) if encoding == "identity" else _unpack(body, limit)


def _unpack(body: bytes, limit: int) -> Body:
    """Every gzip member in turn, in steps, so that a bomb is noticed at the limit and not after it."""
    out = bytearray()
    rest = body
    while rest:
        member = zlib.decompressobj(_GZIP)
        fed = rest
        while not member.eof:
            try:
                step = member.decompress(fed, min(_STEP, limit + 1 - len(out)))
            except zlib.error:
                return Body(body, len(body) - len(fed))
            if not step and not member.unconsumed_tail and not member.eof:
                return Body(body, len(body))
            out += step
            if len(out) > limit:
                raise _too_large(limit)
            fed = member.unconsumed_tail
        # RFC 1952 allows members in a row; gzip itself tolerates zero padding behind the last.
        rest = member.unused_data.lstrip(b"\0")
    return Body(bytes(out))


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        413,
        "body-too-large",
        f"the body is larger than {limit} bytes, as sent or unpacked; nothing of it was stored",
        where="body",
        what_to_do="send it in smaller parts",
    )
