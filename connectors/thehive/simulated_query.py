"""The simulated Query API: steps that list, walk to what is related, filter, sort and page; anything else is refused.

Source: https://docs.strangebee.com/thehive/user-guides/query-syntax/
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nightdesk.connectors.thehive import payloads
from nightdesk.connectors.thehive.simulated_records import Records
from nightdesk.connectors.thehive.wire import RefusedError

__all__ = ["Queries"]

Row = dict[str, Any]
Test = Callable[[Row], bool]

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "_eq": lambda mine, given: given in mine if isinstance(mine, list) else mine == given,
    "_is": lambda mine, given: given in mine if isinstance(mine, list) else mine == given,
    "_ne": lambda mine, given: bool(mine != given),
    "_gt": lambda mine, given: mine is not None and mine > given,
    "_gte": lambda mine, given: mine is not None and mine >= given,
    "_lt": lambda mine, given: mine is not None and mine < given,
    "_lte": lambda mine, given: mine is not None and mine <= given,
    "_like": lambda mine, given: mine is not None and str(given).strip("*").casefold() in str(mine).casefold(),
    "_startsWith": lambda mine, given: mine is not None and str(mine).startswith(str(given)),
    "_endsWith": lambda mine, given: mine is not None and str(mine).endswith(str(given)),
}
_EXTRA: Mapping[str, frozenset[str]] = {
    "Alert": frozenset({"importDate", "caseNumber", "relatedCase", "status", "procedureCount"}),
    "Case": frozenset({"alerts", "alertCount", "status", "permissions", "links", "isOwner", "shareCount"}),
    "Comment": frozenset({"links"}),
}


class Queries:
    """Queries over one organisation's records."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def run(self, steps: Any) -> Any:
        """The rows, or their number. Raises RefusedError."""
        if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
            raise RefusedError(400, "Invalid query: an array of operations is expected")
        rows = self._first(steps[0])
        for number, step in enumerate(steps[1:], 2):
            name = step.get("_name")
            if name == "count" and number == len(steps):
                return len(rows)
            rows = self._step(str(name), step, rows)
        return rows

    def shown_case(self, record: Mapping[str, Any]) -> Row:
        """A case as the API shows it."""
        return payloads.case(record, self._records.stages)

    def _first(self, step: Mapping[str, Any]) -> list[Row]:
        lists: Mapping[str, Callable[[], list[Row]]] = {
            "listAlert": lambda: [payloads.alert(one) for one in self._records.alerts.values()],
            "listCase": lambda: [self.shown_case(one) for one in self._records.cases.values()],
            "listComment": lambda: [payloads.comment(one) for one in self._records.comments.values()],
            "listCaseStatus": lambda: payloads.statuses(self._records.stages, "CaseStatus"),
            "listAlertStatus": lambda: payloads.statuses(payloads.ALERT_STAGES, "AlertStatus"),
        }
        name, wanted = str(step.get("_name")), step.get("idOrName")
        if name in lists:
            return lists[name]()
        if name in {"getCase", "getAlert", "getComment"} and isinstance(wanted, str | int):
            return [row for row in lists[f"list{name[3:]}"]() if str(wanted) in _names(row)]
        raise RefusedError(400, f"Operation {name} is not defined")

    def _step(self, name: str, step: Mapping[str, Any], rows: list[Row]) -> list[Row]:
        match name:
            case "filter":
                test = self._test({key: value for key, value in step.items() if key != "_name"})
                return [row for row in rows if test(row)]
            case "sort":
                return _sorted(rows, step.get("_fields"))
            case "page":
                return self._paged(rows, step)
            case "output":
                return rows
        related = [found for row in rows for found in self._related(name, row)]
        return [*{found["_id"]: found for found in related}.values()]

    def _related(self, name: str, row: Row) -> list[Row]:
        records, kind = self._records, row.get("_type")
        match (kind, name):
            case ("Alert", "case"):
                found = records.cases.get(row.get("caseId", ""))
                return [self.shown_case(found)] if found else []
            case ("Case", "alerts"):
                return [payloads.alert(one) for one in records.alerts.values() if one.get("caseId") == row["_id"]]
            case ("Alert" | "Case", "comments"):
                return [payloads.comment(one) for one in records.comments.values() if one["of"] == row["_id"]]
        raise RefusedError(400, f"Operation {name} is not defined for {kind}")

    def _test(self, given: Mapping[str, Any]) -> Test:
        if len(given) != 1:
            raise RefusedError(400, f"Invalid filter: one operator is expected, not {', '.join(given) or 'none'}")
        (operator, value), *_ = given.items()
        match operator:
            case "_and" | "_or":
                tests = [self._test(one) for one in value]
                together = all if operator == "_and" else any
                return lambda row: together(test(row) for test in tests)
            case "_not":
                inner = self._test(value)
                return lambda row: not inner(row)
            case "_any":
                return lambda _: True
            case "_id":
                return lambda row: bool(row["_id"] == value)
            case "_has":
                return lambda row: value in row
        return self._compared(operator, value)

    def _compared(self, operator: str, value: Any) -> Test:
        needed = {"_in": {"_field", "_values"}, "_between": {"_field", "_from", "_to"}}.get(
            operator, {"_field", "_value"}
        )
        known = operator in {*_COMPARED, "_in", "_between"}
        if not known or not isinstance(value, Mapping) or set(value) != needed:
            raise RefusedError(400, f"Invalid filter {operator}")
        field = value["_field"]
        if operator == "_in":
            return lambda row: row.get(field) in value["_values"]
        if operator == "_between":
            return lambda row: field in row and value["_from"] <= row[field] < value["_to"]
        return lambda row: _COMPARED[operator](row.get(field), value["_value"])

    def _paged(self, rows: list[Row], step: Mapping[str, Any]) -> list[Row]:
        begin, end, extra = step.get("from"), step.get("to"), step.get("extraData", [])
        if not isinstance(begin, int) or not isinstance(end, int) or begin < 0 or end <= begin:
            raise RefusedError(400, "Invalid page: from and to are expected, to beyond from")
        page = rows[begin:end]
        for row in page:
            strange = set(extra) - _EXTRA.get(str(row.get("_type")), frozenset()) - {"total"}
            if strange:
                raise RefusedError(400, f"Unknown extraData {', '.join(sorted(strange))}")
        return [{**row, "extraData": {name: self._extra(row, name) for name in extra}} for row in page]

    def _extra(self, row: Row, name: str) -> Any:
        if (row["_type"], name) == ("Comment", "links"):
            of = self._records.comments[row["_id"]]["of"]
            if of in self._records.cases:
                return {"case": self.shown_case(self._records.cases[of])}
            return {"alert": payloads.alert(self._records.alerts[of])}
        return None


def _names(row: Row) -> set[str]:
    """What an object may be called: its id, a case's number, an alert's triple."""
    triple = ";".join(str(row.get(name)) for name in ("type", "source", "sourceRef"))
    return {str(row["_id"]), str(row.get("number")), triple}


def _sorted(rows: list[Row], fields: Any) -> list[Row]:
    if not isinstance(fields, Sequence) or not all(isinstance(one, Mapping) and len(one) == 1 for one in fields):
        raise RefusedError(400, "Invalid sort: _fields is expected")
    for one in reversed(fields):
        (field, direction), *_ = one.items()
        if direction not in {"asc", "desc"}:
            raise RefusedError(400, f"Invalid sort direction {direction}")
        missing = [row for row in rows if field not in row]
        there = [row for row in rows if field in row]
        rows = [*sorted(there, key=lambda row: row[field], reverse=direction == "desc"), *missing]
    return rows
