"""The version ledger of STIX objects that the hub makes or alerts share: same content, same version, same bytes."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update

from nightdesk.hub.store.codec import dump
from nightdesk.hub.store.schema import stix_object
from nightdesk.hub.store.sql import chunks, insert

__all__ = ["objects", "version"]

_STEP = timedelta(milliseconds=1)


@dataclass(slots=True)
class _Version:
    created: str
    modified: str
    sha256: str
    body: bytes
    changed: bool = False


def version(conn: Connection, tenant: str, objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The objects as they are to be sent out, in the order given.

    New: stored as given. Known with the same content: the stored version. Known with other content: the old
    ``created``, and a ``modified`` later than the stored one. What STIX gives no versions passes through.
    """
    versioned = [entry for entry in objects if "modified" in entry]
    known = _claim(conn, tenant, versioned)
    changed: dict[str, _Version] = {}
    sent: list[dict[str, Any]] = []
    for entry in objects:
        if "modified" not in entry:
            sent.append(dict(entry))
            continue
        row = known[entry["id"]]
        digest = _content(entry)
        if digest != row.sha256:
            row.modified = _later(str(entry["modified"]), row.modified)
            row.sha256 = digest
            row.body = orjson.dumps({**entry, "created": row.created, "modified": row.modified})
            changed[entry["id"]] = row
        sent.append(orjson.loads(row.body))
    if changed:
        statement = (
            update(stix_object)
            .where(stix_object.c.tenant == tenant, stix_object.c.id == bindparam("object_id"))
            .values(modified=bindparam("to"), sha256=bindparam("digest"), body=bindparam("bytes"))
        )
        conn.execute(
            statement,
            [
                {"object_id": name, "to": row.modified, "digest": row.sha256, "bytes": row.body}
                for name, row in sorted(changed.items())
            ],
        )
    return sent


def objects(conn: Connection, tenant: str, ids: Iterable[str]) -> list[dict[str, Any]]:
    """The newest versions of these objects, ordered by id; those that do not exist are left out."""
    found: list[dict[str, Any]] = []
    for part in chunks(sorted(set(ids))):
        statement = select(stix_object.c.body).where(stix_object.c.tenant == tenant, stix_object.c.id.in_(part))
        found += [orjson.loads(body) for body in conn.execute(statement.order_by(stix_object.c.id)).scalars()]
    return found


def _claim(conn: Connection, tenant: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, _Version]:
    """The stored row of each object, locked; first versions are inserted, unless another worker just did."""
    first = {entry["id"]: entry for entry in reversed(entries)}
    names = sorted(first)
    absent = set(names)
    for part in chunks(names):
        known = select(stix_object.c.id).where(stix_object.c.tenant == tenant, stix_object.c.id.in_(part))
        absent.difference_update(conn.execute(known).scalars())
    if absent:
        conn.execute(
            insert(conn, stix_object).on_conflict_do_nothing(),
            [_first_row(tenant, first[name]) for name in sorted(absent)],
        )
    found = {}
    for part in chunks(names):
        locked = (
            select(stix_object)
            .where(stix_object.c.tenant == tenant, stix_object.c.id.in_(part))
            .order_by(stix_object.c.id)
            .with_for_update()
        )
        for row in conn.execute(locked):
            found[row.id] = _Version(row.created, row.modified, row.sha256, row.body)
    return found


def _first_row(tenant: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "id": entry["id"],
        "type": entry["type"],
        "created": entry["created"],
        "modified": entry["modified"],
        "sha256": _content(entry),
        "body": orjson.dumps(dict(entry)),
    }


def _content(entry: Mapping[str, Any]) -> str:
    """The hash of everything but the times of its versions."""
    content = {key: value for key, value in entry.items() if key not in {"created", "modified"}}
    return hashlib.sha256(dump(content)).hexdigest()


def _later(given: str, stored: str) -> str:
    least = datetime.fromisoformat(stored) + _STEP
    wanted = max(datetime.fromisoformat(given), least)
    return wanted.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
