"""The simulated Log Analytics query endpoint: tables of a workspace, its own error envelope, partial answers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.microsoft_sentinel.simulated_arm import RefusedError, json_object
from nightdesk.connectors.microsoft_sentinel.simulated_query import QueryError, kusto
from nightdesk.sdk.testing import FaultPlan

__all__ = ["LogsApi"]

_MAX_ROWS = 500_000
_BODY = frozenset({"query", "timespan", "workspaces"})


class LogsApi:
    """Queries over tables that ``tables`` gives afresh; it lives under ``workspace_id``."""

    def __init__(
        self, workspace_id: str, faults: FaultPlan, tables: Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]]
    ) -> None:
        self._workspace_id = workspace_id
        self._faults = faults
        self._tables = tables

    async def query(self, request: Request) -> Response:
        """``POST /v1/workspaces/{workspace}/query``. Raises RefusedError."""
        if request.path_params["workspace"] != self._workspace_id:
            raise RefusedError(404, "WorkspaceNotFoundError", "The workspace could not be found")
        body = await json_object(request)
        text = body.get("query")
        if not isinstance(text, str) or not text.strip() or set(body) - _BODY:
            raise RefusedError(400, "BadArgumentError", "The request had some invalid properties")
        try:
            rows = kusto(text, self._tables())[:_MAX_ROWS]
        except QueryError as error:
            raise RefusedError(400, "BadArgumentError", f"The request had some invalid properties: {error}") from error
        columns = list(dict.fromkeys(name for row in rows for name in row))
        table = {
            "name": "PrimaryResult",
            "columns": [{"name": name, "type": _type(rows, name)} for name in columns],
            "rows": [[row.get(name) for name in columns] for row in rows],
        }
        answer: dict[str, Any] = {"tables": [table]}
        if self._faults.take(("partial_answer",), method="POST", path=request.url.path) is not None:
            inner = {"code": "EngineError", "message": "Partial query failure: the query exceeded its memory budget."}
            answer["error"] = {"code": "PartialError", "message": "There were some errors", "innererror": inner}
        return JSONResponse(answer)


def _type(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    if name.endswith(("Time", "TimeGenerated")):
        return "datetime"
    return "long" if all(isinstance(row.get(name), int) for row in rows) else "string"
