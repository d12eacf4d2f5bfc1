"""Taking an action back: asked of the connector that acted, verified by read-back, and only what we did ourselves."""

import hashlib
from datetime import timedelta

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.clocks import BEHIND, ends_at
from nightdesk.autonomy.ledger import ENGINE, IN_FORCE, Ledger, age, lease_end, same_wish
from nightdesk.autonomy.ownership import (
    decider,
    differs,
    has_passed,
    instead_of_undo,
    is_wanted_still,
    nothing_to_do,
    since,
    successor,
)
from nightdesk.autonomy.pacing import Limits, Pace
from nightdesk.autonomy.routing import (
    DEFINITE,
    Route,
    Router,
    after,
    answer,
    inverse_of,
    previous_values,
    read,
    send,
    wish_of,
)
from nightdesk.sdk.errors import NightdeskError, PolicyError, RateLimitError, UnsupportedError
from nightdesk.sdk.ports import Effect, Reading
from nightdesk.sdk.verbs import verb

__all__ = ["UNDOABLE", "Reversal"]

_S = ActionState
UNDOABLE = IN_FORCE | {_S.UNVERIFIED, _S.CONTRADICTED, _S.EXPIRED, _S.UNDO_FAILED}
"""States in which an undo may be asked for."""
_BEFORE_ANOTHER_ROUND = 60.0
_BETWEEN_LOOKS = 15.0
_FRESH_ROUND = {"undo_attempts": 0, "undo_not_done": 0, "undo_accepted": False, "undo_shown": False}
_NOT_YET = frozenset({_S.PROPOSED, _S.AWAITING_APPROVAL})


class Reversal:
    """Undo requests and their way to *undone*. No guard stops them: the way back stays open."""

    def __init__(self, ledger: Ledger, router: Router, pace: Pace, limits: Limits) -> None:
        self._ledger = ledger
        self._router = router
        self._pace = pace
        self._limits = limits
        self._ours: set[str] = set()

    def request(self, action: Action, *, actor: str, reason: str) -> Action:
        """Journals the undo; what is undone or being undone stays as it is.

        A wish for what was so before us is over as well, or it would keep the target so when nobody wants it any more.
        """
        if action.state in {_S.UNDONE, _S.UNDO_REQUESTED}:
            return action
        wanted = verb(action.verb)
        if not wanted.inverse and action.state in UNDOABLE and action.changed is False:
            return action
        if not wanted.inverse:
            raise UnsupportedError(f"{action.verb} cannot be undone: {wanted.no_inverse}")
        if action.state not in UNDOABLE:
            raise PolicyError(f"{action.action_id} is {action.state}: {instead_of_undo(action)}")
        for repeat in self._repeats(action):
            self._end(repeat, actor=actor, reason=reason)
        now = self._ledger.clock()
        self._ours.add(action.action_id)
        self._pace.forget(action)
        return self._ledger.move(
            action,
            _S.UNDO_REQUESTED,
            reason,
            actor=actor,
            result={"undo_round": int(action.result.get("undo_round", 0)) + 1, **_FRESH_ROUND},
            undo_requested_at=now,
            deadline=now + timedelta(seconds=self._limits.unreachable),
        )

    def _repeats(self, action: Action) -> list[Action]:
        """What carries on the wish of an action whose effect was ended by a late one."""
        if action.state is not _S.CONTRADICTED:
            return []
        return [other for other in self._ledger.rivals(action) if other.result.get("repeats") == action.action_id]

    def _end(self, repeat: Action, *, actor: str, reason: str) -> None:
        if repeat.state in _NOT_YET | {_S.APPROVED}:
            self._ledger.move(repeat, _S.CANCELLED, reason, actor=actor, error=reason)
        else:
            self.request(repeat, actor=actor, reason=reason)

    async def advance(self, action: Action) -> Action:
        """Undo requested: look, ask, read back."""
        if action.changed is False:
            return self._done(action, "it was so before us: left as it is")
        sent = int(action.result.get("undo_attempts", 0))
        if not sent:
            rivals = self._rivals(action)
            newer = [other for other in rivals if age(other) > age(action)]
            if any(other.state in {_S.APPROVED, _S.EXPIRED, _S.UNDO_REQUESTED} for other in newer) or any(
                self._ledger.in_flight(other) for other in rivals
            ):
                return action  # the newer one settles first; this one then sees what it left
            wish = decider(action, rivals)
            if wish is not None:
                return self._hand_over(action, wish)
        if not self._pace.is_due(action):
            return action
        return await (self._follow(action) if sent else self._begin(action))

    async def _begin(self, action: Action) -> Action:
        """Not asked yet: undo only what is still so, and still ours."""
        try:
            route = await self.route_back(action)
            # What was never seen in effect may still come: the inverse goes out whatever is read now.
            before = await self._look(action, route) if action.effective_at else None
            gone = before is not None and before.effect is Effect.NOT_IN_EFFECT
            coming = gone and (await self.read_inverse(action, route)).effect is Effect.PENDING
        except DEFINITE as error:
            return self._fail(action, str(error))
        except NightdeskError as error:
            return self._wait(action, str(error), after(error))
        if coming or (before is not None and not _is_news(before, action)):
            return self._wait(action, "")  # also where an earlier round's order is on its way: nobody else took it back
        note = nothing_to_do(action, before) if before is not None else ""
        if note:
            return self._done(action, note)
        return await self._send(action, route) if self._is_ours(action) else action

    async def _follow(self, action: Action) -> Action:
        """Asked: read back, ask again if the request got lost, give up at the deadline."""
        try:
            route = await self.route_back(action)
            reading = await self.read_inverse(action, route)
        except NightdeskError as error:
            return self._wait(action, str(error), after(error))
        if not _is_news(reading, action):
            return self._wait(action, "")
        if reading.effect is Effect.IN_EFFECT:
            return await self._shown(action, route)
        if action.result.get("undo_shown"):
            return self._came_late(action)
        accepted = bool(action.result.get("undo_accepted"))
        if reading.effect is Effect.FAILED and accepted:
            return self._fail(action, f"{route.instance} accepted the undo and reports that it failed")
        if reading.effect in {Effect.NOT_IN_EFFECT, Effect.FAILED} and not accepted and self._may_repeat(action):
            return await self._send(action, route)
        return self._wait(action, "")

    async def _shown(self, action: Action, route: Route) -> Action:
        """Read back; where the effect was never seen that proves nothing as long as it may still come."""
        asked_at = action.requested_at
        if (
            action.effective_at is not None
            or asked_at is None
            or any(
                age(other) > age(action) and same_wish(other, action) and other.state not in _NOT_YET
                for other in self._rivals(action)
            )
        ):
            return self._done(action, "undone and read back")
        passed = (self._ledger.clock() - asked_at).total_seconds()
        if passed >= self._limits.late and not await self._is_outstanding(action, route, passed):
            return self._done(action, "undone and read back, and it did not come late")
        self._pace.pause(action, max(_BETWEEN_LOOKS, min(900.0, passed / 10)))
        if action.result.get("undo_shown"):
            return action
        note = f"read back; it was never seen in effect, so it is watched until {self._limits.late:g} s after it"
        return self._ledger.move(action, _S.UNDO_REQUESTED, note, result={"undo_shown": True})

    async def _is_outstanding(self, action: Action, route: Route, passed: float) -> bool:
        """Whether the vendor still has our first order, say for a host that is switched off."""
        if passed >= self._limits.watch or route.action_manifest.accept_only:
            return False
        try:
            return (await self._look(action, route)).effect is Effect.PENDING
        except NightdeskError:
            return True

    def _came_late(self, action: Action) -> Action:
        """It took effect after its undo: what is there now is undone, in a round of its own."""
        if any(self._ledger.in_flight(other) for other in self._rivals(action)):
            return action
        now = self._ledger.clock()
        return self._ledger.move(
            action,
            _S.UNDO_REQUESTED,
            "it took effect late",
            result={"undo_round": int(action.result.get("undo_round", 0)) + 1, **_FRESH_ROUND},
            effective_at=now,
            undo_requested_at=now,
            deadline=now + timedelta(seconds=self._limits.unreachable),
        )

    async def recheck(self, action: Action) -> bool:
        """True when an undo that was given up has taken effect after all."""
        route = await self.route_back(action)
        reading = await self.read_inverse(action, route)
        return reading.effect is Effect.IN_EFFECT

    def finish_late(self, action: Action) -> Action:
        """The undo took effect after it was given up."""
        return self._done(action, "the undo took effect late")

    def may_try_again(self, action: Action) -> bool:
        """A failed undo is tried again by the engine a few times before only a person can.

        One that would bring back what is undone itself is only watched: its order may come yet.
        """
        return action.changed is not False and int(action.result.get("undo_round", 0)) < self._limits.attempts

    def is_wanted(self, action: Action) -> bool:
        """Whether another wish keeps the state by now; then an undo that was sent is only watched, for it may come."""
        return decider(action, self._rivals(action)) is not None

    async def route_back(self, action: Action) -> Route:
        """The connector that acted, for the inverse."""
        inverse = verb(action.verb).inverse
        found = self._router.route_to(action.tenant, action.instance, inverse, action.target, action.native_id)
        return await answer(found, operation="route", within=self._limits.answer)

    async def read_inverse(self, action: Action, route: Route) -> Reading:
        """Whether the inverse is in effect. Where only the action itself can be read, its absence."""
        now = self._ledger.clock()
        if not route.action_manifest.accept_only:
            return await read(route, inverse_of(action, route, now, _key(action)), within=self._limits.answer)
        reading = await self._look(action, route)
        effect = Effect.IN_EFFECT if reading.effect is Effect.NOT_IN_EFFECT else Effect.UNKNOWN
        return Reading(effect, reading.observed_at, reading.state, reading.native_state)

    async def _look(self, action: Action, route: Route) -> Reading:
        return await read(route, wish_of(action, route, self._ledger.clock()), within=self._limits.answer)

    async def _send(self, action: Action, route: Route) -> Action:
        if verb(action.verb).inverse == action.verb and not previous_values(action, route):
            return self._fail(action, "the state before is not known: set it by hand")
        now = self._ledger.clock()
        action = self._ledger.set_out(
            action,
            _S.UNDO_REQUESTED,
            f"asking {route.instance}",
            at=action.instance,
            result={"undo_attempts": int(action.result.get("undo_attempts", 0)) + 1},
            deadline=now + timedelta(seconds=route.action_manifest.deadline),
        )
        self._ours.add(action.action_id)
        not_done = int(action.result.get("undo_not_done", 0))
        try:
            receipt = await send(route, inverse_of(action, route, now, _key(action)), within=self._limits.answer)
        except RateLimitError as error:
            self._pace.pause(action, error.retry_after)
            return self._ledger.move(action, _S.UNDO_REQUESTED, str(error), result={"undo_not_done": not_done + 1})
        except DEFINITE as error:
            if int(action.result["undo_attempts"]) == not_done + 1:
                return self._fail(action, str(error))
            return self._ledger.move(action, _S.UNDO_REQUESTED, str(error), result={"undo_accepted": True})
        except NightdeskError as error:
            self._pace.pause(action)
            return self._ledger.move(action, _S.UNDO_REQUESTED, f"the reply got lost: {error}")
        action = self._ledger.move(
            action,
            _S.UNDO_REQUESTED,
            "accepted",
            result={"undo_accepted": True, "undo_native_action_id": receipt.native_action_id},
        )
        return await self._follow(action)

    def _may_repeat(self, action: Action) -> bool:
        lost = int(action.result.get("undo_attempts", 0)) - int(action.result.get("undo_not_done", 0))
        return lost < self._limits.attempts and self._is_ours(action)

    def _is_ours(self, action: Action) -> bool:
        """Requested by this process, or left lying long enough by another."""
        waited = self._ledger.clock() - action.updated_at >= timedelta(seconds=self._limits.takeover)
        return action.action_id in self._ours or waited

    def _hand_over(self, action: Action, wish: Action) -> Action:
        """Another wish keeps the state."""
        if same_wish(wish, action) and wish.state in IN_FORCE and wish.changed is False:
            self._take_over(wish, action)
        return self._done(action, f"left as it is: {wish.action_id}, generation {wish.generation}, decides now")

    def _settle_heir(self, action: Action) -> None:
        """Who came next owes what this one owed, so that no later undo brings back an effect that nobody wants.

        Its move comes before the end of this one: after a crash between them this one finds it made.
        """
        for other in self._ledger.rivals(action):
            if has_passed(other, self._ledger.clock()):
                self.request(other, actor=ENGINE, reason="its time is over, and it found it so")
        rivals = self._rivals(action)
        heir = successor(action, rivals)
        if heir is None or action.changed is False:
            return
        if same_wish(heir, action):
            if heir.state in IN_FORCE and heir.changed is False:
                self._take_over(heir, action)
        elif heir.changed is not False and not is_wanted_still(action, heir, rivals):
            # Without us the target had been as we found it: that is what its undo gives back.
            self._ledger.move(
                heir,
                heir.state,
                f"what it ended, {action.action_id}, is undone",
                result={"beside": action.action_id},
                changed=differs(heir, action.pre_state),
                pre_state=action.pre_state,
            )

    def _rivals(self, action: Action) -> list[Action]:
        """What another connector does to the target holds nothing up at this one: after a swap both may act."""
        now = self._ledger.clock()
        there = [other for other in self._ledger.rivals(action) if other.instance in {"", action.instance}]
        return [other for other in there if not has_passed(other, now)]

    def _take_over(self, wish: Action, action: Action) -> None:
        """It wants the same: our lease and undo are its own now, for as long as it was asked for."""
        now = self._ledger.clock()
        start = since(action) or now
        until = wish.lease_until or lease_end(wish, wish.effective_at or now)
        end = ends_at(action)
        if until is None and end is not None:
            until = end + BEHIND  # the vendor's clock runs for whoever wants it
        self._ledger.move(
            wish,
            _S.LEASED if until and wish.state is _S.EFFECTIVE else wish.state,
            f"takes over from {action.action_id}",
            result={
                **{
                    name: action.result.get(name, none)
                    for name, none in (("state", {}), ("ends_at", ""), ("vendor", ""))
                },
                "since": start.isoformat(),
            },
            changed=True,
            pre_state=action.pre_state,
            instance=action.instance,
            native_id=action.native_id,
            lease_until=until,
        )

    def _done(self, action: Action, note: str) -> Action:
        self._settle_heir(action)
        self._ours.discard(action.action_id)
        self._pace.forget(action)
        return self._ledger.move(
            action, _S.UNDONE, note, result={"undo": note}, undone_at=self._ledger.clock(), error=""
        )

    def _fail(self, action: Action, error: str) -> Action:
        self._ours.discard(action.action_id)
        self._pace.pause(action, _BEFORE_ANOTHER_ROUND)
        return self._ledger.settle(action, _S.UNDO_FAILED, f"not undone: {error}")

    def _wait(self, action: Action, why: str, at_least: float = 0.0) -> Action:
        if action.deadline is not None and self._ledger.clock() >= action.deadline:
            return self._fail(action, f"no read-back showed it before the deadline{': ' if why else ''}{why}")
        self._pace.pause(action, at_least)
        return action


def _is_news(reading: Reading, action: Action) -> bool:
    return action.undo_requested_at is not None and reading.observed_at > action.undo_requested_at


def _key(action: Action) -> str:
    """One key a round: a round that failed at the vendor must not swallow the next one."""
    parts = (action.idempotency_key, "undo", str(action.result.get("undo_round", 1)))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
