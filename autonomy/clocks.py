"""Vendors' own clocks: effects that a vendor ends by itself, sooner or later than the lease that we owe.

When an effect ends is what the connector tells (``ends_at``), or the duration that was asked for. Where the lease is
longer, the vendor is asked again in time: the same wish under a key of its own for each renewal, journalled before it
is sent (law 4) and believed when it is read back (law 5). What the vendor ended is told as that, never as our undo.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState, StaleActionError
from nightdesk.autonomy.admission import Guard, standing_refusal
from nightdesk.autonomy.leaving import KeptInError, bound_for, leave
from nightdesk.autonomy.ledger import Ledger
from nightdesk.autonomy.pacing import Limits, Pace
from nightdesk.autonomy.routing import DEFINITE, Route, Router, after, answer, read, wish_of
from nightdesk.autonomy.switches import Brake, Word
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.manifest import OwnClock
from nightdesk.sdk.ports import Command, Effect, Reading

__all__ = ["BEHIND", "BY_VENDOR", "VendorClocks", "ended_by_vendor", "ends_at", "told_end"]

_S = ActionState
_LEASED = frozenset({_S.LEASED, _S.RENEWED})
BY_VENDOR = "ended by the vendor's clock"
BEHIND = timedelta(seconds=5)
"""A lease that is as long as the vendor's clock ends that much later: the vendor goes first."""
_EVERY = timedelta(seconds=5)  # between two looks at what is leased
_WORTH = timedelta(seconds=60)  # a lease that is longer by no more than this is not worth a request
_SOONEST, _LATEST, _SHARE = 30.0, 600.0, 0.2  # seconds, seconds, part of the clock's time: how early it is renewed


def told_end(action: Action, state: Mapping[str, Any], clock: OwnClock | None) -> str:
    """When the vendor ends it: by the state that was read, by the receipt, or by the duration asked for. ISO 8601."""
    evidence = action.result.get("evidence")
    receipt = evidence if isinstance(evidence, Mapping) else {}
    for told in (state.get("ends_at"), receipt.get("ends_at")):
        if _moment(told) is not None:
            return str(told)
    asked = action.parameters.get("duration")
    known = isinstance(asked, int | float) and not isinstance(asked, bool)
    if clock is None or action.requested_at is None or not (known or clock.seconds):
        return ""
    seconds = float(asked) if known and clock.duration and isinstance(asked, int | float) else clock.seconds
    return "" if seconds is None else (action.requested_at + timedelta(seconds=seconds)).isoformat()


def ends_at(action: Action) -> datetime | None:
    """When the vendor's clock ends the effect, as recorded; None when none does."""
    return _moment(action.result.get("ends_at"))


def ended_by_vendor(action: Action, at: datetime) -> bool:
    """Whether what is no longer there was the vendor's to end by then."""
    end = ends_at(action)
    return end is not None and at >= end


class VendorClocks:
    """What is leased at a vendor that has a clock of its own."""

    def __init__(
        self, ledger: Ledger, router: Router, pace: Pace, limits: Limits, guards: Sequence[Guard], brake: Brake
    ) -> None:
        self._ledger = ledger
        self._router = router
        self._pace = pace
        self._limits = limits
        self._guards = tuple(guards)
        self._brake = brake
        self._next: datetime | None = None

    def due(self) -> list[Action]:
        """The leased actions whose vendor's clock wants something now; asked of the journal now and then only."""
        now = self._ledger.clock()
        if self._next is not None and now < self._next:
            return []
        self._next = now + _EVERY
        return [one for one in self._ledger.journal.in_state(tuple(_LEASED)) if self._wants(one, now)]

    async def tend(self, action: Action) -> Action:
        """Renews it, says that it cannot be, or notes that the vendor ended it; unchanged when nothing is due."""
        now = self._ledger.clock()
        if action.state not in _LEASED or not self._wants(action, now) or not self._pace.is_due(action):
            return action
        try:
            found = self._router.route_to(action.tenant, action.instance, action.verb, action.target, action.native_id)
            route = await answer(found, operation="route", within=self._limits.answer)
            if ended_by_vendor(action, now):
                return await self._over(action, route)
            clock = route.action_manifest.own_clock
            if clock is None or not clock.renewable:
                return self._lose(action, f"{route.instance} cannot renew it")
            if not _is_near(action, now):
                return self._note(action, "the vendor's clock can be renewed", {"clock": True})
            return await self._renew(action, route, clock)
        except DEFINITE as error:
            return self._lose(action, str(error))
        except NightdeskError as error:
            self._pace.pause(action, after(error))
            return action

    def _wants(self, action: Action, now: datetime) -> bool:
        end = ends_at(action)
        if end is None or action.lease_until is None:
            return False
        if now >= end:
            return True
        longer = action.lease_until > end + _WORTH and not action.result.get("clock_lost")
        # What cannot be renewed is told as soon as it is known, not when it is too late.
        return longer and (not action.result.get("clock") or _is_near(action, now))

    async def _over(self, action: Action, route: Route) -> Action:
        """The clock has run out: what the vendor's state says now, decides."""
        reading = await self._look(action, route)
        if reading.effect is Effect.NOT_IN_EFFECT:
            if action.lease_until is not None and action.lease_until > self._ledger.clock() + _WORTH:
                self._ledger.call_person(
                    replace(action, state=_S.EXPIRED),
                    f"{action.verb} of {action.target.key}: {BY_VENDOR}, before the lease of ours was over",
                )
            return self._note(action, BY_VENDOR, {"ended_by": "vendor"}, to=_S.EXPIRED)
        later = _moment(reading.state.get("ends_at"))
        if later is not None and later > self._ledger.clock():
            return self._note(action, "it lasts longer", {"ends_at": later.isoformat()})
        self._pace.pause(action)
        return action

    async def _renew(self, action: Action, route: Route, clock: OwnClock) -> Action:
        why = standing_refusal(self._guards, action, route, self._ledger.clock())
        if why:
            return self._hold(action, why)
        said = self._brake(bound_for(action, route))
        if said.word is not Word.GO:
            return self._hold(action, said.why)
        now = self._ledger.clock()
        # A request whose reply got lost is repeated under its own key, and is one renewal.
        count = int(action.result.get("renewals", 0)) + (0 if action.result.get("renewing") else 1)
        sent = action.result.get("renewing") or now.isoformat()
        action = self._note(action, f"renewal {count}", {"renewals": count, "renewing": sent})
        command = self._command(action, route, clock, count, datetime.fromisoformat(str(sent)))
        try:
            receipt = await leave(self._brake, action, route, command, within=self._limits.answer)
        except KeptInError as error:
            return self._hold(action, str(error))
        reading = await self._look(action, route)
        before = ends_at(action)
        told = [_moment(reading.state.get("ends_at")), _moment(receipt.evidence.get("ends_at"))]
        end = max((one for one in told if one is not None), default=None)
        if reading.effect is not Effect.IN_EFFECT or end is None or (before is not None and end <= before):
            self._pace.pause(action)
            return action
        self._pace.forget(action)
        return self._note(
            action,
            f"the vendor's clock runs until {end.isoformat()}",
            {"ends_at": end.isoformat(), "renewing": "", "renewed_at": now.isoformat()},
        )

    def _command(self, action: Action, route: Route, clock: OwnClock, count: int, at: datetime) -> Command:
        wish = wish_of(action, route, at)
        parts = (action.idempotency_key, "renewal", str(count))
        left = (action.lease_until - at).total_seconds() if action.lease_until else 0.0
        parameters = dict(wish.parameters)
        if clock.duration:
            parameters["duration"] = max(1, round(min(left, clock.most or left)))
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return replace(wish, idempotency_key=key, requested_at=at, parameters=parameters, renewal=count)

    async def _look(self, action: Action, route: Route) -> Reading:
        return await read(route, wish_of(action, route, self._ledger.clock()), within=self._limits.answer)

    def _hold(self, action: Action, why: str) -> Action:
        """A guard says no for now: told once, and asked again until the clock has run out."""
        self._pace.pause(action)
        if action.result.get("clock_held") == why:
            return action
        self._ledger.call_person(action, f"{action.verb} of {action.target.key} is not renewed at the vendor: {why}")
        return self._note(action, f"not renewed: {why}", {"clock_held": why})

    def _lose(self, action: Action, why: str) -> Action:
        """Said once, until a person renews the lease: the effect ends with the vendor's clock, whatever was leased."""
        if action.result.get("clock_lost"):
            self._pace.pause(action)
            return action
        end = ends_at(action)
        text = f"{action.verb} of {action.target.key} ends at {end and end.isoformat()}, before its lease: {why}"
        self._ledger.call_person(action, text)
        losses = tuple(sorted({*action.losses, "lease: the vendor's own clock is shorter"}))
        return self._note(action, text, {"clock_lost": why}, losses=losses)

    def _note(
        self, action: Action, note: str, result: Mapping[str, Any], *, to: ActionState | None = None, **changes: Any
    ) -> Action:
        """Written beside what others wrote while the vendor was asked (a second source, a person), never over it."""
        fresh = self._ledger.fresh(action)
        if fresh.state is not action.state:
            raise StaleActionError(f"{action.action_id} is {fresh.state} by now: its clock is nobody's concern")
        return self._ledger.move(fresh, to or fresh.state, note, result=result, **changes)


def _is_near(action: Action, now: datetime) -> bool:
    end = ends_at(action)
    return end is not None and now >= end - _lead(action)


def _lead(action: Action) -> timedelta:
    """How long before its end a clock is renewed."""
    end = ends_at(action)
    begin = _moment(action.result.get("renewed_at")) or action.effective_at
    if end is None or begin is None:
        return timedelta(seconds=_LATEST)
    return timedelta(seconds=min(_LATEST, max(_SOONEST, _SHARE * (end - begin).total_seconds())))


def _moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) and value else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
