"""Approvals in the journal: asking, votes as optimistic moves, expiry; nothing here knows a connector.

Everything between two calls is in ``action.result["approval"]``: a new process goes on where the last one was killed,
and two processes that take a vote at the same moment both keep theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState, StaleActionError
from nightdesk.autonomy.approvals import (
    Ballot,
    Choice,
    Delegation,
    Refused,
    Request,
    Rules,
    VoteError,
    digest_of,
    judge,
    same_person,
)
from nightdesk.autonomy.ledger import ENGINE, Ledger
from nightdesk.sdk.verbs import verb

__all__ = ["Requests", "RulesOf", "unlisted"]

RulesOf = Callable[[str], Rules]
"""The rules of a tenant as they are now."""

_S = ActionState
_TRIES = 100  # each lost race is somebody else's vote that was kept


def unlisted(_: str) -> Rules:
    """For an engine without configuration: anybody but the requester."""
    return Rules()


class Requests:
    """Asks, and takes answers; each method is journal work only. What a vote leads to is ``approvals.judge``'s."""

    def __init__(self, ledger: Ledger, rules: RulesOf) -> None:
        self._ledger = ledger
        self._rules = rules

    def ask(self, action: Action, because: str = "", *, shown: Mapping[str, Any] | None = None) -> Action:
        """It waits for persons from now on, with no votes; ``because`` says why it is asked again."""
        rules, now = self._rules(action.tenant), self._ledger.clock()
        before = Request.of(action)
        request = Request(
            round=before.round + 1 if before else 1,
            needed=rules.needs(verb(action.verb).risk),
            digest="",
            asked_at=now.isoformat(),
            expires_at=(now + rules.expire).isoformat(),
            because=because,
            shown=dict(shown or {}),
        )
        request = replace(request, digest=digest_of(action, request))
        why = f": {because}" if because else ""
        if rules.hopeless:
            why += f"; nobody of {action.tenant} may give one: list people with the role approver"
        # Called first: a crash between the two may call twice, never not.
        waiting = replace(action, state=_S.AWAITING_APPROVAL)
        self._ledger.call_person(waiting, f"{action.verb} of {action.target.key} waits for an approval{why}")
        return self.record(action, _S.AWAITING_APPROVAL, request, because, approval="human", approved_by="")

    def vote(self, tenant: str, action_id: str, ballot: Ballot, delegations: Sequence[Delegation] = ()) -> Action:
        """Keeps the vote and does what it leads to. Raises VoteError when it does not count."""
        for _ in range(_TRIES):
            action = self._ledger.journal.get(tenant, action_id)
            if action is None:
                raise VoteError(Refused.UNKNOWN, f"{tenant}: there is no action {action_id}")
            try:
                return self._cast(action, ballot, delegations)
            except StaleActionError:
                continue  # another vote was kept meanwhile: this one is judged beside it
        raise StaleActionError(f"action {action_id} of {tenant} was moved {_TRIES} times meanwhile: try again")

    def _cast(self, action: Action, ballot: Ballot, delegations: Sequence[Delegation]) -> Action:
        request = Request.of(action)
        if action.state is _S.AWAITING_APPROVAL and (request is None or request.state != "open"):
            action = self.ask(action, self.doubt(action))
            request = Request.of(action)
        if request is None:
            word = action.state.replace("_", " ")
            raise VoteError(Refused.ANSWERED, f"{action.action_id} is {word}: nobody was asked about it")
        now = self._ledger.clock()
        if action.state is _S.AWAITING_APPROVAL and now >= request.ends:
            self.expire(action, request)
        vote = judge(action, request, ballot, self._rules(action.tenant), delegations, now)
        request = replace(request, votes=[*request.votes, vote])
        who = _named(vote)
        if ballot.choice is Choice.REJECT:
            said = f": {ballot.comment}" if ballot.comment else ""
            return self.record(
                action, _S.REJECTED, replace(request, state="refused"), f"{who} says no{said}", actor=str(vote["who"]),
                error=ballot.comment,
            )  # fmt: skip
        if request.missing:
            note = f"{who} says yes; {request.missing} more to come"
            return self.record(action, action.state, request, note, actor=str(vote["who"]))
        by = ", ".join(_named(one) for one in request.votes)
        note = f"{who} says yes; that makes {request.needed} of {request.needed}"
        given = replace(request, state="given")
        return self.record(action, _S.APPROVED, given, note, actor=str(vote["who"]), approved_by=by)

    def expire(self, action: Action, request: Request) -> Action:
        """Nobody let it go in time: it is taken back, and a person is told."""
        said = request.needed - request.missing
        over = f"nobody's approval in time: {said} of {request.needed} had agreed when it ended at {request.expires_at}"
        return self._ledger.settle(action, _S.CANCELLED, over, seen={"result": action.result})

    def doubt(self, action: Action) -> str:
        """Why what was let go came back: the note of the move that sent it, when there is one."""
        lines = self._ledger.journal.history(action.tenant, action.action_id)
        if len(lines) < 2 or lines[-1].state is not _S.AWAITING_APPROVAL:
            return ""
        return str(lines[-1].detail.get("note", ""))

    def record(
        self, action: Action, to: ActionState, request: Request, note: str = "", *, actor: str = ENGINE, **changes: Any
    ) -> Action:
        """One move that takes place only if nobody has touched the result since it was read."""
        before = action.result.get("approval")
        # Beside a request others keep who was told of it; that ends with its round.
        beside = before if isinstance(before, Mapping) and before.get("round") == request.round else {}
        result = {"approval": {**beside, **asdict(request)}}
        return self._ledger.move(
            action, to, note, actor=actor, result=result, seen={"result": action.result}, **changes
        )


def _named(vote: Mapping[str, Any]) -> str:
    who, principal = str(vote["who"]), str(vote["for"])
    return who if same_person(who, principal) else f"{who} for {principal}"
