"""The simulated Entra ID Protection: detections, the risk of users, and the verdicts that admins give on both."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.microsoft_entra_id.payloads import guid, risky_user_payload, timestamp
from nightdesk.connectors.microsoft_entra_id.wire import GraphError, Pages, Permissions, Routes, Wire, json_object
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["RisksApi"]

Drift = Callable[[dict[str, Any]], dict[str, Any]]
Users = Callable[[str], Mapping[str, Any] | None]

_EVENTS: Permissions = (frozenset({"IdentityRiskEvent.Read.All"}),)
_EVENTS_WRITE: Permissions = (frozenset({"IdentityRiskEvent.ReadWrite.All"}),)
_USERS: Permissions = (frozenset({"IdentityRiskyUser.Read.All"}), frozenset({"IdentityRiskyUser.ReadWrite.All"}))
_USERS_WRITE: Permissions = (frozenset({"IdentityRiskyUser.ReadWrite.All"}),)
_STATES: Mapping[str, str] = {
    "confirmCompromised": "confirmedCompromised",
    "confirmSafe": "confirmedSafe",
    "dismiss": "dismissed",
}
_SIGN_IN: Mapping[str, str] = {
    "confirmCompromised": "adminConfirmedSigninCompromised",
    "confirmSafe": "adminConfirmedSigninSafe",
    "dismiss": "adminDismissedRiskForSignIn",
}
_USER: Mapping[str, str] = {
    "confirmCompromised": "adminConfirmedUserCompromised",
    "confirmSafe": "adminConfirmedAccountSafe",
    "dismiss": "adminDismissedAllRiskForUser",
}
_LATER_MEMBERS = frozenset({"adminDismissedRiskForSignIn", "adminConfirmedAccountSafe", "m365DAdminDismissedDetection"})
_LEVELS = ("none", "low", "medium", "high")
_MOST_NAMES = 60
_DETECTIONS = Pages(
    "identityProtection/riskDetections",
    {
        **dict.fromkeys(("detectedDateTime", "lastUpdatedDateTime", "activityDateTime"), "time"),
        **dict.fromkeys(("id", "riskState", "riskLevel", "riskEventType", "userId", "requestId"), "text"),
    },
    most=500,
    default=20,
    sorts=frozenset({"detectedDateTime", "lastUpdatedDateTime", "activityDateTime"}),
)
_RISKY_USERS = Pages(
    "identityProtection/riskyUsers",
    {
        "riskLastUpdatedDateTime": "time",
        "isProcessing": "flag",
        **dict.fromkeys(("id", "riskState", "riskLevel", "userPrincipalName"), "text"),
    },
    most=500,
    default=20,
)


@dataclass(slots=True)
class _Pending:
    due: datetime
    carry_out: Callable[[], None]


class RisksApi:
    """The risks of one tenant. ``licence`` "P2" tells all, "P1" hides levels and details, "" refuses."""

    def __init__(self, wire: Wire, clock: Clock, faults: FaultPlan, drift: Drift, users: Users, tenant_id: str) -> None:
        self.detections: dict[str, dict[str, Any]] = {}
        self.risky_users: dict[str, dict[str, Any]] = {}
        self.licence = "P2"
        self._wire = wire
        self._clock = clock
        self._faults = faults
        self._drift = drift
        self._users = users
        self._tenant_id = tenant_id
        self._pending: list[_Pending] = []

    def routes(self) -> Routes:
        """What can be called."""
        risks, sign_ins = "/identityProtection", "/auditLogs/signIns"
        return (
            ("GET", f"{risks}/riskDetections", _EVENTS, self._list_detections),
            ("GET", f"{risks}/riskDetections/{{name}}", _EVENTS, self._read_detection),
            ("GET", f"{risks}/riskyUsers", _USERS, self._list_users),
            ("GET", f"{risks}/riskyUsers/{{name}}", _USERS, self._read_user),
            *(("POST", f"{risks}/riskyUsers/{verdict}", _USERS_WRITE, self._judge_users) for verdict in _STATES),
            *(("POST", f"{sign_ins}/{verdict}", _EVENTS_WRITE, self._judge_sign_ins) for verdict in _STATES),
        )

    def recalculate(self) -> None:
        """What Entra does in its own time: a user's risk becomes the highest of his detections that are at risk."""
        self._settle()
        for name in {row["userId"] for row in self.detections.values() if row["riskState"] == "atRisk"} - {None}:
            found = [row for row in self.detections.values() if row["userId"] == name and row["riskState"] == "atRisk"]
            self._set_user(name, max((row["riskLevel"] for row in found), key=_LEVELS.index), "atRisk", "none")

    def judge_sign_ins(self, verdict: str, request_ids: Iterable[str]) -> None:
        """What an admin does in the report of risky sign-ins; every detection of the sign-in takes the verdict."""
        names = set(request_ids)
        for row in [row for row in self.detections.values() if row["requestId"] in names]:
            self._set(row, verdict, _SIGN_IN[verdict])
            if verdict == "confirmCompromised" and row["userId"]:
                self._set_user(row["userId"], "high", _STATES[verdict], _SIGN_IN[verdict])

    def judge_users(self, verdict: str, user_ids: Iterable[str]) -> None:
        """What an admin does in the report of risky users: it covers every open detection of theirs."""
        for name in user_ids:
            level = "high" if verdict == "confirmCompromised" else "none"
            self._set_user(name, level, _STATES[verdict], _USER[verdict])
            if verdict == "confirmCompromised":
                self._add_admins_own(name)
                continue
            for row in self.detections.values():
                if row["userId"] == name and row["riskState"] in {"atRisk", "confirmedCompromised"}:
                    self._set(row, verdict, _USER[verdict])

    def _set(self, row: dict[str, Any], verdict: str, detail: str) -> None:
        row["riskState"] = _STATES[verdict]
        row["riskLevel"] = "high" if verdict == "confirmCompromised" else "none"
        row["riskDetail"] = detail
        row["lastUpdatedDateTime"] = timestamp(self._clock())

    def _set_user(self, name: str, level: str, state: str, detail: str) -> None:
        user = self._users(name) or {"id": name, "displayName": None, "userPrincipalName": None}
        self.risky_users[name] = risky_user_payload(user, level=level, state=state, detail=detail, at=self._clock())

    def _add_admins_own(self, name: str) -> None:
        """The detection that an admin's confirmation leaves; it belongs to no sign-in."""
        now, user = timestamp(self._clock()), self._users(name)
        native_id = guid(self._tenant_id, "admin", name, now)
        self.detections[native_id] = {
            "id": native_id,
            **dict.fromkeys(("requestId", "correlationId", "ipAddress", "location", "additionalInfo")),
            "riskEventType": "adminConfirmedUserCompromised",
            "riskState": "confirmedCompromised",
            "riskLevel": "high",
            "riskDetail": "adminConfirmedUserCompromised",
            "source": "IdentityProtection",
            "detectionTimingType": "offline",
            "activity": "user",
            "tokenIssuerType": "AzureAD",
            **dict.fromkeys(("activityDateTime", "detectedDateTime", "lastUpdatedDateTime"), now),
            "userId": name,
            "userDisplayName": user["displayName"] if user else None,
            "userPrincipalName": user["userPrincipalName"] if user else None,
        }

    def _settle(self) -> None:
        now = self._clock()
        due = [pending for pending in self._pending if pending.due <= now]
        self._pending = [pending for pending in self._pending if pending.due > now]
        for pending in due:
            pending.carry_out()

    def _accept(self, carry_out: Callable[[], None]) -> None:
        """Feedback is processed offline: a fault plan delays or swallows it."""
        if self._faults.standing("accepted_then_failed"):
            return
        late = self._faults.standing("late_effect")
        seconds = float(late.options.get("seconds", 1)) if late else 0.0
        self._pending.append(_Pending(self._clock() + timedelta(seconds=seconds), carry_out))
        self._settle()

    def _licensed(self) -> None:
        self._settle()
        if not self.licence:
            raise GraphError(403, "Forbidden", "Your tenant is not licensed for this feature.")

    def _shown(self, request: Request, row: Mapping[str, Any]) -> dict[str, Any]:
        shown = dict(row)
        if self.licence == "P1":
            shown.update(riskLevel="hidden", riskDetail="hidden")
            shown.update({"riskEventType": "generic"} if "riskEventType" in shown else {})
        if shown["riskDetail"] in _LATER_MEMBERS and "include-unknown-enum-members" not in request.headers.get(
            "prefer", ""
        ):
            shown["riskDetail"] = "unknownFutureValue"
        return self._drift(shown)

    async def _list_detections(self, request: Request) -> Response:
        self._licensed()
        rows = sorted(self.detections.values(), key=lambda row: str(row["detectedDateTime"]), reverse=True)
        return self._wire.page(request, [self._shown(request, row) for row in rows], _DETECTIONS)

    async def _read_detection(self, request: Request) -> Response:
        self._licensed()
        row = _named(self.detections, request)
        return self._wire.entity(request, _DETECTIONS.context, self._shown(request, row))

    async def _list_users(self, request: Request) -> Response:
        self._licensed()
        rows = sorted(self.risky_users.values(), key=lambda row: str(row["id"]))
        return self._wire.page(request, [self._shown(request, row) for row in rows], _RISKY_USERS)

    async def _read_user(self, request: Request) -> Response:
        self._licensed()
        row = _named(self.risky_users, request)
        return self._wire.entity(request, _RISKY_USERS.context, self._shown(request, row))

    async def _judge_sign_ins(self, request: Request) -> Response:
        self._licensed()
        names = _names(await json_object(request), "requestIds")
        verdict = request.url.path.rpartition("/")[2]
        self._accept(lambda: self.judge_sign_ins(verdict, names))
        return Response(status_code=204)

    async def _judge_users(self, request: Request) -> Response:
        self._licensed()
        names = _names(await json_object(request), "userIds")
        verdict = request.url.path.rpartition("/")[2]
        unknown = [name for name in names if name not in self.risky_users and self._users(name) is None]
        if unknown:
            raise GraphError(404, "ResourceNotFound", f"Risky user {unknown[0]} is not found.")
        for name in names:
            if name in self.risky_users and self._faults.standing("late_effect"):
                self.risky_users[name]["isProcessing"] = True
        self._accept(lambda: self.judge_users(verdict, names))
        return Response(status_code=204)


def _named(rows: Mapping[str, dict[str, Any]], request: Request) -> dict[str, Any]:
    name = request.path_params["name"]
    if name not in rows:
        raise GraphError(404, "ResourceNotFound", f"The resource {name} is not found.")
    return rows[name]


def _names(body: Mapping[str, Any], key: str) -> Sequence[str]:
    names = body.get(key)
    if set(body) != {key} or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise GraphError(400, "BadRequest", f"The body holds {key}, a list of ids.")
    if not 1 <= len(names) <= _MOST_NAMES:
        raise GraphError(400, "BadRequest", f"Between 1 and {_MOST_NAMES} {key} in one request.")
    return names
