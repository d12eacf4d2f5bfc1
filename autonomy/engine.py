"""The action engine: every wish that is not over is moved on, after a crash as before it.

Nothing runs by itself: who owns the engine calls ``run_once`` again and again. All that is known between two calls is
in the journal, so a new engine on the same journal goes on where the last one was killed.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from nightdesk.autonomy.actions import Action, ActionState, Journal, StaleActionError
from nightdesk.autonomy.admission import Guard
from nightdesk.autonomy.approvals import Ballot, Delegation
from nightdesk.autonomy.approving import Approvals
from nightdesk.autonomy.asking import RulesOf, unlisted
from nightdesk.autonomy.clocks import VendorClocks
from nightdesk.autonomy.dispatch import Dispatch, Shadow, no_shadow
from nightdesk.autonomy.leases import Leases
from nightdesk.autonomy.ledger import IN_FORCE, Attention, Ledger, age, family_of, slot_of
from nightdesk.autonomy.pacing import Limits, Pace
from nightdesk.autonomy.proposals import Approval, Proposals
from nightdesk.autonomy.reconcile import ACTIVE, WATCHED, Reconcile
from nightdesk.autonomy.reversal import Reversal
from nightdesk.autonomy.routing import Router
from nightdesk.autonomy.selectors import NOTHING_SHARED, Shared
from nightdesk.autonomy.surroundings import Lookout
from nightdesk.autonomy.switches import Brake, free
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.targets import Target

__all__ = ["Approval", "Engine", "Guard", "Limits"]

_S = ActionState
_Key = tuple[str, str, str]
_WORKED = (*ACTIVE, *WATCHED, _S.AWAITING_APPROVAL)
_CONTRADICTABLE = IN_FORCE | {_S.ACCEPTED, _S.PENDING, _S.UNVERIFIED}


class Engine:
    """Wishes in, verified effects out. ``side_by_side`` targets are worked on at a time, one change each.

    ``shadow`` says first what no vendor is ever to hear of. ``brake`` has the last word, right before each request
    leaves; undo and read-backs do not ask it.
    """

    def __init__(  # noqa: PLR0913  # its collaborators, each once
        self,
        journal: Journal,
        router: Router,
        clock: Clock = utc_now,
        *,
        guards: Sequence[Guard] = (),
        brake: Brake = free,
        shadow: Shadow = no_shadow,
        lookout: Lookout | None = None,
        shared: Shared = NOTHING_SHARED,
        on_attention: Attention | None = None,
        limits: Limits | None = None,
        default_lease: timedelta = timedelta(hours=4),
        side_by_side: int = 8,
        rules: RulesOf = unlisted,
    ) -> None:
        self._journal = journal
        self._ledger = Ledger(journal, clock, on_attention)
        bounds, pace = limits or Limits(), Pace(clock)
        self._proposals = Proposals(self._ledger, default_lease=default_lease, rules=rules, shared=shared)
        self._approvals = Approvals(self._ledger, self._proposals.requests, router, pace, bounds)
        self._dispatch = Dispatch(self._ledger, router, pace, bounds, guards, self._approvals, brake, lookout, shadow)
        self._reversal = Reversal(self._ledger, router, pace, bounds)
        self._leases = Leases(self._ledger, self._reversal)
        self._clocks = VendorClocks(self._ledger, router, pace, bounds, guards, brake)
        self._reconcile = Reconcile(
            self._ledger,
            pace,
            bounds,
            self._proposals,
            self._dispatch,
            self._reversal,
            self._approvals,
            self._clocks,
        )
        self._room = asyncio.Semaphore(side_by_side)
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._unleased = True

    def propose(  # noqa: PLR0913  # a wish has this many facts; all but three are keywords
        self,
        tenant: str,
        verb: str,
        target: Target,
        *,
        requested_by: str,
        approval: Approval | str = Approval.HUMAN,
        case_id: str = "",
        decision_id: str = "",
        parameters: Mapping[str, Any] | None = None,
        reason: str = "",
        lease: timedelta | None = None,
        source_instance: str = "",
        accept_losses: Sequence[str] = (),
        rules: Sequence[str] = (),
    ) -> Action:
        """Journals a wish; the same wish of the same case is one action.

        ``lease`` counts from the effect; a containment by policy always has one. ``accept_losses`` are parameters that
        the vendor may leave out, ``rules`` those of the policy that wanted it. Raises UnsupportedError for what the
        verb does not know.
        """
        return self._proposals.propose(
            tenant,
            verb,
            target,
            requested_by=requested_by,
            approval=approval,
            case_id=case_id,
            decision_id=decision_id,
            parameters=parameters,
            reason=reason,
            lease=lease,
            source_instance=source_instance,
            accept_losses=accept_losses,
            rules=rules,
        )

    def vote(self, tenant: str, action_id: str, ballot: Ballot, delegations: Sequence[Delegation] = ()) -> Action:
        """One person's answer to what waits; enough of them let it go. Raises VoteError when it does not count."""
        return self._proposals.requests.vote(tenant, action_id, ballot, delegations)

    def approve(self, action: Action, by: str) -> Action:
        """Another person agrees to what this copy says. Raises VoteError for the requester and for who may not.

        Raises StaleActionError if it moved on.
        """
        return self._proposals.approve(action, by)

    def reject(self, action: Action, by: str, reason: str = "") -> Action:
        """A person says no. Raises as ``approve`` does."""
        return self._proposals.reject(action, by, reason)

    def cancel(self, action: Action, by: str, reason: str = "") -> Action:
        """Takes it back before it was sent. Raises PolicyError afterwards: then ``undo``."""
        return self._proposals.cancel(action, by, reason)

    def renew(self, action: Action, until: datetime, actor: str, reason: str = "") -> Action:
        """Keeps a leased action longer. Raises PolicyError when nothing is leased or the same person does it twice."""
        return self._leases.renew(action, until, actor, reason)

    def repeat(self, action: Action, *, actor: str, reason: str) -> Action:
        """The same wish at the connector that is bound today, for what is left of its lease; the first stays as it is.

        For handing over after a swap: once the new one is in effect, ``undo`` the first. Raises PolicyError when
        nothing is in force.
        """
        if action.state not in IN_FORCE:
            raise PolicyError(f"{action.action_id} is {action.state}: nothing is in force that could be handed over")
        return self._proposals.repeat(action, reason, actor=actor)

    def contradict(self, action: Action, evidence: str, *, actor: str) -> Action:
        """A second source saw that it is not so: journalled, and a person is called."""
        if action.state not in _CONTRADICTABLE:
            raise PolicyError(f"{action.action_id} is {action.state}: there is no effect to contradict")
        return self._ledger.settle(action, _S.CONTRADICTED, evidence, actor=actor)

    async def undo(self, action: Action, *, actor: str, reason: str = "") -> Action:
        """Takes it back at the connector that acted; goes on in ``run_once`` until a read-back shows it.

        Unchanged when it was so before us or is undone already. Raises PolicyError before it is settled,
        UnsupportedError when the verb has no inverse.
        """
        return await self.advance(self.request_undo(action, actor=actor, reason=reason))

    def request_undo(self, action: Action, *, actor: str, reason: str = "") -> Action:
        """Journals the wish to undo and waits for nobody: ``run_once`` goes on with it. Raises as ``undo`` does."""
        return self._reversal.request(self._ledger.fresh(action), actor=actor, reason=reason)

    async def advance(self, action: Action) -> Action:
        """Moves the actions of this target on now; the action as it is afterwards."""
        standing = self._journal.standing(action.tenant, slot_of(action), family_of(action))
        await self._work(_key(action), [one for one in standing if one.state in _WORKED])
        return self._ledger.fresh(action)

    async def run_once(self) -> int:
        """Moves everything on as far as it goes now; how many moves that were. 0: wait a little.

        What one target raises does not stop the others; it is raised at the end.
        """
        before = self._ledger.moves
        self._finish_leasing()
        broken: list[BaseException] = [*self._leases.expire()]
        groups: dict[_Key, list[Action]] = {}
        for action in [*self._journal.in_state(_WORKED), *self._clocks.due()]:
            if action.state is _S.AWAITING_APPROVAL and not self._approvals.needs_care(action):
                continue
            groups.setdefault(_key(action), []).append(action)
        ends = await asyncio.gather(*(self._work(*group) for group in groups.items()), return_exceptions=True)
        broken += [end for end in ends if isinstance(end, BaseException)]
        if broken:
            raise broken[0]
        return self._ledger.moves - before

    async def _work(self, key: _Key, actions: Iterable[Action]) -> None:
        # By target, not by family: two families of one target take turns, so that neither reads the other's half way.
        lock = self._locks.setdefault(key[:2], asyncio.Lock())
        finished = False
        try:
            async with self._room, lock:
                for action in sorted(actions, key=age):
                    try:
                        await self._reconcile.step(self._ledger.fresh(action))
                    except StaleActionError:
                        continue  # somebody moved it meanwhile: the next round sees how it is
            finished = True
        finally:
            self._unleased = self._unleased or not finished

    def _finish_leasing(self) -> None:
        """What broke off between *effective* and *leased* is leased now: no lease is lost by it."""
        if not self._unleased:
            return
        for action in self._journal.in_state([_S.EFFECTIVE]):
            try:
                self._dispatch.lease(action)
            except StaleActionError:
                continue  # undone meanwhile
        self._unleased = False


def _key(action: Action) -> _Key:
    return (action.tenant, slot_of(action), family_of(action))
