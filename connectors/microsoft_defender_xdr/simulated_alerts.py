"""The simulated Graph security API: alerts and incidents over live data, OData options, strict enum words, comments."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.microsoft_defender_xdr.names import timestamp
from nightdesk.connectors.microsoft_defender_xdr.odata import FilterError, Kind, parse, ticks
from nightdesk.connectors.microsoft_defender_xdr.wire import RefusedError, Routes, json_object, number_of, only_options
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["AlertsApi"]

_FIELDS: Mapping[str, Kind] = {
    **dict.fromkeys(("assignedTo", "classification", "determination", "severity", "status"), "text"),
    **dict.fromkeys(("createdDateTime", "lastUpdateDateTime"), "time"),
}
_CLASSIFICATIONS = frozenset({"unknown", "falsePositive", "truePositive", "informationalExpectedActivity"})
_DETERMINATIONS = frozenset(
    {"unknown", "apt", "malware", "securityPersonnel", "securityTesting", "unwantedSoftware", "other"}
    | {"multiStagedAttack", "compromisedAccount", "phishing", "maliciousUserActivity", "notMalicious"}
    | {"notEnoughDataToValidate", "confirmedActivity", "lineOfBusinessApplication"}
)
# Words that came after the enumeration's end mark; who does not ask for them is shown the mark.
_NEWER = frozenset({"microsoftDefenderForCloud", "microsoftSentinel", "microsoftInsiderRiskManagement"})
_ASKS_FOR_NEWER = "include-unknown-enum-members"
_MOST_SKIPPED = 500
_TOO_MANY_TO_EXPAND = 200
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What differs between alerts and incidents. ``most`` rows a page: a larger ``$top`` is clamped, not refused."""

    name: str
    most: int
    role: str
    statuses: frozenset[str]
    options: tuple[str, ...]
    fields: Mapping[str, Kind]


_ALERTS = _Kind(
    "alerts_v2",
    1000,
    "SecurityAlert",
    frozenset({"new", "inProgress", "resolved"}),
    (),
    {**_FIELDS, "serviceSource": "text"},
)
_INCIDENTS = _Kind(
    "incidents", 50, "SecurityIncident", frozenset({"active", "inProgress", "resolved"}), ("$expand",), _FIELDS
)


class AlertsApi:
    """The alerts and incidents of a tenant by id. ``orders`` False ignores ``$orderby``: it is not documented."""

    def __init__(self, clock: Clock, faults: FaultPlan, drift: Callable[[Row], Row], author: str) -> None:
        self.alerts: dict[str, Row] = {}
        self.incidents: dict[str, Row] = {}
        self.orders = True
        self._clock = clock
        self._faults = faults
        self._drift = drift
        self._author = author

    def routes(self) -> Routes:
        """What can be called."""
        return tuple(row for kind in (_ALERTS, _INCIDENTS) for row in self._routes_of(kind))

    def _routes_of(self, kind: _Kind) -> Routes:
        path = f"/v1.0/security/{kind.name}"
        writes = (f"{kind.role}.ReadWrite.All",)
        reads = (f"{kind.role}.Read.All", *writes)
        rows = self.alerts if kind is _ALERTS else self.incidents

        async def listed(request: Request) -> Response:
            return self._page(request, kind, rows)

        async def one(request: Request) -> Response:
            only_options(request, "$select", *kind.options)
            return JSONResponse(self._shown(request, self._row(request, rows)))

        async def update(request: Request) -> Response:
            self.change(rows, str(self._row(request, rows)["id"]), await json_object(request), kind.statuses)
            return JSONResponse(self._shown(request, self._row(request, rows)))

        async def comment(request: Request) -> Response:
            row, body = self._row(request, rows), await json_object(request)
            if body.get("@odata.type", "").lstrip("#") != "microsoft.graph.security.alertComment":
                raise RefusedError("BadRequest", "@odata.type microsoft.graph.security.alertComment is required")
            if not isinstance(body.get("comment"), str) or not body["comment"].strip():
                raise RefusedError("BadRequest", "comment is required")
            self.comment(row, body["comment"], self._author)
            return JSONResponse({"value": row["comments"]})

        return (
            ("GET", path, reads, listed),
            ("GET", f"{path}/{{name}}", reads, one),
            ("PATCH", f"{path}/{{name}}", writes, update),
            ("POST", f"{path}/{{name}}/comments", writes, comment),
        )

    def comment(self, row: Row, text: str, author: str) -> None:
        """Adds a comment; nobody can edit or delete it."""
        now = timestamp(self._clock())
        row["comments"].append({"comment": text, "createdByDisplayName": author, "createdDateTime": now})
        self._touch(row)

    def change(
        self, rows: Mapping[str, Row], name: str, fields: Mapping[str, Any], statuses: frozenset[str] = _ALERTS.statuses
    ) -> None:
        """Writes to one row, as the portal would too. Raises RefusedError for a word that is not in the enumeration."""
        allowed: Mapping[str, frozenset[str]] = {
            "status": statuses,
            "classification": _CLASSIFICATIONS,
            "determination": _DETERMINATIONS,
        }
        texts = {"assignedTo"} if rows is self.alerts else {"assignedTo", "customTags"}
        strange = sorted(set(fields) - set(allowed) - texts)
        if strange or not fields:
            raise RefusedError("BadRequest", f"The property '{strange[0] if strange else ''}' cannot be updated")
        for key in set(fields) & set(allowed):
            if fields[key] not in allowed[key]:
                raise RefusedError("BadRequest", f"Invalid value '{fields[key]}' for property '{key}'")
        row = rows[name]
        row.update(fields)
        if "status" in fields and "resolvedDateTime" in row:
            row["resolvedDateTime"] = timestamp(self._clock()) if fields["status"] == "resolved" else None
        self._touch(row)

    def _touch(self, row: Row) -> None:
        """Every write moves ``lastUpdateDateTime``; two within one tick of the clock are still two versions."""
        before, after = row["lastUpdateDateTime"], timestamp(self._clock())
        if ticks(after) <= ticks(before):
            whole, fraction = ticks(before)
            after = f"{whole}.{min(int(fraction) + 1, 9_999_999):07d}Z"
        row["lastUpdateDateTime"] = after

    def _row(self, request: Request, rows: Mapping[str, Row]) -> Row:
        name = request.path_params["name"]
        if name not in rows:
            raise RefusedError("NotFound", f"Resource '{name}' does not exist", 404)
        return rows[name]

    def _page(self, request: Request, kind: _Kind, rows: Mapping[str, Row]) -> Response:
        known = ("$filter", "$top", "$skip", "$count", "$orderby", "$select", "$skiptoken")
        only_options(request, *known, *kind.options)
        query = request.query_params
        top = min(number_of(request, "$top", kind.most, least=1), kind.most)
        skip = number_of(request, "$skip", 0)
        if skip > _MOST_SKIPPED:
            raise RefusedError("BadRequest", f"$skip must not exceed {_MOST_SKIPPED}")
        if "$expand" in query and len(self.alerts) > _TOO_MANY_TO_EXPAND:
            raise RefusedError("InternalServerError", "An internal server error has occurred", 500)
        try:
            test = parse(query.get("$filter", ""), kind.fields)
            found = self._sorted([row for row in rows.values() if test(row)], query.get("$orderby", ""))
        except FilterError as error:
            raise RefusedError("BadRequest", str(error)) from error
        asked = [query.get(name, "") for name in ("$filter", "$orderby")]
        if "$skiptoken" in query:
            skip = _offset(query["$skiptoken"], asked)
        page = [self._shown(request, row) for row in found[skip : skip + top]]
        body: dict[str, Any] = {"@odata.context": f"{request.base_url}v1.0/$metadata#Security/{kind.name}"}
        if query.get("$count") == "true":
            body["@odata.count"] = len(found)
        if len(found) > skip + top:
            # Where the next page begins is an offset into live data: rows that move meanwhile shift it.
            token = urlsafe_b64encode(json.dumps([*asked, skip + top]).encode()).decode()
            options = {name: query[name] for name in query if name not in {"$skip", "$skiptoken"}}
            body["@odata.nextLink"] = f"{request.url.replace(query=urlencode({**options, '$skiptoken': token}))}"
        if self._faults.take(("partial_answer",), method=request.method, path=request.url.path) is not None:
            warning = '199 - "Microsoft/Microsoft Defender for Endpoint/504/10000"'
            body.pop("@odata.nextLink", None)
            return JSONResponse({**body, "value": page[: len(page) // 2]}, 206, headers={"Warning": warning})
        return JSONResponse({**body, "value": page})

    def _sorted(self, rows: list[Row], order: str) -> list[Row]:
        name, _, direction = (order or "createdDateTime desc").partition(" ")
        if _FIELDS.get(name) != "time" or direction not in {"", "asc", "desc"}:
            raise RefusedError("BadRequest", f"The query option $orderby={order!r} is not supported")
        if not self.orders:
            name, direction = "lastUpdateDateTime", "desc"
        return sorted(rows, key=lambda row: (ticks(row[name]), row["id"]), reverse=direction == "desc")

    def _shown(self, request: Request, row: Row) -> Row:
        shown = self._drift(dict(row))
        if request.query_params.get("$expand") == "alerts":
            shown["alerts"] = [alert for alert in self.alerts.values() if alert["incidentId"] == row["id"]]
        if _ASKS_FOR_NEWER not in request.headers.get("prefer", "") and shown.get("serviceSource") in _NEWER:
            shown["serviceSource"] = "unknownFutureValue"
        names: Sequence[str] = [name for name in request.query_params.get("$select", "").split(",") if name]
        return {name: shown[name] for name in names if name in shown} if names else shown


def _offset(token: str, asked: list[str]) -> int:
    """Where the page begins. A token belongs to the filter and order that made it."""
    try:
        *made_for, offset = json.loads(urlsafe_b64decode(token))
    except (ValueError, TypeError):
        raise RefusedError("BadRequest", "Invalid skip token") from None
    if made_for != asked or not isinstance(offset, int):
        raise RefusedError("BadRequest", "Skip token does not match the query")
    return offset
