"""The recorded decisions of a tenant with the alerts each was made on, read in pages; nothing is written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from nightdesk.autonomy.levels.reopening import RECORDED
from nightdesk.autonomy.record import as_it_stood
from nightdesk.hub.store import Store, cases, decisions
from nightdesk.hub.store.alerts import alert as stored
from nightdesk.hub.store.codec import decode_decision, moment, stamp
from nightdesk.hub.store.schema import alert as alert_table
from nightdesk.hub.store.schema import decision as table
from nightdesk.hub.store.schema import inbox, inbox_payload
from nightdesk.sdk.case import Alert, Case, Decision, Mode
from nightdesk.sdk.errors import ConfigError, MappingError, PolicyError, UnsupportedError
from nightdesk.stix.normalize import Normalizer
from nightdesk.stix.scope import Scope

__all__ = ["Recorded", "count", "next_decided", "recorded", "recorded_case", "the_decision", "with_cases"]

PAGE = 200
_VERSIONS = 200
"""Versions of one alert that are looked through for the one of then."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision as it stands in the record. ``case`` is None where ``problem`` says why it cannot be made again."""

    seq: int
    record: bytes
    decision: Decision
    case: Case | None
    problem: str = ""

    @property
    def human(self) -> bool:
        """A person decided, or a level was lost: nothing is computed."""
        return _by_no_policy(self.decision)


def count(store: Store, tenant: str, since: datetime, until: datetime) -> int:
    """How many decisions there are in that time."""
    with store.read() as conn:
        statement = select(func.count()).where(*_within(tenant, since, until))
        return int(conn.execute(statement).scalar_one())


def recorded(
    store: Store, scope: Scope, since: datetime, until: datetime, normalizer: Callable[[], Normalizer]
) -> Iterator[Recorded]:
    """Every decision of that time in the order made; a page is in memory at once, and no transaction is held open."""
    after = 0
    while True:
        with store.read() as conn:
            statement = select(table.c.seq, table.c.record).where(
                *_within(scope.slug, since, until), table.c.seq > after
            )
            rows = conn.execute(statement.order_by(table.c.seq).limit(PAGE)).all()
            page = [(row.seq, row.record, decode_decision(row.record)) for row in rows]
            found = [*with_cases(conn, scope, page, normalizer)]
        yield from found
        if len(page) < PAGE:
            return
        after = page[-1][0]


def recorded_case(conn: Connection, scope: Scope, told: Decision, normalizer: Callable[[], Normalizer]) -> Case:
    """The case of a decision with its alerts as they were then. Raises PolicyError where that cannot be had."""
    found = cases.case(conn, scope.slug, told.case_id)
    if found is None:
        raise PolicyError(f"{scope.slug}: no case {told.case_id}")
    return _as_of(conn, scope, told, found, normalizer)


def the_decision(conn: Connection, tenant: str, case_id: str, decision_id: str = "") -> Decision:
    """That decision, or the newest that a machine made of the case. Raises UnsupportedError when there is none."""
    made = [one for one in decisions.decisions(conn, tenant, case_id) if not _by_no_policy(one)]
    if decision_id:
        made = [one for one in made if one.decision_id == decision_id]
    if not made:
        what = f"decision {decision_id} of" if decision_id else "decision of a machine on"
        raise UnsupportedError(f"{tenant}: no {what} case {case_id}; `nightdesk cases show` lists them")
    return made[-1]


def next_decided(store: Store, tenant: str, case_id: str, seq: int) -> datetime | None:
    """When the case was decided again after that one."""
    statement = select(table.c.decided_at).where(
        table.c.tenant == tenant, table.c.case_id == case_id, table.c.seq > seq
    )
    with store.read() as conn:
        found = conn.execute(statement.order_by(table.c.seq).limit(1)).scalar_one_or_none()
    return None if found is None else moment(found)


def _within(tenant: str, since: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return (table.c.tenant == tenant, table.c.decided_at >= stamp(since), table.c.decided_at < stamp(until))


def _by_no_policy(told: Decision) -> bool:
    return told.mode is Mode.HUMAN or RECORDED in told.inputs


def with_cases(
    conn: Connection,
    scope: Scope,
    page: Sequence[tuple[int, bytes, Decision]],
    normalizer: Callable[[], Normalizer],
) -> Iterator[Recorded]:
    """Each of these (number, bytes, decision) with its case as it was then."""
    known = cases.cases(conn, scope.slug, {told.case_id for _, _, told in page if not _by_no_policy(told)})
    for seq, record, told in page:
        if _by_no_policy(told):
            yield Recorded(seq, record, told, None)
            continue
        try:
            case = _as_of(conn, scope, told, known[told.case_id], normalizer)
        except (PolicyError, KeyError) as error:
            why = str(error) if isinstance(error, PolicyError) else f"its record has no {error}"
            yield Recorded(seq, record, told, None, why)
            continue
        yield Recorded(seq, record, told, case)


def _as_of(conn: Connection, scope: Scope, told: Decision, case: Case, normalizer: Callable[[], Normalizer]) -> Case:
    try:
        as_it_stood(told, case)
    except PolicyError:
        # An alert has a later version by now, whose earlier ones are read from their stored bytes again; or it is in
        # another case, because cases were merged or split.
        wanted = sorted({row["alert_id"] for row in told.inputs["alerts"]})
        elsewhere = [one for alert_id in wanted if (one := stored(conn, scope.slug, alert_id)) is not None]
        earlier = [one for alert_id in wanted for one in _versions(conn, scope, alert_id, normalizer())]
        case = replace(case, alerts=(*case.alerts, *elsewhere, *earlier))
        as_it_stood(told, case)
    return case


def _versions(conn: Connection, scope: Scope, alert_id: str, normalizer: Normalizer) -> Iterator[Alert]:
    """Every version of the alert that came in, as the mappings of today read it."""
    where = (alert_table.c.tenant == scope.slug, alert_table.c.alert_id == alert_id)
    place = conn.execute(select(alert_table.c.seq, alert_table.c.newest_seq).where(*where)).one_or_none()
    if place is None or place.seq == place.newest_seq:
        return
    first = conn.execute(
        select(inbox.c.instance, inbox.c.native_id).where(inbox.c.tenant == scope.slug, inbox.c.seq == place.seq)
    ).one()
    statement = (
        select(inbox.c.product, inbox.c.instance, inbox_payload.c.payload)
        .join(inbox_payload, (inbox_payload.c.tenant == inbox.c.tenant) & (inbox_payload.c.seq == inbox.c.seq))
        .where(
            inbox.c.tenant == scope.slug,
            inbox.c.seq.between(min(place), max(place)),
            inbox.c.instance == first.instance,
            inbox.c.native_id == first.native_id,
        )
        .order_by(inbox.c.seq)
        .limit(_VERSIONS)
    )
    for row in conn.execute(statement):
        try:
            found = normalizer.normalize(row.product, row.payload, scope).alert
        except (MappingError, ConfigError):
            continue  # it stands in the quarantine, and nothing was decided on it
        if found.alert_id == alert_id:
            yield replace(found, source=row.instance)
