"""A policy replayed over recorded decisions: what would have become of each, from the inputs of then (law 11).

Each decision is made again at its own moment, from its own record: what the new policy's earlier decisions would have
changed around it (whether a person has the case by then) is as it really was. A hold counts as the close it becomes
when no alert joined the case in time. Nothing is written, nobody is asked.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.record import again, as_it_stood
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.hub.policies.judged import Judgement, judged_attacks
from nightdesk.hub.policies.past import Recorded, next_decided, recorded
from nightdesk.hub.policies.radius import Peak, Reach
from nightdesk.hub.policies.trying import as_signed, touching
from nightdesk.hub.store import Store
from nightdesk.hub.store.codec import dump, encode_decision
from nightdesk.sdk.case import Case, Decision, Outcome
from nightdesk.stix.normalize import Normalizer
from nightdesk.stix.scope import Scope

__all__ = ["Backtest", "Candidate", "Change", "Danger", "RuleUse", "backtest", "candidate"]

EXAMPLES = 5
DANGERS = 500
_TOLD = 200
_CLOSING = frozenset({Outcome.CLOSE, Outcome.HOLD})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy to replay, and who it counts as signed by; a decision of the same policy keeps its own signers."""

    policy: Policy
    signers: tuple[str, ...]

    def at(self, told: Decision) -> SignedPolicy | Policy:
        """The policy for this decision."""
        same = told.policy_sha256 == self.policy.sha256
        return as_signed(self.policy, tuple(told.inputs["signers"]) if same else self.signers)


@dataclass(frozen=True, slots=True)
class Change:
    """One decision that would have been another."""

    case_id: str
    decision_id: str
    at: str
    title: str
    before: str
    after: str
    reason_before: str
    reason_after: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Danger:
    """A case that a person called an attack (or re-opened) and that the policy would have closed."""

    change: Change
    judgement: Judgement
    closed_before: bool
    """The policy of then closed it as well: no worse, and no better."""


@dataclass(slots=True)
class RuleUse:
    """What one rule did in the replay."""

    matched: int = 0
    closes: int = 0
    proposals: int = 0


@dataclass(slots=True)
class Backtest:
    """What was counted of one tenant.

    ``closes``: cases that the new policy would have closed; ``closes_later`` of them after a hold that the record does
    not have and that nothing would have interrupted.
    """

    tenant: str
    since: datetime
    until: datetime
    policy_id: str
    version: str
    sha256: str
    against: str
    decisions: int = 0
    by_people: int = 0
    replayed: int = 0
    changed: int = 0
    unfaithful: int = 0
    not_replayable: int = 0
    problems: list[str] = field(default_factory=list)
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[Change]] = field(default_factory=dict)
    actions_before: Counter[str] = field(default_factory=Counter)
    actions_after: Counter[str] = field(default_factory=Counter)
    closes: int = 0
    closes_later: int = 0
    dangers: list[Danger] = field(default_factory=list)
    dangers_more: int = 0
    rules: dict[str, RuleUse] = field(default_factory=dict)
    reach_before: Mapping[str, Peak] = field(default_factory=dict)
    reach_after: Mapping[str, Peak] = field(default_factory=dict)
    early: set[str] = field(default_factory=set)
    """Cases that were really held and would have been closed at once: the close at the hold's end is the same one."""

    @property
    def stale(self) -> tuple[str, ...]:
        """Rules that matched nothing in all that time."""
        return tuple(name for name, use in self.rules.items() if not use.matched)

    @property
    def close_share(self) -> float:
        """Cases closed of decisions replayed; 0 of nothing."""
        return self.closes / self.replayed if self.replayed else 0.0


def candidate(policy: Policy, signers: Sequence[str] = ()) -> Candidate:
    """The policy as if signed by these, or by as many as it needs."""
    alone = any(rule.then.propose is not None and rule.then.propose.approval == "policy" for rule in policy.rules)
    return Candidate(policy, tuple(signers) or (("signer-1", "signer-2") if alone else ("signer-1",)))


def backtest(  # whose past, which part of it, under which policies; all but two are keywords
    store: Store,
    scope: Scope,
    *,
    new: Candidate,
    old: Candidate | None = None,
    since: datetime,
    until: datetime,
    normalizer: Callable[[], Normalizer],
    progress: Callable[[int], None] = lambda _: None,
) -> Backtest:
    """Replays the decisions of that time. Without ``old`` they are compared with what was really decided."""
    against = f"{old.policy.policy_id} {old.policy.version}" if old is not None else "what was decided"
    policy = new.policy
    found = Backtest(scope.slug, since, until, policy.policy_id, policy.version, policy.sha256, against)
    found.rules = {rule.id: RuleUse() for rule in policy.rules}
    reach = Reach(), Reach()
    for one in recorded(store, scope, since, until, normalizer):
        found.decisions += 1
        if one.human:
            found.by_people += 1
        elif one.case is None:
            found.not_replayable += 1
            if len(found.problems) < EXAMPLES:
                found.problems.append(one.problem)
        else:
            _weigh(found, store, one, one.case, new, old, reach)
        progress(found.decisions)
    found.reach_before, found.reach_after = reach[0].peaks(), reach[1].peaks()
    return found


def _weigh(  # the one place where everything of a decision meets
    found: Backtest,
    store: Store,
    one: Recorded,
    case: Case,
    new: Candidate,
    old: Candidate | None,
    reach: tuple[Reach, Reach],
) -> None:
    told = one.decision
    before = told if old is None else again(told, case, old.at(told))
    after = again(told, case, new.at(told))
    found.replayed += 1
    if told.policy_sha256 == new.policy.sha256 and encode_decision(after) != one.record:
        found.unfaithful += 1
    found.before[before.outcome.value] += 1
    found.after[after.outcome.value] += 1
    found.actions_before.update(proposal.verb for proposal in before.proposals)
    found.actions_after.update(proposal.verb for proposal in after.proposals)
    reach[0].add(before)
    reach[1].add(after)
    then = as_it_stood(told, case)
    rules = touching(new.policy, then, after)
    for name in rules:
        found.rules[name].matched += 1
        found.rules[name].proposals += sum(name in proposal.rules for proposal in after.proposals)
    closes = _closes(found, store, one, case, new, after)
    if closes:
        found.closes += 1
        # What people asked to be quiet about closes as well, and is no rule of the policy.
        for name in dict.fromkeys(after.inputs["rules"]):
            if name in found.rules:
                found.rules[name].closes += 1
    if _same(before, after) and not closes:
        return
    change = _change(then, before, after, rules)
    if not _same(before, after):
        found.changed += 1
        step = (before.outcome.value, after.outcome.value)
        found.transitions[step] += 1
        kept = found.examples.setdefault(step, [])
        if len(kept) < EXAMPLES:
            kept.append(change)
    if closes:
        _endanger(found, store, change, before)


def _closes(found: Backtest, store: Store, one: Recorded, case: Case, new: Candidate, after: Decision) -> bool:
    """Whether the case ends up closed by this decision: at once, or by the end of its hold."""
    told, until = one.decision, after.hold_until
    if told.case_id in found.early:
        found.early.discard(told.case_id)
        if told.outcome is Outcome.CLOSE:
            return False
    if after.outcome is Outcome.CLOSE:
        if told.outcome is Outcome.HOLD:
            found.early.add(told.case_id)
        return True
    if after.outcome is not Outcome.HOLD or until is None or told.outcome is Outcome.HOLD:
        # A hold that was one then has its end in the record, and is counted there.
        return False
    following = next_decided(store, told.tenant, told.case_id, one.seq)
    if following is not None and following < until:
        return False
    if again(told, case, new.at(told), now=until).outcome is not Outcome.CLOSE:
        return False
    found.closes_later += 1
    return True


def _endanger(found: Backtest, store: Store, change: Change, before: Decision) -> None:
    with store.read() as conn:
        judged = judged_attacks(conn, found.tenant, [change.case_id]).get(change.case_id)
    if judged is None:
        return
    if len(found.dangers) >= DANGERS:
        found.dangers_more += 1
    else:
        found.dangers.append(Danger(change, judged, before.outcome in _CLOSING))


def _change(case: Case, before: Decision, after: Decision, rules: tuple[str, ...]) -> Change:
    return Change(
        case.case_id,
        after.decision_id,
        after.decided_at.isoformat(),
        case.title[:_TOLD],
        before.outcome.value,
        after.outcome.value,
        before.reason_code,
        after.reason_code,
        rules,
    )


def _same(before: Decision, after: Decision) -> bool:
    """Whether anybody would notice: what is done, by what name, for what reason, with which containments."""
    return _seen(before) == _seen(after)


def _seen(one: Decision) -> tuple[object, ...]:
    return (one.outcome, one.verdict, one.reason_code, one.hold_until, dump([*one.proposals, *one.starts]))
