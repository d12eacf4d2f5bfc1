"""The simulated reference sets: typed, case-bound or not, and answering 20 elements to whoever asks for no range.

Source: https://ibmsecuritydocs.github.io/qradar_api_20.0/20.0--reference_data-sets-name-GET.html
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.ibm_qradar.payloads import milliseconds
from nightdesk.connectors.ibm_qradar.simulated_console import Listing, RefusedError, Routes, allowed, paged
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["MANAGE", "VIEW", "Entry", "SetsApi"]

VIEW, MANAGE = "View Reference Data", "Manage Reference Data"
_FIRST = 20  # elements without a Range
_NAMED = ("value", "source", "first_seen", "last_seen", "domain_id")


@dataclass(slots=True)
class Entry:
    """One element, and from when on it is there."""

    value: str
    source: str
    first_seen: datetime
    last_seen: datetime
    due: datetime


@dataclass(slots=True)
class _Set:
    name: str
    element_type: str
    created: datetime
    lives: timedelta | None = None
    counts: str = "FIRST_SEEN"
    entries: dict[str, Entry] = field(default_factory=dict)

    def key(self, value: str) -> str:
        return value.lower() if self.element_type == "ALNIC" else value


class SetsApi:
    """Sets by name. The plan's ``late_effect`` and ``accepted_then_failed`` are of the elements."""

    def __init__(self, clock: Clock, faults: FaultPlan) -> None:
        self._clock, self._faults = clock, faults
        self._sets: dict[str, _Set] = {}

    def routes(self) -> Routes:
        """Method, path, capability, handler."""
        return (
            ("GET", "/reference_data/sets/{name}", VIEW, self._read),
            ("POST", "/reference_data/sets/{name}", MANAGE, self._add),
            ("DELETE", "/reference_data/sets/{name}/{value}", MANAGE, self._remove),
        )

    def create(self, name: str, element_type: str, lives: timedelta | None = None, counts: str = "FIRST_SEEN") -> None:
        """A new set, whose elements go ``lives`` after they were first seen, or LAST_SEEN."""
        self._sets[name] = _Set(name, element_type, self._clock(), lives, counts)

    def put(self, name: str, value: str, source: str) -> None:
        """Adds an element, or sees it again."""
        found, now = self._sets[name], self._clock()
        late = self._faults.standing("late_effect")
        due = now + timedelta(seconds=float(late.options.get("seconds", 1)) if late else 0)
        before = self.entries(name).get(found.key(value))
        first, due = (before.first_seen, before.due) if before else (now, due)
        found.entries[found.key(value)] = Entry(value, source, first, now, due)

    def entries(self, name: str) -> dict[str, Entry]:
        """What the set holds now; what is past its time is gone."""
        found, now = self._sets[name], self._clock()
        for key, entry in list(found.entries.items()):
            seen = entry.first_seen if found.counts == "FIRST_SEEN" else entry.last_seen
            if found.lives is not None and seen + found.lives <= now:
                del found.entries[key]
        return {key: entry for key, entry in found.entries.items() if entry.due <= now}

    async def _read(self, request: Request) -> Response:
        allowed(request, "filter", "namespace")
        found = self._of(request)
        rows = [
            {
                "value": entry.value,
                "source": entry.source,
                "first_seen": milliseconds(entry.first_seen),
                "last_seen": milliseconds(entry.last_seen),
                "domain_id": None,
            }
            for entry in self.entries(found.name).values()
        ]
        page, start, _, total = Listing(_NAMED).rows(request, rows, first=_FIRST)
        body = self._about(found)
        return paged(request, {**body, "data": page} if page else body, page, start, total)

    async def _add(self, request: Request) -> Response:
        allowed(request, "value", "source", "namespace", "domain_id")
        found = self._of(request)
        value = request.query_params.get("value", "")
        if not value or (found.element_type == "IP" and not _is_address(value)):
            raise RefusedError(422, 1005, f"The value {value!r} cannot be converted to {found.element_type}")
        if self._faults.standing("accepted_then_failed") is None:
            self.put(found.name, value, request.query_params.get("source", "reference data api"))
        return JSONResponse(self._about(found))

    async def _remove(self, request: Request) -> Response:
        allowed(request, "namespace", "domain_id")
        found = self._of(request)
        value = unquote(request.path_params["value"])  # the web server has decoded it once
        if found.key(value) not in self.entries(found.name):
            raise RefusedError(404, 1003, f"The record {value} does not exist in the reference set {found.name}")
        if self._faults.standing("accepted_then_failed") is None:
            del found.entries[found.key(value)]
        return JSONResponse(self._about(found))

    def _of(self, request: Request) -> _Set:
        name = request.path_params["name"]
        if name not in self._sets:
            raise RefusedError(404, 1002, f"{name} does not exist")
        return self._sets[name]

    def _about(self, found: _Set) -> dict[str, Any]:
        return {
            "collection_id": 1 + list(self._sets).index(found.name),
            "creation_time": milliseconds(found.created),
            "element_type": found.element_type,
            "name": found.name,
            "namespace": "SHARED",
            "number_of_elements": len(self.entries(found.name)),
            "timeout_type": found.counts if found.lives else "UNKNOWN",
            **({"time_to_live": _span(found.lives)} if found.lives else {}),
        }


def _span(lives: timedelta) -> str:
    """An interval as the console's database writes it."""
    hours, rest = divmod(lives.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"0 years 0 mons {lives.days} days {hours} hours {minutes} mins {seconds}.00 secs"


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
