"""Labels of one rule in one tenant to what they prove; withdraw a label, ask again, and nothing of it is left."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from nightdesk.autonomy.levels.evidence import DEFAULT_TERMS, Earning, Losing, Terms, Verdict
from nightdesk.autonomy.levels.standing import Proof, Standing
from nightdesk.autonomy.levels.units import DecisionClass
from nightdesk.autonomy.oversight.labels import How, Label, LabelState, counted

__all__ = ["CanaryCounts", "prove"]

_DOUBT = Terms(epsilon=0.1, foul=0.2)
"""Of agreement: one word in ten may differ; the bet is that one in five does."""


class CanaryCounts(NamedTuple):
    """Canaries decided: in the whole fleet, and those of the unit's own family in its tenant since evidence counts."""

    caught: int = 0
    missed: int = 0
    here_caught: int = 0
    here_missed: int = 0


_NONE = CanaryCounts()


def prove(
    standing: Standing,
    labels: Sequence[Label],
    *,
    prior: int = 0,
    canaries: CanaryCounts = _NONE,
    terms: Terms = DEFAULT_TERMS,
) -> Proof:
    """The proof as of now. ``labels`` are all of the unit's rule, oldest first; ``prior`` is what the fleet lends.

    For a class that closes *benign* counts only when judged blind, *attack* however it was found; for containment it is
    the other way round.
    """
    fresh = [label for label in labels if label.seq > standing.counts_after]
    evidence = [label for label in counted(fresh) if _speaks(label, standing.unit.decides)]
    earning, support, doubt = Earning(terms, prior), Earning(terms, prior), Losing(_DOUBT)
    rejected = recommended = 0
    contains = standing.unit.decides.contains
    for label in evidence:
        against = label.benign if contains else label.attack
        verdict = Verdict(label.case_id, label.entity, _day(label), label.analyst, against)
        if not against:
            support.see(verdict)
        if not earning.see(verdict):
            continue
        recommended += contains
        rejected += contains and against
    words = _words(fresh, standing.unit.decides)
    for differs in words:
        doubt.see(attack=differs)
    found, losing = earning.standing, _losing(standing, labels, terms)
    disagreed = sum(words)
    return Proof(
        newest=max((label.seq for label in labels), default=standing.counts_after),
        judged=found.agreed + disagreed,
        agreed=found.agreed,
        doubt=doubt.value if not doubt.revoked else max(doubt.value, 20.0),
        benign=found.agreed,
        attacks=found.attacks,
        earned=found.value,
        support=support.standing.value,
        losing=losing.value if not losing.revoked else max(losing.value, 20.0),
        reviewed=losing.items,
        missed=losing.attacks,
        prior=prior,
        days=found.days,
        entities=found.entities,
        canaries=canaries.caught,
        canaries_missed=canaries.missed,
        canaries_caught=canaries.here_caught,
        canaries_failed=canaries.here_missed,
        protected=sum(label.attack and label.closed and label.protected for label in _since_grant(standing, labels)),
        recommended=recommended,
        rejected=rejected,
        left_out=found.set_aside,
    )


def _speaks(label: Label, decides: DecisionClass) -> bool:
    """Whether it is about what the unit does; what speaks against the unit counts however it was found."""
    if decides.contains:
        return label.about(decides) and (label.blind or label.benign)
    return label.attack or (label.benign and label.blind and label.about(decides))


def _words(labels: Iterable[Label], decides: DecisionClass) -> list[bool]:
    """Of each case judged blind on which the machine had taken a stand: whether anybody's standing word differs."""
    said: dict[str, bool] = {}
    for label in labels:
        if not label.standing or not label.blind or label.how is How.KNOWN or not label.about(decides):
            continue
        if label.attack or label.benign:
            differs = label.benign if decides.contains else label.attack
            said[label.case_id] = said.get(label.case_id, False) or differs
    return list(said.values())


def _since_grant(standing: Standing, labels: Iterable[Label]) -> list[Label]:
    return counted(label for label in labels if label.seq > standing.granted_after)


def _losing(standing: Standing, labels: Sequence[Label], terms: Terms) -> Losing:
    """The bet against the grant: clean items only from the random sample, misses from wherever they are known.

    Of containments every one is looked at: one that people call benign is the miss.
    """
    losing = Losing(terms)
    decides = standing.unit.decides
    for label in _since_grant(standing, labels):
        if decides.contains:
            if _speaks(label, decides) and (label.attack or label.benign):
                losing.see(attack=label.benign)
        elif label.attack and label.closed:
            losing.see(attack=True)
        elif label.benign and label.how is How.SAMPLE and label.blind and label.state is not LabelState.DISPUTED:
            losing.see(attack=False)
    return losing


def _day(label: Label) -> float:
    """Noon of the day on which the hub opened the case."""
    day = datetime.fromisoformat(label.day) if label.day else label.at
    return day.replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=UTC).timestamp()
