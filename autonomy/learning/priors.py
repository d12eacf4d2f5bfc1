"""What rules meant at other tenants: empirical-Bayes log-odds of an attack, from counts and nothing else.

A tenant's view leaves the tenant's own counts out, in training as in use; with them the prior would know the labels
that the model is to learn. A count is told only when enough *other* tenants stand behind it (law 3).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import log, log1p

from nightdesk.autonomy.learning.groups import Judged

__all__ = ["FEWEST_TENANTS", "Fleet", "Prior", "View"]

FEWEST_TENANTS = 3
"""Other tenants that a count needs behind it before it is told to one (law 3)."""

_CAP = 30.0
_ENOUGH = 5
_MEAN, _WEIGHT = 0.1, 1.0  # of a fleet that knows too few rules to tell
_LIGHTEST, _HEAVIEST = 0.5, 20.0


@dataclass(frozen=True, slots=True)
class Prior:
    """What other tenants say of a rule. ``log_odds`` of an attack, the ``groups`` and ``tenants`` behind it.

    ``attack_tenants`` of them had an attack by it.
    """

    log_odds: float
    groups: int
    tenants: int
    attack_tenants: int

    @property
    def support(self) -> float:
        """ln(1 + groups)."""
        return log1p(self.groups)

    @property
    def attack_share(self) -> float:
        """Tenants with an attack by the rule, of those that know it."""
        return self.attack_tenants / self.tenants if self.tenants else 0.0


@dataclass(frozen=True, slots=True)
class View:
    """The priors as one tenant may see them. ``base`` is what an unknown rule has."""

    base: float
    rules: Mapping[str, Prior]
    sources: Mapping[str, Prior]
    tactics: Mapping[str, Prior]


Counts = dict[str, dict[str, list[int]]]
"""Word -> tenant -> [attacks, benign]."""


@dataclass(slots=True)
class Fleet:
    """Judged groups counted by tenant, of each rule, tool and tactic. Stays in the hub; a tenant gets its ``View``."""

    rules: Counts = field(default_factory=lambda: defaultdict(dict))
    sources: Counts = field(default_factory=lambda: defaultdict(dict))
    tactics: Counts = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def of(cls, judged: Iterable[Judged]) -> "Fleet":
        """Count what was judged; the unclear counts nowhere."""
        fleet = cls()
        for one in judged:
            if not one.unclear:
                fleet.count(one)
        return fleet

    def count(self, one: Judged) -> None:
        """Count one more."""
        place = 0 if one.attack else 1
        group = one.group
        self.rules[group.rule].setdefault(group.tenant, [0, 0])[place] += 1
        if group.source:
            self.sources[group.source].setdefault(group.tenant, [0, 0])[place] += 1
        for tactic in set(group.tactics):
            self.tactics[tactic].setdefault(group.tenant, [0, 0])[place] += 1

    def view(self, tenant: str, *, among: Iterable[str] | None = None, fewest: int = FEWEST_TENANTS) -> View:
        """What a tenant may know of the others (of ``among``, by default all): never its own counts.

        ``fewest`` is lowered only where a fleet is split for training or evaluation and no tenant sees the result.
        """
        allowed = None if among is None else set(among)
        base, rules = _told(self.rules, tenant, allowed, fewest)
        _, sources = _told(self.sources, tenant, allowed, fewest)
        _, tactics = _told(self.tactics, tenant, allowed, fewest)
        return View(base, rules, sources, tactics)

    def tenants(self) -> tuple[str, ...]:
        """Everybody whose groups are counted."""
        return tuple(sorted({name for counts in self.rules.values() for name in counts}))


def _told(counts: Counts, tenant: str, allowed: set[str] | None, fewest: int) -> tuple[float, dict[str, Prior]]:
    """The base and the prior of each word, from the counts of others."""
    others: dict[str, list[tuple[float, float, int, bool]]] = {}
    for word, by_tenant in counts.items():
        rows = [
            _weighed(attacks, benign)
            for name, (attacks, benign) in by_tenant.items()
            if name != tenant and (allowed is None or name in allowed)
        ]
        if len(rows) >= fewest:
            others[word] = rows
    sums = {word: (sum(row[0] for row in rows), sum(row[1] for row in rows)) for word, rows in others.items()}
    mean, weight = _moments(sums.values())
    return _log_odds(mean), {
        word: Prior(
            _log_odds((sums[word][0] + weight * mean) / (sums[word][1] + weight)),
            sum(row[2] for row in rows),
            len(rows),
            sum(row[3] for row in rows),
        )
        for word, rows in others.items()
    }


def _weighed(attacks: int, benign: int) -> tuple[float, float, int, bool]:
    """Attacks and groups of one tenant. Groups of one tenant are no independent witnesses: they count as 30 at most."""
    groups = attacks + benign
    share = min(1.0, _CAP / groups)
    return attacks * share, groups * share, groups, attacks > 0


def _moments(sums: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """The Beta that rates of words are drawn from, by moments: its mean and its weight in groups."""
    rates = [attacks / groups for attacks, groups in sums if groups >= _ENOUGH]
    if len(rates) < _ENOUGH:
        return _MEAN, _WEIGHT
    mean = min(max(sum(rates) / len(rates), 0.001), 0.999)
    spread = sum((rate - mean) ** 2 for rate in rates) / len(rates)
    weight = mean * (1 - mean) / spread - 1 if spread > 0 else _HEAVIEST
    return mean, min(max(weight, _LIGHTEST), _HEAVIEST)


def _log_odds(share: float) -> float:
    return log(share / (1 - share))
