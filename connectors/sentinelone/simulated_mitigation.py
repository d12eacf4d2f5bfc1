"""What the simulated console has agents do about threats, and the activities that tell of fetched files."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.sentinelone.payloads import number
from nightdesk.connectors.sentinelone.wire import (
    API,
    Filter,
    RefusedError,
    Routes,
    affected,
    bulk,
    fitting,
    moment,
    page,
    parameters,
    stamp,
)
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing.estate import Fleet, Order

__all__ = ["THREAT_FILE_FETCHED", "Mitigations"]

THREAT_FILE_FETCHED = 86
"""The activity type of a threat's file that was uploaded."""

_KINDS: Mapping[str, tuple[str, str]] = {
    # The path's word: what the fleet is asked, and the word that the threat shows.
    "kill": ("kill", "kill"),
    "quarantine": ("quarantine", "quarantine"),
    "un-quarantine": ("restore", "unquarantine"),
}
_PASSWORD_LEAST = 10
_ACTIVITY_FILTERS: Mapping[str, Filter] = {
    "activityTypes": Filter("ids", lambda row: row["activityType"]),
    "agentIds": Filter("ids", lambda row: row["agentId"]),
    "threatIds": Filter("ids", lambda row: row["threatId"]),
    "createdAt": Filter("time", lambda row: row["createdAt"]),
    "includeHidden": Filter("flag", lambda _: False),
}


class Mitigations:
    """The threats by id, what runs on their agents, and what was ordered about them."""

    def __init__(self, clock: Clock, fleet: Fleet, agent: Callable[[str], Mapping[str, Any]]) -> None:
        self.threats: dict[str, dict[str, Any]] = {}
        self.activities: list[dict[str, Any]] = []
        self._clock = clock
        self._fleet = fleet
        self._agent = agent
        self._about: dict[str, tuple[str, str, str]] = {}
        self._orders: list[tuple[str, str, Order]] = []
        self._fetches: list[tuple[str, Order]] = []

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("POST", f"{API}/threats/mitigate/{{action}}", "Mitigate threats", self._mitigate),
            ("POST", f"{API}/threats/fetch-file", "Threats: Fetch files", self._fetch),
            ("GET", f"{API}/activities", "Activity: View", self._list),
        )

    def add(self, threat: dict[str, Any], agent_id: str, pid: str, path: str) -> None:
        """Takes a threat; ``pid`` and ``path`` are what the agent knows it by on the device."""
        self.threats[threat["id"]] = threat
        self._about[threat["id"]] = (agent_id, pid, path)

    def realtime(self, threat: Mapping[str, Any]) -> dict[str, Any]:
        """The agent as it is now, as a threat shows it; nothing once the agent is unknown."""
        agent_id = self._about[threat["id"]][0]
        if agent_id not in self._fleet.devices:
            return {}
        agent = self._agent(agent_id)
        return {
            "agentId": agent_id,
            "agentUuid": agent["uuid"],
            "agentComputerName": agent["computerName"],
            "agentDomain": agent["domain"],
            "agentMachineType": agent["machineType"],
            "agentNetworkStatus": agent["networkStatus"],
            "agentOsType": agent["osType"],
            "agentOsName": agent["osName"],
            "agentOsRevision": agent["osRevision"],
            "agentVersion": agent["agentVersion"],
            "agentIsActive": agent["isActive"],
            "agentIsDecommissioned": agent["isDecommissioned"],
            "agentInfected": threat["threatInfo"]["mitigationStatus"] == "not_mitigated",
            "networkInterfaces": agent["networkInterfaces"],
            "operationalState": "na",
            "scanStatus": agent["scanStatus"],
            "scanStartedAt": agent["scanStartedAt"],
            "rebootRequired": False,
            "userActionsNeeded": [],
            **{
                name: agent[name] for name in ("accountId", "accountName", "siteId", "siteName", "groupId", "groupName")
            },
        }

    def touch(self, threat_id: str) -> None:
        """Moves ``updatedAt``; two changes within one microsecond are still two versions."""
        info = self.threats[threat_id]["threatInfo"]
        info["updatedAt"] = stamp(max(self._clock(), moment(info["updatedAt"]) + timedelta(microseconds=1)))

    def settle(self) -> None:
        """Carries over to the threats what agents have reported since."""
        self._fleet.settle()
        for threat_id, word, order in self._orders:
            status = "success" if order.done else "failed" if order.failed else "pending"
            threat = self.threats[threat_id]
            entry = next(row for row in threat["mitigationStatus"] if row["action"] == word)
            if entry["reportId"] != number(order.order_id) or entry["status"] == status:
                continue
            now = stamp(self._clock())
            entry.update(status=status, lastUpdate=now, mitigationEndedAt=now)
            self.touch(threat_id)
            done = {row["action"] for row in threat["mitigationStatus"] if row["status"] == "success"}
            mitigated = bool(done & {"kill", "quarantine"}) and word != "unquarantine"
            threat["threatInfo"]["mitigationStatus"] = "mitigated" if mitigated else "not_mitigated"
        for threat_id, order in [pair for pair in self._fetches if pair[1].done]:
            self._fetches.remove((threat_id, order))
            self._uploaded(threat_id)

    async def _mitigate(self, request: Request) -> Response:
        action = request.path_params["action"]
        if action not in _KINDS:
            raise RefusedError("action: Not a valid choice.")
        _, names = await bulk(request, frozenset())
        kind, word = _KINDS[action]
        asked: dict[tuple[str, str], Order] = {}
        reached = [name for name in names or list(self.threats) if self._on_agent(name)]
        for name in reached:
            agent_id, pid, path = self._about[name]
            subject = (agent_id, pid if kind == "kill" else path)
            if subject not in asked:
                asked[subject] = self._fleet.ask(agent_id, kind, subject[1])  # type: ignore[arg-type]  # of _KINDS
            order, now = asked[subject], stamp(self._clock())
            rows = [row for row in self.threats[name]["mitigationStatus"] if row["action"] != word]
            entry = {
                "action": word,
                "status": "pending",
                "reportId": number(order.order_id),
                "mitigationStartedAt": now,
                "mitigationEndedAt": None,
                "lastUpdate": now,
                "latestReport": None,
                "agentSupportsReport": True,
                "groupNotFound": False,
                "actionsCounters": None,
            }
            self.threats[name]["mitigationStatus"] = [*rows, entry]
            self._orders.append((name, word, order))
        return affected(len(reached))

    async def _fetch(self, request: Request) -> Response:
        data, names = await bulk(request, frozenset({"password"}))
        password = data.get("password")
        if not isinstance(password, str) or len(password) < _PASSWORD_LEAST or any(map(str.isspace, password)):
            raise RefusedError("data: password: Must be at least 10 characters without whitespace.")
        reached = [name for name in names or list(self.threats) if self._on_agent(name)]
        for name in reached:
            agent_id, _, path = self._about[name]
            self._fetches.append((name, self._fleet.ask(agent_id, "fetch", path)))
        return affected(len(reached))

    async def _list(self, request: Request) -> Response:
        given = parameters(request, _ACTIVITY_FILTERS)
        self.settle()
        given.pop("includeHidden", None)
        rows = list(filter(fitting(given, _ACTIVITY_FILTERS), self.activities))
        sorts = {"createdAt": lambda row: str(row["createdAt"]), "id": lambda row: str(row["id"])}
        return page(rows, given, sorts=sorts, shown=lambda row: row)

    def _on_agent(self, threat_id: str) -> bool:
        return threat_id in self.threats and self._about[threat_id][0] in self._fleet.devices

    def _uploaded(self, threat_id: str) -> None:
        agent_id = self._about[threat_id][0]
        name = number(f"upload {threat_id} {len(self.activities)}")
        shown = self.threats[threat_id]["threatInfo"]["threatName"]
        self.activities.append(
            {
                "id": name,
                "activityType": THREAT_FILE_FETCHED,
                "createdAt": stamp(self._clock()),
                "agentId": agent_id,
                "threatId": threat_id,
                "primaryDescription": f"Agent uploaded the threat file {shown}.",
                "data": {"filePath": f"/agents/{agent_id}/uploads/{name}", "fileDisplayName": f"{shown}.zip"},
            }
        )
