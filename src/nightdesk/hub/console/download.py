"""A case's STIX as one bundle, sent in parts so that a case of any size costs no memory."""

import uuid
from collections.abc import Iterator

import orjson

from nightdesk.hub.store import Store
from nightdesk.hub.store.alerts import bundles
from nightdesk.sdk.case import Case

__all__ = ["case_bundle"]

_PART = 100
_NAMESPACE = uuid.UUID("5b3c9a3e-2f0e-5d0b-9d59-0f3a3c1f5b6e")


def case_bundle(store: Store, case: Case) -> Iterator[bytes]:
    """The objects of the case's alerts, each version once, in the order of the alerts."""
    name = f"{case.tenant}\0{case.case_id}\0{case.updated_at.isoformat()}"
    yield b'{"type":"bundle","id":"bundle--%s","objects":[' % str(uuid.uuid5(_NAMESPACE, name)).encode()
    sent: set[tuple[str, str]] = set()
    alert_ids = [alert.alert_id for alert in case.alerts]
    for start in range(0, len(alert_ids), _PART):
        part = alert_ids[start : start + _PART]
        with store.read() as connection:
            found = bundles(connection, case.tenant, part)
        objects: list[bytes] = []
        for alert_id in part:
            stored = found.get(alert_id)
            for entry in orjson.loads(stored.bundle)["objects"] if stored else ():
                version = (entry["id"], entry.get("modified", ""))
                if version not in sent:
                    objects.append((b"," if sent else b"") + orjson.dumps(entry))
                    sent.add(version)
        yield b"".join(objects)
    yield b"]}"
