"""A QRadar console that is strict about what QRadar is strict about: versions, ranges, filters, closed offenses.

Written from IBM's published endpoint documentation (API 20.0) and public bug reports; no live console was asked. An
unknown query parameter is refused here; what a console does with one is not documented.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.ibm_qradar.payloads import Story, milliseconds
from nightdesk.connectors.ibm_qradar.simulated_ariel import LOG_ACTIVITY, ArielApi
from nightdesk.connectors.ibm_qradar.simulated_console import Console
from nightdesk.connectors.ibm_qradar.simulated_filter import picked
from nightdesk.connectors.ibm_qradar.simulated_offenses import CLOSE, OFFENSES, RULES, OffensesApi
from nightdesk.connectors.ibm_qradar.simulated_sets import MANAGE, VIEW, Entry, SetsApi
from nightdesk.connectors.ibm_qradar.simulated_telemetry import records
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert

__all__ = ["ALL_CAPABILITIES", "Simulator"]

ALL_CAPABILITIES = frozenset({OFFENSES, CLOSE, RULES, LOG_ACTIVITY, VIEW, MANAGE})
"""What the user role of the authorized service may hold."""

_DISPOSITIONS = {
    "False-Positive, Tuned": "false-positive",
    "Non-Issue": "benign-positive",
    "Policy Violation": "true-positive",
}
_SETS = {
    "ip_set": ("nightdesk-ip", "IP"),
    "domain_set": ("nightdesk-domain", "ALNIC"),
    "url_set": ("nightdesk-url", "ALN"),
}


class Simulator(testing.Simulator):
    """One console and one authorized service, whose user role holds ``capabilities``; ``versions`` are served."""

    vendor = "ibm_qradar"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        capabilities: Iterable[str] = ALL_CAPABILITIES,
        versions: Sequence[str] = ("18.0", "19.0", "20.0"),
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self._console = Console(self.secret, capabilities, versions)
        self._offenses = OffensesApi(self.now, self.secret, self._console.versions, self.drift)
        self._sets = SetsApi(self.now, self.faults)
        self._ariel = ArielApi(self.now, self.faults, lambda: self._offenses.events, lambda: records(self.telemetry))
        self._told: set[str] = set()
        for name, element_type in _SETS.values():
            self._sets.create(name, element_type)

    @property
    def offenses(self) -> Mapping[int, Mapping[str, Any]]:
        """Every offense by its number."""
        return self._offenses.offenses

    @property
    def searches(self) -> Sequence[str]:
        """The Ariel searches that nobody has deleted."""
        return list(self._ariel.searches)

    @property
    def capabilities(self) -> set[str]:
        """What the role holds; a test takes away and gives back."""
        return self._console.capabilities

    def routes(self) -> list[BaseRoute]:
        """The endpoints under /api that a hub needs."""
        table = [row for api in (self._offenses, self._sets, self._ariel) for row in api.routes()]
        table += [
            ("GET", "/help/versions", "", self._console.help_versions),
            ("GET", "/system/about", "", self._about),
        ]
        return [
            Route(f"/api{path}", self._console.guard(capability, call), methods=[method])
            for method, path, capability, call in table
        ]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        sets = {setting: name for setting, (name, _) in _SETS.items()}
        return {
            "base_url": base_url,
            "token": Secret.literal(self.secret),
            **sets,
            "enforced_by": "the simulated firewall, which reads the sets",
        }

    def add(self, alert: StoryAlert) -> str:
        """Raises the offense that the alert's rule makes."""
        if alert.uid in self._told:
            raise ValueError(f"the story raises {alert.uid} twice")
        self._told.add(alert.uid)
        return str(self._offenses.open(Story(alert, self.secret)))

    def edit(self, native_id: str, **fields: Any) -> None:
        """What the console or an analyst changes at an offense; last_persisted_time moves unless it is given."""
        self._offenses.change(int(native_id), **fields)

    def grow(self, native_id: str, events: int = 1) -> None:
        """Events that the offense takes in, as it does for days."""
        count = self.offenses[int(native_id)]["event_count"] + events
        self.edit(native_id, event_count=count, last_updated_time=milliseconds(self.now()))

    def renumber(self, native_id: str, number: int) -> str:
        """Gives an offense another number, as one has that a slow host made; gives it as an id."""
        offense = self._offenses.offenses.pop(int(native_id))
        self._offenses.offenses[number] = {**offense, "id": number}
        self._offenses.notes[number] = self._offenses.notes.pop(int(native_id))
        return str(number)

    def add_reason(self, text: str, *, reserved: bool = False, deleted: bool = False) -> int:
        """A closing reason of the company's own; gives its id, which begins at 101."""
        number = 101 + len(self._offenses.reasons)
        self._offenses.reasons[number] = {"id": number, "text": text, "is_reserved": reserved, "is_deleted": deleted}
        return number

    def retire_reasons(self) -> None:
        """Deletes every closing reason that there is, as an administrator may."""
        for reason in self._offenses.reasons.values():
            reason["is_deleted"] = True

    def add_type(self, number: int, name: str) -> None:
        """An offense type of a custom property."""
        self._offenses.types[number] = {"id": number, "name": name, "property_name": name, "custom": True}

    def add_set(self, name: str, element_type: str, lives: timedelta | None = None, counts: str = "FIRST_SEEN") -> None:
        """Makes a reference set; ``counts`` is what its elements' time to live begins with, or LAST_SEEN."""
        self._sets.create(name, element_type, lives, counts)

    def put(self, name: str, value: str, source: str = "analyst") -> None:
        """Adds an element to a set as somebody else."""
        self._sets.put(name, value, source)

    def entries(self, name: str) -> Mapping[str, Entry]:
        """What a set holds."""
        return self._sets.entries(name)

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, disposition and notes in our words."""
        offense = self.offenses[int(native_id)]
        reason = self._offenses.reasons.get(offense["closing_reason_id"] or 0, {})
        return {
            "status": "closed" if offense["status"] == "CLOSED" else "open",
            "disposition": _DISPOSITIONS.get(str(reason.get("text")), ""),
            "comments": [note["note_text"] for note in self._offenses.notes[int(native_id)]],
        }

    def mutations(self) -> list[SeenRequest]:
        """A search is made and deleted without changing anything else."""
        return [request for request in super().mutations() if not request.path.startswith("/api/ariel/")]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The console's envelope."""
        return self._console.refuse(status, {401: 18, 403: 1009, 503: 1010}.get(status, 1020), message, headers)

    async def _about(self, request: Request) -> Response:
        about = {"external_version": "7.5.0", "build_version": "2021.6.6", "release_name": "7.5.0 UpdatePackage 6"}
        fields = request.query_params.get("fields", "")
        return JSONResponse(picked(about, fields) if fields else about)
