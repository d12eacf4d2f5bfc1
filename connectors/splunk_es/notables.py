"""Notables as rows: the searches that find them, what identifies one version of one, and where a sweep stands."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from nightdesk.sdk.context import Settings
from nightdesk.sdk.errors import ConfigError, CursorExpiredError, Problem, RejectedError, ResponseError
from nightdesk.sdk.records import Cursor, RawRecord

__all__ = [
    "LOOK_BEHIND",
    "MACRO",
    "Position",
    "base_search",
    "by_ids",
    "changes",
    "digest",
    "event_id",
    "fresh",
    "history",
    "in_order",
    "index_second",
    "new",
    "one",
    "quotable",
    "record_of",
    "refuse_side_effects",
    "reviews",
    "start_of",
]

PRODUCT = "splunk_es"
LOOK_BEHIND = 60
"""Seconds: reviews are stamped by the search head that took them, and heads differ."""

MACRO = "`notable`"
_FIRST_LOOK = timedelta(days=1)
# Epochs beside the fields: _time is written in the time zone of the API's user.
_EPOCHS = "eval nd_time=_time, nd_indextime=_indextime"
_INDEX = re.compile(r"^[A-Za-z0-9_-]+$")
_EVENT_ID = re.compile(r"^[A-Za-z0-9@._-]{1,256}$")
_BUCKET_ID = re.compile(r"^([A-Za-z0-9_.-]+~\d+~[A-Za-z0-9-]+):(\d+:\d+)$")
_REVIEW_FIELDS = ("review_time", "status", "owner", "urgency", "disposition", "comment")
_SIDE_EFFECTS = re.compile(
    r"[|\[]\s*(delete|collect|mcollect|meventcollect|outputlookup|outputcsv|outputtext|dump|sendemail|sendalert|"
    r"script|run|runshellscript|tscollect|map|fit|summaryindex|si\w+)\b",
    re.IGNORECASE,
)


def base_search(settings: Settings) -> str:
    """The search that every sweep begins with. Raises ConfigError."""
    custom, index = settings.text("search").strip(), settings.text("index", "notable")
    if custom and not custom.startswith(("search ", "|")):
        # The user interface adds it, the API does not.
        raise ConfigError([Problem("settings", "search", "must begin with 'search ' or '|'")])
    if not _INDEX.match(index):
        raise ConfigError([Problem("settings", "index", "must be the name of one index, without wildcards")])
    return custom or f'search {MACRO} | search index="{index}"'


def new(base: str) -> str:
    """All notables of the window in the order of their arrival; without ``sort 0`` only 10,000 would be sorted."""
    return f"{base} | {_EPOCHS} | sort 0 _indextime, event_id"


def by_ids(base: str, ids: Iterable[str]) -> str:
    """The notables of these ids."""
    listed = ", ".join(f'"{event_id(native_id)}"' for native_id in ids)
    return f"{base} | search event_id IN ({listed}) | {_EPOCHS} | sort 0 _indextime, event_id"


def one(native_id: str, index: str) -> str:
    """One notable, by its event id or by its place in the index."""
    place = _BUCKET_ID.match(native_id)
    if place:
        return f'search index="{index}" | where _bkt="{place[1]}" AND _cd="{place[2]}" | {_EPOCHS}'
    return f'search `notable_by_id("{event_id(native_id)}")` | {_EPOCHS}'


def reviews(since: float, until: float) -> str:
    """Who was reviewed in a half-open window."""
    return (
        f"| `incident_review` | where _time>={since:.3f} AND _time<{until:.3f} | eval nd_review_time=_time"
        " | sort 0 nd_review_time, rule_id | fields nd_review_time, rule_id"
    )


def history(native_id: str) -> str:
    """Every review of one notable."""
    return (
        f'| `incident_review` | where rule_id="{event_id(native_id)}" | eval nd_review_time=_time'
        " | sort 0 nd_review_time | fields nd_review_time, rule_id, comment"
    )


def event_id(text: str) -> str:
    """The id, fit to stand between quotes in a search. Raises RejectedError."""
    if not _EVENT_ID.match(text):
        raise RejectedError(f"splunk_es: {text!r} is no event id, so no review can be read or written for it")
    return text


def refuse_side_effects(query: str) -> None:
    """Raises RejectedError unless the query is a plain read; a macro can still hide a command."""
    if not query.startswith(("search ", "|")):
        raise RejectedError("splunk_es: search: the query must begin with 'search ' or '|'")
    found = _SIDE_EFFECTS.search(query)
    if found:
        raise RejectedError(f"splunk_es: search: the command {found[1]!r} can change something; a search only reads")


def index_second(row: Mapping[str, Any]) -> int:
    """When the row was indexed. Raises ConfigError: only a search that drops the field can lack it."""
    try:
        return int(float(str(row.get("nd_indextime") or row["_indextime"])))
    except (KeyError, ValueError):
        problem = "its rows have no _indextime; keep that field, or alerts that are indexed late would be lost"
        raise ConfigError([Problem("settings", "search", problem)]) from None


def record_of(row: Mapping[str, Any], payload: bytes | None = None) -> RawRecord:
    """One row as a record; its key changes with the review and with nothing that varies from poll to poll."""
    place = (row.get("_bkt"), row.get("_cd"))
    native_id = str(row.get("event_id") or "")
    if not native_id and all(isinstance(part, str) and part for part in place):
        native_id = ":".join(map(str, place))
    seen = str(row.get("review_time") or row.get("nd_indextime") or row.get("_indextime") or "")
    # _serial, _si and splunk_server say where a row was read this time.
    content = {name: value for name, value in row.items() if name == "_raw" or not name.startswith(("_", "splunk_"))}
    identity = native_id or f"row-{digest(row.get('_raw') or content)}"
    state = digest([row.get(name) for name in _REVIEW_FIELDS])
    return RawRecord(
        payload=orjson.dumps(row) if payload is None else payload,
        key=f"{identity}:{seen}-{state}",
        native_id=native_id,
        product=PRODUCT,
    )


def digest(value: Any) -> str:
    """A short fingerprint of anything JSON can hold."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Position:
    """Where both sweeps stand: the last second and what of it was seen, the last review and what was seen near it."""

    index_time: int
    review_time: float
    seen: frozenset[str] = frozenset()
    reviewed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, cursor: Cursor | None, *, start: datetime) -> "Position":
        """From a stored cursor, or at the start. Raises CursorExpiredError."""
        if cursor is None:
            return cls(int(start.timestamp()), start.timestamp())
        try:
            return cls(
                int(cursor["index_time"]),
                float(cursor["review_time"]),
                frozenset(map(str, cursor["seen"])),
                frozenset(map(str, cursor["reviewed"])),
            )
        except (KeyError, TypeError, ValueError):
            raise CursorExpiredError("splunk_es: the stored cursor cannot be read; restart from the start") from None

    def cursor(self) -> Cursor:
        """JSON-safe, the same for the same position."""
        return {
            "index_time": self.index_time,
            "seen": sorted(self.seen),
            "review_time": self.review_time,
            "reviewed": sorted(self.reviewed),
        }


def start_of(settings: Settings, now: datetime) -> datetime:
    """Where the first sweep begins. Raises ConfigError."""
    text = settings.text("start")
    if not text:
        return now - _FIRST_LOOK
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problem = "must be a time such as 2026-11-01T00:00:00Z"
        raise ConfigError([Problem("settings", "start", problem)]) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def fresh(rows: Iterable[Mapping[str, Any]], position: Position) -> tuple[Position, list[RawRecord]]:
    """What of a page is new, and the position behind it: the last second is read again and told apart by id."""
    records: list[RawRecord] = []
    last, seen = position.index_time, set(position.seen)
    for row in rows:
        second, record = index_second(row), record_of(row)
        if second > last:
            last, seen = second, set()
        mark = digest(record.native_id or record.key)
        if mark not in seen:
            seen.add(mark)
            records.append(record)
    return replace(position, index_time=last, seen=frozenset(seen)), records


def changes(rows: Iterable[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Rows of ``reviews`` as (when, which). Raises ResponseError."""
    try:
        return [(float(row["nd_review_time"]), str(row["rule_id"])) for row in rows]
    except (KeyError, TypeError, ValueError):
        raise ResponseError("a review has no time or no rule_id", vendor=PRODUCT, operation="pull reviews") from None


def quotable(ids: Iterable[str]) -> list[str]:
    """Those that can be an event id, once each: what a person typed into the review history is left out."""
    return list(dict.fromkeys(text for text in ids if _EVENT_ID.match(text)))


def in_order(rows: Iterable[Mapping[str, Any]], ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows in the order their ids were asked for."""
    turns = {native_id: turn for turn, native_id in enumerate(ids)}
    return sorted(rows, key=lambda row: turns.get(str(row.get("event_id")), len(turns)))
