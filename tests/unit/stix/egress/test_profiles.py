import copy
import hashlib
import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.consumers.inputs import RAW, Objects, a_whole_case, alert_samples, an_alert, one
from tests.goldens import ACME

from nightdesk.stix.bundle import bundle_bytes, merge
from nightdesk.stix.egress import PROFILES, Sources, canonical, profiled
from nightdesk.stix.scope import EXTENSION

SOURCES = Sources(raw={hashlib.sha256(RAW).hexdigest(): RAW}, raw_url="https://raw.example.com/{sha256}")
CASES: dict[str, Objects] = {"case": a_whole_case(), "alert": an_alert()[0], "least": an_alert(bare=True)[0]}


def _inputs() -> dict[str, Objects]:
    """Alerts and cases, and what a file of all alerts becomes."""
    alerts = alert_samples()
    return {**CASES, **alerts, "together": merge(copy.deepcopy(list(alerts.values())))}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_leaves_its_input_alone_and_shares_nothing_with_it(profile: str) -> None:
    for name, given_ones in _inputs().items():
        before = orjson.dumps(given_ones)
        made = profiled(profile, given_ones, SOURCES)
        assert orjson.dumps(given_ones) == before, name
        _spoil(made)
        assert orjson.dumps(given_ones) == before, name
        assert profiled(profile, given_ones, SOURCES) != made, name


def _spoil(node: Any) -> None:
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _spoil(value)
    if isinstance(node, dict):
        node["spoilt"] = True
    elif isinstance(node, list):
        node.append("spoilt")


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_bundle_gives_the_same_bytes_and_twice_is_once(profile: str) -> None:
    for name, objects in _inputs().items():
        once = profiled(profile, objects, SOURCES)
        again = profiled(profile, copy.deepcopy(objects), SOURCES)
        assert bundle_bytes(ACME, once) == bundle_bytes(ACME, again), name
        assert profiled(profile, once, SOURCES) == once, name
        assert profiled(profile, once) == once, name
        ids = [entry["id"] for entry in once]
        assert len(ids) == len(set(ids)), name


@pytest.mark.parametrize("profile", PROFILES)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_the_order_of_a_bundle_decides_only_the_order_of_the_outcome(profile: str, seed: int) -> None:
    shuffled = random.Random(seed).sample(CASES["case"], len(CASES["case"]))
    by_id = {entry["id"]: _unordered(entry) for entry in profiled(profile, CASES["case"], SOURCES)}
    assert {entry["id"]: _unordered(entry) for entry in profiled(profile, shuffled, SOURCES)} == by_id


def _unordered(entry: dict[str, Any]) -> dict[str, Any]:
    """The object with what it lists in an order of its own."""
    return {name: sorted(value) if name == "object_refs" else value for name, value in entry.items()}


def test_the_canonical_profile_of_a_bundle_with_one_marking_is_that_bundle() -> None:
    for name, objects in _inputs().items():
        assert bundle_bytes(ACME, canonical(objects)) == bundle_bytes(ACME, objects), name


def test_only_evidence_carries_what_it_is_given() -> None:
    for name in PROFILES:
        kinds = {entry["type"] for entry in profiled(name, CASES["alert"], SOURCES)}
        assert ("artifact" in kinds) is (name == "evidence")
    incident = one(profiled("evidence", CASES["alert"], SOURCES), "incident")
    assert "artifact_ref" in incident["extensions"][EXTENSION["alert"]]["raw"]
