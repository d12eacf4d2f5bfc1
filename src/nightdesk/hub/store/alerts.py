"""Alerts as they stand now: their facts for the autonomy, their STIX bundle and loss report for everybody else."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, insert, select, update

from nightdesk.hub.store.codec import decode_alert, encode_alert, safe_key, safe_text, stamp
from nightdesk.hub.store.schema import alert as alert_table
from nightdesk.hub.store.schema import alert_bundle
from nightdesk.hub.store.sql import chunks, take
from nightdesk.sdk.case import Alert

__all__ = ["AlertChange", "StoredBundle", "alert", "alerts_of_case", "bundles", "changed_alerts", "put_alerts"]

AlertChange = Literal["new", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """One alert's STIX bundle and loss report, as bytes."""

    alert_id: str
    bundle: bytes
    loss: bytes


@dataclass(slots=True)
class _Now:
    """What is known of an alert while a batch is walked: its ``number`` once stored, ``item`` if it must be written."""

    modified: str
    sha256: str
    content: str
    previous: str
    number: int
    item: tuple[int, Alert, bytes, bytes, bytes] | None = None


def put_alerts(conn: Connection, items: Sequence[tuple[int, Alert, bytes, bytes]]) -> list[AlertChange]:
    """Stores (inbox seq, alert, bundle, loss report); says of each what it was.

    An update replaces what is shown and keeps the case and the place in it. A version that is older than the stored
    one (a late arrival) changes nothing: its raw bytes stay in the inbox.
    """
    changes: list[AlertChange] = ["unchanged"] * len(items)
    by_tenant: dict[str, list[int]] = {}
    for index, (_, alert, _, _) in enumerate(items):
        by_tenant.setdefault(alert.tenant, []).append(index)
    for tenant, indexes in by_tenant.items():
        known = _known(conn, tenant, sorted({items[index][1].alert_id for index in indexes}))
        places: dict[str, int] = {}
        for index in indexes:
            changes[index] = _step(known, places, items[index])
        _write(conn, tenant, known, places)
    return changes


def _known(conn: Connection, tenant: str, ids: Sequence[str]) -> dict[str, _Now]:
    found = {}
    table = alert_table.c
    for part in chunks(ids):
        statement = (
            select(
                table.alert_id,
                table.number,
                table.modified,
                table.sha256,
                table.content_sha256,
                table.previous_sha256,
            )
            .where(table.tenant == tenant, table.alert_id.in_(part))
            .order_by(table.alert_id)
            .with_for_update()
        )
        for row in conn.execute(statement):
            found[row.alert_id] = _Now(row.modified, row.sha256, row.content_sha256, row.previous_sha256, row.number)
    return found


def _step(known: dict[str, _Now], places: dict[str, int], item: tuple[int, Alert, bytes, bytes]) -> AlertChange:
    seq, alert, bundle, loss = item
    facts = encode_alert(alert)
    digest = hashlib.sha256(bundle).hexdigest()
    content = hashlib.sha256(facts + b"\0" + loss).hexdigest()
    now = known.get(alert.alert_id)
    modified = stamp(alert.modified)
    if now is None:
        places[alert.alert_id] = seq
        known[alert.alert_id] = _Now(modified, digest, content, "", number=0, item=(seq, alert, facts, bundle, loss))
        return "new"
    if modified < now.modified or (now.sha256, now.content) == (digest, content):
        return "unchanged"
    if digest != now.sha256:
        now.previous = now.sha256
    now.modified, now.sha256, now.content = modified, digest, content
    now.item = (seq, alert, facts, bundle, loss)
    return "updated"


def _write(conn: Connection, tenant: str, known: dict[str, _Now], places: dict[str, int]) -> None:
    number = take(conn, tenant, "alert", len(places))
    fresh: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    renewed: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for alert_id, now in known.items():
        if now.item is None:
            continue
        seq, alert, facts, bundle, loss = now.item
        row = _row(alert, facts, now) | {"newest_seq": seq}
        blobs = {"bundle": bundle, "loss": loss}
        if now.number:
            key = {"of_tenant": tenant, "of_number": now.number}
            renewed[0].append(row | {"of_tenant": tenant, "of_alert": alert_id})
            renewed[1].append(blobs | key)
        else:
            key = {"tenant": tenant, "number": number}
            fresh[0].append(row | key | {"alert_id": alert_id, "seq": places[alert_id], "case_id": None})
            fresh[1].append(blobs | key)
            number += 1
    if fresh[0]:
        conn.execute(insert(alert_table), fresh[0])
        conn.execute(insert(alert_bundle), fresh[1])
    if renewed[0]:
        alerts, blobs_of = alert_table.c, alert_bundle.c
        this_alert = (alerts.tenant == bindparam("of_tenant"), alerts.alert_id == bindparam("of_alert"))
        conn.execute(update(alert_table).where(*this_alert), renewed[0])
        these_blobs = (blobs_of.tenant == bindparam("of_tenant"), blobs_of.number == bindparam("of_number"))
        conn.execute(update(alert_bundle).where(*these_blobs), renewed[1])


def _row(alert: Alert, facts: bytes, now: _Now) -> dict[str, Any]:
    return {
        "product": alert.product,
        "instance": alert.instance,
        "native_id": safe_key(alert.native_id),
        "rule_id": safe_text(alert.rule_id),
        "severity_id": alert.severity_id,
        "title": safe_text(alert.title),
        "created": stamp(alert.created),
        "modified": now.modified,
        "sha256": now.sha256,
        "content_sha256": now.content,
        "previous_sha256": now.previous,
        "facts": facts,
    }


def alert(conn: Connection, tenant: str, alert_id: str) -> Alert | None:
    """One alert of that tenant."""
    statement = select(alert_table.c.facts).where(alert_table.c.tenant == tenant, alert_table.c.alert_id == alert_id)
    facts = conn.execute(statement).scalar_one_or_none()
    return None if facts is None else decode_alert(facts)


def bundles(conn: Connection, tenant: str, alert_ids: Collection[str]) -> dict[str, StoredBundle]:
    """The bundles of these alerts by alert id; those that do not exist are left out."""
    found = {}
    for part in chunks(sorted(set(alert_ids))):
        statement = (
            select(alert_table.c.alert_id, alert_bundle.c.bundle, alert_bundle.c.loss)
            .join_from(
                alert_table,
                alert_bundle,
                (alert_bundle.c.tenant == alert_table.c.tenant) & (alert_bundle.c.number == alert_table.c.number),
            )
            .where(alert_table.c.tenant == tenant, alert_table.c.alert_id.in_(part))
        )
        for row in conn.execute(statement):
            found[row.alert_id] = StoredBundle(row.alert_id, row.bundle, row.loss)
    return found


def alerts_of_case(conn: Connection, tenant: str, case_ids: Collection[str]) -> dict[str, tuple[Alert, ...]]:
    """The alerts of these cases in the order of their arrival."""
    found: dict[str, list[Alert]] = {}
    for part in chunks(sorted(set(case_ids))):
        statement = (
            select(alert_table.c.case_id, alert_table.c.facts)
            .where(alert_table.c.tenant == tenant, alert_table.c.case_id.in_(part))
            .order_by(alert_table.c.case_id, alert_table.c.seq)
        )
        for row in conn.execute(statement):
            found.setdefault(row.case_id, []).append(decode_alert(row.facts))
    return {case_id: tuple(alerts) for case_id, alerts in found.items()}


def changed_alerts(conn: Connection, tenant: str, alert_ids: Collection[str] | None = None) -> list[str]:
    """Which of these alerts, or of all, are not what was stored: their facts, loss report or bundle."""
    parts = [None] if alert_ids is None else [*chunks(sorted(set(alert_ids)))]
    return [name for part in parts for name in _changed(conn, tenant, part)]


def _changed(conn: Connection, tenant: str, names: Sequence[str] | None) -> Iterator[str]:
    one, beside = alert_table.c, alert_bundle.c
    statement = (
        select(one.alert_id, one.facts, one.sha256, one.content_sha256, beside.bundle, beside.loss)
        .join_from(
            alert_table, alert_bundle, (beside.tenant == one.tenant) & (beside.number == one.number), isouter=True
        )
        .where(one.tenant == tenant)
        .order_by(one.alert_id)
    )
    if names is not None:
        statement = statement.where(one.alert_id.in_(names))
    for row in conn.execute(statement, execution_options={"yield_per": 500}):
        content = hashlib.sha256(row.facts + b"\0" + (row.loss or b"")).hexdigest()
        if (content, hashlib.sha256(row.bundle or b"").hexdigest()) != (row.content_sha256, row.sha256):
            yield row.alert_id
