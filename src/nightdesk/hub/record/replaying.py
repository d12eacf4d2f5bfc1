"""Makes recorded decisions again, each from its record, its alerts and the policy of then, and compares every byte.

Nothing is read from a record whose hash is not its own: a decision that was changed is named, never made again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, select

from nightdesk.autonomy.levels.reopening import RECORDED, remade
from nightdesk.autonomy.record import again
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.learning.then import check_decision
from nightdesk.hub.policies.past import Recorded, with_cases
from nightdesk.hub.record.then import PoliciesThen
from nightdesk.hub.store import Store
from nightdesk.hub.store.alerts import changed_alerts
from nightdesk.hub.store.chain import Link
from nightdesk.hub.store.codec import decode_decision, encode_decision, load, stamp
from nightdesk.hub.store.decisions import sound
from nightdesk.hub.store.schema import decision as table
from nightdesk.sdk.case import Decision, Mode
from nightdesk.sdk.errors import NightdeskError, UnsupportedError
from nightdesk.stix.normalize import Normalizer

__all__ = ["Difference", "Replayed", "Result", "Stored", "first_difference", "how_many", "replay_all", "stored"]

_PAGE = 200
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What reading a row may raise whose bytes somebody changed."""


class Result(StrEnum):
    """What became of a decision that was to be made again."""

    SAME = "same"
    DIFFERS = "differs"
    CHANGED = "changed"
    """Its record is not what was recorded; nothing was computed from it."""
    IMPOSSIBLE = "impossible"
    """An alert or the policy of then is not what was decided on, or nowhere."""
    PERSON = "person"
    """A person decided: there is nothing to compute."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place (a JSON pointer into the record) where the decision made again is another."""

    place: str
    recorded: Any
    made: Any


@dataclass(frozen=True, slots=True)
class Replayed:
    """One decision made again. What names it comes from the row where the record itself cannot be believed."""

    seq: int
    decision_id: str
    case_id: str
    result: Result
    difference: Difference | None = None
    problem: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether there is nothing to look into."""
        return self.result in {Result.SAME, Result.PERSON}


@dataclass(frozen=True, slots=True)
class Stored:
    """One row of the record. ``decision`` is None where ``problem`` says why nothing may be read from it."""

    link: Link
    decision_id: str
    case_id: str
    decision: Decision | None
    problem: str = ""


def stored(conn: Connection, tenant: str, decision_id: str) -> Stored:
    """That decision as it stands in the record. Raises UnsupportedError when there is none."""
    row = conn.execute(select(table).where(table.c.tenant == tenant, table.c.decision_id == decision_id)).one_or_none()
    if row is None:
        raise UnsupportedError(f"{tenant}: no decision {decision_id}; `nightdesk decisions list` names them")
    return _believed(row)


def how_many(store: Store, tenant: str, since: datetime | None) -> int:
    """How many decisions there are since then, or at all."""
    with store.read() as conn:
        return int(conn.execute(select(func.count()).where(*_chosen(tenant, since))).scalar_one())


def replay_all(  # whose record, with what, which part of it
    store: Store,
    tenant: TenantSettings,
    policies: PoliciesThen,
    normalizer: Callable[[], Normalizer],
    *,
    since: datetime | None = None,
    only: str = "",
) -> Iterator[Replayed]:
    """Every decision since then, or the one named, in the order made; a page is in memory at once."""
    slug, after = tenant.scope.slug, 0
    while True:
        with store.read() as conn:
            where = [*_chosen(slug, since), table.c.seq > after]
            if only:
                where.append(table.c.decision_id == only)
            rows = conn.execute(select(table).where(*where).order_by(table.c.seq).limit(_PAGE)).all()
            made = [*_replayed(conn, tenant, policies, normalizer, [_believed(row) for row in rows])]
        if only and not made:
            raise UnsupportedError(f"{slug}: no decision {only}; `nightdesk decisions list` names them")
        yield from made
        if len(rows) < _PAGE:
            return
        after = rows[-1].seq


def first_difference(recorded: bytes, made: bytes) -> Difference | None:
    """Where two records first differ, in the order of their keys; None when they are the same bytes."""
    if recorded == made:
        return None
    found = next(_differences("", load(recorded), load(made)), None)
    if found is not None:
        return found
    # Equal values in other bytes: spaces, the order of keys, an escape.
    at = next((number for number, pair in enumerate(zip(recorded, made, strict=False)) if pair[0] != pair[1]), 0)
    return Difference(f"byte {at}", repr(recorded[at : at + 20]), repr(made[at : at + 20]))


def _chosen(tenant: str, since: datetime | None) -> list[Any]:
    return [table.c.tenant == tenant, *([table.c.decided_at >= stamp(since)] if since is not None else [])]


def _believed(row: Row[Any]) -> Stored:
    link = Link(row.seq, row.previous_hash, row.hash, row.record)
    problem = sound(row)
    if problem:
        return Stored(link, row.decision_id, row.case_id, None, problem)
    return Stored(link, row.decision_id, row.case_id, decode_decision(row.record))


def _replayed(
    conn: Connection,
    tenant: TenantSettings,
    policies: PoliciesThen,
    normalizer: Callable[[], Normalizer],
    rows: Sequence[Stored],
) -> Iterator[Replayed]:
    page = [(one.link.seq, one.link.record, one.decision) for one in rows if one.decision is not None]
    # One that has other versions could be read anew from its raw bytes, and nobody would learn that it was changed.
    changed = set(changed_alerts(conn, tenant.scope.slug, [name for _, _, told in page for name in _alerts(told)]))
    try:
        found = {one.seq: one for one in with_cases(conn, tenant.scope, page, normalizer)}
    except _UNREADABLE:
        found = {one.seq: one for row in page for one in _alone(conn, tenant, row, normalizer)}
    for one in rows:
        if one.decision is None:
            yield Replayed(one.link.seq, one.decision_id, one.case_id, Result.CHANGED, problem=one.problem)
            continue
        wrong = [name for name in _alerts(one.decision) if name in changed]
        if wrong:
            why = f"alert {', '.join(wrong)}: its content is not what was stored; restore it from the backup"
            yield Replayed(one.link.seq, one.decision_id, one.case_id, Result.IMPOSSIBLE, problem=why)
        else:
            yield _compared(conn, policies, found[one.link.seq])


def _alerts(told: Decision) -> list[str]:
    return [row["alert_id"] for row in told.inputs.get("alerts", ())]


def _alone(
    conn: Connection, tenant: TenantSettings, row: tuple[int, bytes, Decision], normalizer: Callable[[], Normalizer]
) -> Iterator[Recorded]:
    """The page again, one by one: a stored alert that cannot be read is the trouble of its own decisions."""
    try:
        yield from with_cases(conn, tenant.scope, [row], normalizer)
    except _UNREADABLE as error:
        told = row[2]
        why = f"a stored alert of its case cannot be read ({type(error).__name__}: {error})"
        yield Recorded(row[0], row[1], told, None, why)


def _compared(conn: Connection, policies: PoliciesThen, one: Recorded) -> Replayed:
    told = one.decision
    name = (one.seq, told.decision_id, told.case_id)
    if told.mode is Mode.HUMAN:
        return Replayed(*name, Result.PERSON, remarks=(f"decided by {told.reviewer or 'a person'}",))
    remarks: tuple[str, ...] = ()
    try:
        if RECORDED in told.inputs:
            made = remade(told)  # a level was lost: neither alerts nor policy had a say
        elif one.case is None:
            return Replayed(*name, Result.IMPOSSIBLE, problem=one.problem)
        else:
            then = policies.of(conn, told)
            check_decision(conn, told)
            made, remarks = again(told, one.case, then.policy), then.remarks
    except (NightdeskError, *_UNREADABLE) as error:
        why = str(error) if isinstance(error, NightdeskError) else f"{type(error).__name__}: {error}"
        return Replayed(*name, Result.IMPOSSIBLE, problem=why)
    found = first_difference(one.record, encode_decision(made))
    return Replayed(*name, Result.DIFFERS if found else Result.SAME, found, remarks=remarks)


def _differences(place: str, recorded: Any, made: Any) -> Iterator[Difference]:
    if isinstance(recorded, Mapping) and isinstance(made, Mapping):
        for key in sorted({*recorded, *made}):
            inner = f"{place}/{str(key).replace('~', '~0').replace('/', '~1')}"
            if key not in recorded or key not in made:
                yield Difference(inner, recorded.get(key, "nothing"), made.get(key, "nothing"))
            else:
                yield from _differences(inner, recorded[key], made[key])
    elif isinstance(recorded, list) and isinstance(made, list):
        for index in range(max(len(recorded), len(made))):
            inner = f"{place}/{index}"
            if index >= len(recorded) or index >= len(made):
                both = [side[index] if index < len(side) else "nothing" for side in (recorded, made)]
                yield Difference(inner, *both)
            else:
                yield from _differences(inner, recorded[index], made[index])
    elif (type(recorded), recorded) != (type(made), made):
        yield Difference(place, recorded, made)
