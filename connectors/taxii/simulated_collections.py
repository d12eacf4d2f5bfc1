"""The collections behind the simulated server: versions with their times of arrival, filters, one-way page tokens."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from nightdesk.sdk.context import Clock
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.testing import FaultPlan

__all__ = ["Collection", "RefusedError", "Stored", "date_added"]

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class RefusedError(Exception):
    """What the server answers with its error resource; 500 as a page of HTML."""

    def __init__(self, message: str, status: int = 400) -> None:
        self.status = status
        super().__init__(message)


@dataclass(slots=True)
class Stored:
    """One version of one object; ``due`` is when the server has processed it."""

    content: dict[str, Any]
    added: datetime
    due: datetime

    @property
    def version(self) -> str:
        """What tells it from other versions of the same object."""
        return str(self.content.get("modified") or self.content.get("created") or date_added(self.added))


@dataclass(slots=True)
class Collection:
    """One collection; ``most`` objects a page."""

    collection_id: str
    title: str
    clock: Clock
    faults: FaultPlan
    can_read: bool = True
    can_write: bool = False
    most: int = 1000
    versions: list[Stored] = field(default_factory=list)
    _tokens: dict[str, tuple[dict[str, str], list[Stored]]] = field(default_factory=dict)

    def resource(self) -> dict[str, Any]:
        """What the server says of it."""
        media = ["application/stix+json;version=2.1"]
        rights = {"can_read": self.can_read, "can_write": self.can_write}
        return {"id": self.collection_id, "title": self.title, **rights, "media_types": media}

    def put(self, objects: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
        """Takes objects that arrive together: they share one ``date_added``. Gives the status of each."""
        now = self.clock()
        late = self.faults.standing("late_effect")
        due = now + timedelta(seconds=float(late.options.get("seconds", 1))) if late else now
        rows = []
        for content in objects:
            stored = Stored(content, now, due)
            row = {"id": str(content.get("id")), "version": stored.version}
            known = any(
                one.content.get("id") == content.get("id") and one.version == stored.version for one in self.versions
            )
            if known or self.faults.standing("accepted_then_failed"):
                row["message"] = "Unable to process object"
            else:
                self.versions.append(stored)
            rows.append(row)
        return rows

    def find(self, query: Mapping[str, str], object_id: str = "") -> tuple[list[Stored], str]:
        """A page, and its token while more is to follow. Raises RefusedError."""
        limit = self._limit(query)
        filters = {name: value for name, value in query.items() if name not in {"limit", "next"}}
        if "next" in query:
            known = self._tokens.get(query["next"])
            if known is None:
                raise RefusedError("The server did not understand the request: 'next' not valid")
            if known[0] != filters:
                raise RefusedError("The server did not understand the request: params changed over transaction")
            token, rest = query["next"], known[1]
        else:
            token, rest = "", self._filtered(filters, object_id)
        page, rest = rest[:limit], rest[limit:]
        self._tokens.pop(token, None)
        if rest:
            # The same token for every page: each call takes what it gives, so none can be had twice.
            token = token or secrets.token_hex(8)
            self._tokens[token] = filters, rest
        return page, token if rest else ""

    def visible(self) -> list[Stored]:
        """What the server has processed, in the order of its arrival."""
        now = self.clock()
        return sorted((one for one in self.versions if one.due <= now), key=lambda one: one.added)

    def _limit(self, query: Mapping[str, str]) -> int:
        text = query.get("limit", str(self.most))
        if not re.fullmatch(r"-?\d+", text):
            raise RefusedError("The server did not understand the request or filter parameters")
        if int(text) <= 0:
            raise RefusedError("The limit parameter cannot be negative or zero")
        return min(int(text), self.most)

    def _filtered(self, query: Mapping[str, str], object_id: str) -> list[Stored]:
        found = self.visible()
        if object_id:
            found = [one for one in found if one.content.get("id") == object_id]
        if "match[id]" in query:
            found = [one for one in found if one.content.get("id") in query["match[id]"].split(",")]
        if "match[type]" in query:
            found = [one for one in found if one.content.get("type") in query["match[type]"].split(",")]
        if "added_after" in query:
            if not _STAMP.fullmatch(query["added_after"]):
                raise RefusedError("<!doctype html><title>500 Internal Server Error</title>", 500)
            floor = instant(query["added_after"]) or 0
            found = [one for one in found if (instant(date_added(one.added)) or 0) > floor]
        return _versions(found, query.get("match[version]", "last").split(","))


def _versions(found: list[Stored], wanted: list[str]) -> list[Stored]:
    if "all" in wanted:
        return found
    kept: list[Stored] = []
    for one in found:
        same = sorted(
            (other for other in found if other.content.get("id") == one.content.get("id")),
            key=lambda other: instant(other.version) or 0,
        )
        first_or_last = ("last" in wanted and one is same[-1]) or ("first" in wanted and one is same[0])
        if first_or_last or one.version in wanted:
            kept.append(one)
    return kept


def date_added(moment: datetime) -> str:
    """A time as TAXII writes it, in microseconds."""
    return iso(int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000, 6)
