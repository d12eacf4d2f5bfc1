"""Azure as Sentinel needs it: one workspace's path under Resource Manager, tokens by cloud, roles in refusals."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError, ScopeError, VendorError
from nightdesk.sdk.http import HttpClient, OAuth2ClientCredentials

__all__ = ["CONTRIBUTOR", "READER", "RESPONDER", "VENDOR", "Arm", "Cloud", "cloud_of", "document", "signed_in"]

VENDOR = "microsoft_sentinel"
READER, RESPONDER, CONTRIBUTOR = (f"Microsoft Sentinel {name}" for name in ("Reader", "Responder", "Contributor"))
_VERSION = "2024-03-01"
_VERSION_FORM = re.compile(r"\d{4}-\d\d-\d\d(-preview)?")
_ACTION = re.compile(r"perform action '([^']+)'")
# What posts and puts refill; reads refill faster: https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
_REQUESTS_PER_MINUTE = 600


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where one of Microsoft's clouds keeps Resource Manager, its directory, and Log Analytics."""

    arm: str
    login: str
    logs: str


_CLOUDS: Mapping[str, Cloud] = {
    "public": Cloud("https://management.azure.com", "https://login.microsoftonline.com", "https://api.loganalytics.io"),
    "usgov": Cloud(
        "https://management.usgovcloudapi.net", "https://login.microsoftonline.us", "https://api.loganalytics.us"
    ),
    "china": Cloud(
        "https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn", "https://api.loganalytics.azure.cn"
    ),
}


def cloud_of(settings: Settings) -> Cloud:
    """The cloud that the settings name."""
    return _CLOUDS[settings.text("cloud", "public")]


def signed_in(context: Context, resource: str) -> OAuth2ClientCredentials:
    """How to get a token for a resource of the cloud; a token of one is refused by every other."""
    settings = context.settings
    login = settings.text("login_url") or cloud_of(settings).login
    return OAuth2ClientCredentials(
        token_url=f"{login}/{quote(settings.text('tenant_id'), safe='')}/oauth2/v2.0/token",
        client_id=settings.text("client_id"),
        client_secret=settings.secret("client_secret"),
        scope=f"{resource}/.default",
    )


class Arm:
    """One workspace's Sentinel. Every call names the role it needs, so that a 403 can say what to assign."""

    def __init__(self, context: Context) -> None:
        settings, cloud = context.settings, cloud_of(context.settings)
        self.version = settings.text("api_version", _VERSION)
        if not _VERSION_FORM.fullmatch(self.version):
            raise ConfigError([Problem(context.instance, "api_version", "write a version like 2024-03-01")])
        group, workspace = (quote(settings.text(name), safe="") for name in ("resource_group", "workspace"))
        self._scope = (
            f"/subscriptions/{quote(settings.text('subscription_id'), safe='')}/resourceGroups/{group}"
            f"/providers/Microsoft.OperationalInsights/workspaces/{workspace}/providers/Microsoft.SecurityInsights"
        )
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("base_url") or cloud.arm,
            auth=signed_in(context, cloud.arm),
            requests_per_minute=_REQUESTS_PER_MINUTE,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        role: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        """One call under the workspace's Sentinel, or to a next-page link, sent as it came. Raises VendorError."""
        linked = path.startswith(("http://", "https://"))
        try:
            return await self._http.request(
                method,
                path if linked else f"{self._scope}{path}",
                operation=operation,
                params=None if linked else {"api-version": self.version, **(params or {})},
                json=json,
                repeatable=repeatable,
            )
        except ScopeError as error:
            raise lacking(error, role) from error


def lacking(error: ScopeError, role: str) -> ScopeError:
    """The refusal with the role to assign, and the action that Azure missed."""
    action = _ACTION.search(str(error))
    missed = f" (it may not {action[1]})" if action else ""
    return ScopeError(
        f"assign the role '{role}' on the workspace to the service principal{missed}",
        vendor=VENDOR,
        operation=error.operation,
        status=error.status,
        request_id=error.request_id,
    )


def document(response: httpx.Response, operation: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises ResponseError that says what came instead, never what is in it."""
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    media = "".join(letter for letter in response.headers.get("content-type", "") if letter.isprintable())[:60]
    raise broken(
        f"expected a JSON object, got {len(response.content)} bytes of {media or 'no content type'}; check base_url and"
        " that no sign-in page or proxy answers in its place",
        operation,
        response,
    )


def broken(message: str, operation: str, response: httpx.Response) -> VendorError:
    """An answer that is not of its documented shape."""
    name = response.headers.get("x-ms-correlation-request-id") or response.headers.get("x-ms-request-id")
    return ResponseError(
        message, vendor=VENDOR, operation=operation, status=response.status_code, request_id=name or None
    )
