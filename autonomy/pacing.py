"""How patient the engine is with a vendor: bounds, and the pauses between two questions."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from nightdesk.autonomy.actions import Action
from nightdesk.sdk.context import Clock

__all__ = ["Limits", "Pace"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the engine is; times in seconds.

    ``attempts``: requests of one wish. ``answer``: for one call of a connector. ``unreachable``: for a vendor before
    the first request. ``takeover``: how long a request that another process made is left to it.
    ``watch``: how long a late effect of an unverified action is looked for. ``late``: how long after its request an
    effect that was never seen may still come, where the vendor shows no order outstanding. ``doubt``: how long the
    effect of a request whose reply was lost is looked for before one that has no inverse is asked again; half of the
    deadline where that is shorter.
    """

    attempts: int = 3
    answer: float = 120.0
    unreachable: float = 300.0
    takeover: float = 30.0
    watch: float = 7 * 86400.0
    late: float = 600.0
    doubt: float = 60.0


class Pace:
    """When a vendor may be asked again about an action; kept in memory, for asking once more after a crash is free."""

    def __init__(self, clock: Clock, *, first: float = 0.5, most: float = 15.0) -> None:
        self._clock = clock
        self._first = first
        self._most = most
        self._next: dict[str, tuple[datetime, float]] = {}

    def is_due(self, action: Action) -> bool:
        """True when the pause since the last question is over."""
        entry = self._next.get(action.action_id)
        return entry is None or self._clock() >= entry[0]

    def pause(self, action: Action, at_least: float = 0.0) -> None:
        """Each pause is twice the last one, up to ``most``; a vendor's own wish (``at_least``) is kept."""
        last = self._next.get(action.action_id)
        wait = min(self._most, last[1] * 2) if last else self._first
        self._next[action.action_id] = (self._clock() + timedelta(seconds=max(wait, at_least)), wait)

    def forget(self, action: Action) -> None:
        """The action moved on."""
        self._next.pop(action.action_id, None)
