"""The simulated GuardDuty: one detector a region, findings that keep their time when they are archived.

Sources: https://docs.aws.amazon.com/guardduty/latest/APIReference/API_ListFindings.html and .../API_GetFindings.html
"""

from collections.abc import Callable, Mapping
from typing import Any

from nightdesk.connectors.aws.simulated_pages import Pages
from nightdesk.connectors.aws.wire import Ask, AwsError, Operation
from nightdesk.sdk.moments import instant

__all__ = ["GuardDutyApi"]

_MOST = 50
_TIMES = frozenset({"updatedAt", "createdAt"})
_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "accountId": ("accountId",),
    "id": ("id",),
    "region": ("region",),
    "severity": ("severity",),
    "type": ("type",),
    "updatedAt": ("updatedAt",),
    "resource.resourceType": ("resource", "resourceType"),
    "resource.instanceDetails.instanceId": ("resource", "instanceDetails", "instanceId"),
    "service.archived": ("service", "archived"),
}
_SORTABLE = frozenset({*_ATTRIBUTES, "createdAt", "service.count"})
_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, wanted: str(value).lower() in [str(one).lower() for one in wanted],
    "notEquals": lambda value, wanted: str(value).lower() not in [str(one).lower() for one in wanted],
    "greaterThan": lambda value, wanted: value > wanted,
    "greaterThanOrEqual": lambda value, wanted: value >= wanted,
    "lessThan": lambda value, wanted: value < wanted,
    "lessThanOrEqual": lambda value, wanted: value <= wanted,
}
_INVALID = "The request is rejected because an invalid or out-of-range value is specified as an input parameter."


class GuardDutyApi:
    """Detectors by region, and their findings by id; a region without a detector has not enabled the service."""

    def __init__(self, detectors: Mapping[str, str], drift: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.detectors = dict(detectors)
        self.findings: dict[str, dict[str, dict[str, Any]]] = {region: {} for region in detectors}
        self._drift = drift
        self._pages = Pages()

    def operations(self) -> dict[str, Operation]:
        """What can be called."""
        return {
            "ListDetectors": Operation(self._list_detectors),
            "ListFindings": Operation(self._list),
            "GetFindings": Operation(self._get),
            "ArchiveFindings": Operation(lambda ask: self._archive(ask, archived=True), changes=True),
            "UnarchiveFindings": Operation(lambda ask: self._archive(ask, archived=False), changes=True),
            "UpdateFindingsFeedback": Operation(self._feedback, changes=True),
        }

    def find(self, native_id: str) -> dict[str, Any] | None:
        """The finding of that id in any region."""
        return next((rows[native_id] for rows in self.findings.values() if native_id in rows), None)

    def _list_detectors(self, ask: Ask) -> Mapping[str, Any]:
        detector = self.detectors.get(ask.region, "")
        return {"detectorIds": [detector] if detector else []}

    def _list(self, ask: Ask) -> Mapping[str, Any]:
        rows = self._of(ask)
        size = ask.given.get("maxResults", _MOST)
        if not isinstance(size, int) or not 1 <= size <= _MOST:
            raise AwsError("BadRequestException", _INVALID)
        criteria = (ask.given.get("findingCriteria") or {}).get("criterion") or {}
        order = ask.given.get("sortCriteria") or {}
        name, way = order.get("attributeName", "updatedAt"), order.get("orderBy", "ASC")
        if name not in _SORTABLE or way not in {"ASC", "DESC"} or not set(criteria) <= set(_ATTRIBUTES):
            raise AwsError("BadRequestException", _INVALID)
        if not all(_is_condition(*pair) for conditions in criteria.values() for pair in conditions.items()):
            raise AwsError("BadRequestException", _INVALID)
        kept = [row for row in rows.values() if all(_fits(row, part, test) for part, test in criteria.items())]
        kept.sort(
            key=lambda row: _value(row, (name,) if name in _TIMES else _ATTRIBUTES.get(name, ())), reverse=way == "DESC"
        )
        try:
            page, token = self._pages.cut(
                kept, size, str(ask.given.get("nextToken") or ""), [ask.region, criteria, order]
            )
        except ValueError as error:
            raise AwsError("BadRequestException", _INVALID) from error
        return {"findingIds": [row["id"] for row in page], "nextToken": token}

    def _get(self, ask: Ask) -> Mapping[str, Any]:
        rows = self._of(ask)
        names = self._names(ask)
        return {"findings": [self._drift(rows[name]) for name in names if name in rows]}

    def _archive(self, ask: Ask, *, archived: bool) -> Mapping[str, Any]:
        rows = self._of(ask)
        for name in self._known(ask, rows):
            rows[name]["service"]["archived"] = archived
        return {}

    def _feedback(self, ask: Ask) -> Mapping[str, Any]:
        rows = self._of(ask)
        word = ask.given.get("feedback")
        if word not in {"USEFUL", "NOT_USEFUL"}:
            raise AwsError("BadRequestException", _INVALID)
        for name in self._known(ask, rows):
            rows[name]["service"]["userFeedback"] = word
        return {}

    def _of(self, ask: Ask) -> dict[str, dict[str, Any]]:
        if not self.detectors.get(ask.region) or ask.given.get("detectorId") != self.detectors[ask.region]:
            message = "The request is rejected because the input detectorId is not owned by the current account."
            raise AwsError("BadRequestException", message)
        return self.findings[ask.region]

    def _names(self, ask: Ask) -> list[str]:
        names = ask.given.get("findingIds")
        if not isinstance(names, list) or not 1 <= len(names) <= _MOST or not all(isinstance(n, str) for n in names):
            raise AwsError("BadRequestException", _INVALID)
        return names

    def _known(self, ask: Ask, rows: Mapping[str, Any]) -> list[str]:
        names = self._names(ask)
        if not set(names) <= set(rows):
            raise AwsError("BadRequestException", _INVALID)
        return names


def _value(row: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = row
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    if path[-1:] and path[-1] in _TIMES:
        return (instant(found) or 0) // 1_000_000
    return found if found is not None else ""


def _fits(row: Mapping[str, Any], name: str, conditions: Mapping[str, Any]) -> bool:
    value = _value(row, _ATTRIBUTES[name])
    return all(_TESTS[word](value, wanted) for word, wanted in conditions.items())


def _is_condition(word: str, wanted: Any) -> bool:
    """Lists belong to equalities, numbers to the others."""
    if word in {"equals", "notEquals"}:
        return isinstance(wanted, list) and bool(wanted)
    return word in _TESTS and isinstance(wanted, int | float)
