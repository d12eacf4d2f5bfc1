"""Values to columns and back: times as fixed-width UTC text that sorts, records as canonical JSON, text that fits.

Any engine must take any alert: PostgreSQL refuses U+0000 in text and index entries over 2.7 kB, both refuse lone
surrogates, and vendors send all three.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.sdk.case import (
    Alert,
    Check,
    Decision,
    Entity,
    EntityKind,
    Mode,
    Outcome,
    PlaybookStart,
    Proposal,
    Verdict,
)
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = [
    "KEY_BYTES",
    "decode_action",
    "decode_alert",
    "decode_decision",
    "dump",
    "encode_alert",
    "encode_decision",
    "load",
    "maybe_moment",
    "maybe_stamp",
    "moment",
    "safe_key",
    "safe_text",
    "stamp",
]

KEY_BYTES = 1024
_KEPT = 512
_KINDS = {str(kind): kind for kind in EntityKind}
_ALERT_TIMES = ("created", "modified", "first_seen", "last_seen")
_ALERT_TUPLES = ("techniques", "tactics", "caution")
_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_DATACLASS  # else fields are not sorted
_ACTION_TIMES = (
    "created_at",
    "updated_at",
    "requested_at",
    "accepted_at",
    "effective_at",
    "deadline",
    "lease_until",
    "undo_requested_at",
    "undone_at",
)


def stamp(when: datetime) -> str:
    """``2026-11-01T00:00:00.000000Z``: always 27 characters, so that text order is time order."""
    if when.tzinfo is None:
        raise ValueError(f"the time {when.isoformat()} has no zone; every stored time is UTC")
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def moment(text: str) -> datetime:
    """The time that ``stamp`` wrote."""
    return datetime.fromisoformat(text)


def maybe_stamp(when: datetime | None) -> str | None:
    """``stamp``, and None stays None."""
    return None if when is None else stamp(when)


def maybe_moment(text: str | None) -> datetime | None:
    """``moment``, and None stays None."""
    return None if text is None else datetime.fromisoformat(text)


def safe_text(value: str) -> str:
    r"""The text as both engines take it: U+0000 and lone surrogates become ``\u0000``, ``\ud800``."""
    if value.isascii() and "\0" not in value:
        return value
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")


def safe_key(value: str) -> str:
    """The same for indexed text, at most 1,024 bytes; what had to change keeps its identity by a hash at its end."""
    safe = safe_text(value)
    if safe == value and (len(value) * 4 <= KEY_BYTES or len(value.encode()) <= KEY_BYTES):
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{safe.encode()[:_KEPT].decode(errors='ignore')}~{digest}"


def dump(value: Any) -> bytes:
    """Canonical JSON: keys sorted, no spaces. Equal values give equal bytes, which is what the hash chains stand on."""
    try:
        return orjson.dumps(value, default=_plain, option=_CANONICAL)
    except TypeError:  # whole numbers over 64 bits and lone surrogates, which vendors' JSON may hold
        return json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":")).encode()


def load(data: bytes) -> Any:
    """What ``dump`` wrote; by the standard library because orjson turns whole numbers over 64 bits into floats."""
    return json.loads(data)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")


def encode_alert(alert: Alert) -> bytes:
    """One alert's facts; the fields keep their order, which is as fixed as sorted ones and three times as fast."""
    try:
        return orjson.dumps(alert, default=_plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
    except TypeError:
        return dump(alert)


@lru_cache(maxsize=8192)
def decode_alert(data: bytes) -> Alert:
    """The alert that ``encode_alert`` wrote; orjson, because nothing in an alert is an open value."""
    values = orjson.loads(data)
    for name in _ALERT_TIMES:
        values[name] = datetime.fromisoformat(values[name])
    for name in _ALERT_TUPLES:
        values[name] = tuple(values[name])
    values["entities"] = tuple(
        [
            Entity(_KINDS[entity["kind"]], entity["value"], entity["role"], entity["ref"], entity["facts"])
            for entity in values["entities"]
        ]
    )
    return Alert(**values)


def encode_decision(decision: Decision) -> bytes:
    """The record of a decision, as ``autonomy.record`` has it: what came later is left out while it says nothing."""
    values = _plain(decision)
    return dump(values if decision.starts else {name: value for name, value in values.items() if name != "starts"})


def decode_decision(data: bytes) -> Decision:
    """The decision that ``encode_decision`` wrote."""
    values = load(data)
    values["decided_at"] = moment(values["decided_at"])
    values["hold_until"] = maybe_moment(values["hold_until"])
    values["outcome"] = Outcome(values["outcome"])
    values["verdict"] = Verdict(values["verdict"])
    values["mode"] = Mode(values["mode"])
    values["reasons"] = tuple(values["reasons"])
    values["checks"] = tuple(Check(**check) for check in values["checks"])
    values["proposals"] = tuple(
        Proposal(**{**proposal, "rules": tuple(proposal.get("rules", ()))}) for proposal in values["proposals"]
    )
    values["starts"] = tuple(
        PlaybookStart(**{**start, "rules": tuple(start["rules"])}) for start in values.get("starts", ())
    )
    return Decision(**values)


def decode_action(data: bytes) -> Action:
    """The action whose ``dump`` this is."""
    values = load(data)
    for name in _ACTION_TIMES:
        values[name] = maybe_moment(values[name])
    target = values["target"]
    values["target"] = Target(TargetKind(target["kind"]), target["value"], target["facts"])
    values["state"] = ActionState(values["state"])
    values["losses"] = tuple(values["losses"])
    return Action(**values)
