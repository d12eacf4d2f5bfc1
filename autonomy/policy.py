"""The hard policy: rules that people wrote and signed, read from YAML into values that cannot be half right."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, BeforeValidator, Field, JsonValue

from nightdesk.autonomy.conditions import PolicyModel, Role, When, Words
from nightdesk.autonomy.matching import Facts, evaluate, severity_rank
from nightdesk.sdk.case import Alert, Case, EntityKind, Verdict
from nightdesk.sdk.verbs import TargetKind

__all__ = [
    "ACTS_ON",
    "NeverTouch",
    "Policy",
    "PolicyFile",
    "ProposedAction",
    "Rule",
    "Ruling",
    "StartPlaybook",
    "canonical_bytes",
    "case_severity",
    "hits",
    "judge",
    "names_things",
]

ACTS_ON: Mapping[TargetKind, EntityKind] = {
    TargetKind.HOST: EntityKind.HOST,
    TargetKind.PROCESS: EntityKind.PROCESS,
    TargetKind.FILE: EntityKind.FILE,
    TargetKind.ADDRESS: EntityKind.ADDRESS,
    TargetKind.DOMAIN: EntityKind.DOMAIN,
    TargetKind.URL: EntityKind.URL,
    TargetKind.ACCOUNT: EntityKind.ACCOUNT,
    TargetKind.SENDER: EntityKind.EMAIL,
}
"""Which entity of an alert a verb's target is made of; what is not here cannot be proposed by a rule."""

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$")]
ClosedAs = Literal[
    Verdict.BENIGN_POSITIVE, Verdict.LIKELY_FALSE_POSITIVE, Verdict.FALSE_POSITIVE, Verdict.DUPLICATE, Verdict.TEST
]
RaisedAs = Literal[Verdict.TRUE_POSITIVE, Verdict.LIKELY_TRUE_POSITIVE, Verdict.UNDETERMINED]
Bar = Literal["close", "contain"]
TARGETS = frozenset({*(kind.value for kind in ACTS_ON.values()), *get_args(Role)} - {"other"})


def _end_of_day(value: object) -> object:
    """A date is the last day a rule holds."""
    if isinstance(value, str) and len(value) == 10:
        try:
            value = date.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC) + timedelta(days=1)
    return value


class Close(PolicyModel):
    """Close the case as this; ``at_once`` does not wait until it has been quiet."""

    verdict: ClosedAs
    at_once: bool = False


class Recommend(PolicyModel):
    """Show this verdict and wait for a person's click."""

    verdict: ClosedAs


class Escalate(PolicyModel):
    """Give the case to a person."""

    verdict: RaisedAs = Verdict.LIKELY_TRUE_POSITIVE


class ProposedAction(PolicyModel):
    """One verb on every entity of the alert that the target word names: an entity kind or a role."""

    verb: str
    target: str
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class Propose(PolicyModel):
    """Give the case to a person together with ready containments.

    ``approval: policy`` lets them go without one; ``earned`` does once every detection rule that names the target has
    earned *auto-contain*.
    """

    actions: Annotated[tuple[ProposedAction, ...], Field(min_length=1)]
    approval: Literal["human", "earned", "policy"] = "human"
    verdict: RaisedAs = Verdict.LIKELY_TRUE_POSITIVE


class StartPlaybook(PolicyModel):
    """Give the case to a person and start this playbook on it: the content that was signed for (``sha256``), no other.

    ``inputs`` says which entity of the matching alerts an external variable is, as a target word of a proposal does.
    """

    id: str
    sha256: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)
    approval: Literal["human", "policy"] = "human"
    verdict: RaisedAs = Verdict.LIKELY_TRUE_POSITIVE


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Bars = Annotated[tuple[Bar, ...], BeforeValidator(_one_or_more), Field(min_length=1)]
"""What a rule holds a machine back from; see ``bars``."""


class NeverTouch(PolicyModel):
    """What no containment is ever proposed for: names as globs, addresses exactly or as CIDR networks."""

    assets: Words = ()
    accounts: Words = ()
    addresses: Words = ()
    domains: Words = ()


class Then(PolicyModel):
    """Exactly one of these."""

    close: Close | None = None
    recommend: Recommend | None = None
    escalate: Escalate | None = None
    propose: Propose | None = None
    playbook: StartPlaybook | None = None
    require_approval: Bars | None = None
    never: Bars | None = None
    never_touch: NeverTouch | None = None


class Rule(PolicyModel):
    """One rule with the person who answers for it. ``expires`` ends what it allows, never what it forbids."""

    id: Slug
    owner: Annotated[str, Field(min_length=1)]
    reason: str = ""
    expires: Annotated[AwareDatetime, BeforeValidator(_end_of_day)] | None = None
    when: When = Field(default_factory=When)
    then: Then

    @property
    def closing(self) -> Close | Recommend | None:
        """What it would close a case as, if it does."""
        return self.then.close or self.then.recommend

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires


class PolicyFile(PolicyModel):
    """The file as written."""

    policy_id: Slug
    version: Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
    description: str = ""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read but not verified: it can raise caution, and it can never close."""

    policy_id: str
    version: str
    sha256: str
    rules: tuple[Rule, ...] = ()

    @classmethod
    def unsigned(cls) -> "Policy":
        """The policy of a tenant that has none: every case goes to a person."""
        return cls("none", "0", hashlib.sha256(b"").hexdigest())

    @property
    def never_touch(self) -> tuple[tuple[str, NeverTouch], ...]:
        """The protected sets with the rules they come from; they hold even when expired."""
        return tuple((rule.id, rule.then.never_touch) for rule in self.rules if rule.then.never_touch is not None)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say of one case. ``closing`` has for each alert the closing rule that waits least, or None.

    ``unsure`` are raising rules for which a fact is missing, and expired proposals: they raise like an escalation.
    """

    escalating: tuple[Rule, ...]
    unsure: tuple[Rule, ...]
    proposing: tuple[tuple[Rule, tuple[Alert, ...]], ...]
    closing: tuple[Rule | None, ...]
    expired: tuple[str, ...]
    starting: tuple[tuple[Rule, tuple[Alert, ...]], ...] = ()

    @property
    def covered(self) -> bool:
        """Whether every alert has a rule that would close it."""
        return bool(self.closing) and all(rule is not None for rule in self.closing)


def names_things(when: When) -> bool:
    """Whether a match needs a certain thing (an address, a device, a file): then a closing rule is an allow-list."""
    return bool(when.entities) or any(map(names_things, (*(when.all_of or ()), *(when.any_of or ()))))


def canonical_bytes(data: bytes) -> bytes:
    """The bytes that are hashed and signed: the file's own, with the line ends every system agrees on."""
    return data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")


def case_severity(case: Case) -> int:
    """The worst severity the case ever had; 0 when that of any alert is unknown and so could be worse."""
    ranks = [severity_rank(alert.severity_id) for alert in case.alerts]
    return 0 if 0 in ranks else max([severity_rank(case.severity_id), *ranks])


def hits(rule: Rule, case: Case) -> tuple[Alert, ...]:
    """The alerts of the case that a raising rule matches."""
    count = len(case.alerts)
    return tuple(
        alert for alert in case.alerts if evaluate(rule.when, Facts(alert, alert.severity_id, count), closing=False)
    )


def _patience(rule: Rule) -> int:
    """How long a closing rule waits.

    Each one is a permission, so the one that waits least counts: if another did, an attacker could make its condition
    fail and be left with the wider one (law 7).
    """
    if rule.then.close is None:
        return 2
    return 0 if rule.then.close.at_once else 1


def judge(policy: Policy, case: Case, now: datetime) -> Ruling:
    """Asks every rule about every alert, in the file's order."""
    worst, count = case_severity(case), len(case.alerts)
    own = {id(alert): Facts(alert, alert.severity_id, count) for alert in case.alerts}
    escalating: list[Rule] = []
    unsure: list[Rule] = []
    proposing: list[tuple[Rule, tuple[Alert, ...]]] = []
    starting: list[tuple[Rule, tuple[Alert, ...]]] = []
    for rule in policy.rules:
        if rule.then.escalate is None and rule.then.propose is None and rule.then.playbook is None:
            continue
        answers = [(alert, evaluate(rule.when, own[id(alert)], closing=False)) for alert in case.alerts]
        matching = tuple(alert for alert, answer in answers if answer)
        if matching and rule.then.escalate is not None:
            escalating.append(rule)
        elif matching and not rule.expired(now):
            (proposing if rule.then.playbook is None else starting).append((rule, matching))
        elif matching or any(answer is None for _, answer in answers):
            unsure.append(rule)
    closers = [rule for rule in policy.rules if rule.closing is not None]
    closing: list[Rule | None] = []
    expired: dict[str, None] = {}
    for alert in case.alerts:
        facts = Facts(alert, worst, count)
        meant = [rule for rule in closers if evaluate(rule.when, facts, closing=True)]
        standing = [rule for rule in meant if not rule.expired(now)]
        closing.append(min(standing, key=_patience, default=None))
        if not standing:
            expired.update(dict.fromkeys(rule.id for rule in meant))
    return Ruling(tuple(escalating), tuple(unsure), tuple(proposing), tuple(closing), tuple(expired), tuple(starting))
