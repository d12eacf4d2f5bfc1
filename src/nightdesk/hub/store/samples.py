"""Items that wait to be judged, and the counts that their chances rest on."""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy import insert as plain_insert

from nightdesk.autonomy.oversight.items import Item, ItemState, Kind
from nightdesk.autonomy.oversight.sampling import Judged
from nightdesk.hub.store.codec import dump, safe_key, stamp
from nightdesk.hub.store.schema import counter
from nightdesk.hub.store.schema import decision as decision_table
from nightdesk.hub.store.schema import qa_item as table
from nightdesk.hub.store.sql import take

__all__ = [
    "closed_by_stratum",
    "closures_of",
    "count_closure",
    "count_shadow",
    "count_unit",
    "draw",
    "found_by_stratum",
    "item",
    "judged",
    "judged_items",
    "later_decisions",
    "looked_until",
    "newest_clean",
    "open_items",
    "place",
    "settle",
    "waiting",
]

_CLOSURES = "qa closed"
_SHADOWS = "qa shadow"
_UNIT = "qa unit"
_CURSOR = "qa decisions looked at"


def draw(conn: Connection, drawn: Item, key: bytes) -> Item:
    """Stores a new item. Its id says neither why nor when it was drawn to who does not have the tenant's secret."""
    number = take(conn, drawn.tenant, "qa_item")
    name = hmac.digest(key, f"item\0{number}".encode(), hashlib.sha256).hex()[:12]
    made = replace(drawn, item_id=f"item-{name}")
    conn.execute(plain_insert(table), {"tenant": made.tenant, "item_id": made.item_id, **_row(made)})
    return made


def settle(conn: Connection, after: Item) -> None:
    """Stores an item as it is now."""
    where = (table.c.tenant == after.tenant, table.c.item_id == after.item_id)
    conn.execute(update(table).where(*where).values(_row(after)))


def item(conn: Connection, tenant: str, item_id: str, *, hold: bool = False) -> Item | None:
    """One item; ``hold`` keeps others off until the transaction ends."""
    statement = select(table.c.body).where(table.c.tenant == tenant, table.c.item_id == item_id)
    body = conn.execute(statement.with_for_update() if hold else statement).scalar_one_or_none()
    return None if body is None else Item.from_bytes(body)


def open_items(conn: Connection, tenant: str, *, limit: int = 500) -> list[Item]:
    """What waits, longest first."""
    where = (table.c.tenant == tenant, table.c.state == ItemState.OPEN)
    return _read(conn, *where, limit=limit)


def waiting(conn: Connection, tenant: str, case_ids: Collection[str]) -> set[str]:
    """Which of these cases wait to be judged already."""
    asked = set(case_ids)
    return {one.case_id for one in open_items(conn, tenant, limit=100_000) if one.case_id in asked}


def judged(conn: Connection, tenant: str, since: datetime) -> list[Judged]:
    """What looking at drawn closures showed since then."""
    return [Judged(one.stratum, one.chance, one.missed) for one in judged_items(conn, tenant, since)]


def judged_items(conn: Connection, tenant: str, since: datetime) -> list[Item]:
    """The drawn closures themselves."""
    where = (table.c.tenant == tenant, table.c.state == ItemState.JUDGED, table.c.drawn_at >= stamp(since))
    return [one for one in _read(conn, *where) if one.kind is Kind.SAMPLE]


def found_by_stratum(conn: Connection, tenant: str, since: datetime) -> dict[str, tuple[int, int]]:
    """(judged, missed) of each stratum since then."""
    found: dict[str, tuple[int, int]] = {}
    for one in judged(conn, tenant, since):
        count, missed = found.get(one.stratum, (0, 0))
        found[one.stratum] = (count + 1, missed + one.missed)
    return found


def newest_clean(conn: Connection, tenant: str, rule: str) -> datetime | None:
    """When the newest item was drawn before which everything drawn of that rule is judged, without a miss; if any."""
    where = (table.c.tenant == tenant, table.c.unit == safe_key(rule))
    clean: datetime | None = None
    for one in _read(conn, *where):
        if one.kind is not Kind.SAMPLE or one.state is ItemState.WITHDRAWN:
            continue
        if one.state is ItemState.OPEN or one.missed:
            break
        clean = one.drawn_at
    return clean


def count_closure(conn: Connection, tenant: str, day: date, stratum: str) -> int:
    """The number of a closure among those of its stratum that day, from 1."""
    return take(conn, tenant, f"{_CLOSURES} {day.isoformat()} {safe_key(stratum)}")


def count_shadow(conn: Connection, tenant: str, day: date, rule: str) -> int:
    """The number of a case that the machine would have closed among those of its rule that day, from 1."""
    return take(conn, tenant, f"{_SHADOWS} {day.isoformat()} {safe_key(rule)}")


def closed_by_stratum(conn: Connection, tenant: str, first: date, last: date) -> dict[str, int]:
    """How many were closed in each stratum on these days, both included."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    found: dict[str, int] = {}
    for day in days:
        begin = f"{_CLOSURES} {day.isoformat()} "
        statement = select(counter.c.name, counter.c.value).where(
            counter.c.tenant == tenant, counter.c.name >= begin, counter.c.name < begin[:-1] + "!"
        )
        for name, value in conn.execute(statement):
            stratum = name.removeprefix(begin)
            found[stratum] = found.get(stratum, 0) + int(value)
    return found


def count_unit(conn: Connection, tenant: str, rule: str) -> int:
    """The number of a closure among all that the rule's level made, from 1."""
    return take(conn, tenant, f"{_UNIT} {safe_key(rule)}")


def closures_of(conn: Connection, tenant: str, rule: str) -> int:
    """How many closures the rule's level made so far."""
    where = (counter.c.tenant == tenant, counter.c.name == f"{_UNIT} {safe_key(rule)}")
    return int(conn.execute(select(counter.c.value).where(*where)).scalar_one_or_none() or 0)


def place(conn: Connection, tenant: str) -> int:
    """The number of the newest decision among which draws were made."""
    where = (counter.c.tenant == tenant, counter.c.name == _CURSOR)
    return int(conn.execute(select(counter.c.value).where(*where)).scalar_one_or_none() or 0)


def looked_until(conn: Connection, tenant: str, until: int | None = None) -> int:
    """Up to which decision draws were made; ``until`` moves that on. The row is held until the transaction ends."""
    done = take(conn, tenant, _CURSOR, 0)  # the number after those taken: one more than the last
    last = done - 1
    if until is not None and until > last:
        take(conn, tenant, _CURSOR, until - last)
        return until
    return last


def later_decisions(conn: Connection, tenant: str, after: int, *, limit: int = 500) -> list[tuple[int, bytes]]:
    """(number, record) of decisions after that one, oldest first."""
    row = decision_table.c
    statement = select(row.seq, row.record).where(row.tenant == tenant, row.seq > after).order_by(row.seq).limit(limit)
    return [(seq, record) for seq, record in conn.execute(statement)]


def _read(conn: Connection, *where: Any, limit: int | None = None) -> list[Item]:
    statement = select(table.c.body).where(*where).order_by(table.c.drawn_at, table.c.item_id).limit(limit)
    return [Item.from_bytes(body) for body in conn.execute(statement).scalars()]


def _row(one: Item) -> Mapping[str, Any]:
    return {
        "decision_id": one.decision_id,
        "case_id": one.case_id,
        "unit": safe_key(one.rules[0] if one.rules else ""),
        "state": one.state,
        "drawn_at": stamp(one.drawn_at),
        "body": dump(one.to_json()),
    }
