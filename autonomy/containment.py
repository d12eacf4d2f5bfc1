"""From "isolate the victim" in a rule to named, checked targets; a doubt leaves the idea and asks for a person."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from nightdesk.autonomy.enrichment.warnings import warned
from nightdesk.autonomy.guardrails import DecisionContext, blast_radius, may_run_unattended
from nightdesk.autonomy.levels.units import class_of, rule_keys
from nightdesk.autonomy.policy import ACTS_ON, Policy, ProposedAction, Ruling
from nightdesk.autonomy.protected import bearer, protection_checks
from nightdesk.autonomy.radius import bucket
from nightdesk.autonomy.switches import rule_stopped
from nightdesk.sdk.case import Alert, Check, Entity, EntityKind, Proposal
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Risk, TargetKind, Verb, verb

__all__ = ["Containment", "is_calm", "resolve", "two_signers", "unattended"]

_CALM = frozenset(
    {
        "caution",
        "timestamps",
        "clock-skew",
        "enrichment",
        "enrichment-pending",
        "flood",
        "new-cases",
        "maintenance",
        "kill-switch",
        "with-person",
    }
)
"""What must be in order before a containment goes without a person; the floors under closing do not hold one back."""

_CAUTION = ("human", "earned", "policy")
"""Ways to let a containment go, the most cautious first."""


@dataclass(frozen=True, slots=True)
class Containment:
    """What is proposed, and every check that was asked on the way."""

    proposals: tuple[Proposal, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class _Wish:
    """One verb on one target; ``approval`` is the most cautious of the rules that want it.

    ``detections`` are the detection rules of the alerts that name the target.
    """

    action: ProposedAction
    target: Target
    approval: str
    rules: tuple[str, ...]
    detections: tuple[str, ...]


def resolve(
    ruling: Ruling, policy: Policy, signers: int, context: DecisionContext, asked: tuple[Check, ...]
) -> Containment:
    """Names the targets of every matching propose rule, drops the protected, and says who may let each one go."""
    checks: list[Check] = []
    wishes: dict[tuple[str, str], _Wish] = {}
    # What a stopped rule wants as well, another rule does not get without a person (law 7).
    doubted: set[tuple[str, str]] = set()
    for wish in _wishes(ruling, checks):
        key = (wish.action.verb, wish.target.key)
        if rule_stopped(context.stopped_rules, wish.rules[0], wish.action.verb):
            told = f"{wish.action.verb} {wish.target.key} of rule {wish.rules[0]}"
            checks.append(Check("rule-running", False, told, "the rule is not stopped"))
            doubted.add(key)
            continue
        known = wishes.get(key)
        if known is not None:
            wishes[key] = replace(
                known,
                approval=min(known.approval, wish.approval, key=_CAUTION.index),
                rules=tuple(dict.fromkeys((*known.rules, *wish.rules))),
                detections=tuple(dict.fromkeys((*known.detections, *wish.detections))),
            )
            continue
        felt = bearer(wish.action.verb, wish.target).key
        known_of = (context.assets.get(felt), warned(context.enrichment, felt))
        found = protection_checks(wish.target, policy, *known_of, name=wish.action.verb)
        checks += found
        if all(check.passed for check in found):
            wishes[key] = wish
    calm = is_calm(asked)
    proposals = []
    for key, wish in wishes.items():
        approval = "human"
        if wish.approval != "human" and key not in doubted:
            planned = _planned(wish, list(wishes.values()))
            wanted = verb(wish.action.verb)
            warrant = two_signers(f"{wanted.name} {wish.target.key}", signers)
            if wish.approval == "earned":
                warrant = _earned(wish, signers, context)
            doubts = tuple(unattended(warrant, wanted, wish.target, planned, context, calm=calm))
            checks += doubts
            approval = "policy" if all(check.passed for check in doubts) else "human"
        proposals.append(
            Proposal(wish.action.verb, wish.target.key, wish.target.facts, wish.action.parameters, approval, wish.rules)
        )
    return Containment(tuple(proposals), tuple(checks))


def _wishes(ruling: Ruling, checks: list[Check]) -> Iterator[_Wish]:
    for rule, alerts in ruling.proposing:
        propose = rule.then.propose
        for action in propose.actions if propose else ():
            kind = verb(action.verb).target
            named = False
            for alert in alerts:
                for entity in alert.entities:
                    if not _meant(action.target, kind, entity):
                        continue
                    named = True
                    try:
                        target = Target(kind, entity.value, _facts(alert, entity))
                    except RejectedError as error:
                        checks.append(Check("selector", False, str(error), "means exactly one thing"))
                        continue
                    approval = propose.approval if propose else "human"
                    yield _Wish(action, target, approval, (rule.id,), rule_keys([alert]))
            checks.append(
                Check("target", named, f"{action.verb} {action.target} of rule {rule.id}", "an alert names one")
            )


def _meant(word: str, kind: TargetKind, entity: Entity) -> bool:
    if entity.kind is not ACTS_ON.get(kind):
        return False
    if kind is TargetKind.SENDER and entity.role != "sender":
        return False
    return word in {entity.kind.value, entity.role}


def _facts(alert: Alert, entity: Entity) -> dict[str, str]:
    """What else the alert says of the same thing; a process or file lies on the host of its alert, if that is one."""
    facts = dict(entity.facts)
    hosts = [one for one in alert.entities if one.kind is EntityKind.HOST]
    if entity.kind is EntityKind.HOST:
        facts.setdefault("hostname", entity.value)
    elif entity.kind in {EntityKind.PROCESS, EntityKind.FILE} and len(hosts) == 1:
        for name in ("hostname", "device_id", "address"):
            if name in hosts[0].facts:
                facts.setdefault(name, hosts[0].facts[name])
        facts.setdefault("hostname", hosts[0].value)
    return facts


def two_signers(what: str, signers: int) -> Check:
    """Two persons signed that it may go without a third one."""
    return Check("two-signers", signers >= 2, f"{what}: {signers}", "two persons")


def _earned(wish: _Wish, signers: int, context: DecisionContext) -> Check:
    """Two persons raised every detection rule that names the target, on evidence; and what is done was signed."""
    what, decides = f"{wish.action.verb} {wish.target.key}", class_of(wish.action.verb)
    lacking = sorted(set(wish.detections) - set(context.containing.get(decides, ())))
    told = f"{', '.join(lacking)} has not" if lacking else ", ".join(wish.detections)
    return Check("contain-earned", not lacking and signers >= 1, f"{what}: {told}", f"{decides} earned, policy signed")


def unattended(
    warrant: Check, wanted: Verb, target: Target, planned: int, context: DecisionContext, *, calm: bool
) -> Iterator[Check]:
    """Everything that must pass before a rule's action goes without a person. ``planned``: so many like it, itself too.

    ``warrant`` is who answers for it. Asked when a rule proposes it, and again of each action of a playbook that a rule
    started.
    """
    what = f"{wanted.name} {target.key}"
    yield warrant
    yield Check("calm", calm, what, "no check failed that makes a machine wait")
    bounded = wanted.risk < Risk.R2 or (wanted.risk is Risk.R2 and wanted.reversible)
    yield Check("reversible", bounded, f"{what}: {wanted.risk.name}", "R1, or R2 with an inverse")
    yield from may_run_unattended(wanted.target, target.key, target.facts.get("asset_type", ""), context)
    if wanted.risk >= Risk.R2:
        yield from blast_radius(wanted.name, planned, context, what)


def is_calm(asked: Iterable[Check]) -> bool:
    """Whether nothing is in disorder that makes a machine wait for a person."""
    return all(check.passed for check in asked if check.name in _CALM)


def _planned(wish: _Wish, all_wishes: Iterable[_Wish]) -> int:
    """How many targets of that sort these wishes name."""
    return len(
        {
            one.target.key
            for one in all_wishes
            if bucket(one.action.verb) == bucket(wish.action.verb) and verb(one.action.verb).risk >= Risk.R2
        }
    )
