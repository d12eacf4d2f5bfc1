"""What really happened to each thing at each vendor, seen from the simulators: orders, changes, and by whom."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.schedules.vendors import Truth, place_of
from tests.schedules.wire import Asked, current

__all__ = ["Event", "Slot"]


_SOMEBODY = "somebody else"


@dataclass(frozen=True, slots=True)
class Event:
    """One order that took effect. ``flip``: it changed something; ``asked_at`` may be long before ``at``.

    ``by`` is the action that it was done for and ``key`` its idempotency key; both empty when it was somebody else.
    """

    at: datetime
    asked_at: datetime
    on: bool
    flip: bool
    by: str = ""
    key: str = ""
    case_before: bool | None = None
    """Who had made it so when this was asked: True when it was somebody else."""


@dataclass
class _Order:
    order: Any
    asked_at: datetime
    by: str
    key: str
    theirs: bool


@dataclass
class Slot:
    """One thing at one instance, followed through a story."""

    tenant: str
    instance: str
    truth: Truth
    on: bool = False
    events: list[Event] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    asked: int = 0
    """Orders of ours that the vendor took."""
    _seen: int = 0
    _open: list[_Order] = field(default_factory=list)
    _last: dict[bool, tuple[str, str, datetime]] = field(default_factory=dict)

    def begin(self) -> None:
        """From here on everything is somebody's doing."""
        self.truth.settle()
        self.on = self.truth.is_on()
        self._seen = len(self.truth.orders())
        self.initial = self.on

    @property
    def last_flip(self) -> Event | None:
        """What made it as it is."""
        return next((event for event in reversed(self.events) if event.flip), None)

    @property
    def is_busy(self) -> bool:
        """Whether an order is still to take effect or fail."""
        return any(not (one.order.done or one.order.failed) for one in self._open)

    def overtaken(self, event: Event) -> bool:
        """Whether the same order was done before: asked, its fate not known, asked again, and both came in the end."""
        return any(
            other.key == event.key and event.asked_at != other.asked_at and other.at <= event.at
            for other in self.events
            if other.key and other is not event
        )

    def outstanding(self, at: datetime) -> bool:
        """Whether something of ours was asked before then and done after it."""
        return any(event.by and event.asked_at <= at <= event.at for event in self.events)

    def look(self, now: datetime, *, by_hand: bool = False) -> None:
        """Notes what was asked and what has taken effect since the last look."""
        asked = None if by_hand else current()
        if self.truth.ordered:
            self._orders(now, asked, by_hand=by_hand)
        else:
            self._state(now, asked, by_hand=by_hand)

    def _mine(self, asked: Asked | None) -> tuple[str, str]:
        if asked is None or asked.kind != "act" or asked.command is None:
            return ("", "")
        mine = (self.tenant, self.instance, place_of(self.truth.thing.target))
        same = (asked.tenant, asked.instance, place_of(asked.command.target)) == mine
        return (asked.command.action_id, asked.command.idempotency_key) if same else ("", "")

    def _orders(self, now: datetime, asked: Asked | None, *, by_hand: bool) -> None:
        orders = self.truth.orders()
        flipped = self.last_flip
        theirs = flipped is not None and not flipped.by if flipped else self.on
        for order in orders[self._seen :]:
            by, key = self._mine(asked)
            if not by and not by_hand:
                self.unexplained.append(f"{order.kind} of {self.truth.thing.target.key}: asked by nobody ({asked})")
            self.asked += bool(by)
            self._open.append(_Order(order, now, by, key, theirs))
        self._seen = len(orders)
        done = [one for one in self._open if one.order.done]
        # As the simulators carry them out: by when they fall due, then as they were asked.
        for one in sorted(done, key=lambda one: getattr(one.order, "due", None) or now):
            on = self.truth.wants_on(one.order)
            self._note(Event(now, one.asked_at, on, on != self.on, one.by, one.key, one.theirs))
        self._open = [one for one in self._open if not (one.order.done or one.order.failed)]
        if not self.truth.one_way and self.truth.is_on() != self.on:
            self.unexplained.append(f"{self.truth.thing.target.key} at {self.instance} is {self.truth.is_on()}")
            self.on = self.truth.is_on()

    def _state(self, now: datetime, asked: Asked | None, *, by_hand: bool) -> None:
        by, key = self._mine(asked)
        wants = None
        if by and asked is not None and asked.command is not None:
            command = asked.command
            wants = (
                command.parameters.get("status") == "closed" if "alert" in command.verb else "un" not in command.verb
            )
            if self._last.get(wants, ("", "", now))[1] != key:
                self._last[wants] = (by, key, now)
        on = self.truth.is_on()
        if by_hand:
            self._note(Event(now, now, on, on != self.on))
            self._last = {True: ("", _SOMEBODY, now), False: ("", _SOMEBODY, now), **self._last}
        elif on != self.on:
            flipped = self.last_flip
            theirs = not flipped.by if flipped else self.on
            by, key, asked_at = self._last.get(on, ("", "", now))
            if not key:
                self.unexplained.append(f"{self.truth.thing.target.key} at {self.instance} became {on} by nobody")
            self.asked += bool(by)
            self._note(Event(now, asked_at, on, True, by, key if by else "", theirs))

    def _note(self, event: Event) -> None:
        if self.truth.one_way and event.flip is False and event.by:
            event = Event(event.at, event.asked_at, event.on, True, event.by, event.key, event.case_before)
        self.events.append(event)
        self.on = event.on
