"""Law 2: one raw alert gives the same bytes of STIX for ever, on every machine; re-ingest changes nothing."""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from tests.goldens import ACME, Fixture, fixtures, normalizer

from nightdesk.stix.bundle import bundle_bytes, merge
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import EXTENSION, Scope

ASSET = EXTENSION["asset"]
ROOT = Path(__file__).parents[2]
_CHILD = """
import hashlib, sys
from tests.goldens import ACME, fixtures, normalizer
for fixture in fixtures():
    made = normalizer().normalize(fixture.product, fixture.payload, ACME)
    print(fixture, hashlib.sha256(made.bundle).hexdigest())
"""


def _digest(fixture: Fixture) -> str:
    return hashlib.sha256(normalizer().normalize(fixture.product, fixture.payload, ACME).bundle).hexdigest()


@pytest.fixture(scope="module")
def ours() -> dict[str, str]:
    return {str(fixture): _digest(fixture) for fixture in fixtures()}


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_another_process_with_another_hash_seed_writes_the_same_bytes(seed: str, ours: dict[str, str]) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    theirs = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert len(ours) > 20
    assert theirs == ours


def test_the_order_of_arrival_changes_nothing() -> None:
    found = list(fixtures())
    forward = [_digest(fixture) for fixture in found]
    mixed = list(enumerate(found))
    random.Random(7).shuffle(mixed)
    again = {index: _digest(fixture) for index, fixture in mixed}
    assert forward == [again[index] for index in range(len(found))]


def test_what_alerts_share_has_one_content_an_id_and_version() -> None:
    """Assets are left out: two alerts may spell one host differently, see decision 0004."""
    seen: dict[tuple[str, str], bytes] = {}
    for fixture in fixtures():
        for entry in normalizer().normalize(fixture.product, fixture.payload, ACME).objects:
            if "modified" not in entry or entry["type"] in {"marking-definition", "extension-definition"}:
                continue
            if ASSET in entry.get("extensions", {}):
                continue
            body = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
            assert seen.setdefault((entry["id"], entry["modified"]), body) == body, f"{fixture}: {entry['id']}"


def test_the_tenants_key_is_in_every_id_but_those_of_observables() -> None:
    other = Scope("acme", "Acme GmbH", TenantKey(bytes(32)))
    fixture = fixtures()[0]
    ours = {one["id"] for one in normalizer().normalize(fixture.product, fixture.payload, ACME).objects}
    theirs = {one["id"] for one in normalizer().normalize(fixture.product, fixture.payload, other).objects}
    shared = {ref.partition("--")[0] for ref in ours & theirs}
    assert not shared & {"incident", "identity", "observed-data", "relationship", "sighting", "process"} - {"identity"}
    assert len([ref for ref in ours & theirs if ref.startswith("identity")]) == 1  # the project's own


def test_an_update_keeps_ids_and_created_and_has_a_later_modified() -> None:
    fixture = next(
        one for one in fixtures() if one.product == "crowdstrike_falcon" and one.path.parent.name == "alerts"
    )
    before = json.loads(fixture.payload)
    after = {**before, "status": "closed", "updated_timestamp": "2026-12-24T20:00:00.123456789Z"}
    first = normalizer().normalize(fixture.product, fixture.payload, ACME)
    second = normalizer().normalize(fixture.product, json.dumps(after).encode(), ACME)
    old = {entry["id"]: entry for entry in first.objects}
    new = {entry["id"]: entry for entry in second.objects}
    assert old.keys() == new.keys()
    incident = first.alert.alert_id
    assert new[incident]["created"] == old[incident]["created"]
    assert new[incident]["modified"] == "2026-12-24T20:00:00.123Z" > old[incident]["modified"]


def test_a_file_of_several_alerts_names_each_object_once() -> None:
    product = "crowdstrike_falcon"
    made = [normalizer().normalize(one.product, one.payload, ACME) for one in fixtures() if one.product == product]
    merged = merge(item.objects for item in made)
    ids = [entry["id"] for entry in merged]
    assert len(ids) == len(set(ids))
    assert bundle_bytes(ACME, merged) == bundle_bytes(ACME, merge(item.objects for item in made))
