"""A SecOps instance that is strict about what Google is strict about: signed assertions, IAM, names, versions, enums.

Written from the published reference of the Chronicle API, the vendor's own Python wrapper and what others report of the
detections search; no live instance was asked.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.google_secops.payloads import detection, event, guid
from nightdesk.connectors.google_secops.simulated_detections import DetectionsApi
from nightdesk.connectors.google_secops.simulated_search import SearchApi
from nightdesk.connectors.google_secops.simulated_tables import TablesApi
from nightdesk.connectors.google_secops.simulated_telemetry import events
from nightdesk.connectors.google_secops.simulated_tokens import PATH, TokensApi
from nightdesk.connectors.google_secops.wire import Call, GoogleError, Quota, refusal
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert

__all__ = ["ALL_PERMISSIONS", "COLUMNS", "TABLE", "Simulator"]

_LEGACY = ("SearchDetections", "SearchCuratedDetections", "GetAlert", "UpdateAlert")
ALL_PERMISSIONS = frozenset(
    {f"chronicle.legacies.legacy{name}" for name in _LEGACY}
    | {f"chronicle.dataTableRows.{name}" for name in ("list", "bulkCreate", "delete")}
    | {"chronicle.dataTables.get", "chronicle.events.udmSearch"}
)
"""What the service account's roles may hold."""

TABLE = "nightdesk_indicators"
COLUMNS: Mapping[str, str] = dict.fromkeys(
    ("value", "type", "source", "name", "description", "confidence", "tlp", "valid_until"), "STRING"
)
"""The table that the README has people make."""

_PROJECT, _LOCATION = "soc-project", "us"
_ROOT = "/{version}/projects/{project}/locations/{location}/instances/{instance}"


class Simulator(testing.Simulator):
    """One instance and one service account, whose roles hold ``permissions``; the quota is one a method."""

    vendor = "google_secops"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        permissions: Iterable[str] = ALL_PERMISSIONS,
        requests_per_minute: int = 600,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.permissions = set(permissions)
        self.customer_id = guid("instance", self.secret)
        self.instance = f"projects/{_PROJECT}/locations/{_LOCATION}/instances/{self.customer_id}"
        self.tokens = TokensApi(self.now, self.secret)
        self.tables = TablesApi(self.now, self.faults, self.instance)
        self._quota = Quota(self.now, requests_per_minute)
        self._detections = DetectionsApi(self.now, self.faults, self.tokens.client_email, self.drift)
        self._search = SearchApi(self.faults, lambda: events(self.telemetry, self.secret))
        self.tables.make(TABLE, COLUMNS)

    @property
    def collections(self) -> Mapping[str, Mapping[str, Any]]:
        """Every detection by its id."""
        return self._detections.collections

    def routes(self) -> list[BaseRoute]:
        """The token endpoint, and what of the Chronicle API a hub needs."""
        rows = [row for api in (self._detections, self.tables, self._search) for row in api.endpoints()]
        guarded = [
            # The instance's own path ends before a colon, which belongs to the method.
            Route(_ROOT + path, self._guard(permission, versions, call), methods=[method])
            for method, path, permission, versions, call in rows
        ]
        return [Route(PATH, self.tokens.issue, methods=["POST"]), *guarded]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {
            "base_url": base_url,
            "token_url": f"{base_url}{PATH}",
            "project_id": _PROJECT,
            "region": _LOCATION,
            "customer_id": self.customer_id,
            "client_email": self.tokens.client_email,
            "private_key": Secret.literal(self.tokens.private_key),
            "private_key_id": self.tokens.key_id,
            "indicator_table": TABLE,
        }

    def add(self, alert: StoryAlert, *, curated: str = "") -> str:
        """Ingests the story's event and detects it; ``curated`` is the id of the rule of Google's that did."""
        made = detection(alert, tenant=self.customer_id, curated=curated)
        native_id = str(made["id"])
        if native_id in self.collections:
            raise ValueError(f"the story raises {alert.uid} twice")
        self._detections.collections[native_id] = made
        if curated:
            self._detections.curated[native_id] = curated
        self._search.events.append(event(alert))
        return native_id

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, disposition and comments in our words."""
        collection = self.collections[native_id]
        summary = collection.get("feedbackSummary", {})
        disposition = {"TRUE_POSITIVE": "true-positive", "FALSE_POSITIVE": "false-positive"}.get(
            summary.get("verdict", ""), ""
        )
        harmless = summary.get("reason") in {"REASON_NOT_MALICIOUS", "REASON_MAINTENANCE"}
        return {
            "status": "closed" if summary.get("status") == "CLOSED" else "open",
            "disposition": "benign-positive" if disposition == "true-positive" and harmless else disposition,
            "comments": [said["comment"] for said in collection.get("feedbackHistory", ()) if said.get("comment")],
        }

    def triage(self, native_id: str, **feedback: Any) -> None:
        """What an analyst says of an alert in the console, by the names of JSON."""
        self._detections.give(native_id, "analyst@example.com", feedback)

    def forget_pages(self) -> None:
        """No page token that was given, or is yet to be given, is good any longer."""
        self._detections.valid_tokens = False

    def mutations(self) -> list[SeenRequest]:
        """A token is a POST that changes nothing."""
        return [request for request in super().mutations() if request.path != PATH]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Google's envelope."""
        return refusal(status, message, headers)

    def rate_limit_headers(self, seconds: float) -> dict[str, str]:
        """None: Google says nowhere when to come back, whatever ``seconds`` are."""
        del seconds
        return {}

    def _guard(self, permission: str, versions: frozenset[str], call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            try:
                self.tokens.check(request)
                self._quota.spend(permission)
                self._located(request.path_params, permission, versions)
                return await call(request)
            except GoogleError as error:
                return refusal(error.status, str(error))

        return guarded

    def _located(self, parts: Mapping[str, str], permission: str, versions: frozenset[str]) -> None:
        if parts["version"] not in versions:
            raise GoogleError(404, "Method not found.")
        asked = f"projects/{parts['project']}/locations/{parts['location']}/instances/{parts['instance']}"
        if asked != self.instance or permission not in self.permissions:
            resource = f"//chronicle.googleapis.com/{asked}"
            raise GoogleError(403, f"Permission '{permission}' denied on resource '{resource}' (or it may not exist).")
