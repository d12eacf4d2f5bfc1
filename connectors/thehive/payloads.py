"""The shape of the simulated server's objects: alerts, cases, comments, and the statuses that come with it."""

from collections.abc import Mapping
from typing import Any

__all__ = ["ALERT_STAGES", "CASE_STAGES", "ME", "ORGANISATION", "PERSON", "alert", "case", "comment", "statuses"]

ORGANISATION = "acme"
ME, PERSON = "nightdesk@example.com", "ada@example.com"
CASE_STAGES: Mapping[str, str] = {
    "New": "New",
    "InProgress": "InProgress",
    "Indeterminate": "Closed",
    "FalsePositive": "Closed",
    "TruePositive": "Closed",
    "Other": "Closed",
    "Duplicated": "Closed",
}
ALERT_STAGES: Mapping[str, str] = {
    "New": "New",
    "InProgress": "InProgress",
    "Pending": "InProgress",
    "Ignored": "Closed",
    "Duplicate": "Closed",
    "Imported": "Imported",
}
_LEVELS = {1: "LOW", 2: "MEDIUM", 3: "HIGH", 4: "CRITICAL"}
_TLP = {0: "CLEAR", 1: "GREEN", 2: "AMBER", 3: "RED"}


def alert(record: Mapping[str, Any]) -> dict[str, Any]:
    """An alert as the API shows it; a field without a value is left out."""
    shape = {
        **_entity(record, "Alert"),
        **{name: record[name] for name in ("type", "source", "sourceRef", "title", "description", "tags")},
        **_levels(record),
        "date": record["_createdAt"],
        "follow": True,
        "observableCount": 0,
        "status": record["status"],
        "stage": ALERT_STAGES[record["status"]],
        "caseId": record.get("caseId"),
        "extraData": {},
        "newDate": record["_createdAt"],
        "timeToDetect": 0,
    }
    return {name: value for name, value in shape.items() if value is not None}


def case(record: Mapping[str, Any], stages: Mapping[str, str]) -> dict[str, Any]:
    """A case as the API shows it."""
    shape = {
        **_entity(record, "Case"),
        **{name: record[name] for name in ("number", "title", "description", "tags", "status")},
        **_levels(record),
        **{name: record.get(name) for name in ("summary", "impactStatus", "assignee")},
        "startDate": record["_createdAt"],
        "flag": False,
        "stage": stages[record["status"]],
        "access": {"_kind": "OrganisationAccessKind"},
        "extraData": {},
        "newDate": record["_createdAt"],
        "timeToDetect": 0,
    }
    return {name: value for name, value in shape.items() if value is not None}


def comment(record: Mapping[str, Any]) -> dict[str, Any]:
    """A comment; its times have no underscore."""
    shape = {"_type": "Comment", "isEdited": "updatedAt" in record, "external": False, "extraData": {}}
    return {**shape, **{name: value for name, value in record.items() if name != "of"}}


def statuses(stages: Mapping[str, str], kind: str) -> list[dict[str, Any]]:
    """The labels of an organisation with their stages."""
    return [
        {"_id": f"~{number}", "_type": kind, "value": value, "stage": stage, "visibility": "Visible", "extraData": {}}
        for number, (value, stage) in enumerate(stages.items(), 900)
    ]


def _entity(record: Mapping[str, Any], kind: str) -> dict[str, Any]:
    names = ("_id", "_createdBy", "_createdAt", "_updatedBy", "_updatedAt")
    return {"_type": kind, **{name: record.get(name) for name in names}}


def _levels(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "severity": record["severity"],
        "severityLabel": _LEVELS[record["severity"]],
        "tlp": record["tlp"],
        "tlpLabel": _TLP[record["tlp"]],
        "pap": record["pap"],
        "papLabel": _TLP[record["pap"]],
    }
