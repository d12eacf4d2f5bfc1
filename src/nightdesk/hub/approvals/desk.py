"""Where people's answers arrive, whatever the channel: who they are, what they saw, and what is written down of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState, Journal
from nightdesk.autonomy.approvals import Ballot, Choice, Delegation, Refused, Request, Rules, VoteError, facts_of
from nightdesk.autonomy.engine import Engine
from nightdesk.hub.approvals import delegations
from nightdesk.hub.approvals.links import Link, Links
from nightdesk.hub.approvals.notes import Notes
from nightdesk.hub.bindings import Bindings
from nightdesk.hub.config import HubSettings
from nightdesk.hub.store import Store, audit
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.ports import Answer, HearsAnswers

__all__ = ["Desk", "Waiting"]

_S = ActionState


@dataclass(frozen=True, slots=True)
class Waiting:
    """An action that persons were asked about, and how that stands."""

    action: Action
    request: Request

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is shown, and what the digest is of."""
        return facts_of(self.action, self.request)

    @property
    def is_open(self) -> bool:
        """Whether it waits for an answer."""
        return self.action.state is _S.AWAITING_APPROVAL and self.request.state == "open"

    def document(self) -> dict[str, Any]:
        """As programs read it."""
        shown = ("who", "role", "for", "answer", "at", "channel", "comment")
        return {
            "action_id": self.action.action_id,
            "state": str(self.action.state),
            "digest": self.request.digest,
            "facts": self.facts,
            "asked_at": self.request.asked_at,
            "expires_at": self.request.expires_at,
            "needed": self.request.needed,
            "missing": self.request.missing,
            "votes": [{name: vote.get(name, "") for name in shown} for vote in self.request.votes],
            "problem": self.request.problem,
        }


class Desk:
    """Every tenant's approvals. Each answer is in the audit, counted or not."""

    def __init__(
        self,
        settings: HubSettings,
        store: Store,
        journal: Journal,
        engine: Engine,
        bindings: Bindings,
        links: Links,
        notes: Notes,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._store = store
        self._journal = journal
        self._engine = engine
        self._bindings = bindings
        self.links = links
        self._notes = notes
        self._clock = clock

    def rules(self, tenant: str) -> Rules:
        """Who may, and how many must."""
        return self._settings.tenants[tenant].approvals.rules

    def waiting(self, tenant: str) -> list[Waiting]:
        """Everything of that tenant that waits for persons, oldest first."""
        actions = self._journal.in_state([_S.AWAITING_APPROVAL], tenant=tenant)
        found = [Waiting(action, request) for action in actions if (request := Request.of(action)) is not None]
        return [one for one in found if one.is_open]

    def one(self, tenant: str, action_id: str) -> Waiting | None:
        """An action that persons were asked about, also when it was decided since."""
        action = self._journal.get(tenant, action_id)
        request = Request.of(action) if action else None
        return Waiting(action, request) if action and request else None

    def vote(self, tenant: str, action_id: str, ballot: Ballot) -> Action:
        """Takes one answer. Raises VoteError that tells the person why it does not count."""
        try:
            self._ready(tenant, action_id, ballot)
            done = self._engine.vote(tenant, action_id, ballot, self.delegations(tenant))
        except VoteError as error:
            self._note(tenant, action_id, ballot, {"refused": error.kind.value, "text": str(error)})
            raise
        self._note(tenant, action_id, ballot, {"state": str(done.state)})
        self._notes.decided(done)
        return done

    def answer(self, link: Link, choice: Choice, comment: str) -> Action:
        """What somebody chose on the page that a link leads to."""
        if self._clock() >= link.until:
            raise VoteError(Refused.TOO_LATE, f"{link.action_id}: too late, this link was good until {link.until}")
        given = self.one(link.tenant, link.action_id)
        if given is None:
            raise VoteError(Refused.UNKNOWN, f"{link.tenant}: there is no action {link.action_id}")
        return self.vote(link.tenant, link.action_id, Ballot(link.person, choice, link.digest, "link", comment=comment))

    def hears(self, tenant: str, instance: str) -> HearsAnswers:
        """The connector that takes callbacks there. Raises UnsupportedError when there is none."""
        connector = self._bindings.connector(tenant, instance)
        if not isinstance(connector, HearsAnswers):
            raise UnsupportedError(f"{instance} of {tenant} takes no answers")
        return connector

    def heard(self, tenant: str, instance: str, answer: Answer) -> Action:
        """What a connector vouches that somebody answered; the person learns at the same place if it does not count."""
        try:
            return self._heard(tenant, instance, answer)
        except VoteError as error:
            if not self._taken(tenant, instance, answer):
                self._notes.refused(tenant, instance, answer, error)
            raise

    def delegations(self, tenant: str) -> Sequence[Delegation]:
        """Who stands in for whom now."""
        with self._store.read() as conn:
            return delegations.current(conn, tenant, self._clock())

    def delegate(self, tenant: str, wanted: Delegation, *, by: str) -> Delegation:
        """Lets the taker vote for the giver. Raises PolicyError."""
        return delegations.delegate(self._store, self.rules(tenant), tenant, wanted, by=by, now=self._clock())

    def withdraw(self, tenant: str, wanted: Delegation, *, by: str) -> None:
        """Ends that. Raises PolicyError."""
        delegations.withdraw(self._store, self.rules(tenant), tenant, wanted, by=by, now=self._clock())

    def _heard(self, tenant: str, instance: str, answer: Answer) -> Action:
        action_id, _, digest = answer.about.partition(".")
        if answer.option not in set(Choice):
            raise VoteError(Refused.UNKNOWN, f"{action_id}: {answer.option!r} is no answer of ours")
        person = self.rules(tenant).holder(instance, answer.account)
        channel = _channel(instance, answer)
        ballot = Ballot(person.name if person else "", Choice(answer.option), digest, channel)
        if person is None:
            text = f"{action_id}: the account {answer.account} at {instance} is nobody's who may approve"
            error = VoteError(Refused.NOT_ENTITLED, f"{text}: an admin adds it to approvals.people")
            self._note(tenant, action_id, ballot, {"refused": error.kind.value, "text": str(error)})
            raise error
        return self.vote(tenant, action_id, ballot)

    def _taken(self, tenant: str, instance: str, answer: Answer) -> bool:
        """Whether this very answer counted before: what is delivered twice is no mistake of who gave it."""
        found = self.one(tenant, answer.about.partition(".")[0])
        person = self.rules(tenant).holder(instance, answer.account)
        if found is None or person is None:
            return False
        given = (_channel(instance, answer), person.name)
        return any((vote["channel"], vote["who"]) == given for vote in found.request.votes)

    def _ready(self, tenant: str, action_id: str, ballot: Ballot) -> None:
        """Nobody says yes to something whose connector could not be shown to them."""
        found = self.one(tenant, action_id)
        if found is None or not found.is_open or ballot.choice is Choice.REJECT or found.request.connector:
            return
        why = found.request.problem or "it is being looked up"
        raise VoteError(
            Refused.NOT_READY, f"{action_id}: where it would be done is not known ({why}); it can be rejected meanwhile"
        )

    def _note(self, tenant: str, action_id: str, ballot: Ballot, more: Mapping[str, Any]) -> None:
        detail = {
            "action_id": action_id,
            "answer": ballot.choice.value,
            "on_behalf": ballot.on_behalf,
            "digest": ballot.digest,
            "channel": ballot.channel,
            **more,
        }
        event = "approval.refused" if "refused" in more else "approval.vote"
        self._store.transact(
            lambda conn: audit.append(
                conn, tenant=tenant, at=self._clock(), actor=ballot.who or ballot.channel, event=event, detail=detail
            )
        )


def _channel(instance: str, answer: Answer) -> str:
    return f"{instance}:{answer.native_id}"
