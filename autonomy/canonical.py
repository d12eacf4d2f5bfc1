"""One byte form for every value that is hashed, signed or chained: equal values have equal hashes everywhere."""

import hashlib
import json
from dataclasses import asdict, is_dataclass
from typing import Any

import orjson

__all__ = ["canonical", "fingerprint"]


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, dataclasses in the order of their fields; text that is no valid UTF-8 is escaped."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # A lone surrogate (an attacker may send one) has no UTF-8 form: the standard library escapes it.
        return json.dumps(value, default=_slow, sort_keys=True, separators=(",", ":")).encode("ascii")


def fingerprint(value: Any) -> str:
    """SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _plain(value: Any) -> Any:
    """What orjson does not know by itself: mappings that are no dict."""
    return dict(value)


def _slow(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return dict(value)
