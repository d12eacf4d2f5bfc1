"""Exact binomial bounds: how many errors in how many judged items still allow a claim.

Nothing here approximates: with a handful of errors a normal interval claims what the data do not show. Every function
is plain arithmetic over at most ``errors`` + 1 terms, so no numeric library is needed where a decision is made.
"""

import math

from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["binomial_cdf", "errors_allowed", "items_needed", "lower_bound", "probability", "upper_bound"]

_HALVINGS = 100
"""More than the bits of a double's mantissa, so the bisection ends at its last digit."""


def probability(name: str, value: float) -> float:
    """The value when it lies strictly between 0 and 1. Raises ConfigError that names it."""
    if not 0.0 < value < 1.0:
        raise ConfigError([Problem("risk", name, f"{value} is no rate; give one between 0 and 1, such as 0.01")])
    return value


def binomial_cdf(errors: int, items: int, rate: float) -> float:
    """P(at most ``errors`` of ``items`` independent items are errors) when each is one with ``rate``.

    Summed from the largest term in the logarithm, so that it neither underflows nor loses digits for 10^6 items.
    """
    if errors < 0:
        return 0.0
    if errors >= items or rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 0.0
    odds = math.log(rate) - math.log1p(-rate)
    term = items * math.log1p(-rate)
    terms = [term]
    for index in range(errors):
        term += math.log(items - index) - math.log(index + 1) + odds
        terms.append(term)
    top = max(terms)
    return min(1.0, math.exp(top) * math.fsum(math.exp(one - top) for one in terms))


def upper_bound(errors: int, items: int, delta: float) -> float:
    """The rate that the true one exceeds with probability ``delta`` at most (one-sided Clopper and Pearson 1934).

    It is the largest rate under which as few errors as these still happen with probability ``delta``. 1 without items.
    """
    probability("delta", delta)
    if errors >= items:
        return 1.0
    if errors == 0:
        return -math.expm1(math.log(delta) / items)
    low, high = errors / items, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_cdf(errors, items, middle) > delta else (low, middle)
    return high


def lower_bound(errors: int, items: int, delta: float) -> float:
    """The rate that the true one falls below with probability ``delta`` at most; 0 without errors."""
    return 0.0 if errors == 0 else 1.0 - upper_bound(items - errors, items, delta)


def items_needed(errors: int, rate: float, delta: float) -> int:
    """How many judged items with that many errors show at 1 - ``delta`` that the true rate is at most ``rate``."""
    probability("rate", rate)
    probability("delta", delta)
    low, high = errors, errors + 1
    while binomial_cdf(errors, high, rate) > delta:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if binomial_cdf(errors, middle, rate) > delta else (low, middle)
    return high


def errors_allowed(items: int, rate: float, delta: float) -> int | None:
    """The most errors in that many items which still show the rate; None when not even none does.

    The largest k with BinomCDF(k; n, rate) <= delta: the rank of a Learn-then-Test threshold (arXiv 2110.01052, 2.1).
    """
    probability("rate", rate)
    probability("delta", delta)
    allowed: int | None = None
    while binomial_cdf(0 if allowed is None else allowed + 1, items, rate) <= delta:
        allowed = 0 if allowed is None else allowed + 1
    return allowed
