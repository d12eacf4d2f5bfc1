"""Who may let an action go, how many must, and on exactly what: votes judged as values, no journal and no clock.

What is shown to people is one mapping of facts; its SHA-256 is the digest that every vote names. A vote for another
digest counts for nothing, so nobody ever approves what they did not see.
"""

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.canonical import fingerprint
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.verbs import Risk, verb

__all__ = [
    "NEEDED",
    "Ballot",
    "Choice",
    "Delegation",
    "Person",
    "Refused",
    "Request",
    "Rules",
    "VoteError",
    "counted",
    "digest_of",
    "facts_of",
    "judge",
    "same_person",
]

NEEDED: Mapping[Risk, int] = MappingProxyType({Risk.R0: 1, Risk.R1: 1, Risk.R2: 1, Risk.R3: 2, Risk.R4: 2})
"""How many persons let an action of that risk go, unless the tenant says otherwise."""

_MAY = frozenset({"approver", "admin"})
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_NO_PERSONS = frozenset({"engine", "policy", "service"})
_SIGNS = frozenset({"Cc", "Cf"})
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""What is not shown beside controls and formats (Unicode, Default_Ignorable_Code_Point)."""
_FIELDS = ("round", "needed", "digest", "asked_at", "expires_at", "because", "shown", "votes", "state")


class Choice(StrEnum):
    """What a vote says."""

    APPROVE = "approve"
    REJECT = "reject"


class Refused(StrEnum):
    """Why a vote does not count."""

    UNKNOWN = "unknown"
    TOO_LATE = "too-late"
    NOT_ENTITLED = "not-entitled"
    CHANGED = "changed"
    ANSWERED = "already-answered"
    NOT_READY = "not-ready"


class VoteError(PolicyError):
    """A vote that does not count; ``kind`` is for programs, the text for the person who gave it."""

    def __init__(self, kind: Refused, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Person:
    """One person of a tenant; ``accounts`` are their names at its connectors, by the connector's name."""

    name: str
    role: str
    accounts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delegation:
    """``taker`` may vote for ``giver`` until then; what the giver holds by delegation is not passed on.

    ``by`` is who said so: the giver or an admin.
    """

    giver: str
    taker: str
    until: datetime
    by: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """One tenant's rules. ``people`` None: nobody is listed, and anybody but the requester is a person."""

    needed: Mapping[Risk, int] = field(default_factory=lambda: NEEDED)
    expire: timedelta = timedelta(hours=1)
    people: Mapping[str, Person] | None = None

    def needs(self, risk: Risk) -> int:
        """How many must agree; never nobody."""
        return max(1, self.needed.get(risk, NEEDED[risk]))

    def person(self, name: str) -> Person | None:
        """The listed person of that name, however it is written."""
        if self.people is None:
            return Person(name, "person")
        return next((one for one in self.people.values() if same_person(one.name, name)), None)

    def holder(self, instance: str, account: str) -> Person | None:
        """Whose account at that connector this is."""
        return next(
            (
                one
                for one in (self.people or {}).values()
                if account and _as_given(one.accounts.get(instance, "")) == _as_given(account)
            ),
            None,
        )

    def entitled(self, name: str) -> bool:
        """Whether that name may approve in its own right."""
        found = self.person(name)
        if found is None or _plain(name) in _NO_PERSONS or not _plain(name):
            return False
        return self.people is None or found.role in _MAY

    @property
    def hopeless(self) -> bool:
        """True when there is nobody at all who may approve."""
        return self.people is not None and not any(map(self.entitled, self.people))

    def is_same(self, one: str, other: str) -> bool:
        """Whether both names are one human: the same name, or an account of the same listed person."""
        return bool(self._names(one) & self._names(other))

    def _names(self, name: str) -> frozenset[str]:
        plain = _plain(name)
        known = {plain}
        for person in (self.people or {}).values():
            names = {_plain(person.name), *map(_plain, person.accounts.values())}
            if plain in names:
                known |= names
        return frozenset(known)


@dataclass(frozen=True, slots=True)
class Request:
    """What ``action.result["approval"]`` holds: one asking, what it showed, and the votes so far.

    ``round`` counts the askings of one action. ``shown`` is the connector, its id of the target and the losses as they
    were found before anybody was asked; ``problem`` in it says why they were not. ``state`` is open, given or refused.
    """

    round: int
    needed: int
    digest: str
    asked_at: str
    expires_at: str
    because: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict)
    votes: Sequence[Mapping[str, Any]] = ()
    state: str = "open"

    @classmethod
    def of(cls, action: Action) -> "Request | None":
        """The newest asking of that action, if there was one."""
        kept = action.result.get("approval")
        if not isinstance(kept, Mapping) or "digest" not in kept:
            return None
        return cls(**{name: kept[name] for name in _FIELDS if name in kept})

    @property
    def connector(self) -> str:
        """The connector that was shown; empty when it was not found yet."""
        return str(self.shown.get("connector", ""))

    @property
    def problem(self) -> str:
        """Why the connector was not found."""
        return str(self.shown.get("problem", ""))

    @property
    def ends(self) -> datetime:
        """When it is too late to answer."""
        return datetime.fromisoformat(self.expires_at)

    @property
    def missing(self) -> int:
        """How many more must agree."""
        return max(0, self.needed - counted(self.votes))


@dataclass(frozen=True, slots=True)
class Ballot:
    """One answer as it was given. ``on_behalf`` names whom the voter stands in for; empty: worked out."""

    who: str
    choice: Choice
    digest: str
    channel: str = ""
    on_behalf: str = ""
    comment: str = ""


def same_person(one: str, other: str) -> bool:
    """Names are compared as people see them: without case, width, signs that are not seen and spaces around them.

    ``Anna`` is no second ``anna``. Letters of another script that look alike are others.
    """
    return _plain(one) == _plain(other)


def counted(votes: Sequence[Mapping[str, Any]]) -> int:
    """How many persons said yes."""
    return len({_plain(str(vote["for"])) for vote in votes if vote["answer"] == Choice.APPROVE})


def facts_of(action: Action, request: Request) -> dict[str, Any]:
    """Everything a person decides on, as it is shown on every channel and as it is hashed."""
    return {
        "tenant": action.tenant,
        "action_id": action.action_id,
        "round": request.round,
        "verb": action.verb,
        "risk": verb(action.verb).risk.name,
        "target": {
            "kind": str(action.target.kind),
            "value": action.target.value,
            "facts": dict(action.target.facts),
        },
        "parameters": dict(action.parameters),
        "lease_seconds": action.result.get("lease_seconds"),
        "stop_at": action.result.get("stop_at"),
        "reason": action.reason,
        "requested_by": action.requested_by,
        "case_id": action.case_id,
        "accepted_losses": list(action.result.get("accept_losses", ())),
        "connector": request.connector,
        "native_id": str(request.shown.get("native_id", "")),
        "losses": list(request.shown.get("losses", ())),
        "because": request.because,
        "needed": request.needed,
        "expires_at": request.expires_at,
    }


def digest_of(action: Action, request: Request) -> str:
    """SHA-256 of what is shown."""
    return fingerprint(facts_of(action, request))


def judge(  # everything a vote is judged by; no two of these make one thing
    action: Action,
    request: Request,
    ballot: Ballot,
    rules: Rules,
    delegations: Sequence[Delegation],
    now: datetime,
) -> dict[str, Any]:
    """The vote as the journal keeps it. Raises VoteError that tells the voter why it does not count."""
    name = action.action_id
    if action.state is not ActionState.AWAITING_APPROVAL:
        over = Refused.TOO_LATE if action.state is ActionState.CANCELLED else Refused.ANSWERED
        raise VoteError(over, f"{name} is {action.state.replace('_', ' ')} by now: it waits for no answer")
    if now >= request.ends:
        raise VoteError(Refused.TOO_LATE, f"{name}: too late, answers were taken until {request.expires_at}")
    principal = _principal(action, request, ballot, rules, delegations, now)
    if ballot.digest != request.digest:
        raise VoteError(
            Refused.CHANGED,
            f"{name} was changed since it was shown to you (you saw {ballot.digest[:12] or 'nothing'}, it is"
            f" {request.digest[:12]} now): look at it again",
        )
    for vote in request.votes:
        for used in (str(vote["who"]), str(vote["for"])):
            for mine in (ballot.who, principal):
                if rules.is_same(used, mine):
                    by = "" if same_person(used, str(vote["who"])) else f" through {vote['who']}"
                    raise VoteError(Refused.ANSWERED, f"{name}: {used} has answered already{by}: one person, one vote")
    found = rules.person(ballot.who)
    return {
        "who": found.name if found else ballot.who,
        "role": found.role if found else "",
        "answer": ballot.choice.value,
        "at": now.isoformat(),
        "channel": ballot.channel,
        "for": principal,
        "digest": ballot.digest,
        "comment": ballot.comment,
    }


def _principal(  # see judge
    action: Action,
    request: Request,
    ballot: Ballot,
    rules: Rules,
    delegations: Sequence[Delegation],
    now: datetime,
) -> str:
    """Whose vote it is: the voter's own, or that of the one person who made the voter their delegate."""
    who, name = ballot.who.strip(), action.action_id
    if not who or rules.is_same(who, action.requested_by):
        raise VoteError(
            Refused.NOT_ENTITLED, f"{name}: {who or 'nobody'} requested it and cannot approve it: ask another"
        )
    if rules.person(who) is None or _plain(who) in _NO_PERSONS:
        raise VoteError(Refused.NOT_ENTITLED, f"{name}: {who} is nobody of {action.tenant} who may approve")
    own = rules.entitled(who)
    if own and (not ballot.on_behalf or same_person(ballot.on_behalf, who)):
        found = rules.person(who)
        return found.name if found else who
    givers = [
        one.giver
        for one in delegations
        if same_person(one.taker, who)
        and one.until > now
        and rules.entitled(one.giver)
        and not rules.is_same(one.giver, action.requested_by)
        and not rules.is_same(one.by, action.requested_by)
        and (not ballot.on_behalf or same_person(one.giver, ballot.on_behalf))
    ]
    if not ballot.on_behalf:
        spoken = {str(vote["for"]) for vote in request.votes}
        open_ = [one for one in givers if not any(rules.is_same(one, other) for other in spoken)]
        givers = open_ or givers
    if not givers:
        whom = f" for {ballot.on_behalf}" if ballot.on_behalf else ""
        raise VoteError(
            Refused.NOT_ENTITLED,
            f"{name}: {who} may not approve{whom} in {action.tenant}: it takes the role approver or admin, or a"
            " delegation by somebody other than the requester that has not ended",
        )
    if len({_plain(one) for one in givers}) > 1:
        raise VoteError(
            Refused.NOT_ENTITLED, f"{name}: {who} stands in for {', '.join(sorted(givers))}: say for whom this is"
        )
    found = rules.person(givers[0])
    return found.name if found else givers[0]


def _plain(name: str) -> str:
    seen = "".join(char for char in _UNSEEN.sub("", name) if char.isspace() or unicodedata.category(char) not in _SIGNS)
    # Folding may undo the normal form (Unicode 15, D146), so it is made again.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    return " ".join(folded.split())


def _as_given(account: str) -> str:
    """An account as its vendor tells it from others: nothing but ASCII letters loses its case."""
    return account.strip().translate(_LOWER)
