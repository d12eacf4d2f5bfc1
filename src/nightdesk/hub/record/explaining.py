"""A case's decision in a minute's reading: what happened, what was decided and why, what would have changed it.

Every sentence stands on the record, on the alerts as they were then and on the policy of then; where one of them
cannot be had, that is said instead. Names from alerts are in the sentences: who shows them makes them harmless.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.levels.reopening import RECORDED
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.record import again, as_it_stood
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.console.story import Paragraph, story
from nightdesk.hub.console.words import OUTCOME, count, humanised, listed
from nightdesk.hub.policies.past import recorded_case
from nightdesk.hub.policies.reasons import reasons
from nightdesk.hub.policies.standing import plain
from nightdesk.hub.record.deeds import done, undoable
from nightdesk.hub.record.then import PoliciesThen
from nightdesk.hub.store import links, queries
from nightdesk.sdk.case import Case, Check, Decision, Mode, Outcome
from nightdesk.sdk.errors import PolicyError, UnsupportedError
from nightdesk.stix.normalize import Normalizer

__all__ = ["Told", "explained"]

_MOST = 6
_LET_THROUGH = frozenset({Outcome.CLOSE, Outcome.HOLD, Outcome.RECOMMEND})
_COUNTED = re.compile(r"([0-9]+)(?: [a-z]+)?")


@dataclass(frozen=True, slots=True)
class Told:
    """One decision told. ``case`` is the one that was decided on where it could be had, ``actions`` all of the case."""

    decision: Decision
    case: Case
    actions: Sequence[Action]
    paragraphs: tuple[Paragraph, ...]


def explained(  # where, whose, which one, with what
    conn: Connection,
    tenant: TenantSettings,
    case_id: str,
    decision_id: str,
    normalizer: Callable[[], Normalizer],
    now: datetime,
) -> Told:
    """Tells the newest decision of the case, or the one named. Raises UnsupportedError when there is none such."""
    slug = tenant.scope.slug
    page = queries.case_page(conn, slug, links.standing(conn, slug, case_id))
    if page is None:
        raise UnsupportedError(f"{slug}: no case {case_id}; `nightdesk cases` lists them")
    made = list(page.decisions)
    if decision_id:
        # A decision of a case that was merged into this one is told by its own number.
        own = queries.case_page(conn, slug, case_id) if page.case.case_id != case_id else None
        made += own.decisions if own else []
        if decision_id not in {one.decision_id for one in made}:
            raise UnsupportedError(f"{slug}: case {case_id} has no decision {decision_id}; `decisions list` names them")
        made = made[: [one.decision_id for one in made].index(decision_id) + 1]
    if not made:
        raise UnsupportedError(f"{slug}: nothing has been decided on case {case_id} yet")
    told = made[-1]
    case, doubts = page.case, []
    changes: list[str] = []
    if told.mode is Mode.HUMAN:
        changes.append(f"{told.reviewer or 'A person'} decided; what a person weighs is not computed.")
    elif RECORDED in told.inputs:
        changes.append("The right by which the case was closed is gone: neither its alerts nor a policy had a say.")
    else:
        try:
            case = as_it_stood(told, recorded_case(conn, tenant.scope, told, normalizer))
            then = PoliciesThen(tenant).of(conn, told)
        except PolicyError as error:
            doubts.append(f"What would have changed it cannot be worked out: {error}.")
        else:
            doubts += [f"{text}." for text in then.remarks]
            changes += _changes(told, case, then.policy)
    first, where, decided, _ = story(case, made, (), now)
    paragraphs = [
        first,
        where,
        decided,
        Paragraph("Why", tuple(_why(told))),
        Paragraph("The checks", tuple(_checks(told))),
        Paragraph("What would have changed it", (*changes, *doubts)),
        Paragraph("What was done", tuple(done(told, page.actions))),
        Paragraph("What can be undone", tuple(undoable(page.actions, now))),
    ]
    return Told(told, case, page.actions, tuple(one for one in paragraphs if one.sentences))


def _why(told: Decision) -> Iterator[str]:
    # The first reason stands in what was decided.
    yield from told.reasons[1:]
    signers = list(told.inputs.get("signers", ()))
    if told.policy_id and told.mode is not Mode.HUMAN:
        by = f"signed by {listed(signers, most=_MOST)}" if signers else "which nobody has signed"
        yield f"The policy was {told.policy_id} {told.policy_version}, {by}."
    advice = told.inputs.get("context", {}).get("advice")
    if advice:
        did = "that raised it to a person" if told.reason_code == "adviser-raised" else "that changed nothing"
        yield f"The adviser {advice.get('model', '')} said {advice.get('verdict', '')}, and {did}."


def _checks(told: Decision) -> Iterator[str]:
    if not told.checks:
        yield "None was asked."
        return
    failed = [check for check in told.checks if not check.passed]
    for check in failed[: 2 * _MOST]:
        yield f"{humanised(check.name)} did not pass: {check.value or 'failed'} (wanted: {check.limit})."
    if len(failed) > 2 * _MOST:
        yield f"{count(len(failed) - 2 * _MOST, 'more check')} did not pass."
    names = [humanised(check.name).lower() for check in told.checks if check.passed]
    lead = "The others let it through" if failed else "Every check let it through"
    if names:
        yield f"{lead}: {listed(list(dict.fromkeys(names)), most=40)}."


def _changes(told: Decision, case: Case, policy: SignedPolicy | Policy) -> Iterator[str]:
    if told.outcome not in _LET_THROUGH:
        needed = reasons(plain(policy), case, again(told, case, policy)).changes
        if needed:
            yield "For a machine to close it (where several rules are named for one alert, one of them is enough):"
            yield from (f"{text}." for text in needed[: 2 * _MOST])
            if len(needed) > 2 * _MOST:
                yield f"And {len(needed) - 2 * _MOST} more (`nightdesk policy explain` lists them)."
        return
    used = [name for name in dict.fromkeys(told.inputs.get("rules", ())) if name]
    for name in used[:_MOST]:
        without = _without(policy, name)
        if without is None:
            yield f"{name} is what people asked to be quiet about; without it the policy's own rules decide."
            continue
        other = again(told, case, without).outcome
        same = "the same" if other is told.outcome else f"“{OUTCOME[other]}”"
        yield f"Without the rule {name}, it would have been {same}."
    yield "One alert more that no closing rule names, or one failed check, would have given it to a person."
    near = _nearest(told.checks)
    if near is not None:
        yield f"Nearest to its limit was {humanised(near.name).lower()}: {near.value}, allowed is {near.limit}."


def _without(policy: SignedPolicy | Policy, name: str) -> SignedPolicy | Policy | None:
    """The policy lacking that rule; None when the rule is none of its own."""
    before = plain(policy)
    kept = tuple(rule for rule in before.rules if rule.id != name)
    if len(kept) == len(before.rules):
        return None
    less = replace(before, rules=kept)
    return replace(policy, policy=less) if isinstance(policy, SignedPolicy) else less


def _nearest(checks: Sequence[Check]) -> Check | None:
    """The check that counts and had least room left; the severity's floor is no count."""
    room: Mapping[str, float] = {
        check.name: int(value[1]) / int(limit[1])
        for check in checks
        if check.passed
        and (value := _COUNTED.fullmatch(check.value))
        and (limit := _COUNTED.match(check.limit))
        and int(limit[1]) > 0
    }
    name = max(room, key=lambda one: room[one], default="")
    return next((check for check in checks if check.name == name and room[name] > 0), None)
