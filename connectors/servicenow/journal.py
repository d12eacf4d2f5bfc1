"""Comments and work notes of a ticket: entries that a table of their own keeps, and an ACL of its own may hide."""

from nightdesk.connectors.servicenow.client import VENDOR, TableApi, term
from nightdesk.sdk.errors import ResponseError, ScopeError
from nightdesk.sdk.ports import CaseComment
from nightdesk.sdk.triage import is_ours

__all__ = ["JOURNAL", "READ_JOURNAL", "Journal"]

JOURNAL = "sys_journal_field"
READ_JOURNAL = "read access to sys_journal_field"
_ELEMENTS = ("work_notes", "comments")
_FIELDS = ("sys_id", "element_id", "element", "value", "sys_created_by", "sys_created_on")
_MOST = 500  # entries of one ticket, the newest


class Journal:
    """The journals of one table's tickets."""

    def __init__(self, api: TableApi, table: str) -> None:
        self._api = api
        self._table = table

    async def entries(self, sys_id: str) -> list[CaseComment]:
        """What is said at a ticket, oldest first.

        Raises ScopeError when the instance hides the entries: no rows look the same as nothing said, and a repeated
        command would then say everything twice.
        """
        operation = "read comments"
        query = (
            f"{term('element_id', '=', sys_id)}^element={_ELEMENTS[0]}^ORelement={_ELEMENTS[1]}"
            "^ORDERBYDESCsys_created_on^ORDERBYDESCsys_id"
        )
        rows = await self._api.rows(JOURNAL, query, _FIELDS, limit=_MOST, operation=operation, role=READ_JOURNAL)
        if any(row.value("element_id") != sys_id for row in rows):
            message = (
                "entries of other tickets came: the instance ignored a term of the query, or an ACL hides element_id"
            )
            raise ResponseError(message, vendor=VENDOR, operation=operation)
        if not rows and await self._something_said(sys_id):
            message = f"the entries of {sys_id} are hidden; grant the integration user {READ_JOURNAL}"
            raise ScopeError(message, vendor=VENDOR, operation=operation)
        return [
            CaseComment(row.value("sys_id"), text, row.value("sys_created_by"), is_ours(text))
            for row in reversed(rows)
            for text in [row.value("value")]
            if row.value("element") in _ELEMENTS
        ]

    async def _something_said(self, sys_id: str) -> bool:
        """Whether the ticket itself, which shows its journals as one text, shows any."""
        row = await self._api.one(
            self._table, sys_id, ("sys_id", *_ELEMENTS), operation="read comments", role=READ_JOURNAL
        )
        return any(row.shown(element).strip() for element in _ELEMENTS)
