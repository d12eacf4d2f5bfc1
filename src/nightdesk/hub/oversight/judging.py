"""A person's verdict on a case: stored as labels of its rules, with everything that follows in the same transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.levels.gate import ask, gate_of, rules_closed_by
from nightdesk.autonomy.levels.units import DecisionClass, Unit, classes_of, entity_of, rule_keys
from nightdesk.autonomy.oversight.analysts import Answer, Trust, trust
from nightdesk.autonomy.oversight.items import Item, Kind
from nightdesk.autonomy.oversight.labels import How, Label, settled
from nightdesk.autonomy.protected import protected
from nightdesk.hub.api.view import Principal
from nightdesk.hub.oversight.appraisal import Appraisal, appraise
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.oversight.persons import JUDGES, admitted
from nightdesk.hub.oversight.reopening import reopen
from nightdesk.hub.store import cases, decisions, labels, levels, samples
from nightdesk.sdk.case import Case, CaseStatus, Decision, Entity, Mode, Verdict
from nightdesk.sdk.errors import NightdeskError, PolicyError
from nightdesk.sdk.targets import Target

__all__ = ["Judgement", "bear_out", "is_protected", "judge", "trust_of"]

_HOW = {Kind.SAMPLE: How.SAMPLE, Kind.SHADOW: How.QUEUE, Kind.KNOWN: How.KNOWN}
_WORDS = ", ".join(sorted(Verdict))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a verdict became. ``reopened`` are the cases that were given back to people because of it."""

    labels: tuple[Label, ...]
    item: Item | None
    reopened: tuple[str, ...]
    appraised: tuple[Appraisal, ...]


def judge(
    office: Office,
    tenant: str,
    *,
    by: Principal,
    about: str,
    verdict: str,
    seen: bool = False,
    comment: str = "",
) -> Judgement:
    """Takes a verdict on an item of the queue (``item-…``) or on a case.

    ``seen`` says that the person knew the machine's verdict; it is also taken as known where they decided the case
    themselves. Raises PolicyError for who may not, what is not there, a word that is no verdict, and a second verdict
    on an item by the same person.
    """
    admitted(by, tenant, JUDGES, "judging")
    if verdict not in set(Verdict):
        raise PolicyError(f"{verdict!r} is no verdict; there are {_WORDS}")

    def work(conn: Connection) -> Judgement:
        at = office.clock()
        item = _item(conn, tenant, about, by.name)
        case = cases.case(conn, tenant, item.case_id if item is not None else about)
        if case is None:
            raise PolicyError(f"{tenant}: there is no case or item {about}; `autonomy queue` shows what waits")
        history = decisions.decisions(conn, tenant, case.case_id)
        blind = not seen and not any(
            one.mode is Mode.HUMAN and office.is_same(tenant, one.reviewer, by.name) for one in history
        )
        made = _labels(office, case, history, by.name, Verdict(verdict), at, item, blind=blind, comment=comment)
        if not made:
            raise PolicyError(f"{case.case_id} has no alert whose rule is known: there is nothing to learn from it")
        stored = _given(conn, office, case.case_id, made, by.name, at)
        after = _settled_item(conn, item, by.name, stored[0])
        gone = _trusted(conn, tenant, by.name, at) if item is not None and item.kind is Kind.KNOWN else set()
        back = _given_back(conn, office, case, history, stored, by.name, at)
        looked = _looked_at(conn, office, tenant, {one.rule for one in stored} | gone, at)
        return Judgement(tuple(stored), after, (*back, *(one for look in looked for one in look.reopened)), looked)

    return office.store.transact(work)


def bear_out(office: Office, tenant: str, case_id: str, source: str) -> tuple[Label, ...]:
    """A second source saw the attack too: labels that say *attack* no longer stand alone.

    A source can only ever bear out an attack; nothing that a machine says makes anything benign (law 7).
    """

    def work(conn: Connection) -> tuple[Label, ...]:
        at = office.clock()
        before = labels.of_case(conn, tenant, case_id)
        marked = [replace(one, sources=(*one.sources, source)) if one.attack else one for one in before]
        after = _together(marked)
        labels.restate(conn, before, after, at=at, by=source)
        _looked_at(conn, office, tenant, {one.rule for one in after if one.attack}, at)
        return tuple(one for one in after if one.attack)

    return office.store.transact(work)


def _item(conn: Connection, tenant: str, about: str, name: str) -> Item | None:
    if not about.startswith("item-"):
        return None
    item = samples.item(conn, tenant, about, hold=True)
    if item is None:
        raise PolicyError(f"{tenant}: there is no item {about}; `autonomy queue` shows what waits")
    if not item.waits_for(name):
        raise PolicyError(f"{about} does not wait for {name}: it is judged, or was judged by the same person")
    return item


def _labels(
    office: Office,
    case: Case,
    history: Sequence[Decision],
    name: str,
    verdict: Verdict,
    at: datetime,
    item: Item | None,
    *,
    blind: bool,
    comment: str,
) -> list[Label]:
    """One label for each rule of the case."""
    latest = next((one for one in reversed(history) if one.mode is not Mode.HUMAN), None)
    stand = _stand(latest)
    closed_by = next((one for one in reversed(history) if rules_closed_by(one)), None)
    assets = office.tenants[case.tenant].assets
    bearers = any(is_protected(entity, assets.get(entity.key)) for entity in case.entities)
    facts: dict[str, Any] = {
        "tenant": case.tenant,
        "label_id": "",
        "seq": 0,
        "case_id": case.case_id,
        "analyst": name,
        "verdict": verdict,
        "at": at,
        "blind": blind,
        "how": _HOW[item.kind] if item is not None else How.CASE,
        "entity": entity_of(case),
        "day": case.opened_at.date().isoformat(),
        "item_id": item.item_id if item is not None else "",
        "known": item.known if item is not None else None,
        "protected": bearers,
        "comment": comment,
    }
    rules = rule_keys(case.alerts)
    by_level = rules_closed_by(closed_by) if closed_by is not None else ()
    return [Label(rule=rule, stand=stand, closed=rule in by_level, **facts) for rule in rules]


def is_protected(entity: Entity, facts: AssetFacts | None) -> bool:
    """Whether the entity is known to be of the protected set; what is unknown is a missing enrichment here."""
    try:
        target = Target.parse(entity.key)
    except NightdeskError:
        return False
    return bool(protected(target, *([facts] if facts is not None else [])))


def _stand(latest: Decision | None) -> str:
    """What the machine would have done with the case: made again from what the gate was given."""
    if latest is None:
        return ""
    if latest.proposals:
        return " ".join(classes_of(one.verb for one in latest.proposals))
    inputs = gate_of(latest)
    return ask(inputs).stand if inputs is not None else ""


def _given(
    conn: Connection, office: Office, case_id: str, made: Sequence[Label], name: str, at: datetime
) -> list[Label]:
    """Stores them; the same person's earlier word on the case is over, and all words are weighed together again."""
    tenant = made[0].tenant
    before = labels.of_case(conn, tenant, case_id)
    own = [one for one in before if office.is_same(tenant, one.analyst, name) and one.how is made[0].how]
    if made[0].how is not How.KNOWN:
        labels.withdraw(conn, [one for one in own if one.how is not How.KNOWN], "judged again", at=at, by=name)
    stored = labels.give(conn, made)
    known = labels.of_case(conn, tenant, case_id)
    after = _together(known)
    labels.restate(conn, known, after, at=at, by=name)
    ids = {one.label_id for one in stored}
    return [one for one in after if one.label_id in ids]


def _together(known: Sequence[Label]) -> list[Label]:
    """The labels of one case in the states that they have together, rule by rule, in the order given."""
    states: dict[str, Label] = {}
    for rule in sorted({one.rule for one in known}):
        group = [one for one in known if one.rule == rule and one.how is not How.KNOWN]
        states.update({one.label_id: one for one in settled(group)})
    return [states.get(one.label_id, one) for one in known]


def _settled_item(conn: Connection, item: Item | None, name: str, label: Label) -> Item | None:
    if item is None:
        return None
    after = item.judged(name, attack=label.attack)
    samples.settle(conn, after)
    return after


def _trusted(conn: Connection, tenant: str, name: str, at: datetime) -> set[str]:
    """Withdraws everything of a person who gets known answers wrong; returns the rules that it was about."""
    theirs = labels.of_analyst(conn, tenant, name)
    record = trust_of(name, theirs)
    if record.weight:
        return set()
    why = f"{record.right} of {record.known} known answers were right"
    counting = [one for one in theirs if one.how is not How.KNOWN]
    gone = labels.withdraw(conn, counting, why, at=at, by="autonomy")
    for case_id in sorted({one.case_id for one in gone}):
        known = labels.of_case(conn, tenant, case_id)
        labels.restate(conn, known, _together(known), at=at, by="autonomy")
    return {one.rule for one in gone}


def trust_of(name: str, theirs: Sequence[Label]) -> Trust:
    """That person's record from their labels; one answer an item, however many rules its case has."""
    answers = {
        one.item_id: Answer(one.analyst, one.attack, one.known)
        for one in theirs
        if one.how is How.KNOWN and one.known is not None and (one.attack or one.benign)
    }
    return trust(name, answers.values())


def _given_back(
    conn: Connection,
    office: Office,
    case: Case,
    history: Sequence[Decision],
    stored: Sequence[Label],
    name: str,
    at: datetime,
) -> tuple[str, ...]:
    """One person's *attack* is enough to look at that one closed case again; it takes no level."""
    latest = history[-1] if history else None
    if not stored[0].attack or stored[0].how is How.KNOWN or latest is None or case.status is not CaseStatus.CLOSED:
        return ()
    if latest.mode is Mode.HUMAN:
        return ()
    why = {
        "unit": ", ".join(one.rule for one in stored),
        "rule": stored[0].rule,
        "cause": "judged",
        "text": f"{name} judged it {stored[0].verdict}",
        "since": latest.decided_at.isoformat(),
    }
    return reopen(conn, office.store, [latest], why, at=at, by=name).cases


def _looked_at(conn: Connection, office: Office, tenant: str, rules: set[str], at: datetime) -> tuple[Appraisal, ...]:
    """Every class of every rule that a label was about."""
    found = []
    for rule in sorted(rules):
        for decides in DecisionClass:
            unit = Unit(tenant, rule, decides)
            if decides is DecisionClass.CLOSE or _exists(conn, unit):
                found.append(appraise(conn, office, unit, at=at))
    return tuple(found)


def _exists(conn: Connection, unit: Unit) -> bool:
    return levels.standing(conn, unit).first_seen is not None
