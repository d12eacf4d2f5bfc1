"""The simulated devices: searches by text, one by number, and actions that are accepted whatever becomes of them."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.carbon_black_cloud.payloads import device_payload, number_of
from nightdesk.connectors.carbon_black_cloud.wire import (
    BadRequestError,
    DeniedError,
    MissingError,
    Routes,
    body_of,
    paged,
)
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Fleet, StoryDevice
from nightdesk.sdk.testing.estate import OrderKind

__all__ = ["DevicesApi"]

_API = "appservices/v6/orgs/{org}"
_ACTIONS = {
    "QUARANTINE": "device.quarantine EXECUTE",
    "BYPASS": "device.bypass EXECUTE",
    "BACKGROUND_SCAN": "device.bg-scan EXECUTE",
    "UPDATE_POLICY": "device.policy UPDATE",
    "UPDATE_SENSOR_VERSION": "org.kits EXECUTE",
    "UNINSTALL_SENSOR": "device.uninstall EXECUTE",
    "DELETE_SENSOR": "device.deregistered DELETE",
}
_TOGGLED = frozenset({"QUARANTINE", "BYPASS", "BACKGROUND_SCAN"})
_SEARCH = ("criteria", "exclusions", "query", "start", "rows", "sort")
_SHOWN = ("name", "last_internal_ip_address", "last_external_ip_address", "os", "os_version", "policy_name")
_PHRASE = re.compile(r'"([^"]+)"|([^\s"]+)')


class DevicesApi:
    """The sensors of an organisation. ``domain`` is what stands before the name of a Windows machine."""

    def __init__(self, clock: Clock, fleet: Fleet, allowed: Callable[[str], bool], domain: str) -> None:
        self.gone: set[str] = set()
        self.policies: dict[str, int] = {}
        self._clock = clock
        self._fleet = fleet
        self._allowed = allowed
        self._domain = domain
        self._heard: dict[str, tuple[datetime, datetime]] = {}

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("POST", f"{_API}/devices/_search", "device READ", self._search),
            ("GET", f"{_API}/devices/{{id}}", "device READ", self._read),
            ("POST", f"{_API}/device_actions", "", self._act),
        )

    def enrol(self, devices: Iterable[StoryDevice]) -> None:
        """Installs sensors."""
        self._fleet.add(replace(device, device_id=number_of(device.device_id)) for device in devices)
        for number in self._fleet.devices:
            self._heard.setdefault(number, (self._clock(), self._clock()))

    def name(self, number: str) -> str:
        """What the device is called."""
        device = self._fleet.devices[number]
        return (
            f"{self._domain}\\{device.hostname}" if self._domain and device.platform == "Windows" else device.hostname
        )

    def record(self, number: str) -> dict[str, Any]:
        """The device as it is now; one that cannot be reached keeps the time it was last heard."""
        self._fleet.settle()
        device, now = self._fleet.devices[number], self._clock()
        first, last = self._heard[number]
        if number not in self.gone and self._fleet.is_online(device):
            self._heard[number] = (first, last := now)
        return device_payload(
            device,
            name=self.name(number),
            status="DEREGISTERED" if number in self.gone else "REGISTERED",
            registered=first,
            heard=last,
            policy_id=self.policies.get(number, 465946),
        )

    async def _search(self, request: Request) -> Response:
        body = await body_of(request, *_SEARCH)
        rows = [self.record(number) for number in self._fleet.devices]
        found = [row for row in rows if _fits(row, body)]
        return JSONResponse({"results": paged(found, body, first=1), "num_found": len(found)})

    async def _read(self, request: Request) -> Response:
        number = request.path_params["id"]
        if number not in self._fleet.devices:
            raise MissingError(f"no device {number}")
        return JSONResponse(self.record(number))

    async def _act(self, request: Request) -> Response:
        body = await body_of(request, "action_type", "device_id", "search", "options")
        action, options = body.get("action_type"), body.get("options") or {}
        if action not in _ACTIONS:
            raise BadRequestError(f"action_type is one of {', '.join(_ACTIONS)}")
        if not self._allowed(_ACTIONS[action]):
            raise DeniedError(_ACTIONS[action])
        if action in _TOGGLED and options.get("toggle") not in {"ON", "OFF"}:
            raise BadRequestError("options.toggle is ON or OFF")
        if action == "UPDATE_POLICY" and not str(options.get("policy_id", "")).isdecimal():
            raise BadRequestError("options.policy_id is required")
        # What is not there, or gone, is passed over in silence.
        for number in self._meant(body):
            if number in self._fleet.devices and number not in self.gone:
                self._carry_out(number, action, options)
        return Response(status_code=204)

    def _meant(self, body: dict[str, Any]) -> list[str]:
        ids, search = body.get("device_id"), body.get("search")
        if (ids is None) == (search is None):
            raise BadRequestError("give either device_id or search")
        if search is not None:
            return [number for number in self._fleet.devices if _fits(self.record(number), search)]
        if not isinstance(ids, list) or not ids or not all(str(each).isdecimal() for each in ids):
            raise BadRequestError("device_id is a list of ids")
        return [str(each) for each in ids]

    def _carry_out(self, number: str, action: str, options: dict[str, Any]) -> None:
        on = options.get("toggle") == "ON"
        kinds: dict[tuple[str, bool], OrderKind] = {
            ("QUARANTINE", True): "isolate",
            ("QUARANTINE", False): "release",
            ("BACKGROUND_SCAN", True): "scan",
        }
        if (action, on) in kinds:
            self._fleet.ask(number, kinds[action, on])
        elif action == "UPDATE_POLICY":
            self.policies[number] = int(options["policy_id"])
        elif action in {"UNINSTALL_SENSOR", "DELETE_SENSOR"}:
            self.gone.add(number)


def _fits(row: dict[str, Any], body: dict[str, Any]) -> bool:
    criteria = body.get("criteria") or {}
    if not isinstance(criteria, dict) or set(criteria) - {"id", "status", "os", "policy_id"}:
        raise BadRequestError("criteria are id, status, os, policy_id")
    if not all(isinstance(value, list) for value in criteria.values()):
        raise BadRequestError("a criterion is a list")
    if any(value and str(row[name]) not in {str(each) for each in value} for name, value in criteria.items()):
        return False
    query = str(body.get("query") or "")
    if query.count('"') % 2:
        raise BadRequestError("unbalanced quotes", reason="query_malformed_syntax")
    phrases = [quoted or bare for quoted, bare in _PHRASE.findall(query) if bare != "OR"]
    # It minds the case, and a part of a value is enough.
    return not phrases or any(phrase in str(row[name]) for phrase in phrases for name in _SHOWN)
