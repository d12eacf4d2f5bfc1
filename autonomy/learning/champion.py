"""Which model decides: a champion, and a challenger that scores in shadow until it has shown that it is no worse.

A challenger replaces the champion after 500 shadow cases, and only if it would have closed no less at its own certified
threshold and caught no fewer canaries. Every model is kept, whatever became of it.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from nightdesk.sdk.errors import NightdeskError

__all__ = ["CASES", "Entry", "Roster", "Ruling", "Standing", "Trial", "rule"]

CASES = 500
"""Cases that a challenger scores in shadow before it is ruled on."""


class Standing(StrEnum):
    """What a model is now."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    RETIRED = "retired"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that was trained. ``follows`` is the champion it challenged; ``reason`` is why it stands so."""

    model_id: str
    trained_at: datetime
    standing: Standing
    follows: str = ""
    since: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What both models would have done, case by case and canary by canary. Each counts once, the last word on it."""

    challenger: str
    cases: tuple[tuple[str, bool, bool], ...] = ()
    """(case, champion would close, challenger would close), each below its own certified threshold."""
    canaries: tuple[tuple[str, bool, bool], ...] = ()
    """(canary, champion escalates, challenger escalates)."""

    def case(self, case_id: str, *, champion: bool, challenger: bool) -> "Trial":
        """A case that both scored. One that is scored again is counted by its last score."""
        return replace(self, cases=_once(self.cases, (case_id, champion, challenger)))

    def canary(self, canary_id: str, *, champion: bool, challenger: bool) -> "Trial":
        """A known attack that both scored."""
        return replace(self, canaries=_once(self.canaries, (canary_id, champion, challenger)))


@dataclass(frozen=True, slots=True)
class Ruling:
    """``decided`` is false while cases are missing. The counts are (champion, challenger)."""

    decided: bool
    promote: bool
    reason: str
    closed: tuple[int, int]
    caught: tuple[int, int]


def rule(trial: Trial, *, cases: int = CASES) -> Ruling:
    """Whether the challenger has earned it. Without a champion it must have caught every canary."""
    closed = sum(one[1] for one in trial.cases), sum(one[2] for one in trial.cases)
    caught = sum(one[1] for one in trial.canaries), sum(one[2] for one in trial.canaries)
    if len(trial.cases) < cases:
        reason = f"{len(trial.cases)} of {cases} cases in shadow"
        return Ruling(False, False, reason, closed, caught)
    if caught[1] < caught[0]:
        reason = f"catches {caught[1]} of {len(trial.canaries)} canaries, the champion {caught[0]}"
    elif closed[1] < closed[0]:
        reason = f"would close {closed[1]} of {len(trial.cases)} cases, the champion {closed[0]}"
    else:
        reason = f"closes {closed[1]} (champion {closed[0]}), catches {caught[1]} (champion {caught[0]})"
        return Ruling(True, True, reason, closed, caught)
    return Ruling(True, False, reason, closed, caught)


@dataclass(frozen=True, slots=True)
class Roster:
    """Every model that was ever trained, oldest first, and the trial that runs."""

    entries: tuple[Entry, ...] = ()
    trial: Trial | None = None

    @property
    def champion(self) -> Entry | None:
        """The model that decides."""
        return next((one for one in self.entries if one.standing is Standing.CHAMPION), None)

    def challenge(self, model_id: str, now: datetime) -> "Roster":
        """A model was trained. One that is the champion, bit for bit, confirms it; another begins its trial."""
        if self.trial is not None:
            raise NightdeskError(
                f"model {self.trial.challenger[:12]} is on trial: rule on it before another challenges"
            )
        champion = self.champion
        if champion is not None and champion.model_id == model_id:
            confirmed = replace(champion, trained_at=now, reason="trained again, the same")
            return replace(self, entries=tuple(confirmed if one is champion else one for one in self.entries))
        follows = champion.model_id if champion else ""
        entry = Entry(model_id, now, Standing.CHALLENGER, follows, now, "in shadow")
        return Roster((*self.entries, entry), Trial(model_id))

    def ruled(self, now: datetime, *, cases: int = CASES) -> tuple["Roster", Ruling]:
        """Rule on the trial; undecided leaves all as it is."""
        if self.trial is None:
            raise NightdeskError("no model is on trial: train one first")
        ruling = rule(self.trial, cases=cases)
        champion = self.champion
        if champion is None and ruling.promote and ruling.caught[1] < len(self.trial.canaries):
            missed = len(self.trial.canaries) - ruling.caught[1]
            ruling = replace(
                ruling, promote=False, reason=f"misses {missed} canaries, and there is no champion to compare"
            )
        if not ruling.decided:
            return self, ruling
        entries = tuple(self._after(one, ruling, now) for one in self.entries)
        return Roster(entries), ruling

    @staticmethod
    def _after(entry: Entry, ruling: Ruling, now: datetime) -> Entry:
        if entry.standing is Standing.CHALLENGER:
            standing = Standing.CHAMPION if ruling.promote else Standing.REJECTED
            return replace(entry, standing=standing, since=now, reason=ruling.reason)
        if entry.standing is Standing.CHAMPION and ruling.promote:
            return replace(entry, standing=Standing.RETIRED, since=now, reason="another was promoted")
        return entry


def _once(rows: tuple[tuple[str, bool, bool], ...], row: tuple[str, bool, bool]) -> tuple[tuple[str, bool, bool], ...]:
    return (*(one for one in rows if one[0] != row[0]), row)
