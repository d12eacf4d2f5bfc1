"""One tenant's groups in the order of time, closed by score and earned right: labels come late, QA draws, rights go.

Every group that is not closed is judged by a person, ``delay`` seconds later; of those closed, a sample is. Judgements
of groups below the threshold are the evidence of their rule, for in that zone it would close.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from nightdesk.autonomy.evaluation.units import Units
from nightdesk.autonomy.levels.evidence import DAY, Earning, FleetRecord, Terms, Verdict, fleet_prior
from nightdesk.autonomy.risk.threshold import tie

__all__ = ["SIMPLE", "Course", "Gate", "fleet_records", "through_time"]

SIMPLE = Terms(clean=0.0, per_entity_and_day=1_000_000, analyst_share=1.0, days=0, entities=0)
"""The plainest bet, on no attack at all: 299 agreed verdicts earn, one attack takes the right for good; no caps.

It is what the data can show: they last four to six days, and nobody farms evidence in them.
"""

_WEEK = 7 * DAY
_ANALYSTS = 4
"""The data do not say who judged; a shift of four is assumed where shares are capped."""
_WHOLE = 2.0**64


@dataclass(frozen=True, slots=True)
class Gate:
    """How rights are earned and checked. ``delay`` is in seconds, ``qa`` the share of closures that are judged."""

    terms: Terms = SIMPLE
    delay: float = 4 * 3600.0
    qa: float = 0.05


@dataclass(slots=True)
class Course:
    """What happened: places of closed groups and of those re-opened, how many QA drew, rights won and lost by rule."""

    closed: list[int] = field(default_factory=list)
    reopened: set[int] = field(default_factory=set)
    drawn: int = 0
    earned: int = 0
    lost: int = 0


@dataclass(slots=True)
class _Right:
    """One rule's evidence, and what it has closed: (when, place)."""

    earning: Earning
    held: bool = False
    closures: list[tuple[float, int]] = field(default_factory=list)
    clean: float = float("-inf")
    strata: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def fleet_records(others: Iterable[Units], threshold: float) -> dict[str, FleetRecord]:
    """What other tenants know of each rule below the threshold."""
    tenants: dict[str, set[str]] = defaultdict(set)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for one in others:
        for unit, score in zip(one.units, one.scores, strict=True):
            if score < threshold and not unit.unclear:
                tenants[unit.rule].add(one.tenant)
                counts[unit.rule][unit.attack] += 1
    return {rule: FleetRecord(len(tenants[rule]), benign, attacks) for rule, (benign, attacks) in counts.items()}


def through_time(own: Units, threshold: float, fleet: Mapping[str, FleetRecord], gate: Gate) -> Course:
    """Decides the tenant's groups one after the other; nothing later than the moment of a decision enters it."""
    course = Course()
    rights: dict[str, _Right] = {}
    waiting: list[tuple[float, int, bool]] = []
    units = own.units
    for place, (unit, score) in enumerate(zip(units, own.scores, strict=True)):
        if unit.unclear or not score < threshold:
            continue
        while waiting and waiting[0][0] <= unit.decided:
            at, judged, sampled = heappop(waiting)
            again = _judged(course, rights[units[judged].rule], own, judged, at, sampled=sampled)
            for one in again:
                heappush(waiting, (at + gate.delay, one, False))
        right = rights.get(unit.rule)
        if right is None:
            right = rights[unit.rule] = _Right(_start(fleet.get(unit.rule), gate.terms))
        if not right.earning.earned:
            heappush(waiting, (unit.decided + gate.delay, place, False))
            continue
        if not right.held:
            right.held = True
            course.earned += 1
        course.closed.append(place)
        right.closures.append((unit.decided, place))
        if _drawn(right, unit.entity, unit.rule, gate.qa):
            course.drawn += 1
            heappush(waiting, (unit.decided + gate.delay, place, True))
    return course


def _start(record: FleetRecord | None, terms: Terms) -> Earning:
    prior = fleet_prior(record, terms) if record is not None else 0
    # The fleet's verdicts are of several tenants over all their days, so they also stand for days and entities.
    return Earning(terms, prior, terms.days if prior else 0, terms.entities if prior else 0)


def _judged(course: Course, right: _Right, own: Units, place: int, at: float, *, sampled: bool) -> list[int]:
    """A person has judged. Returns what is re-opened for it: all since the last clean sample, a week at least."""
    unit = own.units[place]
    right.earning.see(Verdict(unit.key, unit.entity, at, f"analyst-{place % _ANALYSTS}", unit.attack))
    if unit.attack:
        right.earning.withdraw_prior()
    if sampled and not unit.attack:
        right.clean = at
    if not right.held or right.earning.earned:
        return []
    right.held = False
    course.lost += 1
    since = min(right.clean, at - _WEEK)
    again = [one for when, one in right.closures if when >= since and one not in course.reopened]
    course.reopened.update(again)
    return [one for one in again if one != place]


def _drawn(right: _Right, entity: str, rule: str, share: float) -> bool:
    """The first closure on an entity, then the share: every stratum has a sample, none waits for chance long."""
    number = right.strata[entity]
    right.strata[entity] = number + 1
    start = tie(f"{rule}/{entity}") / _WHOLE
    return share > 0 and (number == 0 or int(number * share + start) > int((number - 1) * share + start))
