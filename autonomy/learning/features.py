"""From what was seen to the numbers that are scored: an observation, a view of other tenants, what is known beside.

What is unknown stands at its neutral value and is told as missing: whoever decides must not take that for harmless.
"""

from dataclasses import dataclass
from math import isfinite, log1p

from nightdesk.autonomy.learning.catalogue import FEATURES, INDEX
from nightdesk.autonomy.learning.history import Observation
from nightdesk.autonomy.learning.priors import View

__all__ = ["NOTHING_KNOWN", "Known", "Vector", "vector"]


@dataclass(frozen=True, slots=True)
class Known:
    """Facts from beside the alerts; ``None`` is unknown, which is not the same as zero.

    Criticality and privilege from 0 (none) to 4 (highest); ages in days; ``allow_listed`` only by an entry that has an
    owner and is not expired. Verdicts are confirmed ones of persons, about this rule, tenant and entity, given before
    the decision.
    """

    asset_criticality: int | None = None
    identity_privilege: int | None = None
    intel_hits: int | None = None
    intel_age: float | None = None
    allow_listed: bool | None = None
    confirmed_attacks: int | None = None
    confirmed_benign: int | None = None
    verdict_age: float | None = None


NOTHING_KNOWN = Known()


@dataclass(frozen=True, slots=True)
class Vector:
    """The values of a group in the order of the catalogue, the names of those unknown, and the words never seen."""

    values: tuple[float, ...]
    missing: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def vector(seen: Observation, view: View, known: Known = NOTHING_KNOWN) -> Vector:
    """The features of a group for one tenant's view of the others."""
    values = list(seen.values)
    missing: list[str] = []
    unseen: list[str] = []
    group = seen.group
    rules = view.rules
    prior = rules.get(group.rule)
    if prior is None:
        values[_RULE] = view.base
        unseen.append(f"rule {group.rule}")
    else:
        values[_RULE], values[_SUPPORT], values[_SHARE] = prior.log_odds, prior.support, prior.attack_share
    source = view.sources.get(group.source)
    values[_SOURCE] = view.base if source is None else source.log_odds
    if source is None:
        unseen.append(f"source {group.source}")
    tactics = [view.tactics[one].log_odds for one in group.tactics if one in view.tactics]
    if tactics:
        values[_TACTIC] = max(tactics)
    else:
        missing.append("tactic_prior")
    values[_MAX] = max((rules[one].log_odds for one in seen.around if one in rules), default=_LOWEST)
    values[_MAX] = max(values[_MAX], _LOWEST)
    _vendor(values, missing, group.severity_id, group.confidence)
    _beside(values, missing, known)
    return Vector(tuple(values), tuple(missing), tuple(unseen))


def _vendor(values: list[float], missing: list[str], severity: int, confidence: int) -> None:
    if 0 < severity <= _FATAL:
        values[_SEVERITY] = severity
    else:
        missing.append("severity")
    if 0 <= confidence <= 100:
        values[_CONFIDENCE] = confidence
    else:
        missing.append("confidence")


def _beside(values: list[float], missing: list[str], known: Known) -> None:
    if known is NOTHING_KNOWN:
        missing.extend(_BESIDE)
        return
    for name, place, logarithm in _READ:
        fact = getattr(known, name)
        if fact is None or not isfinite(fact):
            missing.append(name)
        else:
            values[place] = log1p(max(fact, 0)) if logarithm else float(fact)


_FATAL = 6
_LOWEST = -8.0
"""Of ``max_prior_1h`` when no rule is around: below what any rule of a fleet has."""
_RULE, _SUPPORT, _SHARE = INDEX["rule_prior"], INDEX["rule_support"], INDEX["rule_attack_tenants"]
_SOURCE, _TACTIC, _MAX = INDEX["source_prior"], INDEX["tactic_prior"], INDEX["max_prior_1h"]
_SEVERITY, _CONFIDENCE = INDEX["severity"], INDEX["confidence"]
_BESIDE = tuple(one.name for one in FEATURES if one.optional and one.name in Known.__dataclass_fields__)
_READ = tuple((name, INDEX[name], FEATURES[INDEX[name]].unit.startswith("ln(")) for name in _BESIDE)
