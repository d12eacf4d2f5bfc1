"""The simulated data tables of an instance: rows of texts that rules read, made in bulk, found by a part of a value.

Source: https://cloud.google.com/chronicle/docs/reference/rest/v1alpha/projects.locations.instances.dataTables
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.google_secops.payloads import guid, timestamp
from nightdesk.connectors.google_secops.wire import Endpoint, GoogleError, bound, fields, json_body, whole
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["TablesApi"]

_VERSIONS = frozenset({"v1", "v1beta", "v1alpha"})
_DEFAULT_PAGE, _MAX_PAGE, _MAX_ROWS = 100, 1000, 1000
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class TablesApi:
    """Tables by their id: columns with their types, rows by their id; ``instance`` is the instance's resource name."""

    def __init__(self, clock: Clock, faults: FaultPlan, instance: str) -> None:
        self.columns: dict[str, Mapping[str, str]] = {}
        self.rows: dict[str, dict[str, dict[str, Any]]] = {}
        self._visible: dict[str, datetime | None] = {}
        self._clock = clock
        self._faults = faults
        self._instance = instance
        self._made = 0

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What can be called."""
        rows, right = "/dataTables/{table}/dataTableRows", "chronicle.dataTableRows"
        return (
            ("GET", "/dataTables/{table}", "chronicle.dataTables.get", _VERSIONS, self._get),
            ("GET", rows, f"{right}.list", _VERSIONS, self._list),
            ("POST", f"{rows}:bulkCreate", f"{right}.bulkCreate", _VERSIONS, self._create),
            ("DELETE", f"{rows}/{{row}}", f"{right}.delete", _VERSIONS, self._delete),
        )

    def make(self, table: str, columns: Mapping[str, str]) -> None:
        """A table with these columns, as somebody makes it in the console."""
        self.columns[table] = columns
        self.rows.setdefault(table, {})

    def put(self, table: str, values: Sequence[str]) -> dict[str, Any]:
        """A row, as somebody types it in the console; it is found when the fault plan lets it."""
        self._made += 1
        late = self._faults.standing("late_effect")
        wait = timedelta(seconds=float(late.options.get("seconds", 1)) if late else 0.0)
        never = self._faults.standing("accepted_then_failed") is not None
        now = self._clock()
        row_id = guid(self._instance, table, self._made)
        self._visible[row_id] = None if never else now + wait
        row = {
            "name": f"{self._instance}/dataTables/{table}/dataTableRows/{row_id}",
            "values": list(values),
            "createTime": timestamp(now),
            "updateTime": timestamp(now),
        }
        self.rows[table][row_id] = row
        return row

    def _table(self, request: Request) -> str:
        table = str(request.path_params["table"])
        if table not in self.columns:
            raise GoogleError(404, f"data table {self._instance}/dataTables/{table} not found")
        return table

    async def _get(self, request: Request) -> Response:
        bound(request)
        table = self._table(request)
        columns = [
            {"columnIndex": index, "originalColumn": name, "columnType": kind}
            for index, (name, kind) in enumerate(self.columns[table].items())
        ]
        columns[0].pop("columnIndex")  # JSON shows no zero
        columns.reverse()  # nothing is said of the order: the index counts
        return JSONResponse(
            {
                "name": f"{self._instance}/dataTables/{table}",
                "displayName": table,
                "columnInfo": columns,
                "dataTableUuid": guid(self._instance, table).replace("-", ""),
                "approximateRowCount": str(len(self.rows[table])),
            }
        )

    async def _list(self, request: Request) -> Response:
        table = self._table(request)
        given = bound(request, "pageSize", "pageToken", "orderBy", "filter")
        if given.get("orderBy", "createTime asc") not in {"createTime asc", "create_time asc"}:
            raise GoogleError(400, "order_by supports only create_time asc.")
        size, now = whole(given, "pageSize", _DEFAULT_PAGE, _MAX_PAGE), self._clock()
        part = given.get("filter", "").lower()
        found = [
            row
            for row_id, row in self.rows[table].items()
            if (seen := self._visible.get(row_id)) is not None
            and seen <= now
            and any(part in value.lower() for value in row["values"])
        ]
        token = given.get("pageToken", "0")
        if not token.isdecimal() or int(token) > len(found):
            raise GoogleError(400, "invalid page token")
        begin = int(token)
        body: dict[str, Any] = {}
        if found[begin : begin + size]:
            body["dataTableRows"] = found[begin : begin + size]
        if begin + size < len(found):
            body["nextPageToken"] = str(begin + size)
        return JSONResponse(body)

    async def _create(self, request: Request) -> Response:
        table = self._table(request)
        bound(request)
        asked = (await json_body(request, "requests")).get("requests")
        if not isinstance(asked, list) or not 1 <= len(asked) <= _MAX_ROWS:
            raise GoogleError(400, f"requests must have 1 to {_MAX_ROWS} rows.")
        rows = []
        for number, one in enumerate(asked):
            place = f"requests[{number}]"
            row = fields(one, ("parent", "dataTableRow"), place).get("dataTableRow")
            values = fields(row, ("name", "values"), f"{place}.data_table_row").get("values")
            rows.append(self._checked(table, values))
        return JSONResponse({"dataTableRows": [self.put(table, values) for values in rows]})

    def _checked(self, table: str, values: Any) -> list[str]:
        columns = self.columns[table]
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise GoogleError(400, "values must be a list of strings.")
        if len(values) != len(columns):
            raise GoogleError(400, f"row has {len(values)} values, the data table has {len(columns)} columns.")
        for value, (name, kind) in zip(values, columns.items(), strict=True):
            if not _fits(value, kind):
                raise GoogleError(400, f"value {value!r} of column {name} is no {kind}.")
        return values

    async def _delete(self, request: Request) -> Response:
        table = self._table(request)
        bound(request)
        row_id = str(request.path_params["row"])
        if self.rows[table].pop(row_id, None) is None:
            raise GoogleError(404, f"data table row {row_id} not found")
        self._visible.pop(row_id, None)
        return JSONResponse({})


def _fits(value: str, kind: str) -> bool:
    if kind == "NUMBER":
        return bool(_NUMBER.fullmatch(value))
    if kind == "CIDR":
        try:
            ip_network(value, strict=False)
        except ValueError:
            return False
    return True
