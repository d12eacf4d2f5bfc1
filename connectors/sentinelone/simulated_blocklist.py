"""The simulated blocklist: one entry a hash and operating system in each scope; parents show only on request."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.sentinelone.payloads import ACCOUNT, SITE, number
from nightdesk.connectors.sentinelone.wire import (
    API,
    Filter,
    RefusedError,
    Routes,
    affected,
    fitting,
    json_object,
    listed,
    page,
    parameters,
    stamp,
)
from nightdesk.sdk.context import Clock

__all__ = ["BlocklistApi"]

_TYPE = "black_hash"
_SYSTEMS = frozenset({"windows", "windows_legacy", "macos", "linux"})
_HASH = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
_DATA = frozenset({"type", "value", "osType", "description", "source"})
_LEVELS = ("groupIds", "siteIds", "accountIds", "tenant")
"""From the narrowest scope to the widest."""

_KNOWN = {"siteIds": SITE, "accountIds": ACCOUNT}
_FILTERS: Mapping[str, Filter] = {
    "type": Filter("ids", lambda row: row["type"]),
    "value": Filter("ids", lambda row: row["value"]),
    "ids": Filter("ids", lambda row: row["id"]),
    "osTypes": Filter("ids", lambda row: row["osType"]),
}
_SCOPING = frozenset({*_LEVELS, "includeParents", "includeChildren", "unified"})


class BlocklistApi:
    """The entries of an account by id. ``widest`` is the widest scope that the token may write to."""

    def __init__(self, clock: Clock) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.widest = "tenant"
        self._clock = clock

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", f"{API}/restrictions", "Blocklist: View", self._list),
            ("POST", f"{API}/restrictions", "Blocklist: Create", self._create),
            ("DELETE", f"{API}/restrictions", "Blocklist: Delete", self._delete),
        )

    def add(self, data: Mapping[str, Any], scope: Mapping[str, Any], user: str) -> dict[str, Any]:
        """Stores one entry, as the console would too. Raises RefusedError."""
        strange = set(data) - _DATA
        if strange:
            raise RefusedError(f"data: {', '.join(sorted(strange))}: Unknown field.")
        if data.get("type") != _TYPE or data.get("osType") not in _SYSTEMS:
            raise RefusedError("data: osType: Not a valid choice.")
        value = data.get("value")
        if not isinstance(value, str) or not _HASH.fullmatch(value):
            raise RefusedError("data: value: Not a valid hash.")
        key = (value.lower(), data["osType"], _level(scope))
        if any((row["value"], row["osType"], _level(row["scope"])) == key for row in self.entries.values()):
            raise RefusedError(f"A blocklist item with value {value} already exists in this scope.")
        name, now = number(f"restriction {len(self.entries)} {key}"), stamp(self._clock())
        row = {
            "id": name,
            "source": "user",
            "description": "",
            **data,
            "value": value.lower(),
            "scope": dict(scope),
            "userName": user,
            "createdAt": now,
            "updatedAt": now,
        }
        self.entries[name] = row
        return row

    async def _list(self, request: Request) -> Response:
        query = {name: text for name, text in request.query_params.items() if name in _SCOPING}
        given = parameters(request, {**_FILTERS, **dict.fromkeys(_SCOPING, _FILTERS["type"])})
        level = next((name for name in _LEVELS if query.get(name, "false") != "false"), None)
        if level is None:
            raise RefusedError("One of tenant, accountIds, siteIds, groupIds is required.")
        reach = _LEVELS.index(level)
        shown = {level}
        if query.get("includeParents") == "true":
            shown |= set(_LEVELS[reach:])
        if query.get("includeChildren") == "true":
            shown |= set(_LEVELS[:reach])
        plain = {name: text for name, text in given.items() if name not in _SCOPING}
        fits = fitting(plain, _FILTERS)
        rows = [row for row in self.entries.values() if _level(row["scope"]) in shown and fits(row)]
        sorts = {"id": lambda row: str(row["id"]), "createdAt": lambda row: str(row["createdAt"])}
        return page(rows, plain, sorts=sorts, shown=lambda row: row)

    async def _create(self, request: Request) -> Response:
        body = await json_object(request)
        scope, data = body.get("filter"), body.get("data")
        if not isinstance(scope, dict) or not isinstance(data, dict) or set(body) - {"filter", "data"}:
            raise RefusedError("filter: Missing data for required field.")
        level = _level(scope)
        if len(scope) != 1 or not scope[level]:
            raise RefusedError("filter: One scope is required.")
        if _LEVELS.index(level) > _LEVELS.index(self.widest):
            raise RefusedError("Your role and scope do not allow this action.", 403)
        if level in _KNOWN and scope[level] != [_KNOWN[level]]:
            raise RefusedError(f"filter: {level}: not in your scope.", 403)
        return JSONResponse({"data": [self.add(data, scope, "nightdesk")]})

    async def _delete(self, request: Request) -> Response:
        data = (await json_object(request)).get("data")
        if not isinstance(data, dict) or data.get("type") != _TYPE or not isinstance(data.get("ids"), list):
            raise RefusedError("data: ids and type are required.")
        names = [name for name in listed(",".join(map(str, data["ids"])), "ids") if name in self.entries]
        for name in names:
            del self.entries[name]
        return affected(len(names))


def _level(scope: Mapping[str, Any]) -> str:
    found = next((name for name in _LEVELS if name in scope), None)
    if found is None or set(scope) - set(_LEVELS):
        raise RefusedError("filter: Not a valid scope.")
    return found
