"""Which playbooks a decision starts: signed for, unchanged, fit for the case; a doubt is told, and a person decides."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nightdesk.autonomy.bars import Bars
from nightdesk.autonomy.containment import is_calm, two_signers
from nightdesk.autonomy.guardrails import BookFacts, DecisionContext
from nightdesk.autonomy.policy import Rule, Ruling, StartPlaybook
from nightdesk.autonomy.switches import rule_stopped
from nightdesk.sdk.case import Check, PlaybookStart

__all__ = ["Starting", "resolve_starts"]

NO_BARS = Bars()
_SHOWN = 300
_NOTHING = BookFacts(unfit=("nobody looked for it",))


@dataclass(frozen=True, slots=True)
class Starting:
    """What is started, what is not with the reason as a sentence, and every check that was asked on the way."""

    starts: tuple[PlaybookStart, ...] = ()
    refusals: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


def resolve_starts(
    ruling: Ruling, signers: int, context: DecisionContext, asked: tuple[Check, ...], held: Bars = NO_BARS
) -> Starting:
    """Holds each matching rule's playbook against what was signed and what was found. Pure, as ``decide`` is."""
    starts: dict[tuple[str, str, tuple[tuple[str, str], ...]], PlaybookStart] = {}
    # What a stopped rule wants as well, another rule does not get without a person (law 7).
    doubted: set[tuple[str, str, tuple[tuple[str, str], ...]]] = set()
    checks: list[Check] = []
    refusals: list[str] = []
    calm = is_calm(asked)
    for rule, _ in ruling.starting:
        wanted = rule.then.playbook
        assert wanted is not None
        facts = context.playbooks.get(rule.id, _NOTHING)
        key = (wanted.id, wanted.sha256, tuple(sorted(facts.variables.items())))
        made = _checked(rule, wanted, facts, signers, context, held)
        checks += made
        failed = next((check for check in made if not check.passed), None)
        if failed is not None:
            refusals.append(_told(rule, facts.name or wanted.id, failed))
            doubted.add(key)
            continue
        approval = "human"
        if wanted.approval == "policy" and not held.approve_contain:
            alone = (
                two_signers(rule.id, signers),
                Check("calm", calm, rule.id, "no check failed that makes a machine wait"),
            )
            checks += alone
            approval = "policy" if all(check.passed for check in alone) else "human"
        known = starts.get(key)
        if known is not None:
            both = "policy" if known.approval == approval == "policy" else "human"
            starts[key] = replace(known, approval=both, rules=(*known.rules, rule.id))
            continue
        starts[key] = PlaybookStart(wanted.id, wanted.sha256, facts.name, dict(facts.variables), approval, (rule.id,))
    found = (replace(one, approval="human") if key in doubted else one for key, one in starts.items())
    return Starting(tuple(found), tuple(refusals), tuple(checks))


def _checked(
    rule: Rule, wanted: StartPlaybook, facts: BookFacts, signers: int, context: DecisionContext, held: Bars
) -> Iterable[Check]:
    """In the order in which a person would ask."""
    said = f"{facts.name or wanted.id} of rule {rule.id}"
    stopped = rule_stopped(context.stopped_rules, rule.id, "")
    barred = held.never_contain
    return (
        Check("playbook-signed", signers > 0, f"{said}: {signers} signers", "a signed policy starts it"),
        Check("playbook-rule-running", not stopped, said, "the rule is not stopped"),
        Check("playbook-running", not context.kill_switch, said, "the kill switch is off"),
        *(
            (Check("playbook-allowed", False, f"{said}: {', '.join(barred)}", "no never rule names the case"),)
            if barred
            else ()
        ),
        Check("playbook-known", bool(facts.sha256), f"{said}: {_short(facts)}", "a playbook of that id"),
        Check(
            "playbook-unchanged",
            facts.sha256 == wanted.sha256,
            f"{said}: {facts.sha256[:12] or 'none'}",
            f"the content that was signed for: {wanted.sha256[:12]}",
        ),
        Check("playbook-ready", not facts.unfit, f"{said}: {_short(facts) or 'ready'}", "every input, role and verb"),
    )


def _short(facts: BookFacts) -> str:
    text = "; ".join(facts.unfit)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _told(rule: Rule, name: str, failed: Check) -> str:
    why = {
        "playbook-signed": "nobody has signed the policy",
        "playbook-rule-running": "the rule is stopped",
        "playbook-running": "the kill switch is on",
        "playbook-allowed": "a rule says never for this case",
        "playbook-known": "there is no such playbook",
        "playbook-unchanged": "it is not what was signed for: read the change, write its sha256, sign again",
    }.get(failed.name, f"it is not fit for this case ({failed.value.partition(': ')[2]})")
    return f"The playbook {name} of rule {rule.id} was not started: {why}."
