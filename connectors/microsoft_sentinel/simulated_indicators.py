"""The simulated threat intelligence of a workspace: one indicator a source and pattern, visible a while later.

The service names an indicator itself and does not keep two of the same values:
https://github.com/hashicorp/terraform-provider-azurerm/blob/main/internal/services/sentinel/sentinel_threat_intelligence_indicator_resource.go
A GET may find nothing for a while after the creation: https://github.com/Azure/azure-rest-api-specs/issues/35551
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.microsoft_sentinel.payloads import guid, timestamp
from nightdesk.connectors.microsoft_sentinel.simulated_arm import Arm, RefusedError, Routes, json_object
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["IndicatorsApi"]

_TYPES = frozenset({"domain-name", "file", "ipv4-addr", "ipv6-addr", "url"})
_PATTERN = re.compile(r"\[([a-z0-9-]+):[^\]]+ = '(?:[^'\\]|\\.)+'\]")
_REQUIRED = ("displayName", "pattern", "patternType", "source", "validFrom")
_CRITERIA = frozenset(
    {"pageSize", "minConfidence", "maxConfidence", "minValidUntil", "maxValidUntil", "includeDisabled", "sortBy"}
    | {"sources", "patternTypes", "threatTypes", "ids", "keywords", "skipToken"}
)
_MAX_PAGE = 100
_ROOT = "/threatIntelligence/main"
_ACTION = "Microsoft.SecurityInsights/threatIntelligence"


class IndicatorsApi:
    """Indicators by the name that the service gave them; ``visible`` is from when each can be found."""

    def __init__(self, arm: Arm, clock: Clock, faults: FaultPlan, scope: str) -> None:
        self.indicators: dict[str, dict[str, Any]] = {}
        self._visible: dict[str, datetime | None] = {}
        self._arm = arm
        self._clock = clock
        self._faults = faults
        self._scope = scope

    def routes(self) -> Routes:
        """What can be called."""
        one = _ROOT + "/indicators/{indicator}"
        return (
            ("POST", f"{_ROOT}/createIndicator", f"{_ACTION}/createIndicator/action", self._create),
            ("POST", f"{_ROOT}/queryIndicators", f"{_ACTION}/queryIndicators/action", self._query),
            ("GET", one, f"{_ACTION}/indicators/read", self._get),
            ("DELETE", one, f"{_ACTION}/indicators/delete", self._delete),
        )

    def create(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Stores one, as the portal would too; whether it is new. Raises RefusedError."""
        given = _checked(body)
        name = guid(self._scope, "indicator", given["source"], given["pattern"])
        made, now = name not in self.indicators, self._clock()
        if made:
            late = self._faults.standing("late_effect")
            never = self._faults.standing("accepted_then_failed") is not None
            wait = timedelta(seconds=float(late.options.get("seconds", 1)) if late else 0.0)
            self._visible[name] = None if never else now + wait
        self.indicators[name] = {
            "id": f"{self._scope}{_ROOT}/indicators/{name}",
            "name": name,
            "etag": f'"{guid(name, now)}"',
            "type": "Microsoft.SecurityInsights/threatIntelligence",
            "kind": "indicator",
            "properties": {
                "confidence": 0,
                "revoked": False,
                "created": timestamp(now),
                **given,
                "lastUpdatedTimeUtc": timestamp(now),
                "externalId": f"indicator--{name}",
                "parsedPattern": [],
            },
        }
        return self.indicators[name], made

    def _found(self, name: str) -> bool:
        since = self._visible.get(name)
        return name in self.indicators and since is not None and since <= self._clock()

    async def _create(self, request: Request) -> Response:
        indicator, made = self.create(await json_object(request))
        return self._arm.answer(indicator, 201 if made else 200)

    async def _query(self, request: Request) -> Response:
        asked = await json_object(request)
        size = asked.get("pageSize", _MAX_PAGE)
        if set(asked) - _CRITERIA or not isinstance(size, int) or not 1 <= size <= _MAX_PAGE:
            raise RefusedError(400, "BadRequest", "Invalid filtering criteria.")
        rows = [row for name, row in self.indicators.items() if self._found(name) and _fits(row, asked)]
        begin = int(asked.get("skipToken") or 0)
        body: dict[str, Any] = {"value": rows[begin : begin + size]}
        if begin + size < len(rows):
            # The body must be sent again with the token of this link.
            body["nextLink"] = f"{request.url}&$skipToken={begin + size}"
        return self._arm.answer(body)

    async def _get(self, request: Request) -> Response:
        name = request.path_params["indicator"]
        if not self._found(name):
            raise RefusedError(404, "ResourceNotFound", f"Indicator '{name}' was not found.")
        return self._arm.answer(self.indicators[name])

    async def _delete(self, request: Request) -> Response:
        name = request.path_params["indicator"]
        self._visible.pop(name, None)
        return self._arm.answer(None, 204 if self.indicators.pop(name, None) is None else 200)


def _checked(body: Mapping[str, Any]) -> dict[str, Any]:
    given = body.get("properties")
    if body.get("kind") != "indicator" or not isinstance(given, dict):
        raise RefusedError(400, "BadRequest", "An indicator has kind 'indicator' and properties.")
    missing = [name for name in _REQUIRED if not given.get(name)]
    if missing:
        raise RefusedError(400, "BadRequest", f"Required property '{missing[0]}' not found in JSON.")
    pattern = _PATTERN.fullmatch(str(given["pattern"]))
    if given["patternType"] not in _TYPES or pattern is None or pattern[1] != given["patternType"]:
        raise RefusedError(400, "BadRequest", "The pattern is invalid or not of its patternType.")
    confidence = given.get("confidence", 0)
    if not isinstance(confidence, int) or not 0 <= confidence <= 100:
        raise RefusedError(400, "BadRequest", "confidence must be between 0 and 100.")
    return dict(given)


def _fits(row: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    shown = row["properties"]
    text = f"{shown['displayName']} {shown['pattern']} {shown.get('description', '')}".lower()
    return (
        ("sources" not in asked or shown["source"] in asked["sources"])
        and ("patternTypes" not in asked or shown["patternType"] in asked["patternTypes"])
        and ("ids" not in asked or row["name"] in asked["ids"])
        and all(str(word).lower() in text for word in asked.get("keywords", ()))
        and (asked.get("includeDisabled", False) or not shown["revoked"])
    )
