"""The simulated Table API: lists, records, field ACLs, the three ways to show a value, paging with its headers."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.servicenow.encoded import Query
from nightdesk.connectors.servicenow.payloads import CHOICES, COLUMNS, JOURNALS, REFERENCES, TIMES, USERS
from nightdesk.connectors.servicenow.simulated_tickets import TICKETS, Tickets
from nightdesk.connectors.servicenow.wire import RefusedError, json_object, stamp, sys_id
from nightdesk.sdk.context import Clock

__all__ = ["TableApi"]

_MOST = 10_000  # rows, when nobody says how many
_NAMES = {sys_id("user", name): full for name, full in USERS.items()}


class TableApi:
    """The REST API of all tables for one user.

    ``hidden`` fields an ACL lets it neither read nor write; by ``unqueried`` ones it may not select.
    """

    def __init__(self, clock: Clock, tickets: Tickets) -> None:
        self.hidden: set[str] = set()
        self.unqueried: set[str] = set()
        self.journal_hidden = False
        self.offset = timedelta()
        self.strict_queries = False
        self._clock = clock
        self._tickets = tickets

    async def list(self, request: Request) -> Response:
        """GET of a table."""
        table, params = self._table(request), request.query_params
        shut = self.journal_hidden and table == "sys_journal_field"
        records = [] if shut else self._tickets.tables[table].values()
        readable = set(COLUMNS[table]) - self.hidden - self.unqueried - set(JOURNALS)
        query = Query(
            params.get("sysparm_query", ""),
            readable,
            self._clock(),
            offset=self.offset,
            strict=self.strict_queries,
        )
        found = query.select(records)
        limit, offset = _number(params.get("sysparm_limit"), _MOST), _number(params.get("sysparm_offset"), 0)
        rows = [self._shown(request, table, record) for record in found[offset : offset + limit]]
        headers = {}
        if params.get("sysparm_no_count") != "true":
            headers["X-Total-Count"] = str(len(found))
        if params.get("sysparm_suppress_pagination_header") != "true" and offset + limit < len(found):
            following = request.url.include_query_params(sysparm_offset=offset + limit)
            headers["Link"] = f'<{following}>;rel="next"'
        return JSONResponse({"result": rows}, headers=headers)

    async def read(self, request: Request) -> Response:
        """GET of a record."""
        table, record = self._record(request)
        return JSONResponse({"result": self._shown(request, table, record)})

    async def create(self, request: Request) -> Response:
        """POST to a table."""
        table = self._writable(request)
        record = self._tickets.insert(table, self._taken(await json_object(request)))
        headers = {"Location": f"{request.url.replace(query='')}/{record['sys_id']}"}
        return JSONResponse({"result": self._shown(request, table, record)}, 201, headers=headers)

    async def change(self, request: Request) -> Response:
        """PATCH or PUT of a record: the same, neither replaces it."""
        table, record = self._record(request)
        self._writable(request)
        after = self._tickets.update(table, record["sys_id"], self._taken(await json_object(request)))
        return JSONResponse({"result": self._shown(request, table, after)})

    def _table(self, request: Request) -> str:
        table = str(request.path_params["table"])
        if table not in COLUMNS:
            raise RefusedError(400, f"Invalid table {table}")
        return table

    def _writable(self, request: Request) -> str:
        table = self._table(request)
        if table not in TICKETS:
            raise RefusedError(403, "Insufficient rights to write this table", "ACL Exception")
        return table

    def _record(self, request: Request) -> tuple[str, Mapping[str, str]]:
        table = self._table(request)
        record = self._tickets.tables[table].get(request.path_params["record"])
        if record is None:
            raise RefusedError(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
        return table, record

    def _taken(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name not in self.hidden}

    def _shown(self, request: Request, table: str, record: Mapping[str, str]) -> dict[str, Any]:
        params = request.query_params
        asked = [name for name in params.get("sysparm_fields", "").split(",") if name]
        names: Iterable[str] = asked or COLUMNS[table]
        mode, bare = (
            params.get("sysparm_display_value", "false"),
            params.get("sysparm_exclude_reference_link") == "true",
        )
        link = "" if bare else f"{request.base_url}api/now/table"
        return {
            name: self._field(table, record, name, mode, link)
            for name in names
            if name in COLUMNS[table] and name not in self.hidden
        }

    def _field(self, table: str, record: Mapping[str, str], name: str, mode: str, link: str) -> Any:
        value, shown = record.get(name, ""), self._display(table, record, name)
        there = {"link": f"{link}/{REFERENCES[name]}/{value}"} if link and value and name in REFERENCES else {}
        if mode == "all":
            return {"display_value": shown, "value": value, **there}
        if mode == "true":
            return {"display_value": shown, **there} if there else shown
        return {**there, "value": value} if there else value

    def _display(self, table: str, record: Mapping[str, str], name: str) -> str:
        if name in JOURNALS:
            label = "Work notes" if name == "work_notes" else "Additional comments"
            entries = reversed(self._tickets.said(record["sys_id"], name))
            return "".join(
                f"{self._local(entry['sys_created_on'])} - {USERS[entry['sys_created_by']]}"
                f" ({label})\n{entry['value']}\n\n"
                for entry in entries
            )
        value = record.get(name, "")
        if name in TIMES:
            return self._local(value)
        if name in REFERENCES:
            return _NAMES.get(value, value)
        return CHOICES.get(table, {}).get(name, {}).get(value, value)

    def _local(self, text: str) -> str:
        return stamp(datetime.fromisoformat(text) + self.offset) if text else ""


def _number(text: str | None, default: int) -> int:
    """A number that makes no sense is no error: the default is taken."""
    return int(text) if text is not None and text.isdecimal() else default
