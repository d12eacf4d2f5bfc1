"""The evidence by which a rule earns and loses the right to close in one tenant: two bets, looked at after every label.

Each starts at 1 and is fair, or loses, as long as the claim it bets against is true. So whoever sees one reach 20 has
evidence at 5 %, whenever and however often they look (Ville 1939; Ramdas et al., "Game-theoretic statistics and safe
anytime-valid inference", arXiv 2210.01948).

The unit is (rule with its version, tenant, decision class). One object is one unit; feed it in the order of judgement.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from nightdesk.autonomy.risk.bounds import probability

__all__ = ["DAY", "DEFAULT_TERMS", "Earning", "FleetRecord", "Losing", "Standing", "Terms", "Verdict", "fleet_prior"]

DAY = 86400.0
_DIGITS = 1e-9
"""Room for rounding in a logarithm, so that 20 reached is 20 counted."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is bet on, and what evidence counts. Two persons change it (guardrail 6).

    ``epsilon`` is the share of attacks among closures that must be refuted, ``clean`` the share bet on to earn (a
    quarter of it where none is given), ``foul`` the one bet on to lose, ``delta`` the chance of either error.
    """

    epsilon: float = 0.01
    clean: float | None = None
    foul: float = 0.03
    delta: float = 0.05
    fleet_verdicts: int = 250
    per_entity_and_day: int = 10
    analyst_share: float = 0.4
    days: int = 3
    entities: int = 3

    def __post_init__(self) -> None:
        probability("epsilon", self.epsilon)
        probability("foul", self.foul)
        probability("delta", self.delta)

    @property
    def agreed(self) -> float:
        """What an agreed-benign verdict adds to the logarithm of the bet on clean closures."""
        return math.log1p(-self._clean) - math.log1p(-self.epsilon)

    @property
    def refuted(self) -> float:
        """What a confirmed attack takes from it (minus infinity when the bet is on none at all)."""
        return math.log(self._clean / self.epsilon) if self._clean else -math.inf

    @property
    def goal(self) -> float:
        """The logarithm of 1 / ``delta``."""
        return -math.log(self.delta)

    @property
    def verdicts_needed(self) -> int:
        """Agreed-benign verdicts that reach the goal when none is an attack: 397 with the defaults."""
        return math.ceil(self.goal / self.agreed - _DIGITS)

    @property
    def miss_cost(self) -> int:
        """Agreed-benign verdicts that one confirmed attack costs: 184 with the defaults."""
        return math.ceil(-self.refuted / self.agreed - _DIGITS)

    @property
    def _clean(self) -> float:
        return self.epsilon / 4 if self.clean is None else self.clean


DEFAULT_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A person's word on a unit that the machine would close, or has closed.

    ``key`` names what was judged: the same thing judged again is no further evidence. An attack counts when it is
    ``confirmed`` by a second person or source; one wrong word would otherwise take what weeks have shown.
    """

    key: str
    entity: str
    at: float
    """Seconds since 1970 (UTC)."""
    analyst: str
    attack: bool
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class FleetRecord:
    """What other tenants know of a rule in the zone that would be closed; counts only, nothing of an entity."""

    tenants: int
    benign: int
    attacks: int


def fleet_prior(record: FleetRecord, terms: Terms = DEFAULT_TERMS) -> int:
    """The verdicts that a rule starts with in a further tenant; one attack closed anywhere takes them everywhere.

    A start that is no own evidence: with it the 5 % hold as far as the tenants are alike, which QA and canaries check.
    """
    enough = math.ceil(math.log(terms.delta) / math.log1p(-terms.epsilon) - _DIGITS)
    if record.tenants < 2 or record.benign < enough or record.attacks:
        return 0
    return min(terms.fleet_verdicts, record.benign)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a unit is: ``value`` is the bet (20 is the goal), ``missing`` says in words what it lacks."""

    value: float
    prior: int
    agreed: int
    attacks: int
    days: int
    entities: int
    set_aside: int
    missing: tuple[str, ...]

    @property
    def earned(self) -> bool:
        """Whether the evidence is there. The level needs more than that: tau, canaries, owner (2.5)."""
        return not self.missing


@dataclass
class Earning:
    """The bet that at most ``clean`` of the closures are attacks against the claim that ``epsilon`` are or more.

    What is won beyond the goal is not kept: one confirmed attack takes the right at once, whatever came before, and its
    price in new verdicts is the same for a rule of a week and of a year. (A bet that lays winnings aside stays fair.)
    """

    terms: Terms = DEFAULT_TERMS
    prior: int = 0
    prior_days: int = 0
    prior_entities: int = 0
    """Days and entities that the fleet's verdicts came from; they count only while the prior does."""
    log_value: float = field(init=False, default=0.0)
    agreed: int = field(init=False, default=0)
    attacks: int = field(init=False, default=0)
    set_aside: int = field(init=False, default=0)
    _own: float = field(init=False, default=0.0, repr=False)
    _refuted: set[str] = field(init=False, default_factory=set, repr=False)
    _keys: set[str] = field(init=False, default_factory=set, repr=False)
    _cells: Counter[tuple[str, int]] = field(init=False, default_factory=Counter, repr=False)
    _analysts: Counter[str] = field(init=False, default_factory=Counter, repr=False)
    _days: set[int] = field(init=False, default_factory=set, repr=False)
    _entities: set[str] = field(init=False, default_factory=set, repr=False)

    def __post_init__(self) -> None:
        self.log_value = min(self.terms.goal, self.prior * self.terms.agreed)

    def see(self, verdict: Verdict) -> bool:
        """Takes a verdict; False when it is set aside. Confirmed attacks always count, so a cap never helps to earn."""
        if verdict.attack:
            if not verdict.confirmed or verdict.key in self._refuted:
                return False
            self._refuted.add(verdict.key)
            self.attacks += 1
            self._move(self.terms.refuted)
            return True
        day = int(verdict.at // DAY)
        cell = (verdict.entity, day)
        full = self._cells[cell] >= self.terms.per_entity_and_day
        if verdict.key in self._keys or full or self._analysts[verdict.analyst] >= self.analyst_room:
            self.set_aside += 1
            return False
        self._keys.add(verdict.key)
        self._cells[cell] += 1
        if self._own < self.terms.goal - _DIGITS:  # what adds nothing uses nobody's share up
            self._analysts[verdict.analyst] += 1
        self._days.add(day)
        self._entities.add(verdict.entity)
        self.agreed += 1
        self._move(self.terms.agreed)
        return True

    def withdraw_prior(self) -> None:
        """An attack was closed in some tenant: what the fleet knew of this rule is worth nothing more."""
        self.log_value = self._own
        self.prior = self.prior_days = self.prior_entities = 0

    @property
    def analyst_room(self) -> int:
        """How many verdicts of one person count: their share of what is needed with the attacks there were."""
        price = 0 if math.isinf(self.terms.refuted) else self.attacks * self.terms.miss_cost
        return math.floor(self.terms.analyst_share * (self.terms.verdicts_needed + price) + _DIGITS)

    @property
    def days(self) -> int:
        """Distinct days with verdicts, here or (while the fleet's count) elsewhere."""
        return max(len(self._days), self.prior_days)

    @property
    def entities(self) -> int:
        """Distinct entities with verdicts, counted as the days are."""
        return max(len(self._entities), self.prior_entities)

    @property
    def earned(self) -> bool:
        """Whether nothing of the evidence is missing."""
        enough = self.log_value >= self.terms.goal - _DIGITS
        return enough and self.days >= self.terms.days and self.entities >= self.terms.entities

    @property
    def standing(self) -> Standing:
        """Where the unit stands now, in words and numbers."""
        days, entities = self.days, self.entities
        missing: list[str] = []
        if self.log_value < self.terms.goal - _DIGITS:
            gap = self.terms.goal - self.log_value
            more = math.ceil(gap / self.terms.agreed - _DIGITS) if math.isfinite(gap) else None
            missing.append(
                f"{more} agreed verdicts" if more else "an attack was closed: no number of verdicts is enough"
            )
        if days < self.terms.days:
            missing.append(f"verdicts of {self.terms.days - days} more days")
        if entities < self.terms.entities:
            missing.append(f"verdicts on {self.terms.entities - entities} more entities")
        counts = (self.prior, self.agreed, self.attacks, days, entities, self.set_aside)
        return Standing(math.exp(self.log_value), *counts, tuple(missing))

    def _move(self, step: float) -> None:
        self.log_value = min(self.terms.goal, self.log_value + step)
        self._own = min(self.terms.goal, self._own + step)


@dataclass
class Losing:
    """The bet that ``foul`` of the closures are attacks against the claim that ``epsilon`` are at most.

    Fed with the QA sample of one grant; revoked once it reaches the goal, however it goes on.
    """

    terms: Terms = DEFAULT_TERMS
    log_value: float = field(init=False, default=0.0)
    items: int = field(init=False, default=0)
    attacks: int = field(init=False, default=0)
    revoked: bool = field(init=False, default=False)

    def see(self, *, attack: bool) -> bool:
        """Takes one judged QA item, says whether the right is lost."""
        clean = math.log1p(-self.terms.foul) - math.log1p(-self.terms.epsilon)
        self.log_value += math.log(self.terms.foul / self.terms.epsilon) if attack else clean
        self.items += 1
        self.attacks += attack
        self.revoked = self.revoked or self.log_value >= self.terms.goal - _DIGITS
        return self.revoked

    def see_all(self, attacks: Iterable[bool]) -> bool:
        """Takes judged items in their order."""
        for attack in attacks:
            self.see(attack=attack)
        return self.revoked

    @property
    def value(self) -> float:
        """The bet as it stands."""
        return math.exp(self.log_value)
