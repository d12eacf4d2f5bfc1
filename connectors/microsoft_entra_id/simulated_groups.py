"""The simulated groups: names that are not unique, members by reference, and groups that nobody may change by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.microsoft_entra_id.payloads import guid
from nightdesk.connectors.microsoft_entra_id.simulated_directory import DirectoryApi
from nightdesk.connectors.microsoft_entra_id.wire import (
    DENIED,
    GraphError,
    Pages,
    Permissions,
    Routes,
    Wire,
    json_object,
    selected,
)
from nightdesk.sdk.testing import Directory

__all__ = ["GroupsApi"]

_RELATIONS: Permissions = (frozenset({"Directory.Read.All"}),)
_READ: Permissions = tuple(
    frozenset({name}) for name in ("GroupMember.Read.All", "GroupMember.ReadWrite.All", "Directory.Read.All")
)
_WRITE: Permissions = (frozenset({"GroupMember.ReadWrite.All"}),)
_ROLES = frozenset({"RoleManagement.ReadWrite.Directory"})
_FIELDS = frozenset({"id", "displayName", "groupTypes", "onPremisesSyncEnabled", "isAssignableToRole"})
_GROUPS = Pages("groups", {"displayName": "text", "id": "text"}, most=999, default=100, selectable=_FIELDS)
_RELATED = Pages("directoryObjects", {}, most=999, default=100, selectable=frozenset({"id", "displayName"}))
_ROLE = "Privileged Role Administrator"


@dataclass(frozen=True, slots=True)
class _Group:
    """``subject`` is what the members' records call it: its name, or its id when that name was taken."""

    group_id: str
    name: str
    subject: str
    dynamic: bool = False
    synced: bool = False
    grants_role: bool = False

    @property
    def record(self) -> dict[str, Any]:
        return {
            "id": self.group_id,
            "displayName": self.name,
            "groupTypes": ["DynamicMembership"] if self.dynamic else [],
            "onPremisesSyncEnabled": True if self.synced else None,
            "isAssignableToRole": True if self.grants_role else None,
        }


class GroupsApi:
    """The groups of one tenant; every group that an account names is one."""

    def __init__(self, wire: Wire, directory: Directory, users: DirectoryApi, tenant_id: str) -> None:
        self._wire = wire
        self._directory = directory
        self._users = users
        self._tenant_id = tenant_id
        self._made: dict[str, _Group] = {}

    def routes(self) -> Routes:
        """What can be called; a DELETE without ``$ref`` would delete the member itself, and is not among it."""
        return (
            ("GET", "/groups", _READ, self._list),
            ("GET", "/groups/{group}", _READ, self._read),
            ("POST", "/groups/{group}/members/$ref", _WRITE, self._add),
            ("DELETE", "/groups/{group}/members/{name}/$ref", _WRITE, self._remove),
            ("GET", "/users/{name}/memberOf", _RELATIONS, self._member_of),
            ("GET", "/users/{name}/transitiveMemberOf", _RELATIONS, self._member_of),
        )

    def add(self, name: str, *, dynamic: bool = False, synced: bool = False, grants_role: bool = False) -> str:
        """Makes a group, also one of a name that another has; gives its object id."""
        taken = any(group.name == name for group in self._groups().values())
        group_id = guid(self._tenant_id, "group", name, *([str(len(self._made))] if taken else []))
        subject = group_id if taken else name
        self._made[group_id] = _Group(group_id, name, subject, dynamic, synced, grants_role)
        return group_id

    def _groups(self) -> Mapping[str, _Group]:
        self._directory.settle()
        known = {group.subject for group in self._made.values()}
        for member in self._directory.accounts.values():
            for name in sorted(member.groups - known):
                group_id = guid(self._tenant_id, "group", name)
                self._made.setdefault(group_id, _Group(group_id, name, name))
        return self._made

    def _group(self, request: Request) -> _Group:
        name = request.path_params["group"]
        found = self._groups().get(name)
        if found is None:
            raise GraphError(404, "Request_ResourceNotFound", f"Resource '{name}' does not exist.")
        return found

    def _changeable(self, request: Request) -> _Group:
        group = self._group(request)
        if group.dynamic or group.synced:
            what = "Dynamic membership rule is turned on" if group.dynamic else "The group is mastered on-premises"
            raise GraphError(400, "Request_BadRequest", f"{what}; its members cannot be changed.")
        if group.grants_role and not _ROLES.issubset(request.state.granted):
            raise GraphError(403, "Authorization_RequestDenied", DENIED)
        return group

    async def _list(self, request: Request) -> Response:
        return self._wire.page(request, [group.record for group in self._groups().values()], _GROUPS)

    async def _read(self, request: Request) -> Response:
        return self._wire.entity(request, "groups", selected(request, self._group(request).record, _GROUPS))

    async def _add(self, request: Request) -> Response:
        group = self._changeable(request)
        reference = (await json_object(request)).get("@odata.id")
        parts = urlsplit(reference).path.split("/") if isinstance(reference, str) else []
        if parts[:3] != ["", "v1.0", "directoryObjects"] or urlsplit(str(reference)).netloc != request.url.netloc:
            raise GraphError(400, "Request_BadRequest", "Invalid value specified for property '@odata.id'.")
        member = self._directory.accounts.get(parts[-1])
        if member is None:
            raise GraphError(404, "Request_ResourceNotFound", f"Resource '{parts[-1]}' does not exist.")
        if group.subject in member.groups:
            message = (
                "One or more added object references already exist for the following modified properties: 'members'."
            )
            raise GraphError(400, "Request_BadRequest", message)
        self._directory.change(member.account_id, "add_group", group.subject)
        return Response(status_code=204)

    async def _remove(self, request: Request) -> Response:
        group = self._changeable(request)
        member = self._users.member(request)
        if group.subject not in member.groups:
            raise GraphError(404, "Request_ResourceNotFound", f"Resource '{member.account_id}' does not exist.")
        self._directory.change(member.account_id, "remove_group", group.subject)
        return Response(status_code=204)

    async def _member_of(self, request: Request) -> Response:
        member = self._users.member(request)
        rows: list[dict[str, Any]] = [
            {"@odata.type": "#microsoft.graph.group", **group.record}
            for group in self._groups().values()
            if group.subject in member.groups
        ]
        if member.privileged:
            role = {"id": guid(self._tenant_id, "role", _ROLE), "displayName": _ROLE}
            rows.append({"@odata.type": "#microsoft.graph.directoryRole", **role})
        return self._wire.page(request, rows, _RELATED)
