"""Accounts: whom a name stands for in the directory, and what the directory says of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.microsoft_entra_id.client import Graph, segment
from nightdesk.sdk.errors import NotFoundError, ScopeError
from nightdesk.sdk.targets import Account, AccountQuery

__all__ = ["READ", "RELATIONS", "Accounts", "User"]

READ = "User.Read.All"
RELATIONS = "Directory.Read.All"
_ROLE = "#microsoft.graph.directoryRole"
_GROUP = "#microsoft.graph.group"
_SELECT = (
    "id,userPrincipalName,displayName,mail,accountEnabled,onPremisesSyncEnabled,onPremisesSamAccountName,"
    "onPremisesDomainName,onPremisesSecurityIdentifier,securityIdentifier,signInSessionsValidFromDateTime,"
    "passwordProfile"
)
_MOST_MATCHES = 50

User = Mapping[str, Any]


class Accounts:
    """The users of one tenant."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def find(self, query: AccountQuery) -> Sequence[Account]:
        """By object id, else by security identifier or address, else by name; the strongest that is known decides.

        A name is not tried where an identifier fits nobody: it could be somebody else's.
        """
        users: list[User] = []
        if query.native_id:
            try:
                users = [await self.user(query.native_id)]
            except NotFoundError:
                users = []
        elif query.sid or query.email:
            users = await self._by_sid(query.sid) if query.sid else []
            users = users or (await self._by_address(query.email) if query.email else [])
        elif query.name:
            users = await self._by_name(query.name, query.domain)
        return [await self._account(user) for user in users]

    async def user(self, name: str) -> User:
        """The user of that object id or principal name."""
        operation = "read account"
        params = {"$select": _SELECT}
        user: User = await self._graph.read(f"/users/{segment(name)}", operation=operation, scope=READ, params=params)
        return user

    async def _by_sid(self, sid: str) -> list[User]:
        # Entra's own identifiers begin so; all others are of an on-premises domain.
        field = "securityIdentifier" if sid.upper().startswith("S-1-12-1-") else "onPremisesSecurityIdentifier"
        return [user for user in await self._search(f"{field} eq {_quoted(sid)}") if _same(user.get(field), sid)]

    async def _by_address(self, address: str) -> list[User]:
        text = f"userPrincipalName eq {_quoted(address)} or mail eq {_quoted(address)}"
        found = await self._search(text)
        return [
            user for user in found if _same(user.get("userPrincipalName"), address) or _same(user.get("mail"), address)
        ]

    async def _by_name(self, name: str, domain: str) -> list[User]:
        prefix = f"startswith(userPrincipalName,{_quoted(f'{name}@')})"
        found = await self._search(f"onPremisesSamAccountName eq {_quoted(name)} or {prefix}")
        return [user for user in found if _named(user, name) and (not domain or _within(user, domain))]

    async def _search(self, text: str) -> list[User]:
        params = {"$filter": text, "$select": _SELECT, "$top": _MOST_MATCHES}
        return await self._graph.every("/users", operation="find account", scope=READ, params=params, eventual=True)

    async def _account(self, user: User) -> Account:
        path, params = f"/users/{segment(str(user.get('id')))}", {"$select": "id,displayName", "$top": 999}
        groups: tuple[str, ...] = ()
        privileged: bool | None = None
        try:
            direct = await self._graph.every(
                f"{path}/memberOf", operation="read groups", scope=RELATIONS, params=params
            )
            groups = tuple(str(row.get("displayName") or row.get("id")) for row in direct if _is(row, _GROUP))
            through = await self._graph.every(
                f"{path}/transitiveMemberOf", operation="read roles", scope=RELATIONS, params=params
            )
            privileged = any(_is(row, _ROLE) for row in through)
        except ScopeError:
            privileged = None  # not known, which is not the same as no
        return Account(
            native_id=str(user.get("id") or ""),
            name=str(
                user.get("onPremisesSamAccountName") or str(user.get("userPrincipalName") or "").partition("@")[0]
            ),
            domain=str(user.get("onPremisesDomainName") or str(user.get("userPrincipalName") or "").rpartition("@")[2]),
            email=str(user.get("mail") or user.get("userPrincipalName") or ""),
            sid=str(user.get("onPremisesSecurityIdentifier") or user.get("securityIdentifier") or ""),
            enabled=user.get("accountEnabled"),
            privileged=privileged,
            groups=groups,
        )


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def _same(value: Any, text: str) -> bool:
    return isinstance(value, str) and value.casefold() == text.casefold()


def _named(user: User, name: str) -> bool:
    principal = str(user.get("userPrincipalName") or "")
    return _same(user.get("onPremisesSamAccountName"), name) or _same(principal.partition("@")[0], name)


def _within(user: User, domain: str) -> bool:
    """True for the domain's DNS name, or for the first label of it, which NetBIOS names mostly are."""
    names = (str(user.get("onPremisesDomainName") or ""), str(user.get("userPrincipalName") or "").rpartition("@")[2])
    return any(_same(name, domain) or _same(name.partition(".")[0], domain) for name in names if name)


def _is(row: Mapping[str, Any], kind: str) -> bool:
    return row.get("@odata.type") == kind
