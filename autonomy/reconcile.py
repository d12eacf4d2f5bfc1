"""What keeps a target at its newest wish: one change in flight, newer before older, late effects put right."""

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.approving import Approvals
from nightdesk.autonomy.clocks import VendorClocks
from nightdesk.autonomy.dispatch import Dispatch, is_later
from nightdesk.autonomy.ledger import ENGINE, IN_FORCE, Ledger, age, same_wish
from nightdesk.autonomy.ownership import has_passed
from nightdesk.autonomy.pacing import Limits, Pace
from nightdesk.autonomy.proposals import Proposals
from nightdesk.autonomy.reversal import Reversal
from nightdesk.autonomy.routing import read, wish_of
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.ports import Effect
from nightdesk.sdk.verbs import verb

__all__ = ["ACTIVE", "WATCHED", "Reconcile"]

_S = ActionState
ACTIVE = (_S.PROPOSED, _S.APPROVED, _S.REQUESTED, _S.ACCEPTED, _S.PENDING, _S.UNDO_REQUESTED)
"""What the engine moves on by itself."""
WATCHED = (_S.UNVERIFIED, _S.UNDO_FAILED)
"""What may still take effect late."""


class Reconcile:
    """One step of one action, seen among the others of its target."""

    def __init__(  # its parts, each made by the engine
        self,
        ledger: Ledger,
        pace: Pace,
        limits: Limits,
        proposals: Proposals,
        dispatch: Dispatch,
        reversal: Reversal,
        approvals: Approvals,
        clocks: VendorClocks,
    ) -> None:
        self._ledger = ledger
        self._pace = pace
        self._limits = limits
        self._proposals = proposals
        self._dispatch = dispatch
        self._reversal = reversal
        self._approvals = approvals
        self._clocks = clocks

    async def step(self, action: Action) -> Action:
        """Moves the action on as far as it goes now."""
        if action.state is _S.PROPOSED:
            action = self._proposals.start(action)
        if action.state is _S.AWAITING_APPROVAL:
            return await self._approvals.tend(action)
        if action.state is _S.APPROVED:
            return await self._start(action)
        if action.state in {_S.REQUESTED, _S.ACCEPTED, _S.PENDING}:
            return await self._dispatch.follow(action)
        if action.state is _S.UNDO_REQUESTED:
            return await self._reversal.advance(action)
        if action.state in WATCHED:
            return await self._watch(action)
        if action.state in {_S.LEASED, _S.RENEWED}:
            return await self._clocks.tend(action)
        return action

    async def _start(self, action: Action) -> Action:
        rivals = self._ledger.rivals(action)
        newer = [other for other in rivals if age(other) > age(action)]
        decided = {*IN_FORCE, _S.APPROVED, _S.REQUESTED, _S.ACCEPTED, _S.PENDING, _S.UNVERIFIED, _S.CONTRADICTED}
        if verb(action.verb).reversible:
            for other in newer:
                if other.state in decided and not same_wish(other, action):
                    note = f"superseded by {other.action_id}, generation {other.generation}"
                    return self._ledger.move(action, _S.CANCELLED, note, error=note)
        if any(self._ledger.in_flight(other) for other in rivals) or not self._pace.is_due(action):
            return action
        return await self._dispatch.start(action)

    async def _watch(self, action: Action) -> Action:
        """Unverified, or an undo that failed: look now and then whether it happened after all."""
        if not self._pace.is_due(action):
            return action
        waiting = (self._ledger.clock() - (action.deadline or action.updated_at)).total_seconds()
        if waiting > self._limits.watch:
            return action
        self._pace.pause(action, min(900.0, max(1.0, waiting / 10)))
        if any(self._ledger.in_flight(other) for other in self._ledger.rivals(action)):
            return action
        try:
            if action.state is _S.UNDO_FAILED:
                return await self._watch_undo(action)
            return await self._watch_effect(action)
        except NightdeskError:
            return action  # a person was told already; the next look may be luckier

    async def _watch_undo(self, action: Action) -> Action:
        if await self._reversal.recheck(action):
            await self._restore_newest(action)
            if action.changed is False:  # what it brings back is undone itself by now
                self._proposals.repeat(action, "its undo took effect late, and nobody wants that", passing=True)
            return self._reversal.finish_late(action)
        if self._reversal.may_try_again(action) and not self._reversal.is_wanted(action):
            return self._reversal.request(action, actor=ENGINE, reason="tried again")
        return action

    async def _watch_effect(self, action: Action) -> Action:
        route = await self._dispatch.route_back(action)
        if route.action_manifest.accept_only:
            return action
        reading = await read(route, wish_of(action, route, self._ledger.clock()), within=self._limits.answer)
        if not is_later(reading, action):
            return action
        if reading.effect is Effect.FAILED and action.accepted_at is not None:
            return self._ledger.settle(action, _S.FAILED, f"{route.instance} reports that it failed")
        if reading.effect is not Effect.IN_EFFECT:
            return action
        newer = [other for other in self._ledger.rivals(action) if age(other) > age(action)]
        # A newer equal wish that found it so, or on its way, made no change of its own.
        theirs = any(other.state in IN_FORCE and other.changed and same_wish(other, action) for other in newer)
        await self._restore_newest(action)
        clock = route.action_manifest.own_clock
        return self._dispatch.in_effect(action, reading, by_us=not theirs, clock=clock)

    async def _restore_newest(self, late: Action) -> None:
        """What took effect late may have undone a newer wish: that one is repeated as a new generation.

        It is repeated before the late one is moved, so that a crash between finds the late one again.
        """
        now = self._ledger.clock()
        newer = [one for one in self._ledger.rivals(late) if age(one) > age(late) and not has_passed(one, now)]
        newest = newer[-1] if newer else None
        if newest is None or newest.state not in IN_FORCE | {_S.UNVERIFIED}:
            return
        route = await self._dispatch.route_back(newest)
        if route.action_manifest.accept_only:
            return
        reading = await read(route, wish_of(newest, route, now), within=self._limits.answer)
        if reading.effect is not Effect.NOT_IN_EFFECT:
            return
        why = f"{late.action_id}, generation {late.generation}, took effect late and undid it"
        self._proposals.repeat(newest, why)
        self._ledger.settle(newest, _S.CONTRADICTED, why)
