"""Rules that only hold back: what a machine may never do with a case, and what it may do with a person's word alone.

They stand in the raising direction, count also where a fact they ask for is missing, and do not expire: adding one to
a policy never makes any decision less cautious (law 7).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from nightdesk.autonomy.containment import Containment
from nightdesk.autonomy.matching import Facts, evaluate
from nightdesk.autonomy.policy import Policy, Rule
from nightdesk.sdk.case import Case, Check

__all__ = ["NEVER_CLOSE", "Bars", "bars", "holds_back"]

NEVER_CLOSE = "never-close"
"""The check that fails when a ``never`` rule names the case."""


@dataclass(frozen=True, slots=True)
class Bars:
    """By what is held back, the ids of the rules that do it for this case; ``asked`` says what the policy could.

    A check is asked only where the policy has such a rule, so a record made before there were any replays as it was.
    """

    asked: frozenset[str] = frozenset()
    never_close: tuple[str, ...] = ()
    never_contain: tuple[str, ...] = ()
    approve_close: tuple[str, ...] = ()
    approve_contain: tuple[str, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """Every rule that holds something back here, each once."""
        every = (*self.never_close, *self.never_contain, *self.approve_close, *self.approve_contain)
        return tuple(dict.fromkeys(every))

    def checks(self) -> Iterator[Check]:
        """What stands against closing."""
        if "never-close" in self.asked:
            yield Check(NEVER_CLOSE, not self.never_close, ", ".join(self.never_close), "no never rule names the case")
        if "approve-close" in self.asked:
            yield _check("close-approval", self.approve_close)

    def on(self, contained: Containment) -> Containment:
        """The same containment without what is held back."""
        checks = list(contained.checks)
        proposals = contained.proposals
        if "never-contain" in self.asked:
            told = ", ".join(self.never_contain)
            checks.append(Check("never-contain", not self.never_contain, told, "no never rule names the case"))
            proposals = () if self.never_contain else proposals
        if "approve-contain" in self.asked:
            checks.append(_check("contain-approval", self.approve_contain))
            if self.approve_contain:
                proposals = tuple(replace(one, approval="human") for one in proposals)
        return Containment(proposals, tuple(checks))


def holds_back(rule: Rule) -> tuple[str, ...]:
    """What the rule can hold back, in the words of ``Bars``."""
    never = tuple(f"never-{what}" for what in rule.then.never or ())
    return never + tuple(f"approve-{what}" for what in rule.then.require_approval or ())


def bars(policy: Policy, case: Case) -> Bars:
    """Asks every rule that holds back about every alert of the case; a missing fact counts as a match."""
    found: dict[str, list[str]] = {}
    facts = [Facts(alert, alert.severity_id, len(case.alerts)) for alert in case.alerts]
    for rule in policy.rules:
        kinds = holds_back(rule)
        for kind in kinds:
            found.setdefault(kind, [])
        if kinds and any(evaluate(rule.when, one, closing=False) is not False for one in facts):
            for kind in kinds:
                found[kind].append(rule.id)
    if not found:
        return Bars()
    held = {kind.replace("-", "_"): tuple(ids) for kind, ids in found.items()}
    return Bars(frozenset(found), **held)


def _check(name: str, rules: tuple[str, ...]) -> Check:
    return Check(name, not rules, ", ".join(rules), "no rule asks for a person's approval")
