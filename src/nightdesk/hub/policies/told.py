"""A backtest as people read it, the worst first, and as JSON has it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nightdesk.hub.policies.backtest import Backtest, Danger
from nightdesk.hub.policies.radius import Peak
from nightdesk.sdk.case import Outcome

__all__ = ["Line", "as_json", "lines"]

_WIDTH = 32
_DANGERS = 20
_EXAMPLES = 3


class Line(NamedTuple):
    """One line; ``grave`` ones are shown in red."""

    text: str
    grave: bool = False


def lines(found: Backtest) -> Iterator[Line]:
    """The report of one tenant."""
    yield Line(f"{found.tenant}: {found.policy_id} {found.version} against {found.against}")
    span = f"{found.since.isoformat(timespec='minutes')} to {found.until.isoformat(timespec='minutes')}"
    yield Line(f"  {span}: {_counts(found)}")
    yield from _dangers(found)
    if found.unfaithful:
        yield Line(f"  {found.unfaithful} decisions of this very policy came out otherwise than recorded", grave=True)
    if found.problems:
        yield Line(f"  cannot be made again: {found.problems[0]}")
    yield from _bars(found)
    for (before, after), number in found.transitions.most_common():
        yield Line(f"  {before} -> {after}: {number}")
        for one in found.examples[before, after][:_EXAMPLES]:
            why = (
                one.reason_after
                if one.reason_before == one.reason_after
                else f"{one.reason_before} -> {one.reason_after}"
            )
            yield Line(f"      {one.case_id} {one.title} ({why}; rules {', '.join(one.rules) or 'none'})")
    if not found.changed:
        yield Line("  nothing would have changed")
    yield from _actions(found)
    yield from _reach(found)
    for name, use in found.rules.items():
        if use.matched:
            yield Line(f"  rule {name}: matched {use.matched}, closed {use.closes}, proposed {use.proposals}")
    if found.stale:
        yield Line(f"  rules that never matched: {', '.join(found.stale)}")


def _counts(found: Backtest) -> str:
    told = (
        f"{found.decisions} decisions, {found.by_people} by people, {found.replayed} replayed, {found.changed} changed"
    )
    return told + (f", {found.not_replayable} cannot be made again" if found.not_replayable else "")


def _dangers(found: Backtest) -> Iterator[Line]:
    new = [one for one in found.dangers if not one.closed_before]
    old = [one for one in found.dangers if one.closed_before]
    if new:
        yield Line(f"  WOULD HAVE CLOSED {len(new)} that a person judged an attack or re-opened:", grave=True)
        yield from (Line(f"    {_danger(one)}", grave=True) for one in new[:_DANGERS])
    if old:
        yield Line(f"  closed before as well, and judged an attack or re-opened: {len(old)}", grave=True)
        yield from (Line(f"    {_danger(one)}", grave=True) for one in old[:_DANGERS])
    hidden = max(0, len(new) - _DANGERS) + max(0, len(old) - _DANGERS) + found.dangers_more
    if hidden:
        yield Line(f"    and {hidden} more (--json lists up to 500)", grave=True)


def _danger(one: Danger) -> str:
    change, said = one.change, one.judgement
    who = f"{said.what} by {said.by or 'a person'} on {said.at.date()}"
    return f"{change.case_id} {change.title}: {who}; closed by {', '.join(change.rules) or 'no rule'}"


def _bars(found: Backtest) -> Iterator[Line]:
    most = max([*found.before.values(), *found.after.values(), 1])
    for outcome in Outcome:
        before, after = found.before[outcome.value], found.after[outcome.value]
        if before or after:
            for word, number in (("before", before), ("after", after)):
                name = outcome.value if word == "before" else ""
                more = f" ({after - before:+d})" if word == "after" and after != before else ""
                yield Line(f"  {name:20} {word:6} {_bar(number, most)} {number}{more}")
    if found.closes_later:
        yield Line(f"  {found.closes_later} of the holds would have ended in a close")


def _bar(number: int, most: int) -> str:
    filled = round(_WIDTH * number / most)
    return "█" * max(filled, 1 if number else 0) + "·" * (_WIDTH - max(filled, 1 if number else 0))


def _actions(found: Backtest) -> Iterator[Line]:
    for verb in sorted({*found.actions_before, *found.actions_after}):
        before, after = found.actions_before[verb], found.actions_after[verb]
        yield Line(f"  proposed {verb}: {before} -> {after}")


def _reach(found: Backtest) -> Iterator[Line]:
    for name, peak in found.reach_after.items():
        before = found.reach_before[name]
        if not (peak.most or before.most):
            continue
        what = "cases closed" if name == "closes" else f"{name}s"
        over = f", OVER the limit of {peak.limit}: the guard would have held some back" if peak.over else ""
        alone = f" ({peak.alone} without a person)" if name != "closes" else ""
        at = f" at {peak.at.isoformat(timespec='minutes')}" if peak.at else ""
        text = f"  most {what} in an hour: {before.most} -> {peak.most}{alone}{at}, limit {peak.limit}{over}"
        yield Line(text, grave=peak.over)


def as_json(found: Backtest) -> Mapping[str, Any]:
    """The same, whole."""
    return {
        "tenant": found.tenant,
        "since": found.since,
        "until": found.until,
        "policy": {"policy_id": found.policy_id, "version": found.version, "sha256": found.sha256},
        "against": found.against,
        "decisions": found.decisions,
        "by_people": found.by_people,
        "replayed": found.replayed,
        "changed": found.changed,
        "unfaithful": found.unfaithful,
        "not_replayable": found.not_replayable,
        "problems": found.problems,
        "outcomes": {
            outcome.value: {"before": found.before[outcome.value], "after": found.after[outcome.value]}
            for outcome in Outcome
        },
        "transitions": [
            {"before": step[0], "after": step[1], "count": number, "examples": found.examples[step]}
            for step, number in found.transitions.most_common()
        ],
        "actions": {
            verb: {"before": found.actions_before[verb], "after": found.actions_after[verb]}
            for verb in sorted({*found.actions_before, *found.actions_after})
        },
        "closes": found.closes,
        "closes_later": found.closes_later,
        "close_share": found.close_share,
        "closed_attacks": found.dangers,
        "closed_attacks_more": found.dangers_more,
        "blast_radius": {
            name: {"before": found.reach_before[name], "after": _peak(peak)} for name, peak in found.reach_after.items()
        },
        "rules": found.rules,
        "stale_rules": found.stale,
    }


def _peak(peak: Peak) -> Mapping[str, Any]:
    return {"most": peak.most, "alone": peak.alone, "limit": peak.limit, "at": peak.at, "over": peak.over}
