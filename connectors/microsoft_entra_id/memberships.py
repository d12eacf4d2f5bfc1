"""Group memberships: the one group that a name stands for, and who is directly in it."""

import re
from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.microsoft_entra_id.accounts import RELATIONS
from nightdesk.connectors.microsoft_entra_id.client import VENDOR, Graph, segment
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Memberships"]

_WRITE = "GroupMember.ReadWrite.All"
_SELECT = "id,displayName,groupTypes,onPremisesSyncEnabled,isAssignableToRole"
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOST = 999


class Memberships:
    """The direct members of the groups of one tenant."""

    verbs = frozenset({"account.add_to_group", "account.remove_from_group"})

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def act(self, command: Command) -> Receipt:
        """Adds or removes, unless it is so already; what nobody may change by hand is refused before it is tried."""
        command.only()
        group = await self._group(command.target.group)
        wanted = command.verb == "account.add_to_group"
        if await self._is_member(command.native_id, group) is wanted:
            return Receipt(command.native_id, changed=command.began_otherwise("member", wanted))
        _refuse(command, group)
        path = f"/groups/{segment(str(group['id']))}/members"
        body: dict[str, Any] | None = None
        method = "POST"
        if wanted:
            path, body = f"{path}/$ref", {"@odata.id": f"{self._graph.root}/directoryObjects/{command.native_id}"}
        else:
            # Without $ref at its end this would delete the user.
            method, path = "DELETE", f"{path}/{segment(command.native_id)}/$ref"
        try:
            await self._graph.ask(method, path, operation=command.verb, scope=_scope(group), json=body, repeatable=True)
        except (RejectedError, NotFoundError):
            # A repeat after a lost reply is told "already exists" or "does not exist": the members tell which.
            if await self._is_member(command.native_id, group) is not wanted:
                raise
        return Receipt(command.native_id, evidence={"group": group["id"]})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the account is, or is not, a direct member."""
        command.only()
        group = await self._group(command.target.group)
        member = await self._is_member(command.native_id, group)
        wanted = command.verb == "account.add_to_group"
        state = {"member": member, "group": group["id"]}
        return (Effect.IN_EFFECT if member is wanted else Effect.NOT_IN_EFFECT), state, "member" if member else "none"

    async def _group(self, name: str) -> Mapping[str, Any]:
        """The group of that object id, or the only one of that display name: names are not unique."""
        operation, params = "find group", {"$select": _SELECT}
        if _GUID.fullmatch(name):
            found: Mapping[str, Any] = await self._graph.read(
                f"/groups/{name}", operation=operation, scope=_WRITE, params=params
            )
            return found
        text = "displayName eq '{}'".format(name.replace("'", "''"))
        rows = await self._graph.every("/groups", operation=operation, scope=_WRITE, params={**params, "$filter": text})
        same = [row for row in rows if str(row.get("displayName")).casefold() == name.casefold()]
        if not same:
            raise NotFoundError(f"no group {name!r}", vendor=VENDOR, operation=operation)
        if len(same) > 1:
            ids = ", ".join(str(row.get("id")) for row in same[:5])
            raise RejectedError(f"{len(same)} groups are called {name!r}; name one by its id: {ids}", vendor=VENDOR)
        return same[0]

    async def _is_member(self, account_id: str, group: Mapping[str, Any]) -> bool:
        rows = await self._graph.every(
            f"/users/{segment(account_id)}/memberOf",
            operation="read groups",
            scope=RELATIONS,
            params={"$select": "id", "$top": _MOST},
        )
        return any(row.get("id") == group.get("id") for row in rows)


def _refuse(command: Command, group: Mapping[str, Any]) -> None:
    why = ""
    if "DynamicMembership" in (group.get("groupTypes") or ()):
        why = "its members follow from a rule; change what the rule looks at"
    elif group.get("onPremisesSyncEnabled"):
        why = "it is synchronised from on-premises; change it in Active Directory"
    if why:
        raise RejectedError(f"{group.get('displayName')!r}: {why}", vendor=VENDOR, operation=command.verb)


def _scope(group: Mapping[str, Any]) -> str:
    return f"{_WRITE} and RoleManagement.ReadWrite.Directory" if group.get("isAssignableToRole") else _WRITE
