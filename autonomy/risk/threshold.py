"""The score below which a unit may be closed, with what is promised about attacks that score as low.

What is promised is about attacks *like those of the calibration*: ``exchangeability`` tests whether they still are.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nightdesk.autonomy.risk.bounds import errors_allowed, items_needed, probability

__all__ = [
    "Scored",
    "Threshold",
    "backed_off",
    "conformal_risk",
    "learn_then_test",
    "lowest_per_cluster",
    "split_delta",
    "tie",
]


def tie(key: str) -> int:
    """A unit's place among units of its score: 64 bits of its name's hash, the same on every machine.

    Independent of everything that was learnt, so that ranks of equal scores are as fair as those of different ones.
    """
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Scored:
    """A confirmed attack's unit with its score; ``cluster`` is what counts once (tenant, incident, rule family)."""

    score: float
    key: str
    cluster: tuple[str, ...]

    @property
    def rank(self) -> tuple[float, int]:
        """Its place in the order of closing."""
        return self.score, tie(self.key)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where closing ends: units of a lower rank than (``tau``, ``tie``) may be closed.

    ``n`` attacks calibrated it and ``k`` of them lie below; ``k`` is None when nothing can be promised, and then
    ``missing`` further attacks, each caught, are needed. ``delta`` is None for a promise in expectation only (A').
    """

    tau: float
    tie: int
    n: int
    k: int | None
    alpha: float
    delta: float | None
    missing: int = 0

    def closes(self, score: float, key: str) -> bool:
        """Whether a unit with that score is below. Never for a score that is no number."""
        return self.certified and (score, tie(key)) < (self.tau, self.tie)

    @property
    def certified(self) -> bool:
        """Whether anything is promised; without it nothing is closed."""
        return self.k is not None

    @property
    def why(self) -> str:
        """In words for a person: what is promised on what, or what is missing."""
        sure = "in expectation" if self.delta is None else f"with {1 - self.delta:.4g} confidence"
        if self.k is None:
            return (
                f"a miss rate of {self.alpha:.4g} {sure} needs {self.n + self.missing} independent attacks;"
                f" there are {self.n}: {self.missing} more are needed, nothing is closed"
            )
        return f"a miss rate of at most {self.alpha:.4g} {sure}: {self.k} of {self.n} known attacks score below"


def learn_then_test(attacks: Iterable[Scored], alpha: float, delta: float) -> Threshold:
    """A: P(miss rate <= alpha) >= 1 - delta over the draw of the attacks, one of each cluster counted.

    Angelopoulos et al., Learn then Test (arXiv 2110.01052): thresholds are tested from the lowest up and the miss rate
    only grows with them, so the fixed sequence needs no correction and ends at the (k* + 1)-th lowest attack. Bates et
    al. (arXiv 2101.02703) reach the same bound from the risk's side.
    """
    ranks = _ranks(attacks)
    allowed = errors_allowed(len(ranks), alpha, delta)
    missing = max(0, items_needed(0, alpha, delta) - len(ranks))
    return _at(ranks, allowed, alpha, delta, missing)


def conformal_risk(attacks: Iterable[Scored], alpha: float) -> Threshold:
    """A': the miss rate is at most alpha on average over calibrations (Angelopoulos et al., arXiv 2208.02814).

    Weaker than A, so for ranking and for recommending: the same draw of attacks may be off by far.
    """
    probability("alpha", alpha)
    ranks = _ranks(attacks)
    # 1e-9: 0.01 * 100 must count as the 1 that it is.
    allowed = math.floor(alpha * (len(ranks) + 1) + 1e-9) - 1
    missing = max(0, math.ceil(1 / alpha - 1e-9) - 1 - len(ranks))
    return _at(ranks, allowed if allowed >= 0 else None, alpha, None, missing)


def _ranks(attacks: Iterable[Scored]) -> list[tuple[float, int]]:
    return sorted(one.rank for one in lowest_per_cluster(attacks))


def _at(
    ranks: Sequence[tuple[float, int]], k: int | None, alpha: float, delta: float | None, missing: int
) -> Threshold:
    if k is None:
        return Threshold(-math.inf, 0, len(ranks), None, alpha, delta, missing)
    tau, place = ranks[k]
    return Threshold(tau, place, len(ranks), k, alpha, delta)


def lowest_per_cluster(attacks: Iterable[Scored]) -> list[Scored]:
    """One unit for each cluster, that which would be closed first.

    Alerts of one attack are no independent evidence, and an attack counts as missed when any part of it is.
    """
    lowest: dict[tuple[str, ...], Scored] = {}
    for one in attacks:
        kept = lowest.get(one.cluster)
        if kept is None or one.rank < kept.rank:
            lowest[one.cluster] = one
    return [lowest[cluster] for cluster in sorted(lowest)]


def backed_off(
    families: Mapping[str, Sequence[Scored]], alpha: float, delta: float
) -> tuple[dict[str, Threshold], Threshold]:
    """(threshold of each family that has attacks, threshold of any other family).

    Mondrian conformal prediction (Vovk, Lindsay, Nouretdinov and Gammerman 2003), with the lower threshold of the
    family's own and of all families together: a family of few attacks has only the latter, and no family is closed
    more boldly than all together are.
    """
    fleet = learn_then_test((one for attacks in families.values() for one in attacks), alpha, delta)
    found: dict[str, Threshold] = {}
    for family, attacks in sorted(families.items()):
        own = learn_then_test(attacks, alpha, delta)
        bold = own.certified and (own.tau, own.tie) < (fleet.tau, fleet.tie)
        found[family] = own if bold or not fleet.certified else fleet
    return found, fleet


def split_delta(delta: float, claims: int) -> float:
    """What each of several claims may fail with so that all hold together with 1 - ``delta`` (Bonferroni)."""
    probability("delta", delta)
    return delta / max(1, claims)
