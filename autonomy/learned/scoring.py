"""A case scored: each of its groups by the tables, the worst of each rule for the gate, every doubt of any of them.

What the model saw is kept with the score, so the numbers can be added up again without the history they came from.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nightdesk.autonomy.evidence import SCORED
from nightdesk.autonomy.grouping import entity_of, rule_of
from nightdesk.autonomy.learned.artefact import Claim, Learned
from nightdesk.autonomy.learning.catalogue import NAMES
from nightdesk.autonomy.learning.features import Vector, vector
from nightdesk.autonomy.learning.groups import Group
from nightdesk.autonomy.learning.history import HOLD, History
from nightdesk.autonomy.learning.priors import View
from nightdesk.autonomy.learning.tables import Score, Tables
from nightdesk.autonomy.levels.gate import RECORDED, GateInputs
from nightdesk.autonomy.levels.units import rule_keys
from nightdesk.sdk.case import Alert, Case
from nightdesk.sdk.errors import PolicyError

__all__ = ["ScoredCase", "ScoredGroup", "check_scores", "group_doubts", "score_case", "score_group"]

_FAR = 0.5
"""How far the two models may be apart, in probability, before nobody believes either."""
_MOST = 20
"""Doubts that a record names; that there are more is told too."""


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """The group of one rule that looks most like an attack. ``rule`` is the unit's, ``key`` the group's name."""

    rule: str
    key: str
    learnt_rule: str
    vector: Vector
    score: Score

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the record."""
        return {
            "rule": self.rule,
            "key": self.key,
            "values": list(self.vector.values),
            "missing": list(self.vector.missing),
            "unseen": list(self.vector.unseen),
            "logit": self.score.logit,
            "probability": self.score.probability,
            "second": self.score.second,
            "contributions": {
                name: added for name, added in zip(NAMES, self.score.contributions, strict=True) if added
            },
        }


@dataclass(frozen=True, slots=True)
class ScoredCase:
    """What the model says of a case."""

    model_id: str
    rules: Mapping[str, ScoredGroup]
    doubts: tuple[str, ...]
    seen: tuple[Vector, ...]
    """What every group looked like, for the watch over drift."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the record."""
        return {"model": self.model_id, "rules": [one.to_json() for one in self.rules.values()]}


def score_group(tables: Tables, view: View, history: History, group: Group, now: float) -> tuple[Vector, Score]:
    """Looked at as in training: when its close could be decided, or now if that is earlier."""
    seen = vector(history.look(group, min(now, max(group.last, group.opened) + HOLD)), view)
    return seen, tables.score(seen)


def group_doubts(claim: Claim, group: Group, score: Score) -> tuple[str, ...]:
    """Why a machine should not believe this score."""
    told = list(score.doubts)
    if group.rule in claim.distrusted:
        told.append(f"distrusted rule {group.rule}")
    if score.disagreement > _FAR:
        told.append(f"two models disagree on {group.rule} ({score.probability:.3g} and {score.second:.3g})")
    return tuple(told)


def score_case(
    learned: Learned, view: View, history: History, case: Case, groups: Sequence[tuple[str, Group]], now: datetime
) -> ScoredCase:
    """Scores a case by its groups (name, group). A rule one of whose alerts is in no group has no score."""
    claim = learned.claim(case.tenant)
    at = now.timestamp()
    names: dict[str, set[str]] = {}
    for alert in case.alerts:
        names.setdefault(rule_of(alert), set()).update(rule_keys([alert]))
    bare = {key for alert in case.alerts if not _in_a_group(alert, groups) for key in rule_keys([alert])}
    doubts: dict[str, None] = {}
    worst: dict[str, ScoredGroup] = {}
    seen = []
    for name, group in sorted(groups, key=lambda one: one[0]):
        looked, score = score_group(learned.tables, view, history, group, at)
        seen.append(looked)
        doubts.update(dict.fromkeys(group_doubts(claim, group, score)))
        for key in sorted(names.get(group.rule, ())):
            known = worst.get(key)
            if key not in bare and (known is None or score.logit > known.score.logit):
                worst[key] = ScoredGroup(key, name, group.rule, looked, score)
    return ScoredCase(learned.model_id, dict(sorted(worst.items())), _bounded(doubts), tuple(seen))


def check_scores(inputs: Mapping[str, Any], tables: Tables) -> None:
    """Adds the scores of a record up again by the tables it names. Raises PolicyError unless they are the same bits."""
    told = inputs.get(SCORED)
    if not told:
        return
    if told["model"] != tables.model_id:
        raise PolicyError(f"the decision was scored by model {told['model'][:12]}, not {tables.model_id[:12]}")
    gate = {one.rule: one for one in GateInputs.from_json(inputs[RECORDED]).rules}
    for row in told["rules"]:
        again = tables.score(Vector(tuple(row["values"]), tuple(row["missing"]), tuple(row["unseen"])))
        added = {name: one for name, one in zip(NAMES, again.contributions, strict=True) if one}
        same = (
            again.logit == row["logit"]
            and again.probability == row["probability"]
            and again.second == row["second"]
            and added == row["contributions"]
            and row["rule"] in gate
            and gate[row["rule"]].score == again.logit
            and gate[row["rule"]].key == row["key"]
        )
        if not same:
            raise PolicyError(f"the score of {row['rule']} is not what model {told['model'][:12]} makes of its values")


def _in_a_group(alert: Alert, groups: Iterable[tuple[str, Group]]) -> bool:
    entity, rule, at = entity_of(alert), rule_of(alert), alert.first_seen.timestamp()
    return any(one.entity == entity and one.rule == rule and one.opened <= at <= one.last for _, one in groups)


def _bounded(doubts: Iterable[str]) -> tuple[str, ...]:
    told = sorted(doubts)
    return tuple(told) if len(told) <= _MOST else (*told[:_MOST], f"{len(told) - _MOST} more")
