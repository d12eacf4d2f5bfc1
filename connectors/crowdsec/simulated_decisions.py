"""The simulated decisions: who is banned until when, how bouncers ask, and how soft a delete is.

As observed of 1.4.6: an unknown parameter is ignored to find and an error to delete, ``scope`` alone is ignored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.crowdsec.durations import seconds_of
from nightdesk.connectors.crowdsec.wire import RefusedError, unparsable
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["Decision", "DecisionsApi", "bounds", "bounds_asked", "within"]

_DELETE_FILTERS = frozenset({"ip", "range", "scope", "value", "type", "scenario", "contains"})


@dataclass(slots=True)
class Decision:
    """One decision. ``alert`` owns it, 0 for an orphan; ``begins`` is when bouncers first hear of it."""

    number: int
    origin: str
    type: str
    scope: str
    value: str
    scenario: str
    until: datetime
    begins: datetime
    simulated: bool
    alert: int = 0

    @property
    def bounds(self) -> tuple[int, int, int] | None:
        """Version, first and last address; None for scopes that are no addresses."""
        return bounds(self.value) if self.scope.lower() in {"ip", "range"} else None

    def shown(self, now: datetime) -> dict[str, Any]:
        """As bouncers get it: what is left of it, and no end."""
        row = {name: getattr(self, name) for name in ("origin", "scenario", "scope", "type", "value")}
        return {"duration": _go_duration((self.until - now).total_seconds()), "id": self.number, **row}


class DecisionsApi:
    """All decisions by id, and when each bouncer last pulled."""

    def __init__(self, clock: Clock, faults: FaultPlan) -> None:
        self.decisions: dict[int, Decision] = {}
        self._clock = clock
        self._faults = faults
        self._made = 0
        self._pulled: dict[str, datetime] = {}

    def create(self, rows: Iterable[Mapping[str, Any]], stop: datetime, simulated: bool) -> list[Decision]:
        """Stores the decisions of one alert, all or none; the duration counts from ``stop``. Raises RefusedError."""
        made = []
        for row in rows:
            seconds = seconds_of(row["duration"])
            if seconds is None:
                message = f"decision duration '{row['duration']}' : {unparsable(row['duration'])}"
                raise RefusedError(f"unable to create alerts: {message}: unable to parse duration")
            if row["scope"].lower() in {"ip", "range"} and bounds(row["value"]) is None:
                message = f"invalid addr/range {row['value']} : invalid address: unable to parse duration"
                raise RefusedError(f"unable to create alerts: {message}")
            late = self._faults.standing("late_effect")
            begins = self._clock() + timedelta(seconds=float(late.options.get("seconds", 1)) if late else 0.0)
            words = {name: row[name] for name in ("origin", "type", "scope", "value", "scenario")}
            until = stop + timedelta(seconds=seconds)
            made.append(Decision(0, until=until, begins=begins, simulated=simulated, **words))
        if self._faults.standing("accepted_then_failed"):
            return []
        for decision in made:
            self._made += 1
            decision.number = self._made
            self.decisions[self._made] = decision
        return made

    def end(self, decision: Decision) -> None:
        """Ends it now; it stays with its alert."""
        decision.until = min(decision.until, self._clock())

    def active(self) -> list[Decision]:
        """What bouncers may be told, what ends first in front."""
        now = self._clock()
        rows = [row for row in self.decisions.values() if row.begins <= now < row.until and not row.simulated]
        return sorted(rows, key=lambda row: row.until)

    async def find(self, request: Request) -> Response:
        """``GET /decisions``."""
        query = dict(request.query_params)
        found = [row for row in _matching(self.active(), query) if _suits(row, query)]
        now = self._clock()
        return JSONResponse([row.shown(now) for row in found] or None)

    async def stream(self, request: Request) -> Response:
        """``GET /decisions/stream``: what is new and what has ended since this key's last pull."""
        now, key = self._clock(), request.headers["x-api-key"]
        startup = request.query_params.get("startup") == "true"
        last = None if startup else self._pulled.get(key)
        self._pulled[key] = now
        longest: dict[tuple[str, str, str], Decision] = {}
        for row in self.active():
            longest[row.scope, row.value, row.type] = row
        new = [row for row in longest.values() if last is None or row.begins > last]
        ended = [row for row in self.decisions.values() if last is not None and last <= row.until <= now]
        shown = {name: [row.shown(now) for row in rows] or None for name, rows in (("deleted", ended), ("new", new))}
        return JSONResponse(shown)

    async def delete_one(self, request: Request) -> Response:
        """``DELETE /decisions/{id}``; one that has ended counts too."""
        text = request.path_params["number"]
        if not text.lstrip("-").isdecimal():
            raise RefusedError("decision_id must be valid integer", 400)
        decision = self.decisions.get(int(text))
        if decision is None:
            raise RefusedError(f"decision with id '{text}' doesn't exist: unable to delete")
        self.end(decision)
        return JSONResponse({"nbDeleted": "1"})

    async def delete(self, request: Request) -> Response:
        """``DELETE /decisions``: no filter means everything."""
        query = dict(request.query_params)
        strange = sorted(set(query) - _DELETE_FILTERS)
        if strange:
            raise RefusedError(f"'{strange[0]}' doesn't exist: invalid filter")
        found = [row for row in _matching(self.active(), query) if query.get("scenario", row.scenario) == row.scenario]
        for row in found:
            self.end(row)
        return JSONResponse({"nbDeleted": str(len(found))})


def bounds(text: str) -> tuple[int, int, int] | None:
    """Version, first and last address of an address or range; None when it is neither."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    return network.version, int(network.network_address), int(network.broadcast_address)


def bounds_asked(text: str) -> tuple[int, int, int]:
    """The same of a query. Raises RefusedError."""
    found = bounds(text)
    if found is None:
        raise RefusedError(f"unable to convert '{text}' to int: invalid address: invalid ip address / range")
    return found


def _matching(rows: Iterable[Decision], query: Mapping[str, str]) -> list[Decision]:
    """By address, type, and scope with value. ``contains`` false turns the question round."""
    asked = query.get("ip") or query.get("range")
    place = bounds_asked(asked) if asked else None
    found = [row for row in rows if query.get("type", row.type) == row.type]
    if "value" in query:
        scope = query.get("scope", "").lower()
        found = [row for row in found if row.value == query["value"] and scope in {"", row.scope.lower()}]
    if place is None:
        return found
    outer = query.get("contains") != "false"
    return [row for row in found if (within(place, row.bounds) if outer else within(row.bounds, place))]


def within(inner: tuple[int, int, int] | None, outer: tuple[int, int, int] | None) -> bool:
    """Whether one lies in the other; what is no address lies nowhere."""
    if inner is None or outer is None:
        return False
    return inner[0] == outer[0] and outer[1] <= inner[1] and inner[2] <= outer[2]


def _suits(row: Decision, query: Mapping[str, str]) -> bool:
    wanted = query.get("scenarios_containing", "")
    unwanted = query.get("scenarios_not_containing", "")
    return (
        (not query.get("origins") or row.origin in query["origins"].split(","))
        and (not wanted or any(part in row.scenario for part in wanted.split(",")))
        and not (unwanted and any(part in row.scenario for part in unwanted.split(",")))
    )


def _go_duration(seconds: float) -> str:
    """As Go prints it: ``3h59m59.9s``, ``-1.5ms``, ``0s``."""
    sign, rest = ("-" if seconds < 0 else ""), abs(seconds)
    if 0 < rest < 1:
        return f"{sign}{f'{rest * 1000:.6f}'.rstrip('0').rstrip('.')}ms"
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{f'{rest:.6f}'.rstrip('0').rstrip('.') or '0'}s"
    text = f"{minutes:.0f}m{text}" if minutes or hours else text
    return f"{sign}{hours:.0f}h{text}" if hours else f"{sign}{text}"
