"""The way of an approved action to the vendor and back: pre-state, journal, request, read-back.

The journal says *requested* before the vendor hears of it (law 4), and *effective* only what a read-back later than the
request has shown (law 5). A reply that was lost is answered by reading, and only then by asking once more. The brake
is asked before the request is journalled, and again at the very moment it leaves: what was stopped between does not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.admission import Counsel, Dispatching, Guard, acts_alone, losses, standing_refusal, weigh
from nightdesk.autonomy.approving import Approvals
from nightdesk.autonomy.clocks import BEHIND, told_end
from nightdesk.autonomy.leaving import KeptInError, bound_for, leave
from nightdesk.autonomy.ledger import Ledger, lease_end, lost_requests, same_wish
from nightdesk.autonomy.pacing import Limits, Pace
from nightdesk.autonomy.routing import DEFINITE, Route, Router, after, answer, evidence_of, read, wish_of
from nightdesk.autonomy.surroundings import Lookout, Surroundings
from nightdesk.autonomy.switches import Brake, Clearance, Word
from nightdesk.sdk.errors import NightdeskError, PolicyError, RateLimitError
from nightdesk.sdk.manifest import OwnClock
from nightdesk.sdk.ports import Effect, Reading, Receipt
from nightdesk.sdk.verbs import Risk, verb

__all__ = ["Dispatch", "is_later"]

Shadow = Callable[[Action], str]
"""Asked first: why no vendor is to hear of that action at all, or nothing."""

_S = ActionState
_TELLING = frozenset({"source", "ticketing", "chat", "siem"})
"""Roles whose verbs tell or ask, and that are many: what let one of them go is journalled only when nothing did."""
_ON_ITS_WAY = "somebody else's order is on its way: what comes of it is not ours"


def no_shadow(action: Action) -> str:  # noqa: ARG001  # the form of a Shadow
    """Every action may go to its vendor."""
    return ""


class Dispatch:
    """Moves one action from approved to settled, as far as it goes now."""

    def __init__(  # its parts, each made by the engine
        self,
        ledger: Ledger,
        router: Router,
        pace: Pace,
        limits: Limits,
        guards: Sequence[Guard],
        approvals: Approvals,
        brake: Brake,
        lookout: Lookout | None = None,
        shadow: Shadow = no_shadow,
    ) -> None:
        self._ledger = ledger
        self._approvals = approvals
        self._router = router
        self._pace = pace
        self._limits = limits
        self._guards = tuple(guards)
        self._brake = brake
        self._lookout = lookout
        self._shadow = shadow
        self._ours: set[str] = set()

    async def start(self, action: Action) -> Action:
        """Approved: find the connector, read the state before, journal the request, send it."""
        why = self._shadow(action)
        if why:
            return self._ledger.move(action, _S.CANCELLED, why, error=why)
        try:
            found = self._router.route(action.tenant, action.verb, action.target, action.instance or None)
            route = await answer(found, operation="route", within=self._limits.answer)
            lost = losses(action, route)
            otherwise = self._approvals.otherwise(action, route, lost)
            if otherwise:
                return self._approvals.ask_again(action, otherwise, route, lost)
            before = None
            if not route.action_manifest.accept_only:
                before = await self._read(replace(action, losses=lost), route)
            if before is not None and before.effect is Effect.UNKNOWN and acts_alone(action):
                raise PolicyError(f"{route.instance} cannot say how {action.target.key} is now: a person must decide")
        except DEFINITE as error:
            return self._ledger.settle(action, _S.FAILED, str(error))
        except NightdeskError as error:
            return self._not_reached(action, error)
        now = self._ledger.clock()
        facts: dict[str, Any] = {
            "instance": route.instance,
            "native_id": route.native_id,
            "pre_state": dict(before.state) if before else {},
            "losses": lost,
            "error": "",
        }
        if before is not None and before.effect is Effect.IN_EFFECT:
            return self._ledger.move(
                action,
                _S.EFFECTIVE,
                "it was so already: nothing to do, nothing to undo",
                result=evidence_of(before),
                changed=False,
                effective_at=now,
                **facts,
            )
        # From here to *requested* nothing is awaited: what was counted is still so when the request is journalled.
        around = self._lookout.survey(action, route, now) if self._lookout is not None else Surroundings()
        counsel = self._counsel(action, route, around, now)
        fine = not counsel.refusal and not counsel.doubts
        kept = {} if fine and verb(action.verb).role in _TELLING else counsel.to_json(around, now)
        if counsel.refusal:
            return self._ledger.settle(action, _S.CANCELLED, counsel.refusal, result=kept)
        if counsel.doubts:
            return self._ask(action, counsel, kept, route, lost)
        try:
            said = self._brake(bound_for(action, route))
        except NightdeskError as error:
            return self._not_reached(action, error)
        if said.word is not Word.GO:
            return self._held_back(action, said, route, lost)
        theirs = before is not None and before.effect is Effect.PENDING and not self._asked_already(action)
        requested = self._ledger.set_out(
            action,
            _S.REQUESTED,
            _ON_ITS_WAY if theirs else said.why,
            result={"attempts": 1, "not_done": 0, "vendor": route.vendor, **kept},
            changed=False if theirs or "beside" in action.result else None,
            requested_at=now,
            deadline=now + timedelta(seconds=route.action_manifest.deadline),
            **facts,
        )
        return await self._send(requested, route)

    async def follow(self, action: Action) -> Action:
        """Requested, accepted or pending: read back, ask again if the request got lost, give up at the deadline."""
        if action.result.get("accept_only") or not self._pace.is_due(action):
            return action
        try:
            route = await self.route_back(action)
            reading = None if route.action_manifest.accept_only else await self._read(action, route)
        except NightdeskError as error:
            return self._wait(action, str(error), after(error))
        if reading is not None and is_later(reading, action):
            if reading.effect is Effect.IN_EFFECT:
                return self.in_effect(action, reading, clock=route.action_manifest.own_clock)
            if reading.effect is Effect.FAILED and action.accepted_at is not None:
                return self._ledger.settle(
                    action,
                    _S.FAILED,
                    f"{route.instance} accepted it and reports that it failed",
                    result=evidence_of(reading),
                )
            if reading.effect is Effect.PENDING or action.state is _S.ACCEPTED:
                action = self._pending(action, reading)
        if action.state is _S.REQUESTED and self._may_repeat(action, route, reading):
            return await self._repeat(action, route)
        return self._wait(action, str(action.result.get("held", "")))

    async def route_back(self, action: Action) -> Route:
        """The connector that was asked."""
        found = self._router.route_to(action.tenant, action.instance, action.verb, action.target, action.native_id)
        return await answer(found, operation="route", within=self._limits.answer)

    def in_effect(
        self, action: Action, reading: Reading, *, by_us: bool = True, clock: OwnClock | None = None
    ) -> Action:
        """A read-back has shown it; what changed something and was asked for a time, or ends by itself, is leased."""
        # A repeated request may be answered with "already so" because the lost one worked: then it is ours.
        repeated = lost_requests(action) > 1 and not action.result.get("beside")
        changed = by_us and (action.changed is not False or repeated)
        now = self._ledger.clock()
        until = lease_end(action, now) if changed else None
        end = told_end(action, reading.state, clock) if changed else ""
        if changed and end and until is None:
            until = datetime.fromisoformat(end) + BEHIND
        effective = self._ledger.move(
            action,
            _S.EFFECTIVE,
            result={**evidence_of(reading), "ends_at": end} if end else evidence_of(reading),
            changed=changed,
            effective_at=now,
            lease_until=until,
            error="",
        )
        self._pace.forget(action)
        self._ours.discard(action.action_id)
        return self.lease(effective)

    def lease(self, action: Action) -> Action:
        """An effective action with an end is leased; separate, for a crash may come between."""
        if action.state is _S.EFFECTIVE and action.lease_until is not None:
            return self._ledger.move(action, _S.LEASED, f"until {action.lease_until.isoformat()}")
        return action

    def _asked_already(self, action: Action) -> bool:
        """Whether another wish of ours asked for the same and may be what is on its way."""
        return any(other.requested_at and same_wish(other, action) for other in self._ledger.rivals(action))

    def _counsel(self, action: Action, route: Route, around: Surroundings, now: datetime) -> Counsel:
        return weigh(self._guards, Dispatching(action, route.instance, route.vendor, now, around))

    def _ask(
        self, action: Action, counsel: Counsel, kept: Mapping[str, Any], route: Route, lost: Sequence[str]
    ) -> Action:
        """A guard doubts: what policy or one person let go waits for persons, who see why."""
        noted = self._ledger.move(
            action,
            action.state,
            result={**kept, "asked": [check.name for check in counsel.doubts]},
            deadline=None,
            error=counsel.question,
        )
        return self._approvals.ask_again(noted, counsel.question, route, lost)

    async def _read(self, action: Action, route: Route) -> Reading:
        return await read(route, wish_of(action, route, self._ledger.clock()), within=self._limits.answer)

    async def _send(self, action: Action, route: Route) -> Action:
        self._ours.add(action.action_id)
        attempts, not_done = int(action.result["attempts"]), int(action.result["not_done"])
        command = wish_of(action, route, self._ledger.clock())
        try:
            receipt = await leave(self._brake, action, route, command, within=self._limits.answer)
        except KeptInError as error:
            return self._kept_in(action, error, route)
        except RateLimitError as error:
            self._pace.pause(action, error.retry_after)
            return self._ledger.move(action, _S.REQUESTED, str(error), result={"not_done": not_done + 1})
        except DEFINITE as error:
            if attempts == not_done + 1:
                return await self._refused(action, route, str(error))
            # An earlier request got lost and may have worked: only a read-back can tell.
            return self._ledger.move(action, _S.REQUESTED, str(error), result={"stop": True})
        except NightdeskError as error:
            self._pace.pause(action)
            return self._ledger.move(action, _S.REQUESTED, f"the reply got lost: {error}")
        return await self._accepted(action, route, receipt)

    async def _refused(self, action: Action, route: Route, why: str) -> Action:
        """A connector may need several requests and have done it before one was refused: only a read-back can tell."""
        if not route.action_manifest.accept_only:
            try:
                reading = await self._read(action, route)
            except NightdeskError as error:
                self._pace.pause(action, after(error))
                return self._ledger.move(action, _S.REQUESTED, why, result={"stop": True}, error=why)
            if is_later(reading, action) and reading.effect is Effect.IN_EFFECT:
                return self.in_effect(action, reading)
            if reading.effect is Effect.PENDING:
                return self._ledger.move(action, _S.REQUESTED, why, result={"stop": True}, error=why)
            if await self._is_half_done(action, route, reading):
                self._pace.pause(action)
                return self._ledger.move(action, _S.REQUESTED, f"refused, and part of it was done: {why}", error=why)
        self._ours.discard(action.action_id)
        return self._ledger.settle(action, _S.FAILED, why)

    async def _is_half_done(self, action: Action, route: Route, reading: Reading) -> bool:
        """Whether it is not as it was before us, and not its opposite either; what cannot be asked is not known."""
        opposite = verb(action.verb).inverse
        if opposite in {"", action.verb} or dict(reading.state) == dict(action.pre_state):
            return False
        asked = replace(wish_of(action, route, self._ledger.clock()), verb=opposite, parameters={})
        try:
            return (await read(route, asked, within=self._limits.answer)).effect is not Effect.IN_EFFECT
        except NightdeskError:
            return True

    def _kept_in(self, action: Action, error: KeptInError, route: Route) -> Action:
        """This request did nothing: if none before it did either, there is nothing to wait for."""
        facts = {"not_done": int(action.result["not_done"]) + 1}
        if error.said is not None and lost_requests(action) <= 1:
            return self._held_back(action, error.said, route, action.losses, facts)
        self._pace.pause(action)
        return self._ledger.move(action, _S.REQUESTED, f"it did not leave: {error}", result=facts)

    def _held_back(
        self,
        action: Action,
        said: Clearance,
        route: Route,
        lost: Sequence[str],
        facts: Mapping[str, Any] | None = None,
    ) -> Action:
        """Nothing of it was done: over, or a person's to decide."""
        self._ours.discard(action.action_id)
        if said.word is Word.CANCEL:
            return self._ledger.settle(action, _S.CANCELLED, said.why, result=facts)
        untouched = self._ledger.move(
            action, action.state, said.why, result=facts, requested_at=None, deadline=None, error=said.why
        )
        return self._approvals.ask_again(untouched, said.why, route, lost)

    async def _accepted(self, action: Action, route: Route, receipt: Receipt) -> Action:
        only = route.action_manifest.accept_only
        lost = tuple(sorted({*action.losses, *receipt.losses}))
        facts: dict[str, Any] = {"native_action_id": receipt.native_action_id, "evidence": dict(receipt.evidence)}
        undeclared = set(lost) - set(action.result.get("accept_losses", ()))
        if undeclared:
            self._ledger.call_person(action, f"{route.instance} did it without {', '.join(sorted(undeclared))}")
        accepted = self._ledger.move(
            action,
            _S.ACCEPTED,
            result={**facts, "accept_only": only} if only else facts,
            accepted_at=self._ledger.clock(),
            losses=lost,
            changed=receipt.changed and action.changed is not False,
        )
        return await self.follow(accepted)

    def _pending(self, action: Action, reading: Reading) -> Action:
        if action.state is _S.PENDING:
            return action
        return self._ledger.move(action, _S.PENDING, result=evidence_of(reading))

    def _may_repeat(self, action: Action, route: Route, reading: Reading | None) -> bool:
        if action.result.get("stop") or lost_requests(action) >= self._limits.attempts:
            return False
        if action.action_id in self._ours:
            if self._is_over(action):
                return False
        elif not _is_older(self._ledger, action, self._limits.takeover):
            return False
        if route.action_manifest.accept_only:
            # Only ``act`` promises that a repeated key is one effect; a comment written twice is two.
            harmless = verb(action.verb).risk <= Risk.R1 and not action.verb.startswith("alert.")
            return harmless or not lost_requests(action)
        unseen = reading is not None and reading.effect in {Effect.NOT_IN_EFFECT, Effect.FAILED}
        return unseen and self._has_waited(action, route)

    def _has_waited(self, action: Action, route: Route) -> bool:
        """What has no inverse may be done twice when it is asked twice: first the lost request gets time to show."""
        if verb(action.verb).reversible or not lost_requests(action):
            return True
        return _is_older(self._ledger, action, min(self._limits.doubt, route.action_manifest.deadline / 2))

    async def _repeat(self, action: Action, route: Route) -> Action:
        why = standing_refusal(self._guards, action, route, self._ledger.clock())
        if why:
            return self._wait(action, why)
        try:
            said = self._brake(bound_for(action, route))
        except NightdeskError as error:
            return self._wait(action, str(error))
        if said.word is not Word.GO:
            if lost_requests(action):
                if not action.result.get("held"):
                    action = self._ledger.move(action, _S.REQUESTED, said.why, result={"held": said.why})
                return self._wait(action, said.why)
            return self._held_back(action, said, route, action.losses)
        deadline = action.deadline
        if action.action_id not in self._ours:
            # Taken over after a crash, perhaps long after the deadline: the wish still stands.
            deadline = self._ledger.clock() + timedelta(seconds=route.action_manifest.deadline)
        attempts = int(action.result.get("attempts", 1)) + 1
        again = self._ledger.set_out(
            action,
            _S.REQUESTED,
            "asked again, same key",
            result={"attempts": attempts},
            deadline=deadline,
            changed=False if "beside" in action.result else None,
        )
        return await self._send(again, route)

    def _not_reached(self, action: Action, error: NightdeskError) -> Action:
        now = self._ledger.clock()
        deadline = action.deadline or now + timedelta(seconds=self._limits.unreachable)
        if now >= deadline:
            return self._ledger.settle(action, _S.FAILED, f"never asked, the vendor could not be reached: {error}")
        self._pace.pause(action, after(error))
        if action.deadline is None or action.error != str(error):
            return self._ledger.move(action, _S.APPROVED, str(error), deadline=deadline, error=str(error))
        return action

    def _wait(self, action: Action, why: str, at_least: float = 0.0) -> Action:
        if self._is_over(action):
            said = f": {why}" if why else ""
            self._ours.discard(action.action_id)
            if action.state is _S.REQUESTED and not lost_requests(action):
                return self._ledger.settle(action, _S.FAILED, f"the vendor took no request before the deadline{said}")
            return self._ledger.settle(action, _S.UNVERIFIED, f"no read-back showed it before the deadline{said}")
        self._pace.pause(action, at_least)
        return action

    def _is_over(self, action: Action) -> bool:
        return action.deadline is not None and self._ledger.clock() >= action.deadline


def is_later(reading: Reading, action: Action) -> bool:
    """A state read before the request, or in the same instant, proves nothing."""
    return action.requested_at is not None and reading.observed_at > action.requested_at


def _is_older(ledger: Ledger, action: Action, seconds: float) -> bool:
    return ledger.clock() - action.updated_at >= timedelta(seconds=seconds)
