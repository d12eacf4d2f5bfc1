"""The simulated incidents: a PUT replaces all, every change moves the etag, a PUT to an unknown GUID creates."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.microsoft_sentinel.payloads import NOBODY, timestamp
from nightdesk.connectors.microsoft_sentinel.simulated_arm import Arm, RefusedError, Routes, json_object
from nightdesk.connectors.microsoft_sentinel.simulated_query import QueryError, condition, ordering
from nightdesk.sdk.context import Clock

__all__ = ["IncidentsApi"]

_SEVERITIES = ("High", "Medium", "Low", "Informational")
_STATUSES = ("New", "Active", "Closed")
_REASONS: Mapping[str, tuple[str, ...]] = {
    "TruePositive": ("SuspiciousActivity",),
    "BenignPositive": ("SuspiciousButExpected",),
    "FalsePositive": ("IncorrectAlertLogic", "InaccurateData"),
    "Undetermined": (),
}
_READ_ONLY = (
    "additionalData",
    "createdTimeUtc",
    "incidentNumber",
    "incidentUrl",
    "lastModifiedTimeUtc",
    "providerName",
    "providerIncidentId",
    "relatedAnalyticRuleIds",
)
_WRITABLE = (
    "title",
    "description",
    "severity",
    "status",
    "owner",
    "labels",
    "classification",
    "classificationReason",
    "classificationComment",
    "firstActivityTimeUtc",
    "lastActivityTimeUtc",
)
_PAGE, _MAX_PAGE = 50, 1000
_LIST_PARAMETERS = frozenset({"api-version", "$filter", "$orderby", "$top", "$skipToken"})
_ONE = "/incidents/{name}"


class IncidentsApi:
    """Incidents by their GUID, each with its alerts and entities; ``restless`` ones change after every look."""

    def __init__(self, arm: Arm, clock: Clock, scope: str, drift: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.incidents: dict[str, dict[str, Any]] = {}
        self.alerts: dict[str, list[dict[str, Any]]] = {}
        self.entities: dict[str, list[dict[str, Any]]] = {}
        self.history: list[dict[str, Any]] = []
        self.restless: set[str] = set()
        self.valid_tokens = True
        self._arm = arm
        self._clock = clock
        self._scope = scope
        self._drift = drift
        self._changes = 0

    def routes(self) -> Routes:
        """What can be called."""
        read, write = "Microsoft.SecurityInsights/incidents/read", "Microsoft.SecurityInsights/incidents/write"
        return (
            ("GET", "/incidents", read, self._list),
            ("GET", _ONE, read, self._get),
            ("PUT", _ONE, write, self._put),
            ("POST", _ONE + "/alerts", read, self._alerts),
            ("POST", _ONE + "/entities", read, self._entities),
        )

    @property
    def next_number(self) -> int:
        """The number that the next incident gets."""
        return len(self.incidents) + 1

    def create(self, incident: dict[str, Any], alerts: list[dict[str, Any]], entities: list[dict[str, Any]]) -> None:
        """Stores a new incident; its times stay what they are."""
        name = incident["name"]
        self.incidents[name] = incident
        self.alerts[name], self.entities[name] = alerts, entities
        self._stamp(incident)

    def change(self, name: str, **properties: Any) -> None:
        """What an analyst, an automation rule or the Defender portal does: a change and a new etag."""
        incident = self.incidents[name]
        incident["properties"].update(properties)
        incident["properties"]["lastModifiedTimeUtc"] = timestamp(self._clock())
        self._stamp(incident)

    def _stamp(self, incident: dict[str, Any]) -> None:
        self._changes += 1
        incident["etag"] = f'"{self._changes:08x}-0000-0d00-0000-5c37296e0000"'
        shown = incident["properties"]
        self.history.append(
            {
                "TimeGenerated": timestamp(self._clock()),
                "IncidentName": incident["name"],
                "IncidentNumber": shown["incidentNumber"],
                "Title": shown["title"],
                "Severity": shown["severity"],
                "Status": shown["status"],
                "Classification": shown.get("classification") or "",
                "LastModifiedTime": shown["lastModifiedTimeUtc"],
                "Type": "SecurityIncident",
            }
        )

    def _shown(self, incident: Mapping[str, Any]) -> dict[str, Any]:
        shown = json.loads(json.dumps(incident))
        if incident["name"] in self.restless:
            self.change(incident["name"])
        return {**shown, "properties": self._drift(shown["properties"])}

    def named(self, request: Request) -> dict[str, Any]:
        """The incident of the path. Raises RefusedError."""
        name = request.path_params["name"]
        if name not in self.incidents:
            raise RefusedError(404, "NotFound", f"Incident '{name}' was not found.")
        return self.incidents[name]

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        unknown = set(query) - _LIST_PARAMETERS
        top = query.get("$top", str(_PAGE))
        if unknown or not top.isdecimal() or not 1 <= int(top) <= _MAX_PAGE:
            raise RefusedError(400, "BadRequest", f"Invalid $top or unknown parameter: {sorted(unknown) or top}")
        asked = {name: query[name] for name in ("$filter", "$orderby", "$top") if name in query}
        try:
            test = condition(query.get("$filter", ""))
            key, downwards = ordering(query.get("$orderby", "properties/createdTimeUtc desc"))
        except QueryError as error:
            raise RefusedError(400, "BadRequest", str(error)) from error
        rows = [row for row in self.incidents.values() if test(row["properties"])]
        rows.sort(key=lambda row: (key(row["properties"]), row["name"]), reverse=downwards)
        begin = self._behind(query.get("$skipToken", ""), asked)
        end = begin + int(top)
        body: dict[str, Any] = {"value": [self._shown(row) for row in rows[begin:end]]}
        if end < len(rows):
            token = urlsafe_b64encode(json.dumps([end, asked]).encode()).decode()
            given = {"api-version": query["api-version"], **asked, "$skipToken": token}
            parts = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
            body["nextLink"] = f"{str(request.url).partition('?')[0]}?{parts}"
        return self._arm.answer(body)

    def _behind(self, token: str, asked: Mapping[str, str]) -> int:
        """Where the page before ended; the link must come back as it was given, down to its encoding."""
        if not token:
            return 0
        try:
            begin, made_for = json.loads(urlsafe_b64decode(token))
        except (ValueError, TypeError):
            begin, made_for = 0, None
        if made_for != asked or not self.valid_tokens:
            raise RefusedError(400, "BadRequest", "The skip token is invalid or expired.")
        return int(begin)

    async def _get(self, request: Request) -> Response:
        return self._arm.answer(self._shown(self.named(request)))

    async def _put(self, request: Request) -> Response:
        body = await json_object(request)
        given = body.get("properties")
        if not isinstance(given, dict):
            raise RefusedError(400, "BadRequest", "Required property 'properties' not found in JSON.")
        _check(given)
        name = request.path_params["name"]
        there = self.incidents.get(name)
        etag = body.get("etag") or request.headers.get("if-match")
        if there is not None and etag and etag != there["etag"]:
            message = f"Newer version of resource '{name}' exists for tenant. Data was not saved"
            raise RefusedError(409, "Conflict", message)
        written = {field: given[field] for field in _WRITABLE if given.get(field) is not None}
        written["owner"] = {**NOBODY, **(written.get("owner") or {})}
        written["labels"] = self._labels(written.get("labels") or [], there)
        if there is None:
            # A GUID that does not exist is no error: an incident is made under it.
            fresh = self._fresh(name, written)
            self.create(fresh, [], [])
            return self._arm.answer(self._shown(fresh), 201)
        kept = {field: there["properties"][field] for field in _READ_ONLY if field in there["properties"]}
        there["properties"] = {**kept, **written, "lastModifiedTimeUtc": timestamp(self._clock())}
        self._stamp(there)
        return self._arm.answer(self._shown(there))

    def _fresh(self, name: str, written: Mapping[str, Any]) -> dict[str, Any]:
        now = timestamp(self._clock())
        counts = dict.fromkeys(("alertsCount", "bookmarksCount", "commentsCount"), 0)
        properties = {
            **written,
            "createdTimeUtc": now,
            "lastModifiedTimeUtc": now,
            "incidentNumber": self.next_number,
            "providerName": "Azure Sentinel",
            "additionalData": {**counts, "alertProductNames": [], "tactics": []},
        }
        path = f"{self._scope}/Incidents/{name}"
        return {"id": path, "name": name, "type": "Microsoft.SecurityInsights/Incidents", "properties": properties}

    def _labels(self, given: list[Mapping[str, Any]], there: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        before = {label["labelName"]: label for label in (there["properties"].get("labels") or [] if there else [])}
        names = [str(label["labelName"]) for label in given]
        return [before.get(name, {"labelName": name, "labelType": "User"}) for name in names]

    async def _alerts(self, request: Request) -> Response:
        return self._arm.answer({"value": self.alerts[self.named(request)["name"]]})

    async def _entities(self, request: Request) -> Response:
        entities = self.entities[self.named(request)["name"]]
        kinds = [entity["kind"] for entity in entities]
        counts = [{"entityKind": kind, "count": kinds.count(kind)} for kind in dict.fromkeys(kinds)]
        return self._arm.answer({"entities": entities, "metaData": counts})


def _check(given: Mapping[str, Any]) -> None:
    """What a PUT must hold. Raises RefusedError."""
    for field, allowed in (("title", ()), ("severity", _SEVERITIES), ("status", _STATUSES)):
        value = given.get(field)
        if not isinstance(value, str) or not value:
            raise RefusedError(400, "BadRequest", f"Required property '{field}' not found in JSON.")
        if allowed and value not in allowed:
            raise RefusedError(400, "BadRequest", f"Invalid {field} '{value}'.")
    classification, reason = given.get("classification"), given.get("classificationReason")
    if given["status"] == "Closed" and classification is None:
        raise RefusedError(400, "BadRequest", "classification is required when the status is 'Closed'")
    if classification is None:
        return
    if classification not in _REASONS:
        raise RefusedError(400, "BadRequest", f"Invalid classification '{classification}'.")
    if _REASONS[classification] and not reason:
        raise RefusedError(400, "BadRequest", f"classification '{classification}' must have classificationReason")
    if reason and reason not in _REASONS[classification]:
        message = f"classificationReason '{reason}' does not go with classification '{classification}'"
        raise RefusedError(400, "BadRequest", message)
