"""What waits for one person to judge, shown without a word of the machine: the case's alerts and nothing else.

Neither the case's status nor its decisions, notes or actions are in it, and an item's id does not say why it was drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from nightdesk.autonomy.oversight.analysts import is_known_answer_due
from nightdesk.autonomy.oversight.canaries import CanaryState
from nightdesk.autonomy.oversight.items import Item, Kind
from nightdesk.hub.api.view import Principal
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.oversight.persons import JUDGES, admitted
from nightdesk.hub.store import canaries, cases, labels, samples
from nightdesk.sdk.case import Alert, Case

__all__ = ["Blind", "blind_case", "queue"]

_MOST = 100


@dataclass(frozen=True, slots=True)
class Blind:
    """One item as a person sees it. ``drawn_at`` is when it began to wait."""

    item_id: str
    drawn_at: datetime
    title: str
    severity_id: int
    first_seen: datetime
    last_seen: datetime
    entities: tuple[str, ...]
    alerts: tuple[Alert, ...]


def queue(office: Office, tenant: str, *, by: Principal, limit: int = 20) -> list[Blind]:
    """What waits for that person, longest first. One item in fifty has a known answer; nobody can tell which."""
    admitted(by, tenant, JUDGES, "judging")

    def work(conn: Connection) -> list[Blind]:
        _known_answer(conn, office, tenant, by.name)
        waiting = [one for one in samples.open_items(conn, tenant) if one.waits_for(by.name)]
        # Who left the one with a known answer for later could wait until another one took its turn.
        waiting.sort(key=lambda one: one.kind is not Kind.KNOWN)
        given = [one for one in waiting if not _took_part(conn, office, one, by.name)][: min(limit, _MOST)]
        known = cases.cases(conn, tenant, {one.case_id for one in given})
        return [_blind(one, known[one.case_id]) for one in given if one.case_id in known]

    return office.store.transact(work)


def blind_case(office: Office, tenant: str, item_id: str, *, by: Principal) -> Blind | None:
    """One item; None when it does not wait for that person."""
    admitted(by, tenant, JUDGES, "judging")
    with office.store.read() as conn:
        item = samples.item(conn, tenant, item_id)
        if item is None or not item.waits_for(by.name):
            return None
        case = cases.case(conn, tenant, item.case_id)
        return _blind(item, case) if case is not None else None


def _took_part(conn: Connection, office: Office, item: Item, name: str) -> bool:
    """Whether the person judged that case already: the same word twice is no second one."""
    if item.kind is Kind.KNOWN:
        return False
    given = labels.of_case(conn, item.tenant, item.case_id)
    return any(one.standing and office.is_same(item.tenant, one.analyst, name) for one in given)


def _known_answer(conn: Connection, office: Office, tenant: str, name: str) -> None:
    """Puts an item with a known answer into the person's queue when one is due and none waits there."""
    theirs = labels.of_analyst(conn, tenant, name)
    number = len({one.item_id for one in theirs if one.item_id})
    if not is_known_answer_due(office.key(tenant), name, number):
        return
    if any(one.kind is Kind.KNOWN and one.waits_for(name) for one in samples.open_items(conn, tenant)):
        return
    seen = {one.case_id for one in theirs}
    answer = next((one for one in _answers(conn, tenant) if one[0] not in seen), None)
    if answer is None:
        return
    case_id, rules, attack = answer
    # It has waited as long as the longest, or its time would tell it from the others.
    since = next((one.drawn_at for one in samples.open_items(conn, tenant, limit=1)), office.clock())
    item = Item(tenant, "", Kind.KNOWN, case_id, "", rules, since, only_for=name, known=attack)
    samples.draw(conn, item, office.key(tenant))


def _answers(conn: Connection, tenant: str) -> Sequence[tuple[str, tuple[str, ...], bool]]:
    """(case, rules, attack) of what is certain: canaries that were decided, and what two persons agreed on."""
    hidden = [one for one in canaries.listed(conn, tenant) if one.case_id and one.revealed_at is None]
    settled = [one for one in hidden if one.state in {CanaryState.CAUGHT, CanaryState.MISSED}]
    found: list[tuple[str, tuple[str, ...], bool]] = [(one.case_id, (one.rule,), True) for one in settled]
    for case_id, given in labels.confirmed(conn, tenant, limit=200).items():
        found.append((case_id, tuple(sorted({one.rule for one in given})), any(one.attack for one in given)))
    return found


def _blind(item: Item, case: Case) -> Blind:
    return Blind(
        item_id=item.item_id,
        drawn_at=item.drawn_at,
        title=case.title,
        severity_id=max((alert.severity_id for alert in case.alerts if alert.severity_id <= 6), default=0),
        first_seen=min((alert.first_seen for alert in case.alerts), default=case.opened_at),
        last_seen=max((alert.last_seen for alert in case.alerts), default=case.opened_at),
        entities=tuple(entity.key for entity in case.entities),
        alerts=case.alerts,
    )
