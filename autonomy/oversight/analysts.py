"""How far a person's judgements are to be trusted, by items whose answer is known and which nobody can tell apart.

Two in a hundred items that a person gets are such items. Who answers fewer than nine in ten of them rightly weighs
nothing, and what they labelled is withdrawn; training again without it takes seconds.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nightdesk.autonomy.approvals import same_person

__all__ = ["Answer", "Trust", "cohens_kappa", "is_known_answer_due", "trust"]

_EVERY = 50
"""One item in so many has a known answer: 2 %."""
_ENOUGH = 10
"""Answers before anything is concluded: an honest person at 97 % falls below nine in ten by chance in 3 of 100 tens."""
_NEWEST = 50
"""Older answers say little about today."""
_FLOOR = 0.9


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said to an item whose answer is known."""

    analyst: str
    attack_said: bool
    attack_known: bool

    @property
    def right(self) -> bool:
        """Whether it is the known one."""
        return self.attack_said is self.attack_known


@dataclass(frozen=True, slots=True)
class Trust:
    """One person's answers. ``weight`` is 1 or 0: half a word does not exist in a count of verdicts."""

    analyst: str
    known: int
    right: int

    @property
    def rate(self) -> float:
        """The share of right ones; 1 without any."""
        return self.right / self.known if self.known else 1.0

    @property
    def weight(self) -> int:
        """Whether their labels count."""
        return int(self.known < _ENOUGH or self.rate >= _FLOOR)


def trust(analyst: str, answers: Iterable[Answer]) -> Trust:
    """That person's record over their newest answers (given oldest first)."""
    theirs = [one for one in answers if same_person(one.analyst, analyst)][-_NEWEST:]
    return Trust(analyst, len(theirs), sum(one.right for one in theirs))


def is_known_answer_due(key: bytes, analyst: str, number: int) -> bool:
    """Whether that person's ``number``-th item (from 0) is to be one: exactly one in each fifty, nobody knows which.

    ``key`` is the tenant's secret, so that a person cannot work it out; the same arguments give the same answer.
    """
    block = hmac.digest(key, f"known\0{analyst.casefold()}\0{number // _EVERY}".encode(), hashlib.sha256)
    return int.from_bytes(block[:8], "big") % _EVERY == number % _EVERY


def cohens_kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """How far two persons agree beyond chance on items that both judged (Cohen 1960); None without any.

    1 where both always said the same thing about everything, for then chance explains it as well and no word differs.
    """
    if not pairs:
        return None
    total = len(pairs)
    agreed = sum(one == other for one, other in pairs) / total
    first, second = (sum(pair[place] for pair in pairs) / total for place in (0, 1))
    chance = first * second + (1 - first) * (1 - second)
    return 1.0 if chance >= 1.0 else (agreed - chance) / (1 - chance)
