"""Messages about an asking, each once: to those who may answer, and to the places that were asked how it ended.

Each is an action of its own in the journal, so a crash loses none and sends none twice; who was asked stands beside the
request itself.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import structlog

from nightdesk.autonomy.actions import Action, ActionState, Journal, StaleActionError
from nightdesk.autonomy.approvals import Choice, Delegation, Request, VoteError, facts_of
from nightdesk.autonomy.engine import Approval, Engine
from nightdesk.hub.approvals import delegations
from nightdesk.hub.approvals.links import Link
from nightdesk.hub.approvals.wording import is_whole, text_of, title_of
from nightdesk.hub.config import HubSettings
from nightdesk.hub.console.untrusted import plain
from nightdesk.hub.store import Store
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.ports import Answer
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Risk, TargetKind
from nightdesk.sdk.verbs import verb as verb_of

__all__ = ["Notes"]

_log = structlog.get_logger(__name__)
_S = ActionState
_OURS = "approvals"
_WORDS: Mapping[ActionState, str] = {
    _S.APPROVED: "Approved",
    _S.REJECTED: "Rejected",
    _S.CANCELLED: "Not approved in time",
}
_ALARMS: Mapping[ActionState, str] = {
    _S.CONTRADICTED: "Not so, whatever the vendor said",
    _S.UNVERIFIED: "Not seen to take effect",
    _S.UNDO_FAILED: "Not taken back",
}
"""What nobody may have to find out by looking."""


class _Recipient(NamedTuple):
    connector: str
    to: str
    person: str


class Notes:
    """Proposes the messages; the engine sends them."""

    def __init__(
        self,
        settings: HubSettings,
        journal: Journal,
        engine: Engine,
        store: Store,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._engine = engine
        self._store = store
        self._clock = clock

    def once(self) -> int:
        """Asks everybody who was not asked yet; how many messages that makes."""
        done = 0
        for slug, tenant in self._settings.tenants.items():
            if not tenant.approvals.asks:
                continue
            waiting = self._journal.in_state([_S.AWAITING_APPROVAL], tenant=slug)
            if not waiting:
                continue
            with self._store.read() as conn:
                delegated = delegations.current(conn, slug, self._clock())
            for action in waiting:
                try:
                    done += self._ask(action, delegated)
                except NightdeskError as error:  # one that cannot be asked about must not keep the others waiting
                    _log.warning("nobody was asked", tenant=slug, action=action.action_id, problem=str(error))
        return done

    def decided(self, action: Action) -> None:
        """Tells the places that were asked how it ended."""
        request, word = Request.of(action), _WORDS.get(action.state)
        tenant = self._settings.tenants.get(action.tenant)
        if (
            tenant is None
            or request is None
            or word is None
            or (action.state is _S.CANCELLED and request.state != "open")
        ):
            return
        nay = ", ".join(str(vote["who"]) for vote in request.votes if vote["answer"] == Choice.REJECT)
        by = action.approved_by or nay
        text = ". ".join(filter(None, (action.action_id, f"By {plain(by)}" if by else "", plain(action.error))))
        for ask in tenant.approvals.asks:
            self._tell(action, ask.connector, ask.to, f"{word}: {_what(action)}", text, f"{request.round}.{word}")

    def heard(self, action: Action, text: str) -> None:
        """A person has to look at it: whoever was asked, or is to be told, hears of it."""
        self.decided(action)
        self._alarm(action, text)

    def _alarm(self, action: Action, text: str) -> None:
        """Tells the places where people are asked that a vendor's effect is not as it should be; once for each way."""
        tenant, word = self._settings.tenants.get(action.tenant), _ALARMS.get(action.state)
        if tenant is None or word is None or verb_of(action.verb).risk < Risk.R2:
            return
        for ask in tenant.approvals.asks:
            try:
                self._tell(action, ask.connector, ask.to, f"{word}: {_what(action)}", plain(text), str(action.state))
            except NightdeskError as error:  # the audit has it all the same
                _log.warning("nobody was told", tenant=action.tenant, action=action.action_id, problem=str(error))

    def refused(self, tenant: str, instance: str, answer: Answer, error: VoteError) -> None:
        """Tells a person at the place where they answered that it does not count; once for each reason."""
        action = self._journal.get(tenant, answer.about.partition(".")[0])
        if action is None or not answer.place:
            return
        named = f"{answer.account}.{error.kind}"
        self._tell(action, instance, answer.place, "This answer does not count", plain(str(error)), named)

    def _ask(self, action: Action, delegated: Sequence[Delegation]) -> int:
        request = Request.of(action)
        if request is None or request.state != "open":
            return 0
        asked = dict(action.result["approval"].get("asked", {}))
        before = len(asked)
        if not request.connector:
            if request.problem and "problem" not in asked:
                for ask in self._settings.tenants[action.tenant].approvals.asks:
                    title = f"Waits, and cannot be approved yet: {_what(action)}"
                    self._tell(action, ask.connector, ask.to, title, plain(request.problem), f"{request.round}.problem")
                asked["problem"] = request.problem
        else:
            for recipient in self._recipients(action, delegated):
                key = f"{recipient.connector} {recipient.to}"
                made = None if key in asked else self._request(action, request, recipient)
                if made is not None:
                    asked[key] = made.action_id
        if len(asked) == before:
            return 0
        kept = {**action.result, "approval": {**action.result["approval"], "asked": asked}}
        try:
            self._journal.move(
                action,
                action.state,
                at=self._clock(),
                actor=_OURS,
                detail={"note": f"asked {len(asked) - before}", "asked": asked},
                seen={"result": action.result},
                result=kept,
            )
        except StaleActionError:
            return 0  # somebody answered meanwhile: the next look finds the same messages, and makes none twice
        return len(asked) - before

    def _recipients(self, action: Action, delegated: Sequence[Delegation]) -> list[_Recipient]:
        tenant = self._settings.tenants[action.tenant]
        rules, found = tenant.approvals.rules, list[_Recipient]()
        for ask in tenant.approvals.asks:
            holder = rules.holder(ask.connector, ask.to)
            found.append(_Recipient(ask.connector, ask.to, holder.name if holder else ""))
            for one in delegated:
                taker = rules.person(one.taker)
                account = taker.accounts.get(ask.connector, "") if taker else ""
                if holder and account and rules.is_same(one.giver, holder.name):
                    found.append(_Recipient(ask.connector, account, one.taker))
        # Who asked for it cannot answer: a shared place is told all the same.
        kept = [one for one in found if not one.person or not rules.is_same(one.person, action.requested_by)]
        return list(dict.fromkeys(kept))

    def _request(self, action: Action, request: Request, to: _Recipient) -> Action | None:
        tenant = self._settings.tenants[action.tenant]
        facts = facts_of(action, request)
        given: dict[str, Any] = {"title": title_of(facts), "text": text_of(facts, request.digest)}
        instance, url = tenant.instances.get(to.connector), tenant.approvals.url
        verb, buttons = "approval.request", instance is not None and instance.manifest.hears_answers
        if buttons and not is_whole(facts):
            verb = "notify.send"
            given["text"] = "It is too long to be answered here, where parts would be cut: answer it on the console."
        elif buttons:
            given |= {"options": [choice.value for choice in Choice], "about": f"{action.action_id}.{request.digest}"}
        # Any listed person may hold a delegation by then: the vote decides who may, not the link.
        if url and to.person and not buttons and tenant.approvals.by_link:
            # A minute more than the asking: until then the page says that it is too late, and not that it is unknown.
            until = request.ends + timedelta(minutes=1)
            given["link"] = Link(action.tenant, action.action_id, request.digest, to.person, until).reference
        elif url:
            given["link"] = f"{url}/console/approvals"
        name = f"{action.action_id}.{request.round}.{to.connector}"
        made = self._propose(action, verb, to.connector, to.to, given, name)
        # The same words may be under way to a namesake at another connector: then this one's turn comes later.
        return made if (made.instance, made.decision_id) == (to.connector, name) else None

    def _tell(self, action: Action, connector: str, to: str, title: str, text: str, name: str) -> None:
        given = {"title": title, "text": text}
        self._propose(action, "notify.send", connector, to, given, f"{action.action_id}.{name}.{connector}")

    def _propose(
        self, action: Action, name: str, connector: str, to: str, given: Mapping[str, Any], decision_id: str
    ) -> Action:
        return self._engine.propose(
            action.tenant,
            name,
            Target(TargetKind.PERSON, to),
            requested_by=_OURS,
            approval=Approval.POLICY,
            case_id=action.case_id,
            decision_id=decision_id,
            parameters=given,
            reason=f"{action.action_id} waits for persons",
            source_instance=connector,
            accept_losses=sorted({"about", "link", "options"} & set(given)),
        )


def _what(action: Action) -> str:
    return f"{action.verb} of {plain(action.target.value)[:90]}"
