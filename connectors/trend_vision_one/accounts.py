"""Which account of the connected directories a name stands for, as Attack Surface Discovery knows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.trend_vision_one.client import VisionOne, exact
from nightdesk.sdk.targets import Account, AccountQuery

__all__ = ["find_accounts"]

_LIST = "/asrm/attackSurfaceDomainAccounts"
_VIEW = "Attack Surface Discovery: View"
_NAMES = ("userAccount", "userPrincipalName", "emailAddress", "name", "userName")
"""Where a record may say how the account is called; the first is what the list is sorted by."""


async def find_accounts(api: VisionOne, query: AccountQuery) -> Sequence[Account]:
    """Every account that is called exactly so. Its id is the name that response tasks take."""
    wanted = _wanted(query)
    if not wanted:
        return []
    bare = {text.rpartition("\\")[2].partition("@")[0] for text in wanted}
    headers = {"TMV1-Filter": exact("name", *sorted({*wanted, *bare}), operation="find account")}
    rows = api.rows(_LIST, operation="find account", scope=_VIEW, params={"top": 100}, headers=headers)
    found = [row async for row in rows if _fits(row, query, {text.casefold() for text in wanted})]
    return list({account.native_id: account for account in map(_account, found)}.values())


def _wanted(query: AccountQuery) -> list[str]:
    if query.native_id:
        return [query.native_id]
    if query.email:
        return [query.email]
    if query.name and query.domain:
        return [f"{query.domain}\\{query.name}", query.name]
    return [query.name] if query.name else []


def _fits(row: Mapping[str, Any], query: AccountQuery, wanted: set[str]) -> bool:
    names = {str(row[name]).casefold() for name in _NAMES if row.get(name)}
    if query.email or query.native_id:
        return bool(names & wanted)
    domains = {name.partition("\\")[0] for name in names if "\\" in name}
    if query.domain and domains and query.domain.casefold() not in domains:
        return False
    return bool(names & wanted) or query.name.casefold() in {name.rpartition("\\")[2] for name in names}


def _account(row: Mapping[str, Any]) -> Account:
    called = next((str(row[name]) for name in _NAMES if row.get(name)), "")
    domain, slash, name = called.rpartition("\\")
    return Account(
        native_id=called,
        name=str(row.get("name") or name),
        domain=domain if slash else "",
        email=called if "@" in called else "",
    )
