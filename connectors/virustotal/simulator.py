"""VirusTotal's API for one public key: it counts every call, forgets nothing, and knows only what it was told."""

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.virustotal.payloads import attributes_of, stats_of
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.kinds import TargetKind
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import FaultPlan

__all__ = ["Simulator"]

_API = "/api/v3"
_HASH = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_MINUTE, _TAKES = timedelta(seconds=60), timedelta(seconds=45)
_CODES = {
    400: "BadRequestError",
    401: "WrongCredentialsError",
    403: "ForbiddenError",
    404: "NotFoundError",
    429: "TooManyRequestsError",
    503: "TransientError",
    504: "DeadlineExceededError",
}
_KINDS = {"files": "file", "urls": "url", "domains": "domain", "ip_addresses": "ip_address"}


@dataclass(slots=True)
class _Analysis:
    """One submission; ``due`` is when it is completed, None when it never is."""

    analysis_id: str
    collection: str
    object_id: str
    due: datetime | None


class Simulator(testing.Simulator):
    """One key. ``per_minute`` and ``per_day`` are what it allows; those of a public one unless said."""

    vendor = "virustotal"

    def __init__(self, *, clock: Clock = utc_now, faults: FaultPlan | None = None, secret: str = "") -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.per_minute, self.per_day = 4, 500
        self.user = "acme-soc"
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.spent: list[datetime] = []
        self._analyses: dict[str, _Analysis] = {}
        self.know("ip_addresses", "8.8.8.8", "benign")

    def routes(self) -> list[BaseRoute]:
        """The endpoints that a public key has and nightdesk or its tests use."""
        calls: dict[str, tuple[str, Callable[[Request], Awaitable[Any]]]] = {
            "/urls": ("POST", self._submit_url),
            "/files/{id}/analyse": ("POST", self._analyse_file),
            "/urls/{id}/analyse": ("POST", self._analyse_url),
            "/analyses/{id}": ("GET", self._analysis),
            "/{collection}/{id}": ("GET", self._object),
        }
        routes: list[BaseRoute] = [Route(f"{_API}/users/{{id}}/overall_quotas", self._keyed(self._quotas))]
        for path, (method, call) in calls.items():
            routes.append(Route(f"{_API}{path}", self._keyed(call, costs=True), methods=[method]))
        return routes

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {
            "base_url": f"{base_url}{_API}",
            "api_key": Secret.literal(self.secret),
            "user": self.user,
            "detonate": True,
        }

    def judge(self, target: Target, verdict: str) -> None:
        """The engines have looked at it a moment ago."""
        value = target.value.partition(":")[2] if target.kind is TargetKind.FILE else target.value
        collections = {
            TargetKind.FILE: "files",
            TargetKind.URL: "urls",
            TargetKind.DOMAIN: "domains",
            TargetKind.ADDRESS: "ip_addresses",
        }
        self.know(collections[target.kind], value, verdict)

    def know(self, collection: str, value: str, verdict: str, *, at: datetime | None = None, **stats: int) -> None:
        """Makes an object known; ``stats`` replace those of the verdict."""
        object_id = sha256(value.encode()).hexdigest() if collection == "urls" else value.lower()
        counts = {**stats_of(verdict), **stats}
        self.objects[collection, object_id] = attributes_of(counts, at or self.now())

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The error document, with the code of the status."""
        body = {"error": {"code": _CODES.get(status, "BadRequestError"), "message": message}}
        return JSONResponse(body, status, headers=dict(headers or {}))

    def rate_limit_headers(self, seconds: float) -> dict[str, str]:  # noqa: ARG002  # of every simulator
        """It does not say when to come back."""
        return {}

    def _keyed(
        self, call: Callable[[Request], Awaitable[Any]], *, costs: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            given = request.headers.get("x-apikey")
            if given is None:
                error = {"code": "AuthenticationRequiredError", "message": "X-Apikey header is missing"}
                return JSONResponse({"error": error}, 401)
            if given != self.secret:
                return self.refuse(401, "Wrong API key")
            if costs:
                refusal = self._spend()
                if refusal is not None:
                    return refusal
            self._settle()
            found = await call(request)
            return found if isinstance(found, Response) else JSONResponse({"data": found})

        return answer

    def _spend(self) -> Response | None:
        now = self.now()
        if sum(one.date() == now.date() for one in self.spent) >= self.per_day:
            return JSONResponse({"error": {"code": "QuotaExceededError", "message": "Quota exceeded"}}, 429)
        if sum(now - one < _MINUTE for one in self.spent) >= self.per_minute:
            return self.refuse(429, "Too many requests")
        self.spent.append(now)
        return None

    def _settle(self) -> None:
        """Completes the analyses that are due."""
        for one in self._analyses.values():
            if one.due is not None and one.due <= self.now():
                known = self.objects.get((one.collection, one.object_id))
                stats = known["last_analysis_stats"] if known else stats_of("benign")
                self.objects[one.collection, one.object_id] = attributes_of(stats, one.due)

    async def _quotas(self, request: Request) -> Any:
        if request.path_params["id"] not in {self.user, self.secret}:
            return self.refuse(404, f'User "{request.path_params["id"]}" not found')
        today = sum(one.date() == self.now().date() for one in self.spent)
        month = sum((one.year, one.month) == (self.now().year, self.now().month) for one in self.spent)
        return {
            "api_requests_hourly": {"user": {"used": 0, "allowed": self.per_minute * 60}},
            "api_requests_daily": {"user": {"used": today, "allowed": self.per_day}},
            "api_requests_monthly": {"user": {"used": month, "allowed": self.per_day * 31}},
        }

    async def _object(self, request: Request) -> Any:
        collection, wanted = request.path_params["collection"], request.path_params["id"]
        if collection not in _KINDS:
            return self.refuse(404, f"Resource not found: {collection}")
        object_id = _object_id(collection, wanted)
        if object_id is None:
            return self.refuse(400, f'"{wanted}" is not a valid {_KINDS[collection]}')
        found = self.objects.get((collection, object_id))
        if found is None:
            return self.refuse(404, f'{_KINDS[collection].capitalize()} "{wanted}" not found')
        link = {"self": f"https://www.virustotal.com{_API}/{collection}/{object_id}"}
        return {"id": object_id, "type": _KINDS[collection], "attributes": self.drift(found), "links": link}

    async def _submit_url(self, request: Request) -> Any:
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return self.refuse(400, "expected a form")
        url = parse_qs((await request.body()).decode()).get("url", [""])[0]
        if not re.match(r"https?://[^/\s]+", url):
            return self.refuse(400, "Unable to canonicalize url")
        return self._queued("u", "urls", sha256(url.encode()).hexdigest())

    async def _analyse_url(self, request: Request) -> Any:
        return self._again("urls", "u", request.path_params["id"])

    async def _analyse_file(self, request: Request) -> Any:
        return self._again("files", "f", request.path_params["id"])

    def _again(self, collection: str, letter: str, wanted: str) -> Any:
        object_id = _object_id(collection, wanted)
        if object_id is None or (collection, object_id) not in self.objects:
            return self.refuse(404, f'{_KINDS[collection].capitalize()} "{wanted}" not found')
        return self._queued(letter, collection, object_id)

    def _queued(self, letter: str, collection: str, object_id: str) -> dict[str, Any]:
        late = self.faults.standing("late_effect")
        takes = timedelta(seconds=float(late.options.get("seconds", 1))) if late else _TAKES
        due = None if self.faults.standing("accepted_then_failed") else self.now() + takes
        analysis_id = f"{letter}-{object_id}-{len(self._analyses) + 1}"
        self._analyses[analysis_id] = _Analysis(analysis_id, collection, object_id, due)
        return {"type": "analysis", "id": analysis_id}

    async def _analysis(self, request: Request) -> Any:
        one = self._analyses.get(request.path_params["id"])
        if one is None:
            return self.refuse(404, f'analysis "{request.path_params["id"]}" not found')
        is_done = one.due is not None and one.due <= self.now()
        attributes = {"status": "completed" if is_done else "queued", "stats": stats_of("benign") if is_done else {}}
        return {"type": "analysis", "id": one.analysis_id, "attributes": attributes}


def _object_id(collection: str, wanted: str) -> str | None:
    """The id under which an object is kept; None when what is wanted cannot be one."""
    match collection:
        case "files":
            return wanted.lower() if _HASH.fullmatch(wanted) else None
        case "domains":
            return wanted if _NAME.fullmatch(wanted) else None
        case "ip_addresses":
            try:
                return str(ip_address(wanted))
            except ValueError:
                return None
    if re.fullmatch(r"[0-9a-f]{64}", wanted):
        return wanted
    if wanted.endswith("="):
        return None
    try:
        url = base64.urlsafe_b64decode(wanted + "=" * (-len(wanted) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return sha256(url.encode()).hexdigest()
