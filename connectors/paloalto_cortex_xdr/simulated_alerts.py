"""The simulated alerts and incidents: lists by window, extra data, and updates that take Cortex's words only."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.responses import Response

from nightdesk.connectors.paloalto_cortex_xdr.payload_events import millis
from nightdesk.connectors.paloalto_cortex_xdr.payloads import STATUS_NUMBERS, incident_payload
from nightdesk.connectors.paloalto_cortex_xdr.wire import BadFilterError, Question, Routes, Tests, Wire, asked
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["AlertsApi"]

Drift = Callable[[dict[str, Any]], dict[str, Any]]

_SETTABLE = frozenset(STATUS_NUMBERS) - {"resolved_auto"}  # automation's own outcome cannot be asked for
_SEVERITIES = frozenset({"informational", "low", "medium", "high", "critical"})
_MOST_UPDATED = 100
_ALERT_TESTS: Tests = {
    "alert_id_list": ("numbers", lambda value, row: int(row["alert_id"]) in value),
    "alert_source": ("texts", lambda value, row: row["source"] in value),
    "severity": ("texts", lambda value, row: row["severity"].lower() in {each.lower() for each in value}),
    "creation_time": ("time", lambda value, row: row["detection_timestamp"] >= value),
    "server_creation_time": ("time", lambda value, row: row["local_insert_ts"] >= value),
}
_ALERT_KEYS = {"creation_time": "detection_timestamp", "server_creation_time": "local_insert_ts"}
_INCIDENT_TESTS: Tests = {
    "modification_time": ("time", lambda value, row: row["modification_time"] >= value),
    "creation_time": ("time", lambda value, row: row["creation_time"] >= value),
    "incident_id_list": ("texts", lambda value, row: row["incident_id"] in value),
    "status": ("text", lambda value, row: row["status"] in value),
    "starred": ("flag", lambda value, row: row["starred"] == value),
    "alert_sources": ("texts", lambda value, row: bool(set(row["incident_sources"]) & set(value))),
}


class AlertsApi:
    """The alerts by number, the incidents by id, and what people wrote about either."""

    def __init__(self, wire: Wire, clock: Clock, faults: FaultPlan, drift: Drift, console: str) -> None:
        self.alerts: dict[int, dict[str, Any]] = {}
        self.incidents: dict[str, dict[str, Any]] = {}
        self.comments: dict[tuple[str, str], list[str]] = {}
        self._members: dict[str, list[int]] = {}
        self._wire = wire
        self._clock = clock
        self._faults = faults
        self._drift = drift
        self._console = console

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("/public_api/v1/alerts/get_alerts_multi_events", "alerts:view", self._list_alerts),
            ("/public_api/v2/alerts/get_alerts_multi_events", "alerts:view", self._list_alerts),
            ("/public_api/v1/alerts/update_alerts", "alerts:edit", self._update_alerts),
            ("/public_api/v1/incidents/get_incidents", "alerts:view", self._list_incidents),
            ("/public_api/v1/incidents/get_incident_extra_data", "alerts:view", self._extra_data),
            ("/public_api/v1/incidents/get_multiple_incidents_extra_data", "alerts:view", self._list_extra_data),
            ("/public_api/v1/incidents/update_incident", "alerts:edit", self._update_incident),
        )

    def gather(self, numbers: Iterable[int]) -> str:
        """Opens an incident of these alerts when the last of them arrives; gives its id."""
        members = list(numbers)
        number = str(len(self.incidents) + 31)
        rows = [self.alerts[each] for each in members]
        self.incidents[number] = incident_payload(int(number), rows, console=self._console)
        self._members[number] = members
        for row in rows:
            row["case_id"] = int(number)
        return number

    def merge(self, source: str, into: str) -> None:
        """Moves the alerts of one incident into another; the first is resolved as a duplicate."""
        moved = self._members[source]
        self._members[into] += moved
        self._members[source] = []
        for each in moved:
            self.alerts[each]["case_id"] = int(into)  # whether that stamps the alert is not published: it does not
        self.incidents[into]["alert_count"] = len(self._members[into])
        self._touch(self.incidents[into])
        self.resolve_incident(source, "resolved_duplicate")

    def resolve_alert(self, number: int, status: str, comment: str = "") -> None:
        """Gives an alert a status, as a person does in the console."""
        row = self.alerts[number]
        row["resolution_status"] = f"STATUS_{STATUS_NUMBERS[status]}_{status.upper()}"
        if comment:
            row["resolution_comment"] = comment
            self.comments.setdefault(("alert", str(number)), []).append(comment)
        self._touch_alert(row)

    def resolve_incident(self, number: str, status: str, comment: str = "") -> None:
        """Gives an incident a status, as a person does in the console."""
        row = self.incidents[number]
        closing = status.startswith("resolved")
        row |= {"status": status, "resolved_timestamp": millis(self._clock()) if closing else None}
        if comment:
            row["resolve_comment"] = comment
        self._touch(row)

    def _touch(self, row: dict[str, Any]) -> None:
        # Two changes within one tick of the clock are still two versions.
        row["modification_time"] = max(millis(self._clock()), row["modification_time"] + 1)

    def _touch_alert(self, row: dict[str, Any]) -> None:
        row["last_modified_ts"] = max(millis(self._clock()), (row["last_modified_ts"] or 0) + 1)

    async def _list_alerts(self, data: Mapping[str, Any]) -> Response:
        question = asked(data, _ALERT_TESTS, ("creation_time", "server_creation_time", "severity"))
        rows, total = question.rows(
            self.alerts.values(),
            _ALERT_TESTS,
            lambda row, field: (row[_ALERT_KEYS.get(field, field)], int(row["alert_id"])),
        )
        return self._page("alerts", [self._drift(row) for row in rows], total)

    async def _list_incidents(self, data: Mapping[str, Any]) -> Response:
        rows, total = self._found(data)
        return self._page("incidents", [self._drift(row) for row in rows], total)

    async def _list_extra_data(self, data: Mapping[str, Any]) -> Response:
        rows, total = self._found(data, more=("fields_to_exclude", "alerts_limit"))
        return self._page("incidents", [self._extra(row["incident_id"], 1000) for row in rows], total)

    async def _extra_data(self, data: Mapping[str, Any]) -> Response:
        number, most = data.get("incident_id"), data.get("alerts_limit", 1000)
        if not isinstance(number, str) or number not in self.incidents:
            raise BadFilterError(f"No incident {number!r}")
        return self._wire.reply(self._extra(number, most if isinstance(most, int) else 1000))

    async def _update_alerts(self, data: Mapping[str, Any]) -> Response:
        numbers, changes = data.get("alert_id_list"), data.get("update_data")
        if not isinstance(numbers, list) or not all(isinstance(each, str) for each in numbers):
            raise BadFilterError("alert_id_list must be an array of strings")
        if not 1 <= len(numbers) <= _MOST_UPDATED:
            raise BadFilterError(f"alert_id_list holds 1 to {_MOST_UPDATED} ids")
        if not isinstance(changes, dict) or not changes or set(changes) - {"status", "severity", "comment"}:
            raise BadFilterError("update_data takes status, severity and comment")
        _settable(changes.get("status", "new"))
        if changes.get("severity", "low") not in _SEVERITIES:
            raise BadFilterError(f"Invalid severity {changes['severity']!r}")
        known = [each for each in numbers if each.isdecimal() and int(each) in self.alerts]
        for each in known:
            row = self.alerts[int(each)]
            now = row["resolution_status"].partition("_")[2].partition("_")[2].lower()
            row["severity"] = changes.get("severity", row["severity"])
            self.resolve_alert(int(each), changes.get("status", now), str(changes.get("comment") or ""))
        return self._wire.reply({"alerts_ids": known})

    async def _update_incident(self, data: Mapping[str, Any]) -> Response:
        number, changes = data.get("incident_id"), data.get("update_data")
        if not isinstance(number, str) or number not in self.incidents:
            raise BadFilterError(f"No incident {number!r}")
        allowed = {"status", "assigned_user_mail", "assigned_user_pretty_name", "manual_severity", "resolve_comment"}
        if not isinstance(changes, dict) or set(changes) - allowed - {"comment", "notes", "resolve_all_alerts"}:
            raise BadFilterError("update_data has an unknown field")
        _settable(changes.get("status", "new"))
        comment = changes.get("comment")
        if comment is not None:
            if not isinstance(comment, dict) or comment.get("comment_action") != "add" or not comment.get("value"):
                raise BadFilterError("comment has comment_action add and a value")
            self.comments.setdefault(("incident", number), []).append(str(comment["value"]))
        row = self.incidents[number]
        row |= {name: value for name, value in changes.items() if name in row and name != "status"}
        self.resolve_incident(number, changes.get("status", row["status"]))
        if changes.get("resolve_all_alerts"):
            for each in self._members[number]:
                self.resolve_alert(each, changes.get("status", "resolved_other"))
        return self._wire.reply(True)

    def _found(self, data: Mapping[str, Any], more: Iterable[str] = ()) -> tuple[list[dict[str, Any]], int]:
        question: Question = asked(data, _INCIDENT_TESTS, ("modification_time", "creation_time"), more=tuple(more))
        fields = [each["field"] for each in question.filters]
        if "alert_sources" in fields and len(fields) > 1:
            raise BadFilterError(None)
        return question.rows(
            self.incidents.values(), _INCIDENT_TESTS, lambda row, field: (row[field], int(row["incident_id"]))
        )

    def _page(self, name: str, rows: list[dict[str, Any]], total: int) -> Response:
        shown = rows
        if self._faults.take(("partial_answer",), method="POST", path=name):
            shown = rows[: len(rows) // 2]
        return self._wire.reply({"total_count": total, "result_count": len(rows), name: shown})

    def _extra(self, number: str, most: int) -> dict[str, Any]:
        rows = [_flat(self.alerts[each]) for each in self._members[number]][:most]
        files = [artifact for row in rows for artifact in _artifacts(row)]
        remote = [row["action_remote_ip"] for row in rows if row["action_remote_ip"]]
        network = [{"type": "IP", "alert_count": 1, "is_manual": False, "network_remote_ip": each} for each in remote]
        return {
            "incident": self._drift(self.incidents[number]),
            "alerts": {"total_count": len(rows), "data": rows},
            "network_artifacts": {"total_count": len(network), "data": network},
            "file_artifacts": {"total_count": len(files), "data": files},
        }


def _settable(status: Any) -> None:
    if status not in _SETTABLE:
        raise BadFilterError(f"Invalid status {status!r}; there are {', '.join(sorted(_SETTABLE))}")


def _flat(alert: Mapping[str, Any]) -> dict[str, Any]:
    """An alert inside an incident has its event spread over it."""
    return {**{name: value for name, value in alert.items() if name != "events"}, **alert["events"][0]}


def _artifacts(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    convicted = row["action_file_sha256"]
    found = {
        row["actor_process_image_sha256"]: row["actor_process_image_name"],
        row["action_process_image_sha256"]: row["action_process_image_name"],
    }
    found.setdefault(convicted, row["action_file_name"])
    return [
        {
            "type": "HASH",
            "alert_count": 1,
            "file_name": name,
            "file_sha256": value,
            "file_wildfire_verdict": "MALWARE" if value == convicted else "UNKNOWN",
            "is_malicious": value == convicted,
            "is_manual": False,
            "is_process": name is not None,
        }
        for value, name in found.items()
        if value
    ]
