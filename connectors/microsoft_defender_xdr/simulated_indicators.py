"""The simulated custom indicators: required fields, what may be combined, one row a value, own rows only."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.microsoft_defender_xdr.names import timestamp
from nightdesk.connectors.microsoft_defender_xdr.odata import FilterError, Kind, ticks
from nightdesk.connectors.microsoft_defender_xdr.simulated_lists import listed
from nightdesk.connectors.microsoft_defender_xdr.wire import RefusedError, Routes, json_object
from nightdesk.sdk.context import Clock

__all__ = ["IndicatorsApi"]

_FIELDS: Mapping[str, Kind] = {
    **dict.fromkeys(("indicatorValue", "indicatorType", "action", "application", "createdBy", "title"), "text"),
    "severity": "text",
    "creationTimeDateTimeUtc": "time",
    "expirationTime": "time",
}
_VALUES: Mapping[str, re.Pattern[str]] = {
    "FileSha1": re.compile(r"[0-9a-fA-F]{40}"),
    "FileSha256": re.compile(r"[0-9a-fA-F]{64}"),
    "FileMd5": re.compile(r"[0-9a-fA-F]{32}"),
    "CertificateThumbprint": re.compile(r"[0-9a-fA-F]{40}"),
    "IpAddress": re.compile(r"[0-9a-fA-F:.]+"),  # no CIDR
    "DomainName": re.compile(r"(?i)(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)+[a-z0-9-]{2,}"),
    "Url": re.compile(r"(?i)https?://\S+"),
}
_ACTIONS = frozenset({"Allowed", "Audit", "Warn", "Block", "BlockAndRemediate"})  # without the retired
_SEVERITIES = frozenset({"Informational", "Low", "Medium", "High"})
_REQUIRED = ("indicatorValue", "indicatorType", "action", "title", "description")
_OPTIONAL = frozenset(
    {"expirationTime", "severity", "recommendedActions", "rbacGroupNames", "generateAlert", "application"}
    | {"educateUrl", "externalID"}
)
# Only addresses of the outside can be blocked.
_INSIDE = [
    *map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16")),
    *map(ipaddress.ip_network, ("fc00::/7", "fe80::/10")),
]
_MOST = 15_000
_OWN, _ALL = "Ti.ReadWrite", "Ti.ReadWrite.All"


class IndicatorsApi:
    """The indicators of a tenant by id. ``roles`` are those of the application that asks."""

    def __init__(self, clock: Clock, created_by: str, roles: Callable[[], set[str]]) -> None:
        self.indicators: dict[str, dict[str, Any]] = {}
        self._clock = clock
        self._created_by = created_by
        self._roles = roles
        self._made = 900

    def routes(self) -> Routes:
        """What can be called."""
        roles = (_OWN, _ALL)
        return (
            ("GET", "/api/indicators", roles, self._list),
            ("POST", "/api/indicators", roles, self._submit),
            ("DELETE", "/api/indicators/{name}", roles, self._delete),
        )

    def active(self) -> list[dict[str, Any]]:
        """Those that have not expired."""
        now = ticks(timestamp(self._clock()))
        return [
            row for row in self.indicators.values() if not row["expirationTime"] or ticks(row["expirationTime"]) > now
        ]

    def submit(self, body: Mapping[str, Any], created_by: str = "") -> dict[str, Any]:
        """Creates an indicator, or writes over the one of that type and value. Raises RefusedError."""
        _check(body)
        now = timestamp(self._clock())
        try:
            if body.get("expirationTime") and ticks(body["expirationTime"]) <= ticks(now):
                raise RefusedError("InvalidInput", "expirationTime must be in the future")
        except FilterError as error:
            raise RefusedError("InvalidInput", str(error)) from error
        pair = (body["indicatorType"], body["indicatorValue"].lower())
        same = [row for row in self.active() if (row["indicatorType"], row["indicatorValue"].lower()) == pair]
        if same and not created_by and not self._sees(same[0]):
            raise RefusedError("Forbidden", "The indicator was created by another application", 403)
        if not same and len(self.active()) >= _MOST:
            raise RefusedError("BadRequest", f"There are already {_MOST} active indicators")
        fields = {key: value for key, value in body.items() if not (same and key == "application")}
        if same:
            same[0].update(fields, lastUpdateTime=now, lastUpdatedBy=created_by or self._created_by)
            return same[0]
        self._made += 1
        row = {
            **dict.fromkeys(("application", "expirationTime", "recommendedActions", "externalID", "lastUpdatedBy")),
            "severity": "Informational",
            "generateAlert": False,
            "rbacGroupNames": [],
            "rbacGroupIds": [],
            **fields,
            "id": str(self._made),
            "sourceType": "User" if created_by else "AadApp",
            "createdBy": created_by or self._created_by,
            "creationTimeDateTimeUtc": now,
            "lastUpdateTime": now,
        }
        self.indicators[row["id"]] = row
        return row

    def _sees(self, row: Mapping[str, Any]) -> bool:
        return _ALL in self._roles() or row["createdBy"] == self._created_by

    async def _list(self, request: Request) -> Response:
        return listed(request, [row for row in self.active() if self._sees(row)], _FIELDS, "Indicators")

    async def _submit(self, request: Request) -> Response:
        return JSONResponse(self.submit(await json_object(request)))

    async def _delete(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.indicators or not self._sees(self.indicators[name]):
            raise RefusedError("ResourceNotFound", f"Indicator {name} was not found", 404)
        del self.indicators[name]
        return Response(status_code=204)


def _check(body: Mapping[str, Any]) -> None:
    for name in _REQUIRED:
        if not isinstance(body.get(name), str) or not body[name]:
            raise RefusedError("MissingRequiredParameter", f"Required parameter '{name}' is missing")
    strange = sorted(set(body) - set(_REQUIRED) - _OPTIONAL)
    if strange:
        raise RefusedError("InvalidRequestBody", f"Unknown parameter '{strange[0]}'")
    kind, value = body["indicatorType"], body["indicatorValue"]
    if kind not in _VALUES or not _VALUES[kind].fullmatch(value):
        raise RefusedError("InvalidInput", f"'{value}' is no valid indicator of type '{kind}'")
    if kind == "IpAddress" and _inside(value):
        raise RefusedError("InvalidInput", "Only external IP addresses can be indicators")
    if body["action"] not in _ACTIONS:
        raise RefusedError("InvalidInput", f"Invalid action '{body['action']}'")
    if body["action"] == "BlockAndRemediate" and not kind.startswith("File"):
        raise RefusedError("InvalidInput", "BlockAndRemediate is for files")
    if body["action"] == "Audit" and body.get("generateAlert") is not True:
        raise RefusedError("InvalidInput", "generateAlert must be true with Audit")
    if body.get("severity", "Informational") not in _SEVERITIES:
        raise RefusedError("InvalidInput", f"Invalid severity '{body['severity']}'")


def _inside(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise RefusedError("InvalidInput", f"'{text}' is no IP address") from None
    return any(address in network for network in _INSIDE)
