"""Queries over the workspace's tables (KQL, Log Analytics): rows as objects, a partial answer is an error."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from nightdesk.connectors.microsoft_sentinel.client import VENDOR, broken, cloud_of, document, lacking, signed_in
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError, ScopeError, VendorError
from nightdesk.sdk.http import HttpClient

__all__ = ["Logs"]

_READER = "Log Analytics Reader"
# 200 requests in 30 seconds: https://learn.microsoft.com/azure/azure-monitor/service-limits
_REQUESTS_PER_MINUTE = 400


class Logs:
    """One workspace's tables. Opened on first use, because most instances never search."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._workspace = context.settings.text("workspace_id")
        self._http: HttpClient | None = None

    @property
    def configured(self) -> bool:
        """True when the settings say which workspace to ask."""
        return bool(self._workspace)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def rows(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """The first rows of a query, columns by name."""
        if not self._workspace:
            problem = "is required for searches: the workspace's id (Log Analytics workspaces, Overview)"
            raise ConfigError([Problem(self._context.instance, "workspace_id", problem)])
        text = query.strip().rstrip(";").rstrip()
        if not text:
            raise RejectedError("the query is empty", vendor=VENDOR, operation="search")
        if limit < 1:
            return []
        # On a line of its own: the query may end with a comment.
        body = {"query": f"{text}\n| take {limit}"}
        path = f"/v1/workspaces/{quote(self._workspace, safe='')}/query"
        try:
            response = await self._opened().request("POST", path, operation="search", json=body, repeatable=True)
        except ScopeError as error:
            raise lacking(error, _READER) from error
        return _rows(response)

    def _opened(self) -> HttpClient:
        if self._http is None:
            settings, resource = self._context.settings, cloud_of(self._context.settings).logs
            self._http = HttpClient(
                self._context,
                vendor=VENDOR,
                base_url=settings.text("logs_url") or resource,
                auth=signed_in(self._context, resource),
                requests_per_minute=_REQUESTS_PER_MINUTE,
                inspect=_partial,
            )
        return self._http


def _partial(response: httpx.Response, operation: str) -> VendorError | None:
    """A success with an error inside holds only some of the rows."""
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        return None  # said when the rows are read
    error = answer.get("error") if isinstance(answer, dict) else None
    if not error:
        return None
    inner = error.get("innererror") or error if isinstance(error, dict) else {}
    text = str(inner.get("message") or "no reason given") if isinstance(inner, dict) else "no reason given"
    return broken(f"the answer is partial: {text[:200]}; narrow the query", operation, response)


def _rows(response: httpx.Response) -> list[dict[str, Any]]:
    answer = document(response, "search")
    tables = answer.get("tables")
    table = tables[0] if isinstance(tables, list) and tables else None
    if not isinstance(table, dict):
        raise broken("the answer holds no table", "search", response)
    columns = [str(column.get("name")) for column in table.get("columns") or () if isinstance(column, dict)]
    return [dict(zip(columns, row, strict=False)) for row in table.get("rows") or () if isinstance(row, list)]
