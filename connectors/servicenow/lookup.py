"""Finds the ticket of a case, and checks that what came is what was asked for."""

import re
from collections.abc import Mapping

from nightdesk.connectors.servicenow.client import VENDOR, Row, TableApi, term
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError, ScopeError
from nightdesk.sdk.ports import Command

__all__ = ["FIELDS", "READ", "WRITE", "Lookup", "case_of", "checked", "signature"]

READ = "role itil or snc_read_only (read access to the table of tickets)"
WRITE = "role itil (write access to the table of tickets)"
FIELDS = (
    "sys_id",
    "number",
    "short_description",
    "description",
    "state",
    "impact",
    "urgency",
    "close_notes",
    "correlation_id",
    "correlation_display",
    "sys_updated_on",
    "sys_mod_count",
)
_SYS_ID = re.compile(r"[0-9a-f]{32}")
_MAX_CORRELATION = 100  # characters of both correlation fields


def signature(tenant: str) -> str:
    """What ``correlation_display`` says of our tickets: other integrations use the correlation id too."""
    return f"nightdesk:{tenant}"


def checked(row: Row, wanted: Mapping[str, str], operation: str) -> Row:
    """The row, if it is what was asked for: an instance ignores terms that it does not understand, and gives all rows.

    Raises ScopeError when an ACL hides the field, ResponseError when the row is another one.
    """
    for name, value in wanted.items():
        if not row.has(name):
            message = (
                f"an ACL hides {name} of {row.value('number') or 'a ticket'}; grant the integration user the {READ}"
            )
            raise ScopeError(message, vendor=VENDOR, operation=operation)
        if row.value(name).casefold() != value.casefold():  # the database does not tell them apart either
            message = (
                f"asked for {name} {value!r} the instance gave {row.value('number') or 'another ticket'}: it ignored a"
                f" term of the query; check that {name} exists and is readable, and set the system property"
                " glide.invalid_query.returns_no_rows to true"
            )
            raise ResponseError(message, vendor=VENDOR, operation=operation)
    return row


def case_of(command: Command) -> str:
    """Our case id as a correlation id. Raises RejectedError for one that would be cut."""
    case_id = command.target.value
    if len(case_id) > _MAX_CORRELATION:
        message = f"the case id {case_id[:40]}… is longer than the {_MAX_CORRELATION} characters of correlation_id"
        raise RejectedError(message, vendor=VENDOR, operation="find ticket")
    return case_id


class Lookup:
    """The tickets of one tenant in one table, by case."""

    def __init__(self, api: TableApi, *, table: str, tenant: str) -> None:
        self._api = api
        self._table = table
        self._signature = signature(tenant)

    async def find(self, command: Command) -> Row | None:
        """The case's ticket; of several, which only a race can make, the oldest."""
        if command.native_id:
            return await self._one(command.native_id)
        operation = "find ticket"
        wanted = {"correlation_display": self._signature, "correlation_id": case_of(command)}
        query = "^".join(
            [*(term(name, "=", value) for name, value in wanted.items()), "ORDERBYsys_created_on", "ORDERBYsys_id"]
        )
        rows = await self._api.rows(self._table, query, FIELDS, limit=10, operation=operation, role=READ)
        ours = [checked(row, wanted, operation) for row in rows]
        return next((row for row in ours if row.value("correlation_id") == wanted["correlation_id"]), None)

    async def need(self, command: Command) -> Row:
        """Raises NotFoundError when the case has no ticket."""
        row = await self.find(command)
        if row is None:
            message = f"{self._table} has no ticket of {command.target.value}; case.open makes one"
            raise NotFoundError(message, vendor=VENDOR, operation="find ticket")
        return row

    async def _one(self, sys_id: str) -> Row:
        if not _SYS_ID.fullmatch(sys_id):
            raise RejectedError(f"{sys_id[:40]!r} is no sys_id", vendor=VENDOR, operation="read ticket")
        return await self._api.one(self._table, sys_id, FIELDS, operation="read ticket", role=READ)
