"""Cuts a pushed body of JSON (an object, an array, or one after another) into verbatim records, losing no byte."""

import hashlib
import json
import re
from collections.abc import Generator, Iterator
from typing import NamedTuple

import orjson

from nightdesk.sdk.errors import MappingError
from nightdesk.sdk.records import Batch, Failure, RawRecord

__all__ = ["Piece", "cut", "pieces", "whole_body_failure"]

# Numbers stay text: only where a value ends matters here, and Python refuses to read very long integers.
_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_SPACE = re.compile(r"[ \t\r\n\x1e]*")  # RFC 7464 puts a record separator before each text
_NEXT_LINE = re.compile(r"\n(?=[{\[])")
_DEEP = 64 * 1024  # what a scan that nests too deep is counted as


class Piece(NamedTuple):
    """One value of a body: its bytes, where they begin, and why it is no record (empty when it is one)."""

    payload: bytes
    offset: int
    reason: str = ""


def cut(body: bytes, *, source: str, product: str) -> Batch:
    """Records and failures of a body. A record's key is the SHA-256 of its bytes: the same bytes are a duplicate."""
    records: list[RawRecord] = []
    failures: list[Failure] = []
    for piece in pieces(body):
        if piece.reason:
            failures.append(_failure(piece, source))
        else:
            records.append(RawRecord(piece.payload, hashlib.sha256(piece.payload).hexdigest(), product=product))
    return Batch(records, None, failures)


def whole_body_failure(body: bytes, *, source: str, reason: str, offset: int = 0) -> Batch:
    """The batch that quarantines a body as it is."""
    return Batch((), None, (_failure(Piece(body, offset, reason), source),))


def _failure(piece: Piece, source: str) -> Failure:
    pointer = f"@{piece.offset}"
    error = MappingError(piece.reason, pointer=pointer, source=source)
    return Failure(piece.payload, hashlib.sha256(piece.payload).hexdigest(), error, pointer)


def pieces(body: bytes) -> Iterator[Piece]:
    """The values of a body in order.

    After a value that cannot be read it goes on at the next line that begins with ``{`` or ``[``; what lies between
    is one piece with its reason. Rescanning is bounded, so that a hostile body costs no more than a few readings.
    """
    # One character a byte: JSON's structure is ASCII, so offsets are byte offsets; UTF-8 is checked piece by piece.
    text = body.decode("latin-1")
    at = _skip(text, 3 if body.startswith(b"\xef\xbb\xbf") else 0)
    budget = 4 * len(text) + 1024 * 1024
    while at < len(text):
        if text[at] == "[":
            at = yield from _array(text, at)
            at = _skip(text, at)
            continue
        end, reason, scanned = _scan(text, at)
        if reason:
            budget -= scanned
            following = _NEXT_LINE.search(text, at) if budget > 0 else None
            end = following.start() if following else len(text)
            yield Piece(text[at:end].encode("latin-1"), at, reason)
        else:
            yield _checked(text, at, end)
        at = _skip(text, end)


def _array(text: str, start: int) -> Generator[Piece, None, int]:
    """The elements of the array that begins there; the generator's value is where to go on."""
    at = _skip(text, start + 1)
    if text[at : at + 1] == "]":
        return at + 1
    while at < len(text):
        end, reason, _ = _scan(text, at)
        if reason:
            break
        yield _checked(text, at, end)
        at = _skip(text, end)
        mark = text[at : at + 1]
        if mark == "]":
            return at + 1
        if mark != ",":
            reason = f"expected ',' or ']' at byte {at}"
            break
        at = _skip(text, at + 1)
    else:
        reason = "the array has no end"
    # Between the elements of a broken array there is no safe place to go on at: the rest is kept as one piece.
    # When nothing is left, the end of what was read is kept, so that a body cut off between two elements is seen too.
    yield Piece((text[at:] or text[max(start, at - 200) : at]).encode("latin-1"), at, reason)
    return len(text)


def _scan(text: str, at: int) -> tuple[int, str, int]:
    """Where the value at ``at`` ends, or why it does not, and how many characters were read to learn it."""
    try:
        _, end = _SCANNER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        return at, f"no readable JSON value: {error.msg} at byte {error.pos}", max(error.pos - at, 1)
    except RecursionError:
        return at, "no readable JSON value: it nests too deep", _DEEP
    return end, "", end - at


def _checked(text: str, at: int, end: int) -> Piece:
    payload = text[at:end].encode("latin-1")
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        return Piece(payload, at, f"no valid JSON: {error}")
    if not isinstance(value, dict):
        return Piece(payload, at, f"a {type(value).__name__} where a JSON object was expected")
    return Piece(payload, at)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
