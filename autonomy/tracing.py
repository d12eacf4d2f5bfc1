"""Why a rule matched an alert or not: its first condition that failed, the value that was there, what would do.

It asks ``matching`` the same questions one key at a time, so that what is told is what was decided on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from nightdesk.autonomy.bars import holds_back
from nightdesk.autonomy.conditions import SEVERITIES, Selector, When
from nightdesk.autonomy.matching import Facts, evaluate, severity_rank, tactics_of
from nightdesk.autonomy.policy import Policy, Rule, case_severity
from nightdesk.sdk.case import Alert, Case

__all__ = ["Failed", "RuleTrace", "effect", "matched", "trace"]

_WORDS = {number: word for word, number in SEVERITIES.items()}
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Failed:
    """One condition that did not hold for one alert. ``found`` is its value there; text in it is untrusted."""

    alert_id: str
    key: str
    wanted: str
    found: str
    known: bool
    """False: the alert does not say, so it is neither yes nor no."""


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule and one case. ``answer`` is None where a fact is missing; ``failed`` has one entry an alert at most.

    For a rule that closes ``matched`` counts the alerts it covers, for others those that set it off.
    """

    rule: str
    owner: str
    effect: str
    expired: bool
    answer: bool | None
    matched: int
    alerts: int
    failed: tuple[Failed, ...] = ()


def effect(rule: Rule) -> str:
    """What the rule does, in the word of the policy."""
    return next(name for name in type(rule.then).model_fields if getattr(rule.then, name) is not None)


def trace(policy: Policy, case: Case, now: datetime) -> list[RuleTrace]:
    """Every rule in the file's order, ``never_touch`` left out: that one is asked of targets, not of alerts."""
    return [_traced(rule, case, now) for rule in policy.rules if rule.then.never_touch is None]


def matched(policy: Policy, case: Case) -> list[str]:
    """The rules that take part in the case: any of its alerts sets them off, or is covered by them."""
    own, worst = _facts(case, worst=False), _facts(case, worst=True)
    return [
        rule.id
        for rule in policy.rules
        if rule.then.never_touch is None and any(_answers(rule, worst if rule.closing else own))
    ]


def _answers(rule: Rule, facts: list[Facts]) -> Iterator[bool]:
    for one in facts:
        answer = evaluate(rule.when, one, closing=rule.closing is not None)
        yield answer is not False if holds_back(rule) else bool(answer)


def _facts(case: Case, *, worst: bool) -> list[Facts]:
    grave, count = case_severity(case), len(case.alerts)
    return [Facts(alert, grave if worst else alert.severity_id, count) for alert in case.alerts]


def _traced(rule: Rule, case: Case, now: datetime) -> RuleTrace:
    closing = rule.closing is not None
    asked = [(one, evaluate(rule.when, one, closing=closing)) for one in _facts(case, worst=closing)]
    hits = sum(bool(answer) for _, answer in asked)
    answers = [answer for _, answer in asked]
    answer = True if hits else None if None in answers else False
    failed = tuple(
        found
        for one, said in asked
        if not said and (found := _first(rule.when, one, closing=closing, turned=False, key="when")) is not None
    )
    return RuleTrace(rule.id, rule.owner, effect(rule), rule.expired(now), answer, hits, len(asked), failed)


def _first(when: When, facts: Facts, *, closing: bool, turned: bool, key: str) -> Failed | None:
    """The first part that says no, else the first that does not know."""
    unknown: Failed | None = None
    for found in _failing(when, facts, closing=closing, turned=turned, key=key):
        if found.known:
            return found
        unknown = unknown or found
    return unknown


def _failing(when: When, facts: Facts, *, closing: bool, turned: bool, key: str) -> Iterator[Failed]:
    for name in When.model_fields:
        value = getattr(when, name)
        if value is None:
            continue
        part = When().model_copy(update={name: value})
        answer = evaluate(part, facts, closing=closing, turned=turned)
        if answer:
            continue
        known = answer is False
        alert_id = facts.alert.alert_id
        if name == "all_of":
            for index, child in enumerate(value):
                yield from _failing(child, facts, closing=closing, turned=turned, key=f"{key}.all[{index}]")
        elif name == "any_of":
            inner = [
                _first(child, facts, closing=closing, turned=turned, key=f"{key}.any[{index}]")
                for index, child in enumerate(value)
            ]
            told = "; ".join(f"{one.key} is {one.found}" for one in inner if one is not None)
            yield Failed(alert_id, f"{key}.any", f"one of {len(value)} conditions", told, known)
        elif name == "none_of":
            yield Failed(alert_id, f"{key}.not", "the condition under it not to hold", _inside(value, facts), known)
        elif name == "entities":
            for index, selector in enumerate(value):
                only = When().model_copy(update={"entities": (selector,)})
                said = evaluate(only, facts, closing=closing, turned=turned)
                if not said:
                    there = f"{key}.entities[{index}]"
                    quantity = "any" if closing is turned else "every"
                    wanted = f"{quantity} {_kind(selector)} in {_list(selector.values)}"
                    yield Failed(alert_id, there, wanted, _entities(facts.alert, selector), said is False)
        else:
            yield Failed(alert_id, f"{key}.{name}", _wanted(name, value), _found(name, facts), known)


def _inside(when: When, facts: Facts) -> str:
    """What the keys under a ``not`` found."""
    names = [name for name in When.model_fields if getattr(when, name) is not None]
    plain = [name for name in names if name not in {"all_of", "any_of", "none_of", "entities"}]
    told = [f"{name} {_found(name, facts)}" for name in plain]
    told += [_entities(facts.alert, one) for one in when.entities or ()]
    return "; ".join(told) or "it holds, or is not known"


def _kind(selector: Selector) -> str:
    return f"{selector.kind} ({selector.role})" if selector.role else str(selector.kind)


def _entities(alert: Alert, selector: Selector) -> str:
    there = [one.value for one in alert.entities if one.kind is selector.kind and selector.role in {None, one.role}]
    return _list(there) if there else f"no {_kind(selector)}"


def _wanted(name: str, value: object) -> str:
    if name in {"severity_at_most", "severity_at_least"}:
        return f"{name.removeprefix('severity_').replace('_', ' ')} {value}"
    if name == "case_alerts_at_least":
        return f"at least {value}"
    if name == "closed_at_source":
        return str(value).lower()
    return _list([str(one) for one in value]) if isinstance(value, tuple) else str(value)


def _found(name: str, facts: Facts) -> str:
    alert = facts.alert
    values: dict[str, object] = {
        "severity_at_most": _WORDS.get(severity_rank(facts.severity_id), "unknown"),
        "severity_at_least": _WORDS.get(severity_rank(facts.severity_id), "unknown"),
        "techniques": list(alert.techniques),
        "tactics": sorted(tactics_of(alert)),
        "source_verdict": alert.native_verdict,
        "closed_at_source": str(alert.closed_at_source).lower(),
        "case_alerts_at_least": facts.case_alerts,
        "text": "no text that contains it",
    }
    value = values.get(name, getattr(alert, name, ""))
    if isinstance(value, list):
        return _list([str(one) for one in value]) if value else "none"
    return str(value) or "not said"


def _list(values: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(values[:_SHOWN]) + more
