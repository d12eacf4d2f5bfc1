"""What people judged: who, how, when, blind or not, and how far a judgement counts.

A machine's verdict is never a label. One person's *attack* is provisional and blocks nothing until a second person or a
second source says so too: with one in two hundred benign cases called an attack by mistake, coverage fell from 34 % to
2.4 % when a single word blocked. Calling an attack benign is the dangerous error: disagreement is settled for caution.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any

from pydantic import TypeAdapter

from nightdesk.autonomy.approvals import same_person
from nightdesk.autonomy.ledger import ENGINE
from nightdesk.autonomy.levels.units import DecisionClass
from nightdesk.sdk.case import Verdict
from nightdesk.sdk.errors import PolicyError

__all__ = ["ATTACKS", "BENIGN", "MACHINES", "How", "Label", "LabelState", "counted", "is_machine", "settled"]

ATTACKS = frozenset({Verdict.TRUE_POSITIVE, Verdict.LIKELY_TRUE_POSITIVE})
BENIGN = frozenset({Verdict.BENIGN_POSITIVE, Verdict.LIKELY_FALSE_POSITIVE, Verdict.FALSE_POSITIVE})
MACHINES = frozenset({ENGINE, "policy", "autonomy", "tickets", "hub", "witness", "adviser", "service"})
"""Names under which the machine itself speaks."""

_MARGIN = 2
"""How many more voices *benign* needs than *attack* where people disagree; *attack* needs one more."""


class LabelState(StrEnum):
    """How far a label counts."""

    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    DISPUTED = "disputed"
    WITHDRAWN = "withdrawn"


class How(StrEnum):
    """What a person had before them."""

    QUEUE = "queue"
    """A case of the queue, without the machine's verdict."""
    SAMPLE = "sample"
    """A closure that was drawn, without the machine's verdict."""
    KNOWN = "known"
    """An item whose answer is known; the person did not know that it is one."""
    CASE = "case"
    """The case as it is, with everything the machine said."""


@dataclass(frozen=True, slots=True)
class Label:
    """One person's judgement of one rule in one case.

    ``stand`` is what the machine would have done at that moment (decision classes, or empty when it had no opinion);
    the person did not see it when ``blind``. ``day`` is the UTC day on which the hub opened the case: times inside an
    alert are written by others. ``sources`` are second sources that bear an attack out.
    """

    tenant: str
    label_id: str
    seq: int
    rule: str
    case_id: str
    analyst: str
    verdict: Verdict
    at: datetime
    blind: bool
    how: How
    entity: str = ""
    day: str = ""
    stand: str = ""
    item_id: str = ""
    known: bool | None = None
    """The right answer, of an item that has one."""
    closed: bool = False
    protected: bool = False
    comment: str = ""
    sources: tuple[str, ...] = ()
    state: LabelState = LabelState.PROVISIONAL
    withdrawn_why: str = ""

    def __post_init__(self) -> None:
        if is_machine(self.analyst):
            raise PolicyError(
                f"{self.analyst or 'nobody'} is no person: only people judge, a machine's word is no label"
            )

    @property
    def attack(self) -> bool:
        """Whether it says that there was an attack."""
        return self.verdict in ATTACKS

    @property
    def benign(self) -> bool:
        """Whether it says that there was none; *undetermined*, *duplicate* and *test* say neither."""
        return self.verdict in BENIGN

    def about(self, decides: DecisionClass) -> bool:
        """Whether the machine would have decided in that class."""
        return decides in self.stand.split()

    @property
    def standing(self) -> bool:
        """Whether anything of it still counts."""
        return self.state is not LabelState.WITHDRAWN

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_bytes(cls, data: bytes) -> "Label":
        """Back from the store."""
        return _adapter().validate_json(data)


@cache
def _adapter() -> TypeAdapter[Label]:
    return TypeAdapter(Label)


@lru_cache(maxsize=4096)
def is_machine(name: str) -> bool:
    """Whether nobody answers for that name."""
    return not name.strip() or any(same_person(name, one) for one in MACHINES)


def settled(labels: Sequence[Label]) -> list[Label]:
    """The same labels, all of one rule in one case, in the states that they have together.

    Agreed by two persons, or an attack borne out by a second source: confirmed. Alone: provisional. At odds: *attack*
    is confirmed by one voice more, *benign* by two, and until then both are disputed; so is whoever is outvoted.
    """
    voices: dict[bool, set[str]] = {True: set(), False: set()}
    for label in labels:
        if label.standing and (label.attack or label.benign):
            voices[label.attack].add(_person(label, labels))
    borne_out = any(label.standing and label.attack and label.sources for label in labels)
    attack, benign = len(voices[True]) + borne_out, len(voices[False])
    if attack and benign:
        winner = True if attack > benign else False if benign - attack >= _MARGIN else None
        states = {
            side: LabelState.CONFIRMED if side is winner and count > 1 else LabelState.DISPUTED
            for side, count in ((True, attack), (False, benign))
        }
    else:
        states = {
            side: LabelState.CONFIRMED if count > 1 else LabelState.PROVISIONAL
            for side, count in ((True, attack), (False, benign))
        }
    return [
        replace(label, state=states[label.attack]) if label.standing and (label.attack or label.benign) else label
        for label in labels
    ]


def _person(label: Label, among: Iterable[Label]) -> str:
    """One spelling for one person."""
    return next(one.analyst for one in among if same_person(one.analyst, label.analyst))


def counted(labels: Iterable[Label]) -> list[Label]:
    """One label for each case that is evidence: an attack once confirmed, a benign one unless it is disputed.

    What a person said to an item whose answer was known says something about the person, and nothing about the rule.
    """
    kept: dict[str, Label] = {}
    for label in labels:
        if not label.standing or not (label.attack or label.benign) or label.state is LabelState.DISPUTED:
            continue
        if label.how is How.KNOWN:
            continue
        if label.attack and label.state is not LabelState.CONFIRMED:
            continue
        before = kept.get(label.case_id)
        if before is None or (label.attack and not before.attack):
            kept[label.case_id] = label
    return sorted(kept.values(), key=lambda label: label.seq)
