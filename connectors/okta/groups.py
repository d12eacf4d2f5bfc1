"""Memberships: a user in and out of Okta's own groups, with the user's list of groups as the only truth."""

import re
from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.okta.accounts import GROUPS_READ, user_path
from nightdesk.connectors.okta.client import VENDOR, Okta, quoted
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Memberships"]

_MANAGE = "okta.groups.manage"
_ID = re.compile(r"00g[A-Za-z0-9]{17}")


class Memberships:
    """Who is in which group of one org."""

    def __init__(self, okta: Okta) -> None:
        self._okta = okta

    async def act(self, command: Command) -> Receipt:
        """Adds or removes, unless it is so already. Raises RejectedError for groups that others keep."""
        command.only()
        wanted = command.verb == "account.add_to_group"
        group = await self._group(command.target.group)
        name = str(group.get("id", ""))
        evidence = {"group": name, "was_member": await self._member(command.native_id, name)}
        if evidence["was_member"] is wanted:
            return Receipt(name, changed=command.began_otherwise("member", wanted), evidence=evidence)
        if group.get("type") != "OKTA_GROUP":
            raise RejectedError(
                f"the group {command.target.group!r} is a {group.get('type')}, whose members Okta does not let anyone"
                " change; change them at its source",
                vendor=VENDOR,
                operation=command.verb,
            )
        await self._okta.ask(
            "PUT" if wanted else "DELETE",
            f"/api/v1/groups/{name}/users/{user_path(command.native_id).rpartition('/')[2]}",
            operation=command.verb,
            scope=_MANAGE,
        )
        return Receipt(name, evidence=evidence)

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the user is in the group, as the user's own list says."""
        command.only()
        group = await self._group(command.target.group)
        name = str(group.get("id", ""))
        member = await self._member(command.native_id, name)
        wanted = command.verb == "account.add_to_group"
        state = {"member": member, "group": name}
        return (Effect.IN_EFFECT if member is wanted else Effect.NOT_IN_EFFECT), state, "member" if member else "none"

    async def _member(self, user_id: str, group_id: str) -> bool:
        rows = await self._okta.every(f"{user_path(user_id)}/groups", operation="read groups", scope=GROUPS_READ)
        return any(row.get("id") == group_id for row in rows)

    async def _group(self, text: str) -> Mapping[str, Any]:
        """By id, else by name, which two groups of different sources may share: then it must be the id."""
        if _ID.fullmatch(text):
            return await self._okta.one(f"/api/v1/groups/{text}", operation="find group", scope=GROUPS_READ)
        params = {"search": f"profile.name eq {quoted(text)}"}
        rows = await self._okta.every("/api/v1/groups", operation="find group", scope=GROUPS_READ, params=params)
        found = [row for row in rows if str((row.get("profile") or {}).get("name", "")).casefold() == text.casefold()]
        if not found:
            raise NotFoundError(f"no group is called {text!r}", vendor=VENDOR, operation="find group")
        if len(found) > 1:
            names = ", ".join(f"{row.get('id')} ({row.get('type')})" for row in found)
            raise RejectedError(
                f"{len(found)} groups are called {text!r}; name one by its id: {names}",
                vendor=VENDOR,
                operation="find group",
            )
        return found[0]
