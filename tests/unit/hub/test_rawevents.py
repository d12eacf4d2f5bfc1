import hashlib
from pathlib import Path

from sqlalchemy import update
from tests.consumers.inputs import a_hub_with_a_case, of_hub
from tests.hubs import opened

from nightdesk.hub.rawevents import raw_events
from nightdesk.hub.store.schema import inbox_payload
from nightdesk.stix.egress import INLINE_BYTES
from nightdesk.stix.scope import EXTENSION


def test_the_raw_events_of_a_case_are_found_by_the_hash_that_its_alerts_name(tmp_path: Path) -> None:
    with a_hub_with_a_case(tmp_path) as (config, case_id), opened(config) as hub, hub.store.read() as conn:
        found = raw_events(conn, "acme", case_id)
        nobody = raw_events(conn, "other", case_id) | raw_events(conn, "acme", "no-such-case")
    assert len(found) == 3
    assert all(hashlib.sha256(payload).hexdigest() == digest for digest, payload in found.items())
    assert nobody == {}


def test_an_event_too_large_to_be_carried_is_not_read(tmp_path: Path) -> None:
    with a_hub_with_a_case(tmp_path) as (config, case_id), opened(config) as hub, hub.store.begin() as conn:
        for size, count in ((INLINE_BYTES, 1), (INLINE_BYTES + 1, 0)):
            conn.execute(update(inbox_payload).values(payload=b"x" * size))
            assert len(raw_events(conn, "acme", case_id)) == count


def test_the_hash_is_that_of_the_alert_extension() -> None:
    named = [
        entry["extensions"][EXTENSION["alert"]]["raw"]["sha256"] for entry in of_hub() if entry["type"] == "incident"
    ]
    assert len(set(named)) == 3
