"""The third act: a rule earns the right to close, closes, and loses it to one planted attack that it closed.

Its past is made up, and said to be. From there on it happens: a model is trained and goes through its shadow trial,
people judge, two of them raise, and what is printed is read from the store or from the simulator.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

from nightdesk.autonomy.levels.gate import EARNED
from nightdesk.autonomy.levels.reopening import REOPEN
from nightdesk.autonomy.levels.standing import Level
from nightdesk.autonomy.oversight.canaries import CanaryState
from nightdesk.hub.demo.climb import Climb, Reading
from nightdesk.hub.demo.fleet import TITLES, Fleet
from nightdesk.hub.demo.past import ATTACKS, HOSTS, NOISE, RARE, TENANTS
from nightdesk.hub.oversight.appraisal import Appraisal, look
from nightdesk.hub.oversight.picture import UnitPicture, picture
from nightdesk.hub.record.replaying import Result, replay_all
from nightdesk.hub.record.then import PoliciesThen
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import canaries, models, queries
from nightdesk.sdk.case import CaseStatus, Outcome
from nightdesk.sdk.errors import PolicyError

__all__ = ["LEARNS", "Act", "Levels", "learns"]

LEARNS = "pip install 'nightdesk[learn]'"
"""What installs the extra that trains; a checkout's `make setup` has done it."""
_DAYS = 4
_TRIAL, _SHIFT = 50, 24
"""Alerts that one look of the hub fetches: in the trial, and while people judge."""
_TRIAL_EVERY, _EVERY = 480.0, 1080.0
"""Seconds between two alerts. A model is believed for seven days, and trial and climb have to fit into them."""
_FIRST_DAY = 82
"""Alerts of a little more than a day."""
_MOST = 14
_QUIET = 300.0
_DECOYS, _PLANTED = 58, 6
_DECOY = HOSTS
"""The first host that is none: an attack planted there joins no real case."""
_Say = Callable[[str], None]


@dataclass
class Levels:
    """What the act showed."""

    threshold: float | None = None
    attacks: int = 0
    shadowed: int = 0
    judged: int = 0
    evidence: float = 0.0
    canaries_caught: int = 0
    climbed: list[str] = field(default_factory=list)
    refused_early: str = ""
    raised_by: tuple[str, ...] = ()
    closed: int = 0
    closed_at_vendor: int = 0
    replayed: int = 0
    replayed_same: int = 0
    canary_closed: bool = False
    revoked: bool = False
    lost: str = ""
    closures: int = 0
    reopened: int = 0
    open_again_at_vendor: int = 0
    next_to_people: bool = False
    refused: str = ""
    days: float = 0.0
    seconds: float = 0.0

    @property
    def earned(self) -> bool:
        """Whether the right was there, given by two, and used."""
        return "auto-close" in self.climbed and len(set(self.raised_by)) == 2 and self.closed > 0

    @property
    def held(self) -> bool:
        """True when everything that was to be shown was so."""
        return (
            self.threshold is not None
            and self.earned
            and bool(self.refused_early)
            and self.closed_at_vendor == self.closed
            and 0 < self.replayed == self.replayed_same
            and self.canary_closed
            and self.revoked
            and 0 < self.closures == self.reopened
            and self.open_again_at_vendor == self.closed_at_vendor
            and self.next_to_people
            and bool(self.refused)
        )


def learns() -> bool:
    """Whether a model can be trained here: what is missing is an extra, and no fault."""
    return find_spec("sklearn") is not None


@dataclass
class Act:
    """One run of it. ``view`` is given the climb to draw while the act goes on; ``say`` tells a line."""

    folder: Path
    registry: Registry
    vendor: str
    say: _Say
    view: Callable[[Climb], AbstractContextManager[None]]
    found: Levels = field(default_factory=Levels)
    climb: Climb = field(default_factory=Climb)
    fleet: Fleet = field(init=False)
    _begun: datetime = field(init=False)
    _decoys: list[tuple[str, int]] = field(init=False)

    def run(self) -> Levels:
        """The whole act."""
        started = time.monotonic()
        self.fleet = Fleet(self.folder, self.registry, self.vendor, quiet=_QUIET)
        self._decoys = [(ATTACKS[number % len(ATTACKS)], _DECOY + 1 + number) for number in range(_DECOYS)]
        self._begun = self.fleet.time.now  # the same week each time, so that each run shows the same
        with self.fleet.running(), self.view(self.climb):
            self._learn()
            self._rise()
            self._lose(self._close())
        self.found.days = round((self.fleet.time.now - self._begun) / timedelta(days=1), 1)
        self.found.seconds = round(time.monotonic() - started, 1)
        self.say(f"  that was {self.found.days} days, in {self.found.seconds} s")
        return self.found

    # A model, from what people judged.

    def _learn(self) -> None:
        fleet, found = self.fleet, self.found
        self.say(
            f"  {_DAYS} days of judged alerts at {len(TENANTS)} tenants are made up; everything from here on happens"
        )
        self.say("  in a real hub with a simulated vendor, on a clock that runs fast")
        self._doing("a model is trained")
        fleet.remembers(*(fleet.past(tenant, days=_DAYS) for tenant in TENANTS))
        trained = fleet.trains()
        claim = trained.learned.claim(TENANTS[0])
        certified = claim.closing
        found.threshold, found.attacks = certified.tau, certified.n
        self._told(f"a model is trained from {trained.learned.figures['cases']:.0f} judged cases; {claim.why}")
        if certified.tau is not None:
            numbers = f"n={certified.n}, k={certified.k}, alpha={certified.alpha:g}, delta={certified.delta:g}"
            self._more(f"certified: it may close below {certified.tau:.2f} ({numbers})")
        self._doing("the model is on trial, in shadow")
        fleet.plant([self._decoys.pop() for _ in range(_PLANTED)], after=10.0)
        for _ in range(0, fleet.cases, _TRIAL):
            found.shadowed += len(fleet.arrive(_mixed(_TRIAL), after=_TRIAL_EVERY))
        fleet.time.advance(3600.0)
        fleet.works()
        with fleet.hub.store.read() as conn:
            known = models.champion(conn)
        verdict = f"it passes ({known[0].reason})" if known is not None else "it does not pass"
        self._told(
            f"it scores {found.shadowed} new cases and {_PLANTED} planted attacks in shadow, deciding none: {verdict}"
        )

    # Up, by evidence and by two persons.

    def _rise(self) -> None:
        """One day to be seen, then people judge without being told what the model thinks, until enough is there."""
        fleet, found = self.fleet, self.found
        self._told(f"the rule {TITLES[NOISE]!r} at {TENANTS[0]} ({fleet.unit().rule})")
        self._doing("the rule is seen for a day")
        fleet.arrive([NOISE])
        fleet.plants(NOISE, _DECOY)
        self._look()
        fleet.arrive(_mixed(_FIRST_DAY), after=_EVERY)
        self._look()
        people = cycle(("ann", "ben", "cat"))
        for _ in range(_MOST):
            fleet.plant([self._decoys.pop() for _ in range(min(_SHIFT, len(self._decoys)))], after=10.0)
            self._judged(people)
            unit = self._look()
            if unit.look.standing.level is Level.RECOMMEND and not found.refused_early:
                found.refused_early = self._refused()
                self._more(f"abe asks to raise it now: {found.refused_early or 'not refused'}")
            if not unit.lacking and unit.look.standing.level is Level.RECOMMEND:
                break
        proof = unit.look.proof
        found.judged, found.evidence, found.canaries_caught = proof.judged, round(proof.earned, 3), proof.canaries
        self._more(
            f"missing: {'; '.join(unit.lacking) or 'nothing'}. {proof.agreed} of {proof.judged} agreed on {proof.days} "
            f"days and {proof.entities} hosts, {proof.prior} verdicts lent by the other tenants, {proof.canaries} "
            f"planted attacks caught and {proof.canaries_missed} not"
        )
        refused = self._refused()
        standing = fleet.standing()
        found.raised_by = standing.granted_by
        self._told(f"abe (approver) asks to raise it, ada (admin) agrees: {refused or standing.level.word}")
        self._climbed(standing.level)

    def _judged(self, people: Iterator[str]) -> None:
        """A quarter of a day: alerts come in, and those of the rule are judged."""
        fleet, mixed = self.fleet, _mixed(_SHIFT)
        self._doing("people judge, without being told what the model thinks")
        for name, case_id in zip(mixed, fleet.arrive(mixed, after=_EVERY), strict=True):
            if name == NOISE:
                looks = fleet.judges(case_id, by=next(people)).appraised
                self.climb.now = self._reading(next(one for one in looks if one.standing.unit == fleet.unit()))

    def _look(self) -> UnitPicture:
        """The rule as ``nightdesk autonomy status`` shows it, told."""
        fleet = self.fleet
        units = picture(fleet.hub.oversight, TENANTS[0]).units
        unit = next(one for one in units if one.look.standing.unit == fleet.unit())
        level = unit.look.standing.level
        self._show(unit.look)
        if self._climbed(level):
            self._more(f"{level.word}; missing to {unit.next_level}: {'; '.join(unit.lacking) or 'nothing'}")
        return unit

    def _show(self, found: Appraisal) -> None:
        self.climb.now = self._reading(found)
        self.say(self.climb.now.told())

    def _reading(self, found: Appraisal) -> Reading:
        return Reading(self._number(), found.proof.judged, found.proof.earned, found.standing.level.word)

    def _climbed(self, level: Level) -> bool:
        """Whether that is news."""
        if self.found.climbed[-1:] == [level.word]:
            return False
        self.found.climbed.append(level.word)
        return True

    def _refused(self) -> str:
        """Two persons raise it; why they may not, or nothing."""
        try:
            self.fleet.raises()
        except PolicyError as error:
            return f"refused, {error}"
        return ""

    # Alone, and back.

    def _close(self) -> dict[str, str]:
        """Alerts of some hours; by case the vendor's name of each alert that the machine closed alone."""
        fleet, found = self.fleet, self.found
        self._doing("the machine closes")
        since = fleet.time.now
        cases = fleet.arrive(_mixed(_SHIFT), after=_EVERY)
        self._quiet()
        made = {case_id: fleet.decisions(case_id)[-1] for case_id in cases}
        alone = [name for name, last in made.items() if last.reason_code == EARNED and last.outcome is Outcome.CLOSE]
        native = {name: fleet.case(name).alerts[0].native_id for name in alone}
        found.closed, found.closed_at_vendor = len(alone), self._states(native, "closed")
        tenant = fleet.hub.settings.tenants[TENANTS[0]]
        again = replay_all(fleet.hub.store, tenant, PoliciesThen(tenant), self.registry.normalizer, since=since)
        results = [one.result for one in again]
        found.replayed, found.replayed_same = len(results), results.count(Result.SAME)
        self._told(
            f"{len(cases)} alerts come in. The machine closes {found.closed} alone, {found.closed_at_vendor} of them "
            f"read back as closed at the vendor; {len(cases) - found.closed}, of a rule that earned nothing, are "
            "left to people"
        )
        self._more(
            f"{found.replayed_same} of these {found.replayed} decisions, made again from the record, are the same bits"
        )
        return native

    def _lose(self, closed: dict[str, str]) -> None:
        fleet, found = self.fleet, self.found
        self._doing("an attack is planted")
        planted = fleet.plants(NOISE, (fleet.numbers + HOSTS // 2) % HOSTS)  # its own alerts are half a day away
        self._quiet()
        with fleet.hub.store.read() as conn:
            canary = canaries.canary(conn, TENANTS[0], planted.canary_id)
            newest = [row.case_id for row in queries.case_list(conn, TENANTS[0], limit=_SHIFT * 2)]
        by_level = [name for name in newest if EARNED in self._codes(name)]
        standing = fleet.standing()
        found.canary_closed = canary is not None and canary.state is CanaryState.MISSED
        found.revoked, found.lost = standing.level is Level.RECOMMEND, standing.lost
        found.closures, found.reopened = len(by_level), sum(map(self._given_back, by_level))
        fleet.time.advance(60.0)
        fleet.works()
        found.open_again_at_vendor = self._states(closed, "open")
        closes = "the machine closes it" if found.canary_closed else "the machine does not close it"
        self._told(f"abe plants an attack of last year, dressed as that rule's alert, and {closes}")
        self._more(f"at once the rule is at {standing.level.word} ({standing.lost})")
        self._more(
            f"{found.reopened} of {found.closures} closures are open again, the planted one with them; "
            f"{found.open_again_at_vendor} of {len(closed)} alerts read back as open at the vendor"
        )
        self._climbed(standing.level)
        with fleet.hub.store.read() as conn:
            self._show(look(conn, fleet.hub.oversight, fleet.unit(), at=fleet.time.now))
        last = fleet.decisions(fleet.arrive([NOISE], after=_EVERY)[0])[-1]
        found.next_to_people = last.outcome is not Outcome.CLOSE
        self._told(f"the next alert: {last.outcome}. {' '.join(last.reasons)[:160]}")
        found.refused = self._refused()
        self._more(f"raising it again: {found.refused or 'not refused'}")

    def _codes(self, case_id: str) -> set[str]:
        return {one.reason_code for one in self.fleet.decisions(case_id)}

    def _given_back(self, case_id: str) -> bool:
        return REOPEN in self._codes(case_id) and self.fleet.case(case_id).status is CaseStatus.ESCALATED

    def _states(self, native: dict[str, str], status: str) -> int:
        """How many of these alerts the vendor has in that state."""
        return sum(self.fleet.simulator.alert_state(name)["status"] == status for name in native.values())

    def _quiet(self) -> None:
        """The window passes in which a case waits for more before it is closed."""
        self.fleet.time.advance(_QUIET + 1.0)
        self.fleet.works()

    # Telling.

    def _number(self) -> int:
        return (self.fleet.time.now - self._begun) // timedelta(days=1) + 1

    def _told(self, text: str) -> None:
        self.say(f"day {self._number()}  {text}")

    def _more(self, text: str) -> None:
        self.say(f"       {text}")

    def _doing(self, what: str) -> None:
        self.climb.doing = f"day {self._number()}  {what} …"


def _mixed(count: int) -> list[str]:
    """Rules of that many alerts: every fifth is the rare one's."""
    return [NOISE if number % 5 else RARE for number in range(count)]
