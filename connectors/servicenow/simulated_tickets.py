"""The simulated tables of tickets: what the instance fills in, computes, appends to journals, and refuses by rule."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.servicenow.payloads import CHOICES, COLUMNS, JOURNALS, USERS, choice_rows, new_ticket
from nightdesk.connectors.servicenow.wire import RefusedError, stamp, sys_id
from nightdesk.sdk.context import Clock

__all__ = ["ME", "PERSON", "TICKETS", "Tickets"]

ME, PERSON = tuple(USERS)
TICKETS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "incident": {"resolved": frozenset({"6"}), "locked": frozenset({"7", "8"})},
    "sn_si_incident": {"resolved": frozenset({"3"}), "locked": frozenset({"7"})},
}
_KEPT = frozenset(name for name in COLUMNS["incident"] if name.startswith("sys_")) | {"number", "priority", "active"}
_SHORT = {"short_description": 160, "correlation_id": 100, "correlation_display": 100, "close_notes": 4000}
_ON_HOLD = "3"


class Tickets:
    """Every table by name, each record by ``sys_id``; all writes go through ``insert`` and ``update``."""

    def __init__(self, clock: Clock, seed: str) -> None:
        self.tables: dict[str, dict[str, dict[str, str]]] = {name: {} for name in COLUMNS}
        self.tables["sys_choice"] = {row["sys_id"]: row for row in choice_rows()}
        self.protected: set[str] = set()
        self._clock = clock
        self._seed = seed

    def insert(self, table: str, given: Mapping[str, Any], user: str = ME) -> dict[str, str]:
        """A new ticket. Fields that are unknown, computed or protected by an ACL are dropped without a word."""
        number = len(self.tables[table]) + 1
        record = new_ticket(table, number, user, stamp(self._clock()), self._seed)
        record |= self._writable(table, given, user)
        self._check(table, record)
        self._compute(record)
        self.tables[table][record["sys_id"]] = record
        self._append(table, record, given, user)
        return record

    def update(self, table: str, name: str, given: Mapping[str, Any], user: str = ME) -> dict[str, str]:
        """A changed ticket; one that nothing changes keeps its version."""
        before = self.tables[table][name]
        if before["state"] in TICKETS[table]["locked"]:
            message = f"Operation against file '{table}' was aborted by Business Rule 'Closed records are read-only'"
            raise RefusedError(403, message, "Operation Failed")
        changes = {
            field: text for field, text in self._writable(table, given, user).items() if before.get(field) != text
        }
        after = {**before, **changes}
        self._check(table, after)
        self._compute(after)
        said = self._append(table, after, given, user)
        if after != before or said:
            after["sys_mod_count"] = str(int(after["sys_mod_count"]) + 1)
            after["sys_updated_on"] = stamp(self._clock())
            after["sys_updated_by"] = user
        self.tables[table][name] = after
        return after

    def said(self, name: str, *elements: str) -> list[dict[str, str]]:
        """The journal entries of a ticket, oldest first."""
        wanted = elements or JOURNALS
        rows = self.tables["sys_journal_field"].values()
        return [row for row in rows if row["element_id"] == name and row["element"] in wanted]

    def _writable(self, table: str, given: Mapping[str, Any], user: str) -> dict[str, str]:
        shut = self.protected if user == ME else frozenset[str]()
        return {
            name: _text(value)[: _SHORT.get(name, 10**6)]
            for name, value in given.items()
            if name in COLUMNS[table] and name not in {*_KEPT, *JOURNALS, *shut}
        }

    def _check(self, table: str, record: Mapping[str, str]) -> None:
        """The data policies of the table. Raises RefusedError."""
        missing = []
        if record["state"] in TICKETS[table]["resolved"]:
            missing = [name for name in ("close_code", "close_notes") if not record[name]]
        if table == "incident" and record["state"] == _ON_HOLD and not record["hold_reason"]:
            missing.append("hold_reason")
        if missing:
            message = f"Data Policy Exception: The following fields are mandatory: {', '.join(missing)}"
            raise RefusedError(403, message, "Operation Failed")
        if not record["short_description"]:
            message = "Data Policy Exception: The following fields are mandatory: short_description"
            raise RefusedError(403, message, "Operation Failed")

    def _compute(self, record: dict[str, str]) -> None:
        levels = CHOICES["incident"]["impact"]
        known = record["impact"] in levels and record["urgency"] in levels
        record["priority"] = str(int(record["impact"]) + int(record["urgency"]) - 1) if known else ""

    def _append(self, table: str, record: Mapping[str, str], given: Mapping[str, Any], user: str) -> bool:
        """Journal fields are not stored: what is written to them is appended elsewhere."""
        journal = self.tables["sys_journal_field"]
        shut = self.protected if user == ME else frozenset[str]()
        said = [(name, _text(given[name])) for name in JOURNALS if given.get(name) and name not in shut]
        for element, text in said:
            entry = {
                "sys_id": sys_id(self._seed, "journal", len(journal)),
                "sys_created_on": stamp(self._clock()),
                "sys_created_by": user,
                "element_id": record["sys_id"],
                "element": element,
                "name": table,
                "value": text,
            }
            journal[entry["sys_id"]] = entry
        return bool(said)


def _text(value: Any) -> str:
    """Everything is stored as text."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
