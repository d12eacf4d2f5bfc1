"""What enters a level, what keeps it and what loses it: pure, so that every move can be tried and made again.

The machine itself moves a unit down at once, and up only to *recommend*, where people still do everything. Beyond that
two persons raise, one lowers (law 10). The level that counts is the lowest of four: evidence with its grant, policy,
data, and verification.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from nightdesk.autonomy.levels.requirements import DEFAULTS, Demands, missing, next_level
from nightdesk.autonomy.levels.standing import Facts, Level, Proof, Standing, Wish, ceiling
from nightdesk.sdk.errors import PolicyError

__all__ = ["Bounds", "Cause", "Loss", "Step", "advance", "bounds", "grant", "losses", "lower", "reopens_since", "wish"]

_LOST = 20.0 * (1 - 1e-9)
"""1 / 0.05: where the bet against a grant is won."""
_AT_LEAST = timedelta(days=7)


class Cause(StrEnum):
    """Why a level was lost."""

    EVIDENCE = "evidence"
    AGREEMENT = "agreement"
    LABELS = "labels-withdrawn"
    PROTECTED = "protected-asset"
    CANARY = "canary"
    VERSION = "version"
    PARSER = "parser"
    DRIFT = "drift"
    LIE = "verification-lie"
    VERIFICATION = "verification"
    PERSON = "person"


_FORGETS = frozenset(
    {
        Cause.AGREEMENT,
        Cause.EVIDENCE,
        Cause.PROTECTED,
        Cause.CANARY,
        Cause.VERSION,
        Cause.PARSER,
        Cause.DRIFT,
        Cause.LIE,
    }
)
"""After these what was shown before shows nothing any more: the evidence starts again."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One reason to go down, and to where."""

    cause: Cause
    to: Level
    text: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"cause": self.cause.value, "to": int(self.to), "text": self.text}


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a unit. ``reopen_since`` is set when what it closed from then on is to be looked at again."""

    standing: Standing
    reasons: tuple[str, ...] = ()
    loss: Loss | None = None
    reopen_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far each of the four goes; the lowest is the level that counts."""

    evidence: Level
    policy: Level
    data: Level
    verification: Level

    @property
    def level(self) -> Level:
        """The level that counts."""
        return min(self.evidence, self.policy, self.data, self.verification)

    @property
    def held_by(self) -> str:
        """Which of them holds it lowest, for people."""
        named = (("evidence", self.evidence), ("policy", self.policy), ("data", self.data))
        return min((*named, ("verification", self.verification)), key=lambda one: one[1])[0]

    def to_json(self) -> dict[str, int]:
        """As JSON values."""
        return {name: int(getattr(self, name)) for name in ("evidence", "policy", "data", "verification")}


def bounds(standing: Standing, facts: Facts, demands: Demands = DEFAULTS) -> Bounds:
    """The four levels now. A fact that is missing or doubtful lowers one of them and raises none (law 7)."""
    top = ceiling(standing.unit.decides)
    data = top
    if facts.alarms or facts.doubts or (standing.parser and facts.parser != standing.parser):
        data = Level.RECOMMEND
    if standing.level >= Level.CLOSE and not standing.unit.decides.contains and not facts.certified:
        data = min(data, Level.RECOMMEND)
    if facts.healthy_hours <= 0.0:
        data = min(data, Level.SHADOW)
    trusted = not facts.lied and min(facts.verified, facts.undone) >= demands.rate and facts.drills >= demands.drills
    verification = top if not standing.unit.decides.contains or trusted else Level.RECOMMEND
    return Bounds(min(standing.level, standing.hold, top), facts.policy, data, verification)


def losses(standing: Standing, proof: Proof, facts: Facts, demands: Demands = DEFAULTS) -> tuple[Loss, ...]:
    """Everything that takes the level away now, the gravest first."""
    return tuple(sorted(_losses(standing, proof, facts, demands), key=lambda loss: loss.to))


def _losses(standing: Standing, proof: Proof, facts: Facts, demands: Demands) -> Iterator[Loss]:
    if standing.parser and facts.parser and facts.parser != standing.parser and standing.level > Level.SHADOW:
        changed = f"the mapping is {facts.parser} now, evidence was gathered with {standing.parser}"
        yield Loss(Cause.PARSER, Level.SHADOW, changed)
    if standing.level >= Level.RECOMMEND and proof.doubt >= _LOST:
        yield Loss(
            Cause.AGREEMENT, Level.SHADOW, f"people disagree too often ({proof.agreed} of {proof.judged} agreed)"
        )
    if not standing.level.alone:
        return
    if facts.alarms:
        yield Loss(Cause.DRIFT, Level.RECOMMEND, f"drift: {', '.join(facts.alarms)}")
    if proof.protected:
        yield Loss(Cause.PROTECTED, Level.RECOMMEND, "an attack on a protected asset was closed")
    if proof.canaries_failed:
        yield Loss(Cause.CANARY, Level.RECOMMEND, f"planted attacks that were closed: {proof.canaries_failed}")
    if proof.losing >= _LOST:
        told = f"{proof.missed} misses in {proof.reviewed} looked at (e-value {proof.losing:.3g})"
        yield Loss(Cause.EVIDENCE, Level.RECOMMEND, told)
    if proof.support < math.exp(demands.terms.goal) * (1 - 1e-9) and not standing.unit.decides.contains:
        told = f"labels it was granted on no longer count: the e-value they leave is {proof.support:.3g}"
        yield Loss(Cause.LABELS, Level.RECOMMEND, told)
    if standing.unit.decides.contains:
        if facts.lied:
            yield Loss(Cause.LIE, Level.RECOMMEND, "the vendor's word was contradicted by a second source")
        if min(facts.verified, facts.undone) < demands.rate:
            told = f"verified {facts.verified:.1%}, undone {facts.undone:.1%}"
            yield Loss(Cause.VERIFICATION, Level.RECOMMEND, told)


def advance(standing: Standing, proof: Proof, facts: Facts, now: datetime, demands: Demands = DEFAULTS) -> Step:
    """What the machine does with a unit by itself: down for any loss, up to *recommend* when that is shown."""
    standing = standing.with_changes(proof=proof)
    lost = losses(standing, proof, facts, demands)
    if lost:
        return lower(standing, lost[0], now=now)
    reasons: list[str] = []
    while (after := next_level(standing.level, standing.unit.decides)) is not None and not after.alone:
        if after > standing.hold or missing(after, standing.unit.decides, proof, facts, demands):
            break
        standing = standing.with_changes(level=after, since=now, parser=standing.parser or facts.parser)
        reasons.append(f"{after.word}: everything that it asks for is there")
    return Step(standing, tuple(reasons))


def lower(standing: Standing, loss: Loss, *, now: datetime, by: str = "") -> Step:
    """Down to where the loss leads. A unit that closed alone has its closures looked at again.

    What a unit contained is leased, and ends by itself. ``by`` is the person who did it: then nothing is forgotten, but
    nothing goes past that level without two persons.
    """
    before = standing.level
    to = min(before, loss.to)
    forgets = loss.cause in _FORGETS
    changes: dict[str, Any] = {
        "level": to,
        "since": now if to < before else standing.since,
        "granted_by": () if to < before else standing.granted_by,
        "granted_at": None if to < before else standing.granted_at,
        "lost": f"{loss.cause}: {loss.text}",
        "lost_at": now,
        "wish": None,
        "hold": min(standing.hold, to) if by else standing.hold,
        "parser": "" if loss.cause is Cause.PARSER else standing.parser,
    }
    if forgets:
        newest = standing.proof.newest
        changes |= {"counts_after": newest, "granted_after": newest, "proof": Proof(), "forgot_at": now}
    closed = before.alone and to < before and not standing.unit.decides.contains
    since = reopens_since(standing, now) if closed else None
    told = f"{before.word} to {to.word}: {loss.text}"
    return Step(standing.with_changes(**changes), (told,), loss, since)


def reopens_since(standing: Standing, now: datetime) -> datetime:
    """From when on closures are looked at again: the last clean batch, and at least seven days back."""
    known = standing.clean_at or standing.granted_at or now
    return min(known, now - _AT_LEAST)


def wish(standing: Standing, level: Level, by: str, *, now: datetime, reason: str) -> Standing:
    """The first person's word. Raises PolicyError for a level that the unit cannot have or has already."""
    unit = standing.unit
    if level > ceiling(unit.decides) or (unit.decides.contains and level is Level.CLOSE):
        raise PolicyError(f"{unit}: there is no level {level.word} for {unit.decides}")
    if level <= min(standing.level, standing.hold):
        raise PolicyError(f"{unit} is at {standing.level.word} already: raising leads further up")
    return standing.with_changes(wish=Wish(level, by, now, reason))


def grant(
    standing: Standing, proof: Proof, facts: Facts, by: str, *, now: datetime, demands: Demands = DEFAULTS
) -> Standing:
    """The second person's word, on what is so now. Raises PolicyError that names everything still missing.

    Levels are entered one after the other: what a lower one asks for, the higher one does too.
    """
    asked = standing.wish
    if asked is None:
        raise PolicyError(f"{standing.unit}: nobody asked to raise it; the first person's word comes first")
    lacking = [
        one
        for one in missing(asked.level, standing.unit.decides, proof, facts, demands)
        if asked.level > standing.level
    ]
    if lacking:
        told = "; ".join(f"{one.name}: {one.have}, needed {one.need}" for one in lacking)
        raise PolicyError(f"{standing.unit} has not earned {asked.level.word}: {told}")
    raised = asked.level > standing.level
    return standing.with_changes(
        level=max(asked.level, standing.level),
        since=now if raised else standing.since,
        granted_by=(asked.by, by),
        granted_at=now,
        granted_after=proof.newest if raised else standing.granted_after,
        hold=max(standing.hold, asked.level),
        parser=facts.parser,
        lost="",
        lost_at=None,
        wish=None,
        proof=proof,
    )
