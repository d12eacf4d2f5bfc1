"""A Sophos Central tenant that is strict about what the vendor is strict about: roles, tenants, regions, limits, times.

Written from the vendor's published API reference, its own SIEM script, and cited public bug reports; no live tenant was
asked. Both hosts and the sign-in are served at one address.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.sophos_central.payloads import common_payload, feed_payload, uuid_of
from nightdesk.connectors.sophos_central.simulated_alerts import AlertsApi
from nightdesk.connectors.sophos_central.simulated_endpoints import EndpointsApi
from nightdesk.connectors.sophos_central.simulated_feed import FeedApi
from nightdesk.connectors.sophos_central.simulated_items import ItemsApi
from nightdesk.connectors.sophos_central.wire import Call, RefusedError, Wire, by_number, given, stamp
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert, StoryDevice

__all__ = ["Simulator"]

_TOKEN_PATH = "/api/v2/oauth2/token"
_TOKEN_LIFE = 3600  # seconds
_CHANGING = frozenset({"Service Principal Management", "Service Principal Super Admin"})
_READING = _CHANGING | {"Service Principal ReadOnly"}
_OWNERS = {"partner": "X-Partner-ID", "organization": "X-Organization-ID"}
_OTHER_TENANTS = 120


class Simulator(testing.Simulator):
    """One tenant and one API credential.

    ``role`` is the credential's; ``id_type`` says whose it is. ``region`` is the data region's address when that is not
    the one which it is reached at.
    """

    vendor = "sophos_central"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        role: str = "Service Principal Super Admin",
        id_type: str = "tenant",
        region: str = "",
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.role = role
        self.client_id, self.tenant_id, self.owner_id = (
            uuid_of(name, self.secret) for name in ("client", "tenant", "owner")
        )
        self._id_type = id_type
        self._region = region
        self._tokens: dict[str, datetime] = {}
        self._wire = Wire(self.now)
        self._feed = FeedApi(self.now, self.drift)
        self._alerts = AlertsApi(self.now)
        self._endpoints = EndpointsApi(self.now, self.fleet, self.tenant_id)
        self._items = ItemsApi(self.now)

    @property
    def feed(self) -> FeedApi:
        """The SIEM feed."""
        return self._feed

    @property
    def alerts(self) -> AlertsApi:
        """The open alerts, as the console shows them."""
        return self._alerts

    @property
    def endpoints(self) -> EndpointsApi:
        """The endpoints, as the console shows them."""
        return self._endpoints

    @property
    def items(self) -> ItemsApi:
        """The blocked items, as the console shows them."""
        return self._items

    def routes(self) -> list[BaseRoute]:
        """The endpoints that a hub needs, of the sign-in, the global host and the data region."""
        apis = (self._feed, self._alerts, self._endpoints, self._items)
        table = [row for api in apis for row in api.routes()]
        return [
            Route(_TOKEN_PATH, self._token, methods=["POST"]),
            Route("/whoami/v1", self._guard(self._whoami), methods=["GET"]),
            *(Route(f"/{kind}/v1/tenants", self._guard(self._tenants), methods=["GET"]) for kind in _OWNERS),
            *(Route(path, self._guard(call, tenant=True), methods=[method]) for method, path, call in table),
        ]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        named = {} if self._id_type == "tenant" else {"tenant_id": self.tenant_id}
        return {
            **dict.fromkeys(("base_url", "global_url", "login_url"), base_url),
            "client_id": self.client_id,
            "client_secret": Secret.literal(self.secret),
            **named,
        }

    def add_devices(self, devices: Iterable[StoryDevice]) -> None:
        """Installs endpoints; a second one of the same name is another machine."""
        self._endpoints.enrol(devices)

    def add(self, alert: StoryAlert) -> str:
        """Raises an alert, in the feed and among the open ones; its device enrols if it is new."""
        device = None
        if alert.device is not None:
            self.add_devices([alert.device])
            device = self.fleet.devices[uuid_of("endpoint", alert.device.device_id)]
        native_id = uuid_of("alert", self.secret, alert.uid)
        if native_id in self._feed.records("alerts"):
            raise ValueError(f"the story raises {alert.uid} twice")
        payload = feed_payload(alert, tenant=self.tenant_id, native_id=native_id, device=device)
        self._feed.append("alerts", payload, alert.told)
        self._alerts.open[native_id] = common_payload(payload, alert)
        return native_id

    def add_event(self, name: str, kind: str = "UpdateSuccess") -> str:
        """What goes into the stream of events alone."""
        native_id, now = uuid_of("event", self.secret, name), stamp(self.now())
        record = {
            "id": native_id,
            "customer_id": self.tenant_id,
            "type": f"Event::Endpoint::{kind}",
            "severity": "low",
            "created_at": now,
            "when": now,
            "name": name,
            "group": "PROTECTION",
            "source": "n/a",
            "location": "n/a",
        }
        self._feed.append("events", record, self.now())
        return native_id

    def acknowledge(self, native_id: str) -> None:
        """What an analyst does in the console."""
        del self._alerts.open[native_id]

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Open or closed, and the messages; the vendor keeps no disposition."""
        _ = self._feed.records("alerts")[native_id]
        status = "open" if native_id in self._alerts.open else "closed"
        return {"status": status, "disposition": "", "comments": list(self._alerts.messages.get(native_id, ()))}

    def mutations(self) -> list[SeenRequest]:
        """Asking for a token is a POST that changes nothing."""
        return [request for request in super().mutations() if request.path != _TOKEN_PATH]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The vendor's envelope."""
        return self._wire.refuse(status, message, headers)

    def _guard(self, call: Call, *, tenant: bool = False) -> Call:
        async def guarded(request: Request) -> Response:
            try:
                self._wire.spend()
                self._signed_in(request)
                if tenant:
                    self._allowed(request)
                return await call(request)
            except RefusedError as error:
                return self.refuse(error.status, str(error))

        return guarded

    def _signed_in(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or self._tokens.get(token, self.now()) <= self.now():
            raise RefusedError(401, "Unauthorized")

    def _allowed(self, request: Request) -> None:
        """A call without the tenant's header is not a malformed one but an unauthorised one."""
        named = request.headers.get("x-tenant-id")
        if named is None:
            raise RefusedError(401, "Unauthorized")
        if named != self.tenant_id:
            raise RefusedError(403, "Forbidden")
        if self.role not in (_READING if request.method == "GET" else _CHANGING):
            raise RefusedError(403, "Access to the requested resource is forbidden")

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        wrong = ""
        if form.get("grant_type") != "client_credentials" or form.get("scope") != "token":
            wrong, status = "oauth.invalid_request", 400
        elif form.get("client_id") != self.client_id:
            wrong, status = "oauth.invalid_client_id", 401
        elif form.get("client_secret") != self.secret:
            wrong, status = "oauth.invalid_client_secret", 401
        trace = uuid_of("trace", str(len(self.seen)))
        if wrong:
            return JSONResponse({"errorCode": wrong, "message": "Unauthorized", "trackingId": trace}, status)
        token = sha256(f"{self.secret} token {len(self._tokens)}".encode()).hexdigest()
        self._tokens[token] = self.now() + timedelta(seconds=_TOKEN_LIFE)
        body = {"access_token": token, "token_type": "bearer", "expires_in": _TOKEN_LIFE, "errorCode": "success"}
        return JSONResponse({**body, "message": "OK", "refresh_token": f"r{token}", "trackingId": trace})

    async def _whoami(self, request: Request) -> Response:
        own = self._id_type == "tenant"
        hosts = {"global": self._address(request), **({"dataRegion": self._home(request)} if own else {})}
        name = self.tenant_id if own else self.owner_id
        return JSONResponse({"id": name, "idType": self._id_type, "apiHosts": hosts})

    async def _tenants(self, request: Request) -> Response:
        kind = request.url.path.split("/")[1]
        if kind != self._id_type or request.headers.get(_OWNERS[kind]) != self.owner_id:
            raise RefusedError(403, "Forbidden")
        query = given(request, "page", "pageSize", "pageTotal")
        names = [*(uuid_of("other", str(each)) for each in range(_OTHER_TENANTS)), self.tenant_id]
        rows = [{"id": name, "name": "Example", "status": "active", "apiHost": self._home(request)} for name in names]
        return by_number(rows, query, default=50, most=100)

    def _home(self, request: Request) -> str:
        return self._region or self._address(request)

    def _address(self, request: Request) -> str:
        return f"{request.url.scheme}://{request.url.netloc}"
