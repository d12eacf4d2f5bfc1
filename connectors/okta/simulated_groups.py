"""The simulated Groups API: memberships of Okta's own groups change on request, those of others never do.

Source: https://developer.okta.com/docs/api/openapi/okta-management/management/tag/Group/
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.okta.scim import ScimError, parse
from nightdesk.connectors.okta.simulated_users import UsersApi
from nightdesk.connectors.okta.wire import OktaError, Routes, linked, not_found, page_limit
from nightdesk.sdk.testing import Directory

__all__ = ["Group", "GroupsApi"]

_EVERYONE = "Everyone"


@dataclass(slots=True)
class Group:
    """One group; ``ruled``: a group rule puts people in, and nobody else takes them out."""

    group_id: str
    name: str
    kind: str = "OKTA_GROUP"
    ruled: bool = False

    def shown(self) -> dict[str, Any]:
        """A group as the API gives it."""
        return {
            "id": self.group_id,
            "created": "2026-01-05T09:00:00.000Z",
            "lastUpdated": "2026-01-05T09:00:00.000Z",
            "lastMembershipUpdated": "2026-01-05T09:00:00.000Z",
            "objectClass": ["okta:user_group"],
            "type": self.kind,
            "profile": {"name": self.name, "description": None},
        }


class GroupsApi:
    """The groups of an org by id; the directory knows them by name."""

    def __init__(self, directory: Directory, users: UsersApi) -> None:
        self.groups: dict[str, Group] = {}
        self._directory = directory
        self._users = users
        self.make(_EVERYONE, kind="BUILT_IN")

    def routes(self) -> Routes:
        """What can be called."""
        member = "/api/v1/groups/{group}/users/{user}"
        return (
            ("GET", "/api/v1/groups", "okta.groups.read", self._list),
            ("GET", "/api/v1/groups/{group}", "okta.groups.read", self._read),
            ("GET", "/api/v1/users/{user}/groups", "okta.groups.read", self._of_user),
            ("PUT", member, "okta.groups.manage", self._add),
            ("DELETE", member, "okta.groups.manage", self._remove),
        )

    def make(self, name: str, *, kind: str = "OKTA_GROUP", ruled: bool = False) -> Group:
        """The group of that name, made if there is none of its kind."""
        group_id = f"00g{sha256(f'{kind} {name}'.encode()).hexdigest()[:17]}"
        return self.groups.setdefault(group_id, Group(group_id, name, kind, ruled))

    async def _list(self, request: Request) -> Response:
        query, limit = request.query_params, page_limit(request, 10_000, 10_000)
        try:
            test = parse(query.get("search", ""), lambda _, operator: operator != "ne", fold=True)
        except ScimError as error:
            raise OktaError(400, f"Invalid search criteria. {error}", "E0000031") from None
        prefix = query.get("q", "").casefold()
        rows = [group.shown() for group in self.groups.values() if group.name.casefold().startswith(prefix)]
        return _paged(request, filter(test, rows), limit)

    async def _read(self, request: Request) -> Response:
        return JSONResponse(self._group(request).shown())

    async def _of_user(self, request: Request) -> Response:
        member = self._users.find(request.path_params["user"])
        names = {_EVERYONE, *member.groups}
        rows = [group.shown() for group in self.groups.values() if group.name in names]
        return _paged(request, rows, page_limit(request, 200, 200))

    async def _add(self, request: Request) -> Response:
        return self._change(request, "add_group")

    async def _remove(self, request: Request) -> Response:
        return self._change(request, "remove_group")

    def _change(self, request: Request, kind: Literal["add_group", "remove_group"]) -> Response:
        group, member = self._group(request), self._users.find(request.path_params["user"])
        self._users.guard(member)
        if group.kind != "OKTA_GROUP":
            raise OktaError(403, "You do not have permission to perform the requested action")
        if group.ruled and kind == "remove_group":
            raise OktaError(400, "Api validation failed: group", causes=["The membership is managed by a group rule."])
        self._directory.change(member.account_id, kind, group.name)
        return Response(status_code=204)

    def _group(self, request: Request) -> Group:
        name = request.path_params["group"]
        if name not in self.groups:
            raise not_found(name, "UserGroup")
        return self.groups[name]


def _paged(request: Request, found: Iterable[dict[str, Any]], limit: int) -> Response:
    rows = sorted(
        (row for row in found if row["id"] > request.query_params.get("after", "")), key=lambda row: str(row["id"])
    )
    following = {"after": rows[limit - 1]["id"], "limit": limit} if len(rows) > limit else None
    return linked(JSONResponse(rows[:limit]), request, following)
