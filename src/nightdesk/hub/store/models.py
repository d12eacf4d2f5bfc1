"""Every model that was ever trained, on the database, with what became of it; and the alarms about the one in use.

Models belong to the fleet (``*``), alarms to a tenant. Changes stand in the fleet's audit.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from nightdesk.autonomy.learned.artefact import Learned
from nightdesk.autonomy.learning.champion import Entry, Standing
from nightdesk.hub.store import audit
from nightdesk.hub.store.codec import dump, load, maybe_moment, maybe_stamp, moment, stamp
from nightdesk.hub.store.schema import learned_model as table
from nightdesk.hub.store.sql import insert
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = [
    "FLEET",
    "InUse",
    "alarms",
    "body",
    "champion",
    "entries",
    "in_use",
    "keep",
    "learned",
    "model",
    "newest_training",
    "read",
    "restate",
    "ring",
]

FLEET = "*"
_ALARMS = "alarms"


class InUse(NamedTuple):
    """Which model decides: enough to see that it is another one now."""

    model_id: str
    trained_at: datetime


def in_use(conn: Connection) -> InUse | None:
    """The champion, if there is one; one look at an index."""
    row = _by_role(conn, Standing.CHAMPION)
    return None if row is None else InUse(row.model_id, moment(row.trained_at))


def champion(conn: Connection) -> tuple[Entry, Learned] | None:
    """The champion with everything that was kept of it. Raises ConfigError when it is damaged."""
    row = _by_role(conn, Standing.CHAMPION)
    return None if row is None else model(conn, row.model_id)


def entries(conn: Connection) -> list[Entry]:
    """The champion and the challenger, as far as there are any; the others decide nothing any more."""
    found = [_by_role(conn, one) for one in (Standing.CHAMPION, Standing.CHALLENGER)]
    return [_entry(conn, row.model_id) for row in found if row is not None]


def learned(conn: Connection, model_id: str) -> Learned:
    """A model of any standing by its hash. Raises ConfigError when it is not there or damaged."""
    return read(model_id, body(conn, model_id))


def read(model_id: str, stored: bytes) -> Learned:
    """What ``body`` gave as the model of that hash. Raises ConfigError when it is another one, or damaged."""
    return Learned.read(load(stored)["learned"], model_id=model_id)


def newest_training(conn: Connection) -> datetime | None:
    """When a model was last trained."""
    statement = select(func.max(table.c.trained_at)).where(table.c.tenant == FLEET)
    return maybe_moment(conn.execute(statement).scalar_one_or_none())


def keep(conn: Connection, entry: Entry, found: Learned) -> None:
    """Stores a model with its standing; the same tables again take the place of what was kept with them."""
    _write(conn, FLEET, entry.model_id, entry.standing, entry.trained_at, {"learned": found.plain(), **_told(entry)})


def restate(conn: Connection, entry: Entry, *, at: datetime, detail: Mapping[str, Any] | None = None) -> None:
    """Stores what became of a model, with its line in the audit."""
    kept = _body(conn, entry.model_id)
    _write(conn, FLEET, entry.model_id, entry.standing, entry.trained_at, {**kept, **_told(entry)})
    told = {"model": entry.model_id, "reason": entry.reason, **(detail or {})}
    audit.append(conn, tenant=FLEET, at=at, actor="autonomy", event=f"model.{entry.standing}", detail=told)


def alarms(conn: Connection, tenant: str) -> dict[str, list[str]]:
    """What rings now at a tenant, by the rule it is about; an empty name is about all of them."""
    statement = select(table.c.body).where(table.c.tenant == tenant, table.c.model_id == _ALARMS)
    stored = conn.execute(statement).scalar_one_or_none()
    return {} if stored is None else dict(load(stored)["alarms"])


def ring(conn: Connection, tenant: str, found: Mapping[str, Sequence[str]], *, at: datetime) -> bool:
    """Stores what rings now; whether that is news, which stands in the tenant's audit then."""
    now = {name: sorted(told) for name, told in sorted(found.items()) if told}
    if now == alarms(conn, tenant):
        return False
    _write(conn, tenant, _ALARMS, _ALARMS, at, {"alarms": now})
    audit.append(conn, tenant=tenant, at=at, actor="autonomy", event="model.alarms", detail={"alarms": now})
    return True


def _by_role(conn: Connection, standing: Standing) -> Any:
    where = (table.c.tenant == FLEET, table.c.role == standing)
    statement = select(table.c.model_id, table.c.trained_at).where(*where).order_by(table.c.trained_at.desc())
    return conn.execute(statement.limit(1)).one_or_none()


def model(conn: Connection, model_id: str) -> tuple[Entry, Learned]:
    """A model of any standing with all that was kept of it. Raises ConfigError when it is not there or damaged."""
    return _entry(conn, model_id), learned(conn, model_id)


def _entry(conn: Connection, model_id: str) -> Entry:
    told = _body(conn, model_id)
    return Entry(
        model_id,
        moment(told["trained_at"]),
        Standing(told["standing"]),
        told["follows"],
        maybe_moment(told["since"]),
        told["reason"],
    )


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "trained_at": stamp(entry.trained_at),
        "standing": entry.standing.value,
        "follows": entry.follows,
        "since": maybe_stamp(entry.since),
        "reason": entry.reason,
    }


def body(conn: Connection, model_id: str) -> bytes:
    """A model as it is stored. Raises ConfigError when it is not."""
    statement = select(table.c.body).where(table.c.tenant == FLEET, table.c.model_id == model_id)
    stored: bytes | None = conn.execute(statement).scalar_one_or_none()
    if stored is None:
        raise ConfigError([Problem("learned_model", model_id[:12], "is not stored: restore it from the backup")])
    return stored


def _body(conn: Connection, model_id: str) -> dict[str, Any]:
    found: dict[str, Any] = load(body(conn, model_id))
    return found


def _write(conn: Connection, tenant: str, model_id: str, role: str, at: datetime, kept: Mapping[str, Any]) -> None:
    row = {"role": str(role), "trained_at": stamp(at), "body": dump(kept)}
    adding = insert(conn, table).values(tenant=tenant, model_id=model_id, **row)
    conn.execute(adding.on_conflict_do_update(index_elements=["tenant", "model_id"], set_=row))
