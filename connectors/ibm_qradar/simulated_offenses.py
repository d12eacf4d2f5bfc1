"""The simulated siem and analytics endpoints: offenses, their notes, closing reasons, addresses and rules.

Source: https://ibmsecuritydocs.github.io/qradar_api_20.0/20.0--siem-offenses-offense_id-POST.html
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.ibm_qradar.payloads import Story, milliseconds
from nightdesk.connectors.ibm_qradar.simulated_console import (
    Listing,
    RefusedError,
    Routes,
    allowed,
    number,
    paged,
    version_of,
)
from nightdesk.connectors.ibm_qradar.simulated_filter import ordering, picked
from nightdesk.sdk.context import Clock

__all__ = ["CLOSE", "OFFENSES", "RULES", "OffensesApi"]

OFFENSES, CLOSE, RULES = "Offenses", "Manage Offense Closing Reasons", "View Custom Rules"
_PERSISTED = frozenset({"first_persisted_time", "last_persisted_time"})
_PERSISTED_SINCE = 15  # the version that brought them


def _fields(names: str) -> frozenset[str]:
    return frozenset(names.split())


_BOTH = _fields(
    "id assigned_to categories category_count policy_category_count security_category_count close_time closing_user"
    " closing_reason_id credibility relevance severity magnitude device_count event_count flow_count inactive"
    " last_updated_time offense_type protected follow_up remote_destination_count start_time status"
    " username_count"
)
_FILTERED = _BOTH | _fields(
    "destination_networks local_destination_count source_count source_address_ids local_destination_address_ids"
    " domain_id rules log_sources"
)
_SORTED = _BOTH | {"offense_source"}
_STATUSES = frozenset({"OPEN", "HIDDEN", "CLOSED"})
_UPDATES = ("status", "closing_reason_id", "assigned_to", "follow_up", "protected")
_FIRST_ID = 1201
_LONGEST_URL = 8192  # bytes of a request line that the console's web server takes


class OffensesApi:
    """Every offense, and what it points at."""

    def __init__(
        self, clock: Clock, site: str, versions: tuple[str, ...], drift: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self._clock, self._site, self._versions, self._drift = clock, site, versions, drift
        self.offenses: dict[int, dict[str, Any]] = {}
        self.events: list[tuple[int, Mapping[str, Any]]] = []
        self.notes: dict[int, list[dict[str, Any]]] = {}
        self.sources: dict[int, dict[str, Any]] = {}
        self.destinations: dict[int, dict[str, Any]] = {}
        self.rules: dict[int, dict[str, Any]] = {}
        self.types: dict[int, dict[str, Any]] = {}
        names = (("False-Positive, Tuned", False), ("Non-Issue", False), ("Policy Violation", False), ("System", True))
        self.reasons = {at: _reason(at, text, reserved=reserved) for at, (text, reserved) in enumerate(names, 1)}

    def routes(self) -> Routes:
        """Method, path, capability, handler."""
        one = "/siem/offenses/{offense_id}"
        tables = (("/siem/source_addresses", self.sources), ("/siem/local_destination_addresses", self.destinations))
        return (
            ("GET", "/siem/offenses", OFFENSES, self._list),
            ("GET", one, OFFENSES, self._read),
            ("POST", one, CLOSE, self._update),
            ("GET", f"{one}/notes", OFFENSES, self._list_notes),
            ("POST", f"{one}/notes", OFFENSES, self._note),
            ("GET", "/siem/offense_closing_reasons", OFFENSES, self._list_reasons),
            ("GET", "/siem/offense_types", OFFENSES, _table(self.types, "id", "name")),
            *(("GET", path, OFFENSES, _table(rows, "id")) for path, rows in tables),
            ("GET", "/analytics/rules", RULES, _table(self.rules, "id", "name", "type", "enabled")),
        )

    def open(self, story: Story) -> int:
        """A new offense; its number follows the newest."""
        offense_id = max(self.offenses, default=_FIRST_ID - 1) + 1
        self.offenses[offense_id] = story.offense(offense_id)
        self.notes[offense_id] = []
        self.events.append((offense_id, story.event()))
        self.rules[story.rule["id"]] = story.rule
        for rows, row in zip((self.sources, self.destinations), story.addresses(), strict=True):
            if row is not None:
                rows[row["id"]] = row
        return offense_id

    def change(self, offense_id: int, **fields: Any) -> None:
        """What the console or a person writes; every write moves last_persisted_time, and only forward."""
        offense = self.offenses[offense_id]
        later = max(milliseconds(self._clock()), offense["last_persisted_time"] + 1)
        offense.update({"last_persisted_time": later, **fields})

    def add_note(self, offense_id: int, text: str, user: str) -> dict[str, Any]:
        """A note, which nothing changes or removes."""
        found = self.notes[offense_id]
        note = {
            "id": offense_id * 100 + len(found),
            "create_time": milliseconds(self._clock()),
            "username": user,
            "note_text": text,
        }
        found.append(note)
        self.change(offense_id)
        return note

    async def _list(self, request: Request) -> Response:
        allowed(request, "filter", "sort")
        persisted = self._persisted(request)
        key, down = ordering(request.query_params.get("sort", "-start_time"), _SORTED | persisted)
        rows = sorted(self.offenses.values(), key=key, reverse=down)
        shown = [self._shown(request, offense) for offense in rows]
        page, start, _, total = Listing(_FILTERED | persisted, ("status",)).rows(request, shown)
        page = [self._drift(offense) for offense in page]
        return paged(request, page, page, start, total)

    async def _read(self, request: Request) -> Response:
        allowed(request)
        return self._answer(request, self._offense(request))

    async def _update(self, request: Request) -> Response:
        allowed(request, *_UPDATES)
        given = request.query_params
        offense = self._offense(request)
        status = given.get("status")
        if status is not None and status not in _STATUSES:
            raise RefusedError(422, 1005, f"status {status!r} is not one of OPEN, HIDDEN, CLOSED")
        if offense["status"] == "CLOSED" and status != "OPEN":
            raise RefusedError(409, 1008, f"Offense {offense['id']} is closed and cannot be updated")
        changed: dict[str, Any] = {}
        if status is not None:
            changed = self._moved(request, status)
        for name in ("follow_up", "protected"):
            if name in given:
                changed[name] = given[name] == "true"
        if "assigned_to" in given:
            changed["assigned_to"] = given["assigned_to"] or None
        self.change(offense["id"], **changed)
        return self._answer(request, offense)

    def _moved(self, request: Request, status: str) -> dict[str, Any]:
        """What a new status writes; closing needs a reason that is neither reserved nor deleted."""
        if status == "CLOSED":
            reason = number(request.query_params.get("closing_reason_id", "none"), "closing_reason_id")
            found = self.reasons.get(reason)
            if found is None or found["is_reserved"] or found["is_deleted"]:
                raise RefusedError(422, 1005, f"closing_reason_id {reason} cannot be used to close an offense")
            now, user = milliseconds(self._clock()), "API_user: nightdesk"
            return {"status": status, "closing_reason_id": reason, "close_time": now, "closing_user": user}
        return {"status": status, "closing_reason_id": None, "close_time": None, "closing_user": None}

    async def _list_notes(self, request: Request) -> Response:
        allowed(request, "filter")
        rows = self.notes[self._offense(request)["id"]]
        return Listing(("id", "create_time", "username", "note_text")).answer(request, rows)

    async def _note(self, request: Request) -> Response:
        allowed(request, "note_text")
        text = request.query_params.get("note_text", "")
        offense = self._offense(request)
        if not text.strip():
            raise RefusedError(422, 1005, "Request parameter 'note_text' is required")
        if len(quote(str(request.url), safe="%")) > _LONGEST_URL:
            raise RefusedError(400, 0, "Request header is too large")
        note, fields = self.add_note(offense["id"], text, "API_user: nightdesk"), request.query_params.get("fields", "")
        return JSONResponse(picked(note, fields) if fields else note, 201)

    async def _list_reasons(self, request: Request) -> Response:
        allowed(request, "filter", "include_reserved", "include_deleted")
        shown: Iterable[dict[str, Any]] = self.reasons.values()
        for name in ("reserved", "deleted"):
            if request.query_params.get(f"include_{name}") != "true":
                shown = [row for row in shown if not row[f"is_{name}"]]
        return Listing(("id", "text", "is_deleted", "is_reserved")).answer(request, shown)

    def _offense(self, request: Request) -> dict[str, Any]:
        offense_id = number(request.path_params["offense_id"], "offense_id")
        if offense_id not in self.offenses:
            raise RefusedError(404, 1002, f"No offense was found for the provided offense_id {offense_id}.")
        return self.offenses[offense_id]

    def _answer(self, request: Request, offense: Mapping[str, Any]) -> Response:
        shown, fields = self._shown(request, offense), request.query_params.get("fields", "")
        return JSONResponse(self._drift(picked(shown, fields) if fields else shown))

    def _persisted(self, request: Request) -> frozenset[str]:
        version = float(version_of(request, self._versions))
        return _PERSISTED if version >= _PERSISTED_SINCE else frozenset()

    def _shown(self, request: Request, offense: Mapping[str, Any]) -> dict[str, Any]:
        hidden = _PERSISTED - self._persisted(request)
        return {name: value for name, value in offense.items() if name not in hidden}


def _table(rows: Mapping[int, Mapping[str, Any]], *known: str) -> Any:
    """The GET of a collection that is looked things up in."""

    async def listed(request: Request) -> Response:
        allowed(request, "filter")
        return Listing(known).answer(request, rows.values())

    return listed


def _reason(number_: int, text: str, *, reserved: bool = False, deleted: bool = False) -> dict[str, Any]:
    return {"id": number_, "text": text, "is_reserved": reserved, "is_deleted": deleted}
