"""Which values of an unmapped payload speak of the alert itself: its id, times, title, severity, type, rule."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from nightdesk.stix import values
from nightdesk.stix.header import Header
from nightdesk.stix.reading import as_scalar
from nightdesk.stix.scope import FIXED_CREATED
from nightdesk.stix.shapes import Silent, guessed_time, severity_word

__all__ = ["HeaderGuess"]

_LONGEST_TITLE = 256
_LONGEST_DESCRIPTION = 8192
_LONGEST_ID = 256
_MOST_SCORES = 8
_DEEPEST_ID = 3
_DEEP = 3
"""Nearer the root beats better named, by this much a level."""
_ELSEWHERE = 6
"""What stands in the description of something else (a host, a rule) speaks of the alert only if nothing else does."""

_ALERTS = {
    "alert": 0, "detection": 1, "finding": 1, "incident": 2, "alarm": 1, "offense": 1, "notable": 1, "signal": 1,
    "issue": 2, "insight": 2, "breach": 2, "event": 4, "notification": 3, "threat": 5, "message": 6, "log": 6,
}  # fmt: skip
_NEUTRAL = {
    "info", "information", "detail", "data", "property", "attribute", "field", "object", "value", "meta", "metadata",
    "raw", "payload", "body", "result", "source", "native", "system", "unique", "item", "hit", "response", "summary",
    "primary", "input", "match", "full", "risk", "cef", "leef", "extension", "custom", "external", *_ALERTS,
}  # fmt: skip
_INGEST = {"ingest", "ingested", "received", "receive", "indexed", "index", "processed", "insert", "inserted",
           "indexing", "collected", "logged", "backend", "imported"}  # fmt: skip
_OTHER_TIMES = {
    "expire", "expires", "expiry", "expiration", "until", "due", "suppression", "boot", "birth", "launch", "duration",
    "interval", "timeout", "zone", "timezone", "offset", "valid", "install", "installed", "reset", "scan", "resolved",
    "closed", "close", "assigned", "password", "uptime", "publish", "connected", "reboot", "registered", "nanosecond",
    "nanoseconds", "ack", "acknowledged", "load", "fork", "exec", "user",
}  # fmt: skip
_CREATED = {"created": 0, "creation": 0, "create": 0, "detected": 1, "detection": 1, "raised": 1, "triggered": 1,
            "generated": 1, "fired": 1, "opened": 1, "reported": 1, "occurred": 2, "published": 2}  # fmt: skip
_PLAIN = {"time", "stamp", "date", "ts", "rt", "when", "at"}
_CHANGED = {"modified", "modification", "updated", "update", "changed", "edited"}
_OF_TIMES = {"seen", "activity", "event", "time", "utc", "window", "service", "date"}
_FIRST = {"first", "start", "started", "begin", "earliest", "since"}
_LAST = {"last", "end", "ended", "latest", "finish", "finished"}
_TITLES = {"title": 0, "headline": 0, "signature": 2, "summary": 3, "alert": 3, "detection": 3, "message": 4,
           "reason": 4, "subject": 5, "note": 6, "description": 7, "type": 8,
           "category": 8, "action": 9, "activity": 9, "event": 7,
           "classification": 9}  # fmt: skip
_TEXTS = {"description": 0, "message": 2, "reason": 3, "summary": 3, "detail": 4, "text": 5, "note": 5}
_SEVERITIES = {"severity": 0, "criticality": 2, "urgency": 3, "priority": 3, "level": 5}
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing."""
_SAYING = re.compile(r"[^\W\d_]{2}")
_NO_TITLE = re.compile(r"[{(]?[0-9A-Fa-f-]{12,}[)}]?$|[A-Za-z]:[\\/]|/|\\")
_NOTHING_SAID = {"", "-", "n/a", "na", "none", "null", "(null)", "nil", "unknown", "undefined", "redacted", "0",
                 "false", "true", "yes", "no"}  # fmt: skip


@lru_cache(maxsize=16384)
def _slots(path: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """(slot, rank) for the words of a path; several, as one value may be title and type."""
    if not path:
        return ()
    last, before = path[-1], tuple(word for word in path[:-1] if word != "display")
    elsewhere = 0 if all(word in _NEUTRAL for word in before) else _ELSEWHERE
    near = before[-1] if before else ""
    found = [(slot, rank + elsewhere) for slot, rank in _named(last, near, before, elsewhere)]
    own = all(word in _NEUTRAL or word in _TIMELY or word in _OF_TIMES for word in before)
    found += [
        (slot, rank + (0 if own else _ELSEWHERE)) for slot, rank in _times(path, last) if own or slot == "created"
    ]
    return tuple(found)


def _named(  # noqa: C901  # one test a slot
    last: str, near: str, before: tuple[str, ...], elsewhere: int
) -> Iterator[tuple[str, int]]:
    said = [word for word in before if word in _ALERTS]
    if last in {"id", "uuid", "guid", "uid", "identifier"}:
        # What several alerts share (a message, a threat, a connection's uid) must not make one of them.
        if (
            not elsewhere
            and not {"threat", "message", "log"} & {*before}
            and (last != "uid" or said or near == "metadata")
        ):
            rank = {"id": 0, "uuid": 1, "guid": 1}.get(last, 2)
            kind = "parent_id" if said and said[-1] == "incident" else "id"
            yield kind, rank + (2 * _ALERTS[said[-1]] if said else 1)
        elif near == "rule" or before[-2:] == ("rule", "signature"):
            yield "rule_id", -_ELSEWHERE
        elif near == "signature":
            yield "rule_id", 1 - _ELSEWHERE
    if last == "name":
        if near == "rule":
            yield "rule_name", -_ELSEWHERE
            yield "title", 2 - _ELSEWHERE
        elif near in _ALERTS:
            yield "title", 1 + (near in {"event", "message", "log"})
        elif not elsewhere:
            yield "title", 3
        elif near in _NAMERS:
            yield "title", 4 - (_ELSEWHERE if all(word in _NEUTRAL for word in before[:-1]) else 0)
    if near == "rule" and last in {"description", "title"}:
        yield "title", 3 - _ELSEWHERE
    elif last in _TITLES and (last != "type" or not before or said):
        yield "title", _TITLES[last] - 2 * (last == "type" and bool(said))
    if last in _TEXTS:
        yield "description", _TEXTS[last] + (near == "short")
    if last in _SEVERITIES:
        yield "severity", _SEVERITIES[last] if near not in {"risk", "threat", "severity"} else 1
    elif near == "severity" and last in {"name", "label", "word", "text", "value", "id"}:
        yield "severity", 0 if last != "id" else 4
    if last == "score":
        yield "score", 0
    if last in {"vendor", "product"} or (near in {"vendor", "product"} and last == "name"):
        who = last if last != "name" else near
        if all(word in _NEUTRAL or word in _MAKERS for word in before):
            yield who, 0
    if elsewhere:
        return
    if last in {"status", "state"}:
        yield "status", int(last != "status")
    if last in {"type", "category", "class"}:
        yield "type", (0 if near in _ALERTS else 1) + 2 * (last != "type")
    if last in {"count", "occurrences", "occurrence"} and near in {*_ALERTS, "", "total", "hit", "occurrence"}:
        yield "count", 0


def _times(path: tuple[str, ...], last: str) -> Iterator[tuple[str, int]]:
    own = {*path[-3:]}
    if (
        not own & {*_PLAIN, *_CREATED, *_CHANGED, *_FIRST, *_LAST, "seen"}
        or own & (_INGEST | _OTHER_TIMES)
        or last == "by"
    ):
        return
    if own & _CHANGED:
        yield "modified", 0
        yield "created", 6
    elif last in _PLAIN or last in _CREATED or own & {"seen", "activity"} or own & (_FIRST | _LAST):
        if own & _FIRST:
            yield "first", 0
            yield "created", 4
        elif own & _LAST:
            yield "last", 0
            yield "created", 5
        else:
            yield "created", min((_CREATED[word] for word in own if word in _CREATED), default=2 + (last == "date"))


_TIMELY = {*_PLAIN, *_CREATED, *_CHANGED, *_FIRST, *_LAST}
_NAMERS = {"model", "policy", "scenario", "analytic", "report", "watchlist", "signature", "threat", "malware",
           "control", "filter", "search"}  # fmt: skip
_MAKERS = {"device", "observer", "vendor", "product", "name", "cef", "leef"}


@dataclass(frozen=True, slots=True)
class _Candidate:
    score: int
    leaf: int
    value: Any
    path: str


class HeaderGuess:
    """Collects the candidates during the walk, then makes the header; ``used`` are the leaves it took."""

    def __init__(self) -> None:
        self._found: dict[str, list[_Candidate]] = {}
        self._scores: dict[str, float | int] = {}
        self._console: _Candidate | None = None
        self._unfit = False
        self.used: set[int] = set()
        self.problems: list[tuple[str, str, str]] = []
        self.instance: str | None = None
        self.native_id = ""

    def note(self, words: tuple[str, ...], value: Any, leaf: int, depth: int, path: str) -> None:
        """One leaf; most have no slot."""
        for slot, rank in _slots(words):
            fit = _FIT.get(slot)
            taken = value if fit is None else fit(value, words)
            if fit is _fit_id and depth > _DEEPEST_ID:
                continue
            if taken is None:
                self._unfit = self._unfit or slot == "id"
                continue
            if slot == "score":
                if depth < 3 and len(self._scores) < _MOST_SCORES and path not in self._scores:
                    self._scores[path] = taken
                    self.used.add(leaf)
                continue
            self._found.setdefault(slot, []).append(_Candidate(rank + _DEEP * depth, leaf, taken, path))

    def console(self, text: str, leaf: int, score: int) -> None:
        """A link to the alert in the product itself."""
        if self._console is None or score < self._console.score:
            self._console = _Candidate(score, leaf, text, "")

    def choose(self, document: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
        """The id first: it is part of other ids. Without one it is the digest, so that equal bytes are one alert."""
        # An alert with an id of its own, though none to be used, is not its incident.
        slots = ("id",) if self._unfit else ("id", "parent_id")
        best = min(
            (found for slot in slots if (found := self._best(slot))), key=lambda found: found.score, default=None
        )
        vendor, product = self.word("vendor"), self.word("product")
        if vendor or product:
            named = vendor and product and product.lower().startswith(vendor.lower())
            self.instance = product if named else " ".join(dict.fromkeys(text for text in (vendor, product) if text))
        if best is None:
            self.native_id = str(raw["sha256"])
            return
        self._take(best)
        self.native_id = best.value
        if self.instance is None and not _unique(best.value):
            # Two products may both number from 1: what their objects look like keeps them apart.
            shape = orjson.dumps(sorted(document))
            self.instance = f"shape-{hashlib.blake2b(shape, digest_size=6).hexdigest()}"

    def word(self, slot: str) -> str | None:
        """The payload's own word for its vendor or product."""
        best = self._best(slot)
        return None if best is None else str(self._take(best))

    def header(self, raw: Mapping[str, Any]) -> Header:
        """After ``choose``: everything but the vendor fields."""
        made = Header(raw, native_id=self.native_id, instance=self.instance, scores=dict(self._scores))
        self._set_times(made)
        self._set_texts(made)
        self._set_severity(made)
        kind, status = self._best("type"), self._best("status")
        made.native_type = None if kind is None else self._take(kind)
        made.native_status = None if status is None else self._take(status)
        rule, name, count = self._best("rule_id"), self._best("rule_name"), self._best("count")
        if rule is not None:
            beside = name is not None and name.path.rpartition(".")[0] == rule.path.rpartition(".")[0]
            made.rule = {"rule_id": self._take(rule), "rule_name": self._take(name) if name and beside else None}
        if count is not None:
            made.occurrences = self._take(count)
        if self._console is not None:
            made.console_url = self._take(self._console)
        return made

    def _best(self, slot: str) -> _Candidate | None:
        return min(self._found.get(slot, ()), key=lambda found: (found.score, found.leaf), default=None)

    def _take(self, found: _Candidate) -> Any:
        self.used.add(found.leaf)
        return found.value

    def _time(self, slot: str, *, needed: bool = False) -> datetime | None:
        candidates = sorted(self._found.get(slot, ()), key=lambda found: (found.score, found.leaf))
        if not candidates:
            return None
        nearest = candidates[0]
        near = (found for found in candidates if found.score <= nearest.score + _ELSEWHERE)
        best = next((found for found in near if found.value[1]), nearest if needed else None)
        if best is not None and not best.value[1]:
            pointer = f"/{best.path.replace('.', '/')}"
            self.problems.append((pointer, "a time with a zone", "a time without one"))
        return None if best is None else self._take(best)[0]

    def _set_times(self, made: Header) -> None:
        made.created = self._time("created", needed=True)
        made.modified, made.first, made.last = self._time("modified"), self._time("first"), self._time("last")
        if made.created is None:
            # Never the time of arrival: the same bytes would give another alert tomorrow.
            self.problems.append(("/", "a time", "none"))
            made.created = values.moment(FIXED_CREATED)
        elif max(made.first or made.created, made.last or made.created) > made.created + timedelta(days=1):
            made.first = made.last = None

    def _set_texts(self, made: Header) -> None:
        title = self._best("title")
        if title is not None:
            line = next((line.strip() for line in _shown(title.value).splitlines() if line.strip()), "")
            cut = line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "…"
            made.title = cut or None
            self.used.add(title.leaf)
        candidates = sorted(self._found.get("description", ()), key=lambda found: (found.score, found.leaf))
        for found in candidates:
            text = self._take(found)
            if text.strip() != made.title:
                made.description = _shown(text)
                break

    def _set_severity(self, made: Header) -> None:
        candidates = sorted(self._found.get("severity", ()), key=lambda found: (found.score, found.leaf))
        best = next(iter(candidates), None)
        if best is not None:
            # Its word may stand beside its number, but what a part of it is worth says nothing of the whole.
            best = next(
                (found for found in candidates if found.value[1] and found.score <= best.score + _ELSEWHERE), best
            )
            made.native_severity, made.severity = self._take(best)


def _shown(text: str) -> str:
    """A text for people, without what would make them read another one."""
    return _UNSEEN.sub(" ", text)


def _unique(text: str) -> bool:
    """True of an id that no two products would both use."""
    digits = sum(letter.isdigit() for letter in text)
    return (len(text) >= 12 and digits >= 6) or (len(text) >= 16 and len({*text}) >= 10)


def _fit_id(value: Any, words: tuple[str, ...]) -> str | None:
    if value.__class__ is int:
        # Windows numbers its event types, and calls that an event id.
        return str(value) if value > (10**7 if "event" in words[-2:] else 0) else None
    if value.__class__ is not str or not 0 < len(value) <= _LONGEST_ID or value.strip().lower() in _NOTHING_SAID:
        return None
    if value.isdigit() and "event" in words[-2:] and len(value) < 8:
        return None
    if not any(letter.isdigit() for letter in value):
        return None  # a word names a kind, which many alerts share
    return value if not value.isspace() and value.isprintable() else None


def _fit_text(value: Any, _: tuple[str, ...]) -> str | None:
    return value if value.__class__ is str and value.strip().lower() not in _NOTHING_SAID else None


def _fit_title(value: Any, words: tuple[str, ...]) -> str | None:
    text = _fit_text(value, words)
    if text is None or len(text) > _LONGEST_DESCRIPTION or "://" in text[:16] or text[:1] in "{[":
        return None
    return text if _SAYING.search(text[:_LONGEST_TITLE]) and not _NO_TITLE.match(text.strip()) else None


def _fit_description(value: Any, words: tuple[str, ...]) -> str | None:
    text = _fit_text(value, words)
    return text if text is not None and len(text) <= _LONGEST_DESCRIPTION and text[:1] not in "{[" else None


def _fit_word(value: Any, words: tuple[str, ...]) -> str | None:
    text = _fit_text(value, words)
    return text.strip() if text is not None and len(text) <= 64 and text.isprintable() else None


def _fit_severity(value: Any, words: tuple[str, ...]) -> tuple[str, str | None] | None:
    if words[-1] == "level" and value.__class__ is not str:
        return None
    if value.__class__ is str:
        text = _fit_word(value, words)
        return None if text is None else (text, severity_word(text))
    scalar = None if value.__class__ is bool else as_scalar(value, "", Silent())
    return None if scalar is None else (str(scalar), None)


def _fit_number(value: Any, _: tuple[str, ...]) -> float | int | None:
    number = value.__class__ is int or value.__class__ is float
    return value if number and abs(value) < 10**9 else None


def _fit_count(value: Any, _: tuple[str, ...]) -> int | None:
    return value if value.__class__ is int and 0 < value < 10**9 else None


def _fit_time(value: Any, _: tuple[str, ...]) -> tuple[datetime, bool] | None:
    return guessed_time(value)


_FIT: Mapping[str, Any] = {
    "id": _fit_id, "parent_id": _fit_id, "title": _fit_title, "description": _fit_description,
    "severity": _fit_severity, "type": _fit_word, "status": _fit_word, "vendor": _fit_word, "product": _fit_word,
    "rule_id": _fit_id, "rule_name": _fit_word, "score": _fit_number, "count": _fit_count, "created": _fit_time,
    "modified": _fit_time, "first": _fit_time, "last": _fit_time,
}  # fmt: skip
