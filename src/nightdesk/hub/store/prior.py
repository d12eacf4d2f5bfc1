"""What was known before a page came: earlier versions of its alerts, and how often a case was decided."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, func, select

from nightdesk.autonomy.radius import FAMILIES, Bucket
from nightdesk.hub.store.codec import decode_alert, moment, stamp
from nightdesk.hub.store.schema import action as action_table
from nightdesk.hub.store.schema import alert as alert_table
from nightdesk.hub.store.schema import case_file
from nightdesk.hub.store.schema import decision as decision_table
from nightdesk.hub.store.sql import chunks
from nightdesk.hub.store.store import Store
from nightdesk.sdk.case import Alert, CaseStatus

__all__ = ["Activity", "Header", "Joined", "Prior", "activity", "decision_counts", "headers", "prior"]

_T = TypeVar("_T")


class Prior(NamedTuple):
    """An alert as it stands, and its case."""

    alert: Alert
    case_id: str | None


def prior(conn: Connection, tenant: str, alert_ids: Collection[str]) -> dict[str, Prior]:
    """The stored versions of these alerts by id; those that are new are left out."""
    found: dict[str, Prior] = {}
    table = alert_table.c
    for part in chunks(sorted(set(alert_ids))):
        statement = select(table.alert_id, table.case_id, table.facts).where(
            table.tenant == tenant, table.alert_id.in_(part)
        )
        for row in conn.execute(statement):
            found[row.alert_id] = Prior(decode_alert(row.facts), row.case_id)
    return found


def decision_counts(conn: Connection, tenant: str, case_ids: Collection[str]) -> dict[str, int]:
    """How many decisions each of these cases has; none is left out."""
    found: dict[str, int] = {}
    table = decision_table.c
    for part in chunks(sorted(set(case_ids))):
        statement = (
            select(table.case_id, func.count())
            .where(table.tenant == tenant, table.case_id.in_(part))
            .group_by(table.case_id)
        )
        found.update({row[0]: int(row[1]) for row in conn.execute(statement)})
    return found


class Header(NamedTuple):
    """A case without its alerts."""

    title: str
    status: CaseStatus
    severity_id: int
    opened_at: datetime


def headers(conn: Connection, tenant: str, case_ids: Collection[str]) -> dict[str, Header]:
    """The headers of these cases by id."""
    found: dict[str, Header] = {}
    table = case_file.c
    for part in chunks(sorted(set(case_ids))):
        statement = select(table.case_id, table.title, table.status, table.severity_id, table.opened_at).where(
            table.tenant == tenant, table.case_id.in_(part)
        )
        for row in conn.execute(statement):
            found[row.case_id] = Header(row.title, CaseStatus(row.status), row.severity_id, moment(row.opened_at))
    return found


class Activity(NamedTuple):
    """What happened in the last hour (and the hosts of the last day), for the guards that count."""

    new_cases: int
    closed: int
    hosts_hour: int
    hosts_day: int
    accounts_hour: int
    indicators_hour: int


def activity(conn: Connection, tenant: str, now: datetime) -> Activity:
    """Counts of that tenant: cases opened, cases closed by decision, containments wanted."""
    hour, day = stamp(now - timedelta(hours=1)), stamp(now - timedelta(days=1))
    recent = select(func.count()).where(case_file.c.tenant == tenant, case_file.c.updated_at >= hour)
    opened = recent.where(case_file.c.opened_at >= hour)
    closed = recent.where(case_file.c.status == "closed", case_file.c.latest_outcome == "close")
    actions = select(action_table.c.family, action_table.c.created_at >= hour, func.count()).where(
        action_table.c.tenant == tenant,
        action_table.c.created_at >= day,
        action_table.c.family.in_([name for names in FAMILIES.values() for name in names]),
    )
    counts = {kind: [0, 0] for kind in Bucket}
    for family, within, number in conn.execute(
        actions.group_by(action_table.c.family, action_table.c.created_at >= hour)
    ):
        for kind, names in FAMILIES.items():
            if family in names:
                counts[kind][1] += number
                counts[kind][0] += number if within else 0
    return Activity(
        int(conn.execute(opened).scalar_one()),
        int(conn.execute(closed).scalar_one()),
        counts[Bucket.HOST][0],
        counts[Bucket.HOST][1],
        counts[Bucket.ACCOUNT][0],
        counts[Bucket.INDICATOR][0],
    )


class Joined(Store):
    """A store whose every transaction is the caller's open one, so that a journal writes into it."""

    def __init__(self, store: Store, conn: Connection) -> None:
        self.clock = store.clock
        self._conn = conn

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """The open transaction."""
        yield self._conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """The open transaction."""
        yield self._conn

    def transact(self, work: Callable[[Connection], _T], *, attempts: int = 1) -> _T:  # noqa: ARG002  # its owner repeats
        """Runs in the open transaction."""
        return work(self._conn)
