"""A Jira Cloud site that is strict about what Jira is strict about: screens, workflows, documents, and a late index.

Written from the vendor's published REST description and public reports of its behaviour; no live site was asked.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.jira.payloads import PERSON, PROJECT, STATUSES, Shapes
from nightdesk.connectors.jira.simulated_issues import Issues
from nightdesk.connectors.jira.simulated_rest import PERMISSIONS, RestApi
from nightdesk.connectors.jira.wire import Call, RefusedError, Wire, said
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest

__all__ = ["Simulator"]

_EMAIL = "nightdesk@example.com"
_SEARCH = "/rest/api/3/search/jql"
_SIGNED_OUT = "Client must be authenticated to access this resource."


class Simulator(testing.Simulator):
    """One site with one project, and the integration's account, which has ``permissions`` in it.

    ``lag`` is how many seconds the search index is behind.
    """

    vendor = "jira"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        permissions: Iterable[str] = PERMISSIONS,
        lag: float = 1.0,
        requests_per_minute: int = 6000,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.permissions = set(permissions)
        self._wire = Wire(self.now, requests_per_minute)
        shapes = Shapes(self.now)
        self.content = Issues(self.now, shapes, timedelta(seconds=lag))
        self.api = RestApi(self.now, self.content, shapes, self.permissions)

    def routes(self) -> list[BaseRoute]:
        """Version 3 of the REST API, as far as a hub needs it."""
        return [
            Route(f"/rest/api/3{path}", self._guard(permission, call), methods=[method])
            for method, path, permission, call in self.api.routes()
        ]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        token = Secret.literal(self.secret)
        return {"base_url": base_url, "email": _EMAIL, "api_token": token, "project": PROJECT}

    def issue(self, native_id: str) -> Mapping[str, Any]:
        """An issue as it is kept."""
        return self.content.issues[native_id]

    def copy(self, native_id: str) -> str:
        """What a person clones: labels and texts go along, properties do not."""
        issue = self.content.issues[native_id]
        fields = {name: issue[name] for name in ("summary", "description", "labels")}
        place = {"project": {"key": PROJECT}, "issuetype": {"name": "Task"}}
        return str(self.content.create({**fields, **place})["id"])

    def edit(self, native_id: str, **fields: Any) -> None:
        """What a person changes at an issue's fields."""
        self.content.edit(self.content.issues[native_id], fields, {})

    def remove(self, native_id: str) -> None:
        """What a person deletes; the index still has it."""
        del self.content.issues[native_id]

    def case_states(self) -> Mapping[str, Mapping[str, Any]]:
        """Every issue."""
        return {
            name: {
                "status": "closed" if STATUSES[issue["status"]] == "done" else "open",
                "title": issue["summary"],
                "comments": [said(comment["body"]) for comment in issue["comments"]],
            }
            for name, issue in self.content.issues.items()
        }

    def edit_case(self, native_id: str, *, status: str = "", comment: str = "") -> None:
        """What a person does: moves the issue to Done or back to To Do, comments."""
        issue = self.content.issues[native_id]
        if status:
            closed = status == "closed"
            self.content.move(issue, "31" if closed else "51", {"resolution": {"name": "Done"}} if closed else {})
        if comment:
            paragraph = {"type": "paragraph", "content": [{"type": "text", "text": comment}]}
            self.content.say(issue, {"type": "doc", "version": 1, "content": [paragraph]}, PERSON)

    def mutations(self) -> list[SeenRequest]:
        """A search is a POST that changes nothing."""
        return [request for request in super().mutations() if request.path != _SEARCH]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Jira's envelope."""
        return self._wire.refuse(RefusedError(status, message), headers)

    def _guard(self, permission: str, call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            try:
                self._wire.spend()
                self._authorize(request, permission)
                return await call(request)
            except RefusedError as error:
                return self._wire.refuse(error, self._wire.exhausted() if error.status == 429 else None)

        return guarded

    def _authorize(self, request: Request, permission: str) -> None:
        pair = b64encode(f"{_EMAIL}:{self.secret}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            raise RefusedError(401, _SIGNED_OUT)
        if permission and permission not in self.permissions:
            raise RefusedError(403, f"You do not have the permission {permission} in this project.")
