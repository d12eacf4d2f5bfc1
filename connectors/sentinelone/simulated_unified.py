"""The simulated unified alerts: Relay pages over live data, filters by column, actions that report on each alert."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.sentinelone.payloads import number
from nightdesk.connectors.sentinelone.simulated_graphql import Field, QueryError, Schema, check, operation, select
from nightdesk.connectors.sentinelone.simulated_schema import MOST, SCHEMA, STATUSES, TEXTS, TIMES, VERDICTS, VIEWS
from nightdesk.connectors.sentinelone.wire import API, Routes, json_object
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["UnifiedApi"]


class UnifiedApi:
    """The unified alerts of an account by id.

    ``lacks`` names fields that this tenant's schema does not have. ``busy`` is the limit of concurrent users, reached.
    ``manages``: the token may change alerts. ``triggered`` counts the mutations that were asked for.
    """

    def __init__(self, clock: Clock, faults: FaultPlan, manages: Callable[[], bool]) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}
        self.lacks: set[str] = set()
        self.busy = False
        self.triggered = 0
        self._clock = clock
        self._faults = faults
        self._manages = manages
        self._notes: dict[str, list[dict[str, Any]]] = {}

    def routes(self) -> Routes:
        """What can be called."""
        return (("POST", f"{API}/unifiedalerts/graphql", "Unified alerts: View", self._graphql),)

    def notes(self, alert_id: str) -> list[dict[str, Any]]:
        """What was written to an alert, oldest first."""
        return self._notes.setdefault(alert_id, [])

    def change(self, alert_id: str, **facts: Any) -> None:
        """Sets facts, as the console does too; every change is a version of its own."""
        alert = self.alerts[alert_id]
        alert.update(facts)
        before = datetime.fromisoformat(alert["updatedAt"])
        after = max(self._clock(), before + timedelta(milliseconds=1)).astimezone(UTC)
        alert["updatedAt"] = f"{after:%Y-%m-%dT%H:%M:%S}.{after.microsecond // 1000:03d}Z"

    async def _graphql(self, request: Request) -> Response:
        body = await json_object(request)
        errors: list[dict[str, Any]] = []
        data: dict[str, Any] | None = None
        try:
            kind, asked = operation(body.get("query"), body.get("variables") or {})
            check(self._schema(), kind.capitalize(), [asked])
            data = {asked.name: select(self._answer(asked), asked.fields)}
        except QueryError as error:
            errors.append({"message": str(error), "extensions": {"classification": "ValidationError"}})
        if (
            data
            and "edges" in (data.get("alerts") or {})
            and self._faults.take(("partial_answer",), method=request.method, path=request.url.path)
        ):
            edges = data["alerts"]["edges"]
            data["alerts"]["edges"] = edges[: len(edges) // 2]
            errors.append(
                {"message": "a shard did not answer", "extensions": {"classification": "DataFetchingException"}}
            )
        return JSONResponse({"data": data, **({"errors": errors} if errors else {})})

    def _schema(self) -> Schema:
        return {**SCHEMA, "Alert": {name: of for name, of in SCHEMA["Alert"].items() if name not in self.lacks}}

    def _answer(self, asked: Field) -> Any:
        given = asked.arguments
        match asked.name:
            case "alerts":
                _only(given, "first", "after", "viewType", "filters", "orFilter", "sorts", "scope")
                return self._page(given)
            case "alert":
                _only(given, "id")
                return self.alerts.get(given.get("id", ""))
            case "alertNotes":
                _only(given, "alertId")
                return {"data": list(reversed(self.notes(str(given.get("alertId")))))}
        _only(given, "actions", "filter", "scope", "viewType")
        self.triggered += 1
        return self._trigger(given)

    def _page(self, given: Mapping[str, Any]) -> dict[str, Any]:
        first = given.get("first", 10)
        if isinstance(first, bool) or not isinstance(first, int) or not 1 <= first <= MOST:
            raise QueryError(f"first must be between 1 and {MOST}")
        _view(given)
        sorts = given.get("sorts") or [{"by": "createdAt", "order": "DESC"}]
        column, order = sorts[0].get("by"), sorts[0].get("order")
        if column not in TIMES or order not in {"ASC", "DESC"}:
            raise QueryError(f"cannot sort by '{column}'")
        chosen = given.get("orFilter") or {"or": [{"and": given.get("filters") or []}]}
        fits = _fitting(chosen)
        rows = [(row[column], name) for name, row in self.alerts.items() if fits(row)]
        rows.sort(reverse=order == "DESC")
        total = len(rows)
        if given.get("after"):
            behind = _behind(str(given["after"]), column, order)
            rows = [place for place in rows if (place > behind if order == "ASC" else place < behind)]
        taken = rows[:first]
        cursors = [b64encode(json.dumps([column, order, *place]).encode()).decode() for place in taken]
        info = {"hasNextPage": len(rows) > first, "hasPreviousPage": bool(given.get("after"))}
        ends = {"startCursor": cursors[0] if cursors else None, "endCursor": cursors[-1] if cursors else None}
        edges = [
            {"node": self.alerts[name], "cursor": cursor} for (_, name), cursor in zip(taken, cursors, strict=True)
        ]
        return {"edges": edges, "pageInfo": {**info, **ends}, "totalCount": total}

    def _trigger(self, given: Mapping[str, Any]) -> dict[str, Any]:
        _view(given)
        actions, chosen = given.get("actions"), given.get("filter")
        if not isinstance(actions, list) or not actions:
            raise QueryError("Variable 'actions' has an invalid value")
        if self.busy:
            complaint = "The limit of concurrent users that trigger actions is reached"
            return {"__typename": "TriggerActionsError", "errors": [{"errorMessage": complaint}]}
        # Without a filter it is done to every alert in scope.
        fits = _fitting(chosen or {"or": [{"and": []}]})
        names = [name for name, row in self.alerts.items() if fits(row)]
        done = [self._act(action, names) for action in actions]
        return {"__typename": "ActionsTriggered", "actions": [outcome for outcome in done if outcome is not None]}

    def _act(self, action: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
        payload = action.get("payload") or {}
        outcome: dict[str, Any] = {"actionId": action.get("id"), "alertCount": len(names)}
        outcome |= {"success": [{"id": name} for name in names], "skip": [], "failure": []}
        if not self._manages():
            refusal = {"errorMessage": "Missing UAM manage permissions", "errorType": "MISSING_PERMISSION"}
            return {**outcome, "success": [], "failure": [{"id": name, **refusal} for name in names]}
        match action.get("id"):
            case "S1/alert/statusUpdate":
                facts: dict[str, Any] = {"status": _choice(payload, "status", STATUSES)}
            case "S1/alert/analystVerdictUpdate":
                facts = {"analystVerdict": _choice(payload, "analystVerdict", VERDICTS)}
            case "S1/alert/addNote":
                for name in names:
                    self._write(name, str((payload.get("note") or {}).get("value") or ""))
                facts = {"noteExists": True}
            case _:
                return None  # an unknown action is passed over in silence
        for name in names:
            self.change(name, **facts)
        return outcome

    def _write(self, alert_id: str, text: str) -> None:
        if not text:
            raise QueryError("Variable 'note' has an invalid value")
        note_id = number(f"note {alert_id} {len(self.notes(alert_id))}")
        now = self._clock().astimezone(UTC)
        made = {"id": note_id, "text": text, "alertId": alert_id, "author": {"userId": "1", "email": None}}
        self.notes(alert_id).append({**made, "createdAt": f"{now:%Y-%m-%dT%H:%M:%S}Z"})


def _only(given: Mapping[str, Any], *known: str) -> None:
    strange = sorted(set(given) - set(known))
    if strange:
        raise QueryError(f'Unknown argument "{strange[0]}".')


def _view(given: Mapping[str, Any]) -> None:
    if given.get("viewType", "ALL") not in VIEWS:
        raise QueryError("Variable 'viewType' has an invalid value")
    scope = given.get("scope")
    if scope is not None and (scope.get("scopeType") not in {"ACCOUNT", "SITE", "GROUP"} or not scope.get("scopeIds")):
        raise QueryError("Variable 'scope' has an invalid value")


def _choice(payload: Mapping[str, Any], name: str, allowed: frozenset[str]) -> str:
    value = (payload.get(name) or {}).get("value")
    if value not in allowed:
        raise QueryError(f"Variable '{name}' has an invalid value: {value}")
    return str(value)


def _fitting(chosen: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    """What tells whether an alert meets the filter. Raises QueryError for a condition, whatever alerts there are."""
    choices = [[_condition(one) for one in each["and"]] for each in chosen["or"]]
    return lambda row: any(all(condition(row) for condition in conditions) for conditions in choices)


def _condition(one: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    column, negated = one.get("fieldId"), bool(one.get("isNegated"))
    kinds = set(one) - {"fieldId", "isNegated"}
    if len(kinds) != 1:
        raise QueryError("a filter has exactly one condition")
    (kind,) = kinds
    if kind == "dateTimeRange" and column in TIMES:
        within = _range(one[kind])
        return lambda row: within(round(datetime.fromisoformat(row[column]).timestamp() * 1000)) is not negated
    if kind in {"stringEqual", "stringIn"} and column in TEXTS:
        wanted = one[kind].get("values") if kind == "stringIn" else [one[kind].get("value")]
        return lambda row: (row[column] in wanted) is not negated
    raise QueryError(f"column '{column}' has no filter {kind}")


def _range(bounds: Mapping[str, Any]) -> Callable[[int], bool]:
    start, end = bounds.get("start"), bounds.get("end")
    if any(bound is not None and (isinstance(bound, bool) or not isinstance(bound, int)) for bound in (start, end)):
        raise QueryError("Variable 'start' has an invalid value: expected Long")
    first = 0 if start is None else start + (not bounds.get("startInclusive", True))
    last = 2**63 if end is None else end - (not bounds.get("endInclusive", True))
    return lambda at: first <= at <= last


def _behind(token: str, column: str, order: str) -> tuple[str, str]:
    try:
        made_for, direction, value, name = json.loads(b64decode(token))
    except (ValueError, TypeError):
        raise QueryError("Invalid cursor") from None
    if (made_for, direction) != (column, order):
        raise QueryError("Invalid cursor for this sort")
    return value, name
