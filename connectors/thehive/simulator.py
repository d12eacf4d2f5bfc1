"""A TheHive 5 organisation that is strict about what TheHive is strict about: triples, labels, permissions, steps.

Written from the vendor's Python client and its published pages on queries and permissions; no live server was asked.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.thehive import payloads
from nightdesk.connectors.thehive.payloads import ME, ORGANISATION, PERSON
from nightdesk.connectors.thehive.simulated_query import Queries
from nightdesk.connectors.thehive.simulated_records import Records
from nightdesk.connectors.thehive.wire import Call, RefusedError, json_object, refusal
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest

__all__ = ["ALL_PERMISSIONS", "Simulator"]

ALL_PERMISSIONS = frozenset(
    {"manageAlert/create", "manageAlert/import", "manageCase/create", "manageCase/update", "manageCase/reopen"}
    | {"manageAlert/update", "manageComment"}
)
_QUERY = "/api/v1/query"
_OPEN = frozenset({"/api/v1/status/public"})


class Simulator(testing.Simulator):
    """One organisation and the integration's user, whose profile holds ``permissions``.

    ``read_only``: the licence has ended.
    """

    vendor = "thehive"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        permissions: Iterable[str] = ALL_PERMISSIONS,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.permissions = set(permissions)
        self.read_only = False
        self.records = Records(self.now)
        self._queries = Queries(self.records)

    def routes(self) -> list[BaseRoute]:
        """The API v1, as far as a hub and the vendor's client need it here."""
        table: list[tuple[str, str, str, Call]] = [
            ("POST", "/query", "", self._query),
            ("GET", "/user/current", "", self._user),
            ("GET", "/status/public", "", self._status),
            ("POST", "/alert", "manageAlert/create", self._create_alert),
            ("GET", "/alert/{name}", "", self._alert),
            ("POST", "/alert/{name}/case", "manageAlert/import", self._promote),
            ("POST", "/case", "manageCase/create", self._create_case),
            ("GET", "/case/{name}", "", self._case),
            ("PATCH", "/case/{name}", "", self._change_case),
            ("POST", "/case/{name}/comment", "manageComment", self._comment),
            ("PATCH", "/comment/{name}", "manageComment", self._change_comment),
            ("DELETE", "/comment/{name}", "manageComment", self._delete_comment),
        ]
        return [
            Route(f"/api/v1{path}", self._guard(permission, call), methods=[method])
            for method, path, permission, call in table
        ]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {"base_url": base_url, "api_key": Secret.literal(self.secret), "organisation": ORGANISATION}

    def case_states(self) -> Mapping[str, Mapping[str, Any]]:
        """Every case."""
        return {
            name: {
                "status": "closed" if self.records.stages[case["status"]] == "Closed" else "open",
                "title": case["title"],
                "comments": [one["message"] for one in self.records.comments.values() if one["of"] == name],
            }
            for name, case in self.records.cases.items()
        }

    def edit(self, native_id: str, **fields: Any) -> None:
        """What a person changes at a case."""
        self.records.change_case(self.records.cases[native_id], fields, PERSON)

    def edit_case(self, native_id: str, *, status: str = "", comment: str = "") -> None:
        """What a person does: closes or re-opens, comments."""
        if status:
            self.edit(native_id, status="Other" if status == "closed" else "InProgress")
        if comment:
            self.records.say(native_id, {"message": comment}, PERSON)

    def mutations(self) -> list[SeenRequest]:
        """A query is a POST that changes nothing."""
        return [request for request in super().mutations() if request.path != _QUERY]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """TheHive's envelope."""
        return refusal(RefusedError(status, message), headers)

    def _guard(self, permission: str, call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            try:
                self._authorize(request)
                self._allowed(permission)
                return await call(request)
            except RefusedError as error:
                return refusal(error)

        return guarded

    def _authorize(self, request: Request) -> None:
        if request.url.path in _OPEN:
            return
        if request.headers.get("authorization") != f"Bearer {self.secret}":
            raise RefusedError(401, "Authentication failure")
        if request.headers.get("x-organisation", ORGANISATION) != ORGANISATION:
            raise RefusedError(403, "You are not in this organisation")
        if self.read_only and request.method != "GET" and request.url.path != _QUERY:
            raise RefusedError(403, "The licence has expired, TheHive is in read-only mode")

    def _allowed(self, permission: str) -> None:
        if permission and not {permission, permission.partition("/")[0]} & self.permissions:
            raise RefusedError(
                403, f"Your are not authorized to do this action, you haven't the permission {permission}"
            )

    async def _query(self, request: Request) -> Response:
        return JSONResponse(self._queries.run((await json_object(request)).get("query")))

    async def _user(self, _: Request) -> Response:
        user = {"_id": "~8192", "_type": "User", "login": ME, "name": "nightdesk", "profile": "nightdesk"}
        more = {
            "organisation": ORGANISATION,
            "permissions": sorted(self.permissions),
            "type": "Service",
            "extraData": {},
        }
        return JSONResponse({**user, **more})

    async def _status(self, _: Request) -> Response:
        return JSONResponse({"version": "5.4.0-1", "capabilities": []})

    async def _create_alert(self, request: Request) -> Response:
        return JSONResponse(payloads.alert(self.records.raise_alert(await json_object(request))), 201)

    async def _alert(self, request: Request) -> Response:
        return JSONResponse(payloads.alert(self._named(request, self.records.alerts)))

    async def _promote(self, request: Request) -> Response:
        self._allowed("manageCase/create")
        given = await json_object(request)
        made = self.records.promote(self._named(request, self.records.alerts), given)
        return JSONResponse(self._queries.shown_case(made), 201)

    async def _create_case(self, request: Request) -> Response:
        made = self.records.open_case(await json_object(request))
        return JSONResponse(self._queries.shown_case(made), 201)

    async def _case(self, request: Request) -> Response:
        return JSONResponse(self._queries.shown_case(self._named(request, self.records.cases)))

    async def _change_case(self, request: Request) -> Response:
        case, given = self._named(request, self.records.cases), await json_object(request)
        stages = self.records.stages
        was_closed = stages[case["status"]] == "Closed"
        opens = "status" in given and was_closed and stages.get(given["status"]) != "Closed"
        self._allowed("manageCase/reopen" if opens else "manageCase/update")
        self.records.change_case(case, given)
        return Response(status_code=204)

    async def _comment(self, request: Request) -> Response:
        case = self._named(request, self.records.cases)
        made = self.records.say(case["_id"], await json_object(request))
        return JSONResponse(payloads.comment(made), 201)

    async def _change_comment(self, request: Request) -> Response:
        found = self._named(request, self.records.comments)
        self.records.edit_comment(found["_id"], str((await json_object(request)).get("message", "")))
        return Response(status_code=204)

    async def _delete_comment(self, request: Request) -> Response:
        del self.records.comments[self._named(request, self.records.comments)["_id"]]
        return Response(status_code=204)

    def _named(self, request: Request, there: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        name = str(request.path_params["name"])
        found = there.get(name) or next((one for one in there.values() if str(one.get("number")) == name), None)
        if found is None:
            raise RefusedError(404, f"{name} not found")
        return found
