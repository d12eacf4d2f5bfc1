"""A Sentinel workspace that is strict about what Azure is strict about: RBAC, api-versions, etags, pairs of words.

Written from the published schema of Microsoft.SecurityInsights 2024-03-01, ARM's documentation and cited public bug
reports; no live tenant was asked.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.microsoft_sentinel.payloads import Story, guid
from nightdesk.connectors.microsoft_sentinel.simulated_arm import ARM, LOGS, Arm, Call, RefusedError, Sts
from nightdesk.connectors.microsoft_sentinel.simulated_comments import CommentsApi
from nightdesk.connectors.microsoft_sentinel.simulated_incidents import IncidentsApi
from nightdesk.connectors.microsoft_sentinel.simulated_indicators import IndicatorsApi
from nightdesk.connectors.microsoft_sentinel.simulated_logs import LogsApi
from nightdesk.connectors.microsoft_sentinel.simulated_telemetry import tables
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert

__all__ = ["ALL_ACTIONS", "Simulator"]

_PROVIDER = "Microsoft.SecurityInsights"
_QUERY = "Microsoft.OperationalInsights/workspaces/query/read"
ALL_ACTIONS = frozenset(
    {f"{_PROVIDER}/incidents/{name}" for name in ("read", "write", "comments/read", "comments/write")}
    | {f"{_PROVIDER}/incidents/comments/delete", _QUERY}
    | {f"{_PROVIDER}/threatIntelligence/{name}/action" for name in ("createIndicator", "queryIndicators")}
    | {f"{_PROVIDER}/threatIntelligence/indicators/{name}" for name in ("read", "delete")}
)
"""What the service principal's roles may hold."""

_GROUP, _WORKSPACE = "rg-soc", "ws-soc"
_ROOT = (
    "/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.OperationalInsights/workspaces/{workspace}"
)
_DISPOSITIONS = {
    "TruePositive": "true-positive",
    "FalsePositive": "false-positive",
    "BenignPositive": "benign-positive",
    "Undetermined": "undetermined",
}
_READING_POSTS = ("/token", "/alerts", "/entities", "/queryIndicators", "/query")


class Simulator(testing.Simulator):
    """One workspace and one service principal, whose roles hold ``actions``."""

    vendor = "microsoft_sentinel"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        actions: Iterable[str] = ALL_ACTIONS,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        names = ("tenant", "client", "subscription", "workspace")
        self.tenant_id, self.client_id, self.subscription_id, self.workspace_id = (
            guid(name, self.secret) for name in names
        )
        self.actions = set(actions)
        workspace = _ROOT.format(subscription=self.subscription_id, group=_GROUP, workspace=_WORKSPACE)
        self.scope = f"{workspace}/providers/{_PROVIDER}"
        self._rows: list[Mapping[str, Any]] = []
        self._sts = Sts(self.now, self.tenant_id, self.client_id, self.secret)
        self._arm = Arm(self.now)
        self._incidents = IncidentsApi(self._arm, self.now, self.scope, self.drift)
        self._comments = CommentsApi(self._arm, self.now, self._incidents)
        self._indicators = IndicatorsApi(self._arm, self.now, self.faults, self.scope)
        self._logs = LogsApi(self.workspace_id, self.faults, self._tables)

    @property
    def incidents(self) -> Mapping[str, Mapping[str, Any]]:
        """Every incident by its GUID."""
        return self._incidents.incidents

    @property
    def indicators(self) -> Mapping[str, Mapping[str, Any]]:
        """Every indicator by its name."""
        return self._indicators.indicators

    def routes(self) -> list[BaseRoute]:
        """The token endpoint, the workspace's Sentinel, and the query endpoint."""
        table = [row for api in (self._incidents, self._comments, self._indicators) for row in api.routes()]
        prefix = f"{_ROOT}/providers/{_PROVIDER}"
        guarded = [
            Route(prefix + path, self._guard(action, call), methods=[method]) for method, path, action, call in table
        ]
        logs = self._guard(_QUERY, self._logs.query, LOGS)
        return [
            Route("/{tenant}/oauth2/v2.0/token", self._sts.issue, methods=["POST"]),
            Route("/v1/workspaces/{workspace}/query", logs, methods=["POST"]),
            *guarded,
        ]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {
            "base_url": base_url,
            "login_url": base_url,
            "logs_url": base_url,
            "tenant_id": self.tenant_id,
            "client_id": self.client_id,
            "client_secret": Secret.literal(self.secret),
            "subscription_id": self.subscription_id,
            "resource_group": _GROUP,
            "workspace": _WORKSPACE,
            "workspace_id": self.workspace_id,
        }

    def add(self, alert: StoryAlert) -> str:
        """Raises an alert and the incident that its rule makes of it."""
        story = Story(alert, self.scope, self.workspace_id)
        if story.name in self.incidents:
            raise ValueError(f"the story raises {alert.uid} twice")
        self._incidents.create(story.incident(self._incidents.next_number), story.alerts(), story.entities())
        self._rows.append(story.row())
        return story.name

    def triage(self, native_id: str, **properties: Any) -> None:
        """What an analyst, an automation rule or the Defender portal changes at an incident."""
        self._incidents.change(native_id, **properties)

    def stir(self, native_id: str) -> None:
        """From now on the incident changes after every look at it, so that every etag is stale."""
        self._incidents.restless.add(native_id)

    def calm(self, native_id: str) -> None:
        """Ends ``stir``."""
        self._incidents.restless.discard(native_id)

    def remove(self, native_id: str) -> None:
        """Deletes an incident, as a merge by the Defender portal does."""
        del self._incidents.incidents[native_id]

    def forget_pages(self) -> None:
        """No skip token that was given, or is yet to be given, is good any longer."""
        self._incidents.valid_tokens = False

    def add_indicator(self, indicator: Mapping[str, Any]) -> str:
        """What somebody else made; gives its name."""
        return str(self._indicators.create({"kind": "indicator", "properties": indicator})[0]["name"])

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, disposition and comments in our words."""
        properties = self.incidents[native_id]["properties"]
        return {
            "status": "closed" if properties["status"] == "Closed" else "open",
            "disposition": _DISPOSITIONS.get(properties.get("classification") or "", ""),
            "comments": self._comments.texts(native_id),
        }

    def mutations(self) -> list[SeenRequest]:
        """Azure's queries and its tokens are POSTs that change nothing."""
        found = super().mutations()
        return [request for request in found if request.method != "POST" or not request.path.endswith(_READING_POSTS)]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """ARM's envelope."""
        codes = {401: "ExpiredAuthenticationToken", 403: "AuthorizationFailed", 429: "TooManyRequests"}
        return self._arm.refuse(status, codes.get(status, "ServiceUnavailable"), message, headers)

    def _tables(self) -> Mapping[str, list[Mapping[str, Any]]]:
        found = tables(self.telemetry)
        return {**found, "SecurityAlert": self._rows, "SecurityIncident": list(self._incidents.history)}

    def _guard(self, action: str, call: Call, audience: str = ARM) -> Call:
        async def guarded(request: Request) -> Response:
            wait = self._arm.spend(request.method)
            if wait:
                return self.refuse(429, "Number of requests exceeded the limit.", self.rate_limit_headers(wait))
            try:
                self._sts.check(request, audience)
                if audience == ARM:
                    self._arm.version(request)
                    self._located(request.path_params)
                self._allowed(action)
                return await call(request)
            except RefusedError as error:
                return self._arm.refuse(error.status, error.code, str(error))

        return guarded

    def _located(self, parts: Mapping[str, str]) -> None:
        if parts["subscription"] != self.subscription_id:
            raise RefusedError(404, "SubscriptionNotFound", f"The subscription '{parts['subscription']}' is not found.")
        if parts["group"].lower() != _GROUP:
            raise RefusedError(404, "ResourceGroupNotFound", f"Resource group '{parts['group']}' is not found.")
        if parts["workspace"].lower() != _WORKSPACE:
            raise RefusedError(404, "ResourceNotFound", f"The workspace '{parts['workspace']}' was not found.")

    def _allowed(self, action: str) -> None:
        if action in self.actions:
            return
        message = (
            f"The client '{self.client_id}' does not have authorization to perform action '{action}' over scope"
            f" '{self.scope}' or the scope is invalid."
        )
        raise RefusedError(403, "AuthorizationFailed", message)
