"""Cuts a posted body into its alerts as the sender wrote them: one object, an array, or one object after another."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from nightdesk.sdk.errors import MappingError
from nightdesk.sdk.records import Batch, Failure, RawRecord
from nightdesk.sdk.verbatim import cut as elements

__all__ = ["cut"]

_decode = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\r\n\x1e]*")  # RFC 7464 puts a record separator before each text
_NEXT = re.compile(r"\n\s*(?=\{)")


def cut(body: bytes, *, path: tuple[str, ...], product: str) -> Batch:
    """One record an alert. The key is the digest of its bytes: what a sender posts again is a duplicate.

    Raises MappingError when nothing can be read; one bad element is a failure and the others are records.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MappingError(f"not UTF-8: {error.reason}", pointer=f"@{error.start}", source="webhook") from error
    if not text.strip():
        raise MappingError("the body is empty", pointer="@0", source="webhook")
    if path or text.lstrip().startswith("["):
        found: list[tuple[Any, bytes, str]] = _listed(text, path)
    else:
        found = list(_one_by_one(text))
    records: list[RawRecord] = []
    failures: list[Failure] = []
    for number, (value, raw, pointer) in enumerate(found):
        key = hashlib.sha256(raw).hexdigest()
        if isinstance(value, dict):
            records.append(RawRecord(raw, key, product=product))
            continue
        where = pointer or f"/{'/'.join((*path, str(number)))}"
        why = value.msg if isinstance(value, json.JSONDecodeError) else f"a {type(value).__name__} and no object"
        failures.append(Failure(raw, key, MappingError(why, pointer=where, source="webhook"), where))
    return Batch(records, None, failures)


def _listed(text: str, path: tuple[str, ...]) -> list[tuple[Any, bytes, str]]:
    try:
        return [(value, raw, "") for value, raw in elements(text.encode(), *path)]
    except json.JSONDecodeError as error:
        raise MappingError(f"no JSON: {error.msg}", pointer=f"@{_size(text[: error.pos])}", source="webhook") from error
    except (ValueError, TypeError, RecursionError) as error:
        where = "/" + "/".join(path)
        raise MappingError(f"no list of alerts: {error}", pointer=where, source="webhook") from error


def _one_by_one(text: str) -> Iterator[tuple[Any, bytes, str]]:
    """Values in a row; what cannot be read reaches to the next line that begins an object."""
    at, counted, offset = _after_space(text, 0), 0, 0
    while at < len(text):
        try:
            value, end = _decode(text, at)
        except json.JSONDecodeError as error:
            value = error
        except RecursionError:
            value = json.JSONDecodeError("nested too deeply", text, at)
        if isinstance(value, json.JSONDecodeError):
            following = _NEXT.search(text, at)
            end = following.start() if following else len(text)
        raw = text[at:end].encode()
        offset += _size(text[counted:at])
        yield value, raw, f"@{offset}"
        offset, counted = offset + len(raw), end
        at = _after_space(text, end)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _size(text: str) -> int:
    return len(text.encode())
