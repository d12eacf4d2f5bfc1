"""Simulated advanced hunting: a few tables and the handful of KQL steps that narrow them; the rest is a 400."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.microsoft_defender_xdr.wire import RefusedError, Routes, json_object

__all__ = ["HuntingApi", "alert_row", "device_row"]

_MOST = 100_000
_WHERE = re.compile(r"""where\s+(\w+)\s*(==|=~|!=|has|contains)\s*(["'])(.*)\3""")
_TAKE = re.compile(r"(?:take|limit)\s+(\d+)")
_PROJECT = re.compile(r"project\s+(\w+(?:\s*,\s*\w+)*)")
Rows = list[dict[str, Any]]


class HuntingApi:
    """Tables by name; each gives its rows when it is asked. ``queries`` are those that came, as they came."""

    def __init__(self, tables: Mapping[str, Callable[[], Iterable[dict[str, Any]]]]) -> None:
        self._tables = tables
        self.queries: list[str] = []

    def routes(self) -> Routes:
        """What can be called."""
        names = ("runHuntingQuery", "microsoft.graph.security.runHuntingQuery")  # short, and as the SDKs call it
        return tuple(("POST", f"/v1.0/security/{name}", ("ThreatHunting.Read.All",), self._run) for name in names)

    async def _run(self, request: Request) -> Response:
        # The reference page writes Query, the service's own metadata query.
        body = {name.lower(): value for name, value in (await json_object(request)).items()}
        query = body.get("query")
        if set(body) - {"query", "timespan"} or not isinstance(query, str) or not query.strip():
            raise RefusedError("BadRequest", "Query is required")
        self.queries.append(query)
        source, *steps = [step.strip() for step in query.split("|")]
        if source not in self._tables:
            raise RefusedError("BadRequest", f"'{source}' is not recognized as a table name. Fix semantic errors.")
        rows = list(self._tables[source]())
        names = list(rows[0]) if rows else []
        for step in steps:
            rows = _step(rows, step)
            names = list(rows[0]) if rows else names
        schema = [{"name": name, "type": "String"} for name in names]
        return JSONResponse({"schema": schema, "results": rows[:_MOST]})


def _step(rows: Rows, text: str) -> Rows:
    if found := _TAKE.fullmatch(text):
        return rows[: int(found[1])]
    if found := _PROJECT.fullmatch(text):
        names = [name.strip() for name in found[1].split(",")]
        return [{name: row.get(name) for name in names} for row in rows]
    if found := _WHERE.fullmatch(text):
        name, sign, _, value = found.groups()
        if any(name not in row for row in rows):
            raise RefusedError("BadRequest", f"Failed to resolve scalar expression named '{name}'")
        return [row for row in rows if _fits(str(row[name]), sign, value)]
    raise RefusedError("BadRequest", f"A recognition error occurred in '{text.partition(' ')[0]}'. Fix syntax errors.")


def _fits(there: str, sign: str, value: str) -> bool:
    if sign in {"has", "contains"}:
        return value.lower() in there.lower()
    same = there.lower() == value.lower() if sign == "=~" else there == value
    return same is not (sign == "!=")


def alert_row(alert: Mapping[str, Any]) -> dict[str, Any]:
    """An alert as the table AlertInfo has it."""
    return {
        "Timestamp": alert["createdDateTime"],
        "AlertId": alert["id"],
        "Title": alert["title"],
        "Category": alert["category"],
        "Severity": alert["severity"].capitalize(),
        "ServiceSource": alert["productName"],
    }


def device_row(machine: Mapping[str, Any]) -> dict[str, Any]:
    """A machine as the table DeviceInfo has it."""
    return {
        "Timestamp": machine["lastSeen"],
        "DeviceId": machine["id"],
        "DeviceName": machine["computerDnsName"],
        "OSPlatform": machine["osPlatform"],
        "PublicIP": machine["lastExternalIpAddress"],
    }
