"""How wide a policy would have reached: the most different targets within any hour, held against the limits of then."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nightdesk.autonomy.guardrails import DecisionContext, room
from nightdesk.autonomy.radius import Bucket, bucket
from nightdesk.sdk.case import Decision, Outcome

__all__ = ["Peak", "Reach"]

_HOUR = timedelta(hours=1)
CLOSES = "closes"


@dataclass(frozen=True, slots=True)
class Peak:
    """The most in one hour that ended then. ``alone``: of them those that no person would have let go."""

    most: int = 0
    alone: int = 0
    limit: int = 0
    at: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether the guard would have held some of them back; what people let go it does not count."""
        return self.alone > self.limit


@dataclass(slots=True)
class _Hour:
    """What happened in the hour before the newest of it; only that hour is kept."""

    events: deque[tuple[datetime, str, bool]] = field(default_factory=deque)
    targets: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)

    def add(self, at: datetime, target: str, *, alone: bool) -> tuple[int, int]:
        while self.events and self.events[0][0] <= at - _HOUR:
            _, old, by_itself = self.events.popleft()
            _less(self.targets, old)
            if by_itself:
                _less(self.alone, old)
        self.events.append((at, target, alone))
        self.targets[target] += 1
        if alone:
            self.alone[target] += 1
        return len(self.targets), len(self.alone)


class Reach:
    """One policy over one tenant's past; decisions come in the order of their time."""

    def __init__(self) -> None:
        self._hours: dict[str, _Hour] = {}
        self._peaks: dict[str, Peak] = {}

    def add(self, decision: Decision) -> None:
        """Counts what the decision would have done."""
        context = DecisionContext.from_json(decision.inputs["context"])
        for one in decision.proposals:
            kind = bucket(one.verb)
            limit = room(kind, context.limits, context.fleet_size)[0]
            self._count(kind, decision.decided_at, one.target, limit, alone=one.approval == "policy")
        if decision.outcome is Outcome.CLOSE:
            self._count(CLOSES, decision.decided_at, decision.case_id, context.limits.closes_per_hour, alone=True)

    def peaks(self) -> Mapping[str, Peak]:
        """By ``host``, ``account``, ``indicator`` and ``closes``."""
        return {name: self._peaks.get(name, Peak()) for name in (*map(str, Bucket), CLOSES)}

    def _count(self, name: str, at: datetime, target: str, limit: int, *, alone: bool) -> None:
        most, by_itself = self._hours.setdefault(name, _Hour()).add(at, target, alone=alone)
        before = self._peaks.get(name)
        if before is None or (most, by_itself) > (before.most, before.alone):
            self._peaks[name] = Peak(most, by_itself, limit, at)


def _less(counted: Counter[str], name: str) -> None:
    counted[name] -= 1
    if not counted[name]:
        del counted[name]
