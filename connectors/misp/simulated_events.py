"""The events and attributes behind the simulated instance, and its searches over them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nightdesk.connectors.misp.payloads import seconds, uuid_of
from nightdesk.sdk.context import Clock

__all__ = ["Attribute", "Event", "RefusedError", "Store", "flag"]

_DELTA = re.compile(r"(\d+)([smhdwMy])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_592_000, "y": 31_536_000}
_SEARCHES = frozenset(
    {
        "returnFormat",
        "page",
        "limit",
        "value",
        "type",
        "category",
        "org",
        "tags",
        "eventid",
        "deleted",
        "published",
        "to_ids",
        "timestamp",
        "uuid",
        "attribute_timestamp",
        "event_timestamp",
        "publish_timestamp",
        "last",
        "enforceWarninglist",
        "includeContext",
        "includeEventTags",
        "includeDecayScore",
        "includeEventUuid",
        "metadata",
        "excludeDecayed",
        "headerless",
        "includeCorrelations",
        "includeSightings",
        "sgReferenceOnly",
        "withAttachments",
    }
)


class RefusedError(Exception):
    """What the instance answers with its error document; ``errors`` maps fields to complaints."""

    def __init__(self, status: int, message: str, errors: Mapping[str, Any] | None = None) -> None:
        self.status = status
        self.errors = errors
        super().__init__(message)


@dataclass(slots=True)
class Event:
    """One event."""

    number: int
    uuid: str
    info: str
    org: str
    published: bool = False
    publish_timestamp: int = 0
    timestamp: int = 0

    def document(self) -> dict[str, Any]:
        """As the interface writes it: numbers are text."""
        return {
            "id": str(self.number),
            "uuid": self.uuid,
            "info": self.info,
            "org_id": self.org,
            "orgc_id": self.org,
            "published": self.published,
            "publish_timestamp": str(self.publish_timestamp),
            "timestamp": str(self.timestamp),
            "distribution": "1",
        }


@dataclass(slots=True)
class Attribute:
    """One attribute."""

    number: int
    uuid: str
    event: Event
    type: str
    category: str
    value: str
    to_ids: bool
    comment: str
    timestamp: int
    deleted: bool = False
    tags: list[str] = field(default_factory=list)
    decayed: bool | None = None

    def document(self, *, context: bool = False, decay: bool = False) -> dict[str, Any]:
        """As the interface writes it."""
        event = self.event.document()
        if not context:
            event = {name: event[name] for name in ("id", "uuid", "info", "org_id", "orgc_id", "distribution")}
        scores = [] if self.decayed is None else [{"score": 0 if self.decayed else 80, "decayed": self.decayed}]
        return {
            "id": str(self.number),
            "event_id": str(self.event.number),
            "object_id": "0",
            "category": self.category,
            "type": self.type,
            "value": self.value,
            "to_ids": self.to_ids,
            "uuid": self.uuid,
            "timestamp": str(self.timestamp),
            "distribution": "5",
            "comment": self.comment,
            "deleted": self.deleted,
            "Event": event,
            "Tag": [{"id": str(at + 1), "name": name} for at, name in enumerate(self.tags)],
            **({"decay_score": scores} if decay and scores else {}),
        }


class Store:
    """Everything that one user sees. ``org`` is that user's organisation."""

    def __init__(self, clock: Clock, org: str) -> None:
        self._clock = clock
        self.org = org
        self.events: list[Event] = []
        self.attributes: list[Attribute] = []
        self.warninglists: dict[str, set[str]] = {}

    def event(self, info: str, org: str, uuid: str = "") -> Event:
        """Makes an event."""
        number = len(self.events) + 1
        made = Event(number, uuid or uuid_of(f"event {number} {info}"), info, org, timestamp=seconds(self._clock()))
        self.events.append(made)
        return made

    def attach(self, event: Event, kind: str, category: str, value: str, **more: Any) -> Attribute:
        """Adds an attribute as somebody else, or after the interface has looked at it."""
        number = len(self.attributes) + 1
        fields = {"to_ids": True, "comment": "", "timestamp": seconds(self._clock()), **more}
        made = Attribute(number, fields.pop("uuid", "") or uuid_of(f"{number}"), event, kind, category, value, **fields)
        self.attributes.append(made)
        return made

    def find_events(self, query: Mapping[str, Any]) -> list[Event]:
        """events/restSearch."""
        _search(query)
        found = [one for one in self.events if self._has(one, query)]
        return _paged(found, query)

    def find(self, query: Mapping[str, Any]) -> list[Attribute]:
        """attributes/restSearch."""
        _search(query)
        found = [one for one in self.attributes if self._has(one.event, query) and self._matches(one, query)]
        return _paged(found, query)

    def _has(self, event: Event, query: Mapping[str, Any]) -> bool:
        ids = {str(one) for one in _many(query.get("eventid"))}
        return (
            (not ids or bool(ids & {str(event.number), event.uuid}))
            and ("published" not in query or event.published == flag(query["published"]))
            and self._since(event.publish_timestamp, query.get("publish_timestamp", query.get("last")))
            and self._since(event.timestamp, query.get("event_timestamp", query.get("timestamp")))
        )

    def _matches(self, one: Attribute, query: Mapping[str, Any]) -> bool:
        deleted = {flag(value) for value in _many(query.get("deleted", 0))}
        values = [str(value) for value in _many(query.get("value"))]
        known_good = flag(query.get("enforceWarninglist", False)) and bool(self.lists_with(one.value))
        return (
            one.deleted in deleted
            and not known_good
            and (not values or any(_like(one, value) for value in values))
            and ("type" not in query or one.type in _many(query["type"]))
            and ("uuid" not in query or one.uuid in _many(query["uuid"]))
            and ("to_ids" not in query or one.to_ids == flag(query["to_ids"]))
            and self._since(one.timestamp, query.get("attribute_timestamp"))
            and self._since(one.timestamp, query.get("timestamp"))
        )

    def lists_with(self, value: str) -> list[str]:
        """The warninglists that hold a value."""
        return sorted(name for name, values in self.warninglists.items() if value in values)

    def _since(self, moment: int, bound: Any) -> bool:
        if bound is None:
            return True
        if isinstance(bound, list):
            first, last = sorted(self._moment(one) for one in bound)
            return first <= moment <= last
        return moment >= self._moment(bound)

    def _moment(self, text: Any) -> int:
        found = _DELTA.fullmatch(str(text))
        if found:
            return seconds(self._clock()) - int(found[1]) * _UNITS[found[2]]
        if not str(text).isdecimal():
            raise RefusedError(400, f"Invalid timestamp {text!r}")
        return int(text)


def flag(value: Any) -> bool:
    """What the interface takes for yes."""
    return str(value).lower() in {"1", "true"}


def _search(query: Mapping[str, Any]) -> None:
    if query.get("returnFormat", "json") != "json":
        raise RefusedError(404, "Invalid output format.")
    strange = sorted(set(query) - _SEARCHES)
    if strange:
        # Filters that it does not know are ignored, and the whole instance is the answer: here that is an error.
        raise RefusedError(500, f"unknown filters {', '.join(strange)}")


def _paged(found: list[Any], query: Mapping[str, Any]) -> list[Any]:
    if query.get("limit") is None:
        return found
    limit, page = int(query["limit"]), int(query.get("page") or 1)
    return found[(page - 1) * limit : page * limit]


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else str(value).split("||")


def _like(one: Attribute, value: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in value.split("%"))
    parts = [one.value, *(one.value.split("|") if "|" in one.type else ())]
    return any(re.fullmatch(pattern, part, re.IGNORECASE) for part in parts)
