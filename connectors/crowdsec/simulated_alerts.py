"""The simulated alerts: newest first, no paging, filters that join on decisions, and the limit that never returns."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.crowdsec.durations import seconds_of
from nightdesk.connectors.crowdsec.payloads import go_time, rfc3339
from nightdesk.connectors.crowdsec.simulated_decisions import Decision, DecisionsApi, bounds_asked, within
from nightdesk.connectors.crowdsec.wire import RefusedError, alerts_in, unparsable
from nightdesk.sdk.context import Clock
from nightdesk.sdk.moments import SECOND, instant

__all__ = ["AlertsApi", "StoredAlert"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE = 100
_SHOWN_OF_SOURCE = ("as_name", "as_number", "cn", "ip", "latitude", "longitude", "range", "scope", "value")
_FILTERS = frozenset(
    {"limit", "sort", "since", "until", "created_before", "scope", "value", "ip", "range", "contains", "scenario"}
    | {"origin", "decision_type", "has_active_decision", "simulated", "include_capi"}
)
_LOCAL = frozenset({"crowdsec", "cscli"})
Drift = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(slots=True)
class StoredAlert:
    """One alert and its decisions."""

    number: int
    machine_id: str
    created: datetime
    start: datetime
    stop: datetime
    body: Mapping[str, Any]
    decisions: list[Decision] = field(default_factory=list)


class AlertsApi:
    """All alerts by number, in the order they were stored."""

    def __init__(self, clock: Clock, decisions: DecisionsApi, drift: Drift) -> None:
        self.alerts: dict[int, StoredAlert] = {}
        self._clock = clock
        self._decisions = decisions
        self._drift = drift
        self._made = 0

    def store(self, body: Mapping[str, Any], machine_id: str, created: datetime | None = None) -> StoredAlert:
        """Stores one alert with the decisions it has, or those of the default profile. Raises RefusedError."""
        now = self._clock()
        # Times that are none are the server's present; a duration counts from the second.
        start, stop = (_moment(body[name]) or now for name in ("start_at", "stop_at"))
        rows = body.get("decisions") or []
        source = body["source"]
        if not rows and body.get("remediation") is True and source["scope"] == "Ip":
            ban = {"origin": "crowdsec", "type": "ban", "duration": "4h", "scenario": body["scenario"]}
            rows = [{**ban, "scope": "Ip", "value": source["value"]}]
        decisions = self._decisions.create(rows, stop, body["simulated"])
        alert = StoredAlert(0, machine_id, created or now, start, stop, body, decisions)
        return self.number(alert)

    def number(self, alert: StoredAlert) -> StoredAlert:
        """Gives the next number; the server's clock never puts an alert before the one stored earlier."""
        latest = max((row.created for row in self.alerts.values()), default=alert.created)
        self._made += 1
        alert.number, alert.created = self._made, max(alert.created, latest)
        self.alerts[alert.number] = alert
        for decision in alert.decisions:
            decision.alert = alert.number
        return alert

    def burn(self, count: int = 1) -> None:
        """Gives numbers out to nobody, as a database does for what it rolls back."""
        self._made += count

    async def find(self, request: Request) -> Response:
        """``GET /alerts``."""
        query = dict(request.query_params)
        strange = sorted(set(query) - _FILTERS)
        if strange:
            raise RefusedError(f"Filter parameter '{strange[0]}' is unknown (={query[strange[0]]}): invalid filter")
        rows = [row for row in self.alerts.values() if all(self._fits(row, name, query) for name in query)]
        rows.sort(key=lambda row: (row.created, row.number), reverse=query.get("sort") != "ASC")
        limit = _limit(query.get("limit", str(_PAGE)))
        if len(rows) >= _PAGE and limit - len(rows) >= _PAGE:
            await asyncio.Event().wait()  # 1.4.6 loops here for ever
        return JSONResponse([self._shown(row) for row in (rows[:limit] if limit else rows)] or None)

    async def read(self, request: Request) -> Response:
        """``GET /alerts/{id}``."""
        return JSONResponse(self._shown(self._named(request)))

    async def create(self, request: Request) -> Response:
        """``POST /alerts``: one after the other, so what came before a refused one has left its decisions behind."""
        bodies = alerts_in(await request.body())
        machine_id, stored = request.state.machine_id, len(self.alerts)
        made = []
        try:
            for body in bodies:
                made.append(self.store(body, machine_id))  # noqa: PERF401  # what was made before a refusal counts
        except RefusedError:
            for alert in made:
                del self.alerts[alert.number]
                for decision in alert.decisions:
                    decision.alert = 0
            self._made = max(self._made - len(made), stored)
            raise
        return JSONResponse([str(alert.number) for alert in made], 201)

    async def delete(self, request: Request) -> Response:
        """``DELETE /alerts/{id}``: with its decisions, and for good."""
        alert = self._named(request)
        del self.alerts[alert.number]
        for decision in alert.decisions:
            del self._decisions.decisions[decision.number]
        return JSONResponse({"nbDeleted": "1"})

    def _named(self, request: Request) -> StoredAlert:
        text = request.path_params["number"]
        if not text.lstrip("-").isdecimal():
            raise RefusedError("alert_id must be valid integer", 400)
        if int(text) not in self.alerts:
            raise RefusedError("object not found", 404)
        return self.alerts[int(text)]

    def _fits(self, row: StoredAlert, name: str, query: Mapping[str, str]) -> bool:
        value, source, decisions = query[name], row.body["source"], row.decisions
        match name:
            case "since" | "until" | "created_before":
                moment = self._clock() - _ago(value)
                when = row.created if name == "created_before" else row.start
                return when >= moment if name == "since" else when <= moment
            case "scope":
                return str(source["scope"]).lower() == value.lower()
            case "value":
                return bool(source["value"] == value)
            case "ip" | "range":
                place = bounds_asked(value)
                return any(within(place, decision.bounds) for decision in decisions)
            case "scenario" | "origin" | "decision_type":
                field_name = "type" if name == "decision_type" else name
                return any(getattr(decision, field_name) == value for decision in decisions)
            case "has_active_decision":
                return any(one.until > self._clock() for one in decisions) if value == "true" else not decisions
            case "simulated":
                return value != "false" or not row.body["simulated"]
            case "include_capi":
                # Not only the community's: of 1.4.6 all that has no decision of the engine or the command line.
                return value != "false" or any(decision.origin in _LOCAL for decision in decisions)
        return True

    def _shown(self, row: StoredAlert) -> dict[str, Any]:
        body, now = row.body, self._clock()
        events = [
            {"meta": event.get("meta"), "timestamp": go_time(_moment(event.get("timestamp")) or row.created)}
            for event in body["events"]
        ]
        decisions = [{**one.shown(now), "simulated": one.simulated} for one in row.decisions]
        meta = {"meta": body["meta"]} if body.get("meta") else {}
        payload = {
            "capacity": body["capacity"],
            "created_at": rfc3339(row.created),
            "decisions": decisions or None,
            "events": events or None,
            "events_count": body["events_count"],
            "id": row.number,
            "labels": None,
            "leakspeed": body["leakspeed"],
            "machine_id": row.machine_id,
            "message": body["message"],
            **meta,
            "scenario": body["scenario"],
            "scenario_hash": body["scenario_hash"],
            "scenario_version": body["scenario_version"],
            "simulated": body["simulated"],
            "source": {name: body["source"][name] for name in _SHOWN_OF_SOURCE if body["source"].get(name)},
            "start_at": go_time(row.start),
            "stop_at": go_time(row.stop),
        }
        return self._drift(payload)


def _moment(text: Any) -> datetime | None:
    """A time as RFC 3339 has it; None for any other text."""
    found = instant(text) if isinstance(text, str) and "T" in text else None
    return None if found is None else _EPOCH + timedelta(microseconds=found // (SECOND // 1_000_000))


def _limit(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text):
        raise RefusedError(f"bad limit in parameters: [{text}]: unable to query")
    if int(text) < 0:
        raise RefusedError("")
    return int(text)


def _ago(text: str) -> timedelta:
    """A duration; here, other than in a decision, days are taken too."""
    days = re.sub(r"(\d+)d", lambda match: f"{int(match[1]) * 24}h", text)
    seconds = seconds_of(days)
    if seconds is None:
        raise RefusedError(f"while parsing duration: {unparsable(text)}")
    return timedelta(seconds=seconds)
