"""The simulated Network Zones API: zones are replaced whole, and an IP zone checks every gateway.

Sources: https://developer.okta.com/docs/api/openapi/okta-management/management/tag/NetworkZone/ and
https://help.okta.com/OIE/en-us/content/topics/security/network/create-ip-zone.htm
"""

import ipaddress
import json
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.okta.scim import ScimError, parse
from nightdesk.connectors.okta.wire import OktaError, Routes, linked, not_found, page_limit, stamp
from nightdesk.sdk.context import Clock

__all__ = ["ZonesApi"]

_MOST = {"BLOCKLIST": 1000, "POLICY": 150}
_SYSTEM = (("LegacyIpZone", "POLICY"), ("BlockedIpZone", "BLOCKLIST"))


class ZonesApi:
    """The network zones of an org by id."""

    def __init__(self, clock: Clock) -> None:
        self.zones: dict[str, dict[str, Any]] = {}
        self._clock = clock
        for name, usage in _SYSTEM:
            self.make(name, usage, system=True)

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", "/api/v1/zones", "okta.networkZones.read", self._list),
            ("GET", "/api/v1/zones/{zone}", "okta.networkZones.read", self._read),
            ("PUT", "/api/v1/zones/{zone}", "okta.networkZones.manage", self._replace),
        )

    def make(self, name: str, usage: str = "BLOCKLIST", *gateways: str, system: bool = False) -> str:
        """A zone as an administrator makes it in the console; gives its id."""
        zone_id, now = f"nzo{sha256(name.encode()).hexdigest()[:17]}", stamp(self._clock())
        self.zones[zone_id] = {
            "type": "IP",
            "id": zone_id,
            "name": name,
            "status": "ACTIVE",
            "usage": usage,
            "created": now,
            "lastUpdated": now,
            "system": system,
            "gateways": [{"type": "RANGE" if "-" in text else "CIDR", "value": text} for text in gateways] or None,
            "proxies": None,
        }
        return zone_id

    async def _list(self, request: Request) -> Response:
        query, limit = request.query_params, page_limit(request, 20, 200)
        try:
            test = parse(query.get("filter", ""), lambda field, operator: field in {"id", "usage"} and operator == "eq")
        except ScimError as error:
            raise OktaError(400, f"Invalid filter. {error}", "E0000053") from None
        rows = sorted(filter(test, self.zones.values()), key=lambda zone: str(zone["id"]))
        rows = [zone for zone in rows if zone["id"] > query.get("after", "")]
        following = {"after": rows[limit - 1]["id"], "limit": limit} if len(rows) > limit else None
        return linked(JSONResponse([_shown(request, zone) for zone in rows[:limit]]), request, following)

    async def _read(self, request: Request) -> Response:
        return JSONResponse(_shown(request, self._zone(request)))

    async def _replace(self, request: Request) -> Response:
        zone = self._zone(request)
        try:
            body = json.loads(await request.body())
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise OktaError(400, "The request body was not well-formed.", "E0000003")
        if body.get("type") != zone["type"]:
            raise OktaError(400, "Api validation failed: type", causes=["type: The type of a zone cannot be changed."])
        if not isinstance(body.get("name"), str) or not 1 <= len(body["name"]) <= 128:
            raise OktaError(400, "Api validation failed: name", causes=["name: must be 1 to 128 characters"])
        usage = body.get("usage", "POLICY")
        if usage not in _MOST:
            raise OktaError(400, "Api validation failed: usage", causes=["usage: must be POLICY or BLOCKLIST"])
        gateways, proxies = (_addresses(body.get(name), name, _MOST[usage]) for name in ("gateways", "proxies"))
        if not (gateways or proxies or zone["system"]):
            raise OktaError(400, "Api validation failed: gateways", causes=["gateways: define gateways or proxies"])
        # What the body leaves out is gone: this is a replacement.
        changed = {"name": body["name"], "usage": usage, "gateways": gateways, "proxies": proxies}
        zone.update(changed, lastUpdated=stamp(self._clock()))
        return JSONResponse(_shown(request, zone))

    def _zone(self, request: Request) -> dict[str, Any]:
        name = request.path_params["zone"]
        if name not in self.zones:
            raise not_found(name, "NetworkZone")
        return self.zones[name]


def _shown(request: Request, zone: dict[str, Any]) -> dict[str, Any]:
    link = {"href": f"{request.base_url}api/v1/zones/{zone['id']}", "hints": {"allow": ["GET", "PUT", "DELETE"]}}
    return {**zone, "_links": {"self": link}}


def _addresses(found: Any, name: str, most: int) -> list[dict[str, str]] | None:
    """The checked entries. Raises OktaError that names the first that is wrong."""
    if found is None:
        return None
    if not isinstance(found, list) or len(found) > most:
        raise OktaError(400, f"Api validation failed: {name}", causes=[f"{name}: at most {most} entries"])
    for entry in found:
        kind, value = (entry.get("type"), str(entry.get("value"))) if isinstance(entry, dict) else (None, "")
        if not _is_address(kind, value):
            cause = f"{name}: The IP: {value} in the {kind} is invalid. Make sure it is a valid IPV4."
            raise OktaError(400, f"Api validation failed: {name}", causes=[cause])
    return found or None


def _is_address(kind: Any, value: str) -> bool:
    try:
        if kind == "CIDR":
            ipaddress.IPv4Network(value, strict=False)
            return True
        first, last = (ipaddress.IPv4Address(part) for part in value.split("-"))
    except ValueError:
        return False
    return kind == "RANGE" and first <= last
