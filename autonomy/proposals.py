"""How an action comes to be wanted and allowed: proposal, approval, rejection, cancellation; nothing here acts."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState, Journal, StaleActionError
from nightdesk.autonomy.approvals import Ballot, Choice, Request
from nightdesk.autonomy.asking import Requests, RulesOf, unlisted
from nightdesk.autonomy.ledger import ENGINE, IN_FORCE, Ledger, age, same_wish, slot_of
from nightdesk.autonomy.selectors import NOTHING_SHARED, Shared, fault
from nightdesk.sdk.errors import PolicyError, UnsupportedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Risk, Verb, verb

__all__ = ["Approval", "Proposals", "idempotency_key"]

_S = ActionState
_WAITING = frozenset({_S.PROPOSED, _S.AWAITING_APPROVAL, _S.APPROVED})
_CARRIED = ("lease_seconds", "stop_at", "accept_losses", "rules")
"""What of a wish's ``result`` is about the wish and not about its way."""
_UNDER_WAY = _WAITING | {_S.REQUESTED, _S.ACCEPTED, _S.PENDING}
_CARRIED_ON = _UNDER_WAY | IN_FORCE


class Approval(StrEnum):
    """Who lets an action go."""

    HUMAN = "human"
    """A second person: the requester never approves."""
    POLICY = "policy"
    """Autonomy that was earned or signed; never for what cannot be taken back, nor for R4."""
    DIRECT = "direct"
    """A person's own command at the console or command line: who commands it answers for it. R4 takes a second one."""


def idempotency_key(tenant: str, name: str, place: str, case_id: str, generation: int) -> str:
    """One wish, one key, on every machine; ``place`` is the slot that it is about."""
    parts = (tenant, name, place, case_id, str(generation))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Proposals:
    """The first part of an action's life; each method is journal work only."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        default_lease: timedelta,
        rules: RulesOf = unlisted,
        shared: Shared = NOTHING_SHARED,
    ) -> None:
        self._ledger = ledger
        self._shared = shared
        self.requests = Requests(ledger, rules)
        self._default_lease = default_lease

    def propose(  # noqa: PLR0913  # a wish has this many facts; all but three are keywords
        self,
        tenant: str,
        name: str,
        target: Target,
        *,
        requested_by: str,
        approval: Approval | str = Approval.HUMAN,
        case_id: str = "",
        decision_id: str = "",
        parameters: Mapping[str, Any] | None = None,
        reason: str = "",
        lease: timedelta | None = None,
        stop_at: datetime | None = None,
        source_instance: str = "",
        accept_losses: Sequence[str] = (),
        rules: Sequence[str] = (),
    ) -> Action:
        """Journals a wish, or returns the action that stands for the same wish of the same case already.

        ``lease`` counts from the effect; ``stop_at`` is a moment, after which nothing goes out any more.
        One whose target could mean many things is journalled as *rejected*, with the reason: seen, and never sent.
        """
        wanted = verb(name)
        given = dict(parameters or {})
        lease = lease if stop_at is None else stop_at - self._ledger.clock()
        _check(tenant, wanted, target, given, requested_by, lease)
        allowed = _allowed(Approval(approval), wanted)
        if allowed is Approval.POLICY and lease is None and _contains(wanted):
            lease = self._default_lease
        result: dict[str, Any] = {}
        if lease is not None:
            result["lease_seconds"] = lease.total_seconds()
        if stop_at is not None:
            result["stop_at"] = stop_at.isoformat()
        if accept_losses:
            result["accept_losses"] = sorted(accept_losses)
        if rules:
            result["rules"] = sorted(set(rules))
        now = self._ledger.clock()
        wish = Action(
            tenant=tenant,
            action_id="",
            verb=name,
            target=target,
            generation=0,
            idempotency_key="",
            state=_S.PROPOSED,
            created_at=now,
            updated_at=now,
            instance=source_instance,
            case_id=case_id,
            decision_id=decision_id,
            parameters=given,
            reason=reason,
            requested_by=requested_by,
            approval=allowed.value,
            result=result,
        )
        return self._once(wish, _standing, actor=requested_by)

    def start(self, action: Action) -> Action:
        """A new proposal waits for a person, or is approved by policy or by who commanded it."""
        if action.state is not _S.PROPOSED:
            return action
        why = fault(action.verb, action.target, self._shared)
        if why:
            return self._ledger.settle(action, _S.REJECTED, f"refused by selector: {why}")
        if action.result.get("repeats"):
            return self._ledger.move(action, _S.APPROVED, f"repeats {action.result['repeats']}, which was approved")
        if action.approval == Approval.HUMAN:
            return self.requests.ask(action)
        by = "policy" if action.approval == Approval.POLICY else action.requested_by
        return self._ledger.move(action, _S.APPROVED, actor=by, approved_by=by)

    def approve(self, action: Action, by: str) -> Action:
        """A person agrees to what this copy of the action says."""
        return self._answer(action, Ballot(by, Choice.APPROVE, ""))

    def reject(self, action: Action, by: str, reason: str = "") -> Action:
        """A person says no."""
        return self._answer(action, Ballot(by, Choice.REJECT, "", comment=reason))

    def _answer(self, action: Action, ballot: Ballot) -> Action:
        if action.state is _S.PROPOSED:
            action = self.start(action)
        now = self._ledger.fresh(action)
        if now.state is not action.state:
            raise StaleActionError(f"action {action.action_id} is {now.state} by now, not {action.state}")
        request = Request.of(action)
        digest = request.digest if request else ""
        return self.requests.vote(action.tenant, action.action_id, replace(ballot, digest=digest))

    def cancel(self, action: Action, by: str, reason: str = "") -> Action:
        """Takes a wish back before it was sent."""
        if action.state not in _WAITING:
            raise PolicyError(f"{action.action_id} is {action.state}: it was sent already; undo it instead")
        return self._ledger.move(action, _S.CANCELLED, reason, actor=by, error=reason)

    def repeat(self, action: Action, reason: str, *, actor: str = ENGINE, passing: bool = False) -> Action:
        """The same wish again as a new generation; its approval and what is left of its lease carry over.

        It goes to whoever is bound by then, which may be another connector than the first one's. ``passing``: nobody
        wants to keep it, only to have the target as it was; there is nothing to undo after it.
        """
        wanted, now = verb(action.verb), self._ledger.clock()
        kept = {name: action.result[name] for name in _CARRIED if name in action.result}
        if action.lease_until is not None:
            kept["lease_seconds"] = max(0.0, (action.lease_until - now).total_seconds())
            kept |= {"stop_at": action.lease_until.isoformat()} if "stop_at" in kept else {}
        if passing:
            kept.pop("stop_at", None)
            kept |= {"lease_seconds": 0.0, "beside": action.action_id}
        copy = replace(
            action,
            state=_S.PROPOSED,
            created_at=now,
            updated_at=now,
            reason=reason,
            instance=action.instance if wanted.role == "source" else "",
            native_id="",
            pre_state={},
            result={**kept, "repeats": action.action_id},
            losses=(),
            changed=None,
            error="",
            requested_at=None,
            accepted_at=None,
            effective_at=None,
            deadline=None,
            lease_until=None,
        )
        return self._once(copy, _repeating, actor=actor)

    def _once(self, wish: Action, known: Callable[[Journal, Action], Action | None], *, actor: str) -> Action:
        """The action that carries the wish already, else a new one: looked for and made in one turn (law 4).

        Between two workers' looks and their creations one wish would become two actions.
        """

        def work(journal: Journal) -> Action:
            return known(journal, wish) or journal.create(_numbered(journal, wish), actor=actor)

        action = self._ledger.journal.in_turn(wish.tenant, work)
        try:
            return self.start(action)
        except StaleActionError:
            return self._ledger.fresh(action)  # who proposed the same meanwhile has started it


def _standing(journal: Journal, wish: Action) -> Action | None:
    """The action that stands for the same wish of the same case, unless the newest wish is another."""
    wanted = verb(wish.verb)
    found = journal.standing(wish.tenant, slot_of(wish), wanted.family)
    live = _UNDER_WAY | IN_FORCE | {_S.UNVERIFIED}
    for other in sorted((one for one in found if one.state in live), key=age, reverse=True):
        same = same_wish(other, wish)
        if not same and wanted.reversible:
            return None  # the newest wish is another: this is a new one
        if not same or other.case_id != wish.case_id:
            continue
        # A message or scan that is done may be wanted again, but not twice by one decision.
        if wanted.reversible or other.state in _UNDER_WAY - {_S.ACCEPTED}:
            return other
        if wish.decision_id and other.decision_id == wish.decision_id:
            return other
    return None


def _repeating(journal: Journal, copy: Action) -> Action | None:
    """Who repeats the same action already: two engines that see it ended repeat it once."""
    standing = journal.standing(copy.tenant, slot_of(copy), verb(copy.verb).family)
    first = copy.result["repeats"]
    return next((one for one in standing if one.result.get("repeats") == first and one.state in _CARRIED_ON), None)


def _numbered(journal: Journal, wish: Action) -> Action:
    """The wish as the next generation of its slot, with the key and id that follow from that."""
    place = slot_of(wish)
    generation = journal.next_generation(wish.tenant, place, verb(wish.verb).family)
    key = idempotency_key(wish.tenant, wish.verb, place, wish.case_id, generation)
    return replace(wish, action_id=f"act-{key[:32]}", generation=generation, idempotency_key=key)


def _contains(wanted: Verb) -> bool:
    """The restricting half of a pair: what a lease is for."""
    return wanted.reversible and wanted.risk >= Risk.R2 and wanted.name == wanted.family


def _allowed(approval: Approval, wanted: Verb) -> Approval:
    """Caution only grows: what only a second person may let go is proposed to one."""
    if wanted.risk is Risk.R4:
        return Approval.HUMAN
    if approval is Approval.POLICY and wanted.risk >= Risk.R2 and not wanted.reversible:
        return Approval.HUMAN
    return approval


def _check(
    tenant: str, wanted: Verb, target: Target, given: Mapping[str, Any], requested_by: str, lease: timedelta | None
) -> None:
    if not tenant or not requested_by:
        raise PolicyError(f"{wanted.name} {target.key}: name the tenant and who asks for it")
    if target.kind is not wanted.target:
        raise UnsupportedError(f"{wanted.name} is done to a {wanted.target}, not to {target.key}")
    unknown = sorted(set(given) - set(wanted.parameters))
    if unknown:
        raise UnsupportedError(f"{wanted.name} has no parameter {', '.join(unknown)}")
    if lease is not None and not wanted.reversible:
        raise UnsupportedError(f"{wanted.name} cannot be leased: {wanted.no_inverse}")
    if lease is not None and lease <= timedelta(0):
        raise UnsupportedError(f"{wanted.name}: a lease must last longer than {lease}")
