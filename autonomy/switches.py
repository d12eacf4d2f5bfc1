"""What was stopped, by whom, and whether one action may leave in spite of it; pure, so that every answer can be tried.

A switch of the whole installation, a tenant or a rule stops what the machine lets go by itself. A switch of a vendor
action (a vendor's slug and a verb; words of data here) is about that request being wrong, whoever wants it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.ledger import ENGINE
from nightdesk.autonomy.proposals import Approval
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.verbs import VERBS, Risk, verb

__all__ = [
    "ANYWHERE",
    "CLOSES",
    "TELLS",
    "Brake",
    "Clearance",
    "Departure",
    "Position",
    "Scope",
    "Switch",
    "Word",
    "clearance",
    "everything_stopped",
    "free",
    "rule_stopped",
    "stopped_rules",
]

ANYWHERE = "*"
"""The tenant of a switch that holds for all of them; no tenant's slug can be this."""

CLOSES = "alert.set_disposition"
"""The verb of a rule that closes."""

TELLS = frozenset({"ticketing", "chat"})
"""Roles whose verbs only tell people; a stop that silenced them would hide what it left to people."""


class Scope(StrEnum):
    """What a switch stops."""

    ALL = "all"
    TENANT = "tenant"
    RULE = "rule"
    VENDOR_ACTION = "vendor-action"
    LEVELS = "levels"
    """Raising levels of autonomy; what was raised before goes on."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One thing that can be stopped. Raises PolicyError for what names nothing.

    ``subject`` is empty, a rule's id (``RULE``, or ``RULE/VERB`` for that verb alone), or ``VENDOR/VERB``.
    """

    tenant: str
    scope: Scope
    subject: str = ""

    def __post_init__(self) -> None:
        if not self.tenant:
            raise PolicyError("a switch names its tenant, or * for the whole installation")
        if (self.scope is Scope.ALL) != (self.tenant == ANYWHERE) and self.scope in {Scope.ALL, Scope.TENANT}:
            raise PolicyError(f"the scope {self.scope} does not go with the tenant {self.tenant!r}")
        if self.scope in {Scope.ALL, Scope.TENANT, Scope.LEVELS}:
            if self.subject:
                raise PolicyError(f"the scope {self.scope} has no subject, {self.subject!r} was given")
            return
        owner, slash, name = self.subject.partition("/")
        if not owner or (slash and name not in VERBS) or (self.scope is Scope.VENDOR_ACTION and not slash):
            form = "VENDOR/VERB" if self.scope is Scope.VENDOR_ACTION else "RULE or RULE/VERB"
            raise PolicyError(f"{self.subject!r} is no {self.scope}: write {form} with a verb that exists")

    @property
    def owner(self) -> str:
        """The rule or the vendor of the subject."""
        return self.subject.partition("/")[0]

    @property
    def verb(self) -> str:
        """The verb of the subject; empty when it means every verb."""
        return self.subject.partition("/")[2]

    def __str__(self) -> str:
        where = "all tenants" if self.tenant == ANYWHERE else self.tenant
        if self.scope in {Scope.ALL, Scope.TENANT}:
            return f"autonomy of {where}"
        if self.scope is Scope.LEVELS:
            return f"raising levels of {where}"
        what = "rule" if self.scope is Scope.RULE else "vendor action"
        return f"{what} {self.subject} of {where}"


@dataclass(frozen=True, slots=True)
class Position:
    """How a switch stands. ``asked_by`` wants it started again and waits for a second person."""

    switch: Switch
    stopped: bool
    reason: str
    changed_by: str
    changed_at: datetime
    asked_by: str = ""

    @property
    def by_engine(self) -> bool:
        """A brake did it: the machine doubts itself, and people may go on."""
        return self.changed_by == ENGINE

    @property
    def author(self) -> str:
        """Who changed it, as any tenant may read it: a person of another tenant is the operator (law 3)."""
        return "the operator" if self.switch.tenant == ANYWHERE and not self.by_engine else self.changed_by

    def told(self) -> "Position":
        """The same as any tenant may read it."""
        asked = "the operator" if self.asked_by and self.switch.tenant == ANYWHERE else self.asked_by
        return replace(self, changed_by=self.author, asked_by=asked)

    def __str__(self) -> str:
        return f"{self.switch} stopped by {self.author}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Departure:
    """One request about to leave: what it is, which rules wanted it, whose API it goes to, and who let it go."""

    tenant: str
    verb: str
    vendor: str
    rules: tuple[str, ...] = ()
    alone: bool = False
    """Policy let it go: no person answers for it."""

    @classmethod
    def of(cls, action: Action) -> "Departure":
        """As the action says it; the dispatch adds its route's vendor to ``result`` before it asks."""
        return cls(
            action.tenant,
            action.verb,
            str(action.result.get("vendor", "")),
            tuple(action.result.get("rules", ())),
            action.approval == Approval.POLICY,
        )

    @property
    def felt(self) -> bool:
        """Somebody notices: worth a person's time to decide instead."""
        return verb(self.verb).risk >= Risk.R2


class Word(StrEnum):
    """What is to become of a request."""

    GO = "go"
    ASK = "ask"
    """A person decides in the machine's place."""
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Clearance:
    """The word and its reason; a GO with a reason is a warning that belongs in the journal."""

    word: Word
    why: str = ""


Brake = Callable[[Action], Clearance]
"""Asked last, right before each request leaves. Raises NightdeskError when it cannot tell: then nothing leaves."""


def free(action: Action) -> Clearance:  # noqa: ARG001  # the form of a Brake
    """No switches at all, for an engine without a store of them."""
    return Clearance(Word.GO)


def clearance(leaving: Departure, positions: Iterable[Position]) -> Clearance:
    """Whether it may go: a person's stop ends it, a brake's hands it to a person, another's concern is no hindrance."""
    against = [one for one in positions if one.stopped and _concerns(one.switch, leaving)]
    told = "; ".join(str(one) for one in against)
    if any(_forbids(one, leaving) for one in against):
        return Clearance(Word.CANCEL, told)
    if not against:
        return Clearance(Word.GO)
    if not leaving.alone:
        return Clearance(Word.GO, f"warning: {told}")
    # Only brakes are left. What nobody feels is not worth a queue of questions.
    return Clearance(Word.ASK if leaving.felt else Word.CANCEL, told)


def everything_stopped(positions: Iterable[Position]) -> bool:
    """Whether the machine may do nothing by itself for the tenant whose positions these are."""
    return any(one.stopped and one.switch.scope in {Scope.ALL, Scope.TENANT} for one in positions)


def stopped_rules(positions: Sequence[Position]) -> tuple[str, ...]:
    """The subjects of stopped rules, sorted: ``RULE`` for all it does, ``RULE/VERB`` for one thing."""
    return tuple(sorted({one.switch.subject for one in positions if one.stopped and one.switch.scope is Scope.RULE}))


def rule_stopped(subjects: Sequence[str], rule: str, name: str) -> bool:
    """Whether one of these subjects of stopped rules means that verb of that rule."""
    return rule in subjects or f"{rule}/{name}" in subjects


def _forbids(position: Position, leaving: Departure) -> bool:
    return not position.by_engine and (leaving.alone or position.switch.scope is Scope.VENDOR_ACTION)


def _concerns(switch: Switch, leaving: Departure) -> bool:
    if switch.tenant not in {ANYWHERE, leaving.tenant} or switch.scope is Scope.LEVELS:
        return False
    if switch.scope is Scope.VENDOR_ACTION:
        return (switch.owner, switch.verb) == (leaving.vendor, leaving.verb)
    if not leaving.alone or verb(leaving.verb).role in TELLS:
        return False
    if switch.scope is Scope.RULE:
        return switch.owner in leaving.rules and switch.verb in {"", leaving.verb}
    return True
