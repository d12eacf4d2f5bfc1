"""The simulated threats: search by nested times, verdict and incident status that count only what changed, notes."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.sentinelone.payloads import number
from nightdesk.connectors.sentinelone.simulated_mitigation import Mitigations
from nightdesk.connectors.sentinelone.wire import (
    API,
    Filter,
    RefusedError,
    Routes,
    affected,
    bulk,
    fitting,
    page,
    parameters,
    stamp,
)
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["INCIDENT_STATUSES", "VERDICTS", "ThreatsApi"]

VERDICTS = frozenset({"undefined", "true_positive", "false_positive", "suspicious"})
INCIDENT_STATUSES = frozenset({"unresolved", "in_progress", "resolved"})
_NOTE_MOST = 10_000  # characters


def _info(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda threat: threat["threatInfo"][name]


_FILTERS: Mapping[str, Filter] = {
    "ids": Filter("ids", lambda threat: threat["id"]),
    "createdAt": Filter("time", _info("createdAt")),
    "updatedAt": Filter("time", _info("updatedAt")),
    "incidentStatuses": Filter("ids", _info("incidentStatus")),
    "analystVerdicts": Filter("ids", _info("analystVerdict")),
    "mitigationStatuses": Filter("ids", _info("mitigationStatus")),
    "confidenceLevels": Filter("ids", _info("confidenceLevel")),
    "contentHashes": Filter("ids", _info("sha1")),
    "siteIds": Filter("ids", lambda threat: threat["agentDetectionInfo"]["siteId"]),
    "accountIds": Filter("ids", lambda threat: threat["agentDetectionInfo"]["accountId"]),
    "agentIds": Filter("ids", lambda threat: threat["agentRealtimeInfo"].get("agentId")),
    "resolved": Filter("flag", lambda threat: threat["threatInfo"]["incidentStatus"] == "resolved"),
    "query": Filter("text", lambda threat: f"{threat['threatInfo']['threatName']} {threat['threatInfo']['sha1']}"),
}
_NOTE_FILTERS: Mapping[str, Filter] = {"creatorId": Filter("ids", lambda note: note["creatorId"])}


class ThreatsApi:
    """The threats of an account by id.

    ``needs_verdict`` is the policy that a threat is resolved only with a verdict. ``drift`` shows a payload as the
    fault plan wants it.
    """

    def __init__(
        self,
        clock: Clock,
        faults: FaultPlan,
        mitigations: Mitigations,
        drift: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        self.needs_verdict = False
        self._clock = clock
        self._faults = faults
        self._mitigations = mitigations
        self._drift = drift
        self._notes: dict[str, list[dict[str, Any]]] = {}

    @property
    def threats(self) -> dict[str, dict[str, Any]]:
        """Every threat by its id, with the outcome of what was done about it."""
        return self._mitigations.threats

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", f"{API}/threats", "Threats: View", self._list),
            ("POST", f"{API}/threats/analyst-verdict", "Threats: Update analyst verdict", self._verdict),
            ("POST", f"{API}/threats/incident", "Threats: Update incident status", self._incident),
            ("POST", f"{API}/threats/notes", "Threats: Create notes", self._note),
            ("GET", f"{API}/threats/{{threat_id}}/notes", "Threats: View", self._read_notes),
            ("DELETE", f"{API}/threats/{{threat_id}}/notes/{{note_id}}", "Threats: Delete notes", self._drop_note),
            *self._mitigations.routes(),
        )

    def notes(self, threat_id: str) -> list[dict[str, Any]]:
        """What was written to a threat, oldest first."""
        return self._notes.setdefault(threat_id, [])

    def change(self, threat_id: str, **facts: str) -> bool:
        """Sets verdict or status, as the console does too; False when nothing was otherwise."""
        info = self.threats[threat_id]["threatInfo"]
        if all(info[name] == value for name, value in facts.items()):
            return False
        for name, value in facts.items():
            info[name] = value
            info[f"{name}Description"] = value.replace("_", " ").capitalize()
        self._mitigations.touch(threat_id)
        return True

    async def _list(self, request: Request) -> Response:
        given = parameters(request, _FILTERS)
        self._mitigations.settle()
        rows = [{**row, "agentRealtimeInfo": self._mitigations.realtime(row)} for row in self.threats.values()]
        rows = list(filter(fitting(given, _FILTERS), rows))
        sorts = {"id": lambda row: str(row["id"]), "createdAt": _info("createdAt"), "updatedAt": _info("updatedAt")}
        answer = page(rows, given, sorts=sorts, shown=lambda row: self._drift(dict(row)))
        return self._partly(request, answer)

    def _partly(self, request: Request, answer: Response) -> Response:
        """Of a partial answer the first half, and why."""
        if self._faults.take(("partial_answer",), method=request.method, path=request.url.path) is None:
            return answer
        body = json.loads(bytes(answer.body))
        error = {"code": 5000010, "title": "Internal Server Error", "detail": "a shard did not answer in time"}
        return JSONResponse({**body, "data": body["data"][: len(body["data"]) // 2], "errors": [error]})

    async def _verdict(self, request: Request) -> Response:
        data, names = await bulk(request, frozenset({"analystVerdict"}))
        return affected(self._set(names, {"analystVerdict": _word(data, "analystVerdict", VERDICTS)}))

    async def _incident(self, request: Request) -> Response:
        data, names = await bulk(request, frozenset({"incidentStatus", "analystVerdict"}))
        facts = {"incidentStatus": _word(data, "incidentStatus", INCIDENT_STATUSES)}
        if "analystVerdict" in data:
            facts["analystVerdict"] = _word(data, "analystVerdict", VERDICTS)
        return affected(self._set(names, facts))

    def _set(self, names: list[str], facts: dict[str, str]) -> int:
        reached = [name for name in names or list(self.threats) if name in self.threats]
        if self.needs_verdict and facts.get("incidentStatus") == "resolved":
            without = [name for name in reached if self._verdict_of(name, facts) == "undefined"]
            if without:
                raise RefusedError("incidentStatus: An analyst verdict is required to resolve a threat.")
        return sum(self.change(name, **facts) for name in reached)

    def _verdict_of(self, threat_id: str, facts: Mapping[str, str]) -> str:
        return str(facts.get("analystVerdict") or self.threats[threat_id]["threatInfo"]["analystVerdict"])

    async def _note(self, request: Request) -> Response:
        data, names = await bulk(request, frozenset({"text"}))
        text = data.get("text")
        if not isinstance(text, str) or not 0 < len(text) <= _NOTE_MOST:
            raise RefusedError("data: text: Missing data for required field.")
        reached = [name for name in names or list(self.threats) if name in self.threats]
        for name in reached:
            now = stamp(self._clock())
            note_id = number(f"note {name} {len(self.notes(name))} {now}")
            self.notes(name).append(
                {
                    "id": note_id,
                    "text": text,
                    "creatorId": "1",
                    "creator": "nightdesk",
                    "createdAt": now,
                    "edited": False,
                }
            )
        return affected(len(reached))

    async def _read_notes(self, request: Request) -> Response:
        name = self._known(request)
        given = parameters(request, _NOTE_FILTERS)
        rows = list(filter(fitting(given, _NOTE_FILTERS), self.notes(name)))
        sorts = {"createdAt": lambda row: str(row["createdAt"]), "id": lambda row: str(row["id"])}
        return page(rows, given, sorts=sorts, shown=lambda row: row)

    async def _drop_note(self, request: Request) -> Response:
        name, note_id = self._known(request), request.path_params["note_id"]
        kept = [note for note in self.notes(name) if note["id"] != note_id]
        if len(kept) == len(self.notes(name)):
            raise RefusedError("Threat note not found", 404)
        self._notes[name] = kept
        return JSONResponse({"data": {"success": True}})

    def _known(self, request: Request) -> str:
        name = str(request.path_params["threat_id"])
        if name not in self.threats:
            raise RefusedError("Threat not found", 404)
        return name


def _word(data: Mapping[str, Any], name: str, allowed: frozenset[str]) -> str:
    word = data.get(name)
    if word not in allowed:
        raise RefusedError(f"data: {name}: Not a valid choice.")
    return str(word)
