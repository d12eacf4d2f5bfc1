"""A slice of the fuzzing that `make fuzz` does at length: law 12, and law 2 of what comes out."""

import random
from typing import Any

import pytest
from tests.fuzzing.judge import breaches
from tests.fuzzing.mutate import mutated
from tests.fuzzing.run import fuzz
from tests.goldens import ACME, fixtures, normalizer


@pytest.mark.slow
@pytest.mark.parametrize("product", normalizer().products)
def test_a_mutated_alert_is_a_valid_bundle_or_set_aside_with_a_pointer(product: str) -> None:
    found = fuzz(product, 300, seed=20261122, whole=30)
    assert found.broken == []
    assert found.count == found.bundles + found.refused == 300
    assert found.bundles > 100, found.reasons


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"created": "2026-11-20T10:00:00Z"}, "created"),
        ({"modified": "2019-01-01T00:00:00.000Z"}, "modified"),
        ({"id": "incident--1"}, "no such id"),
        ({"description": ""}, "is empty"),
        ({"name": "half \ud800"}, "half a character"),
        ({"confidence": 2**53}, "larger than"),
        ({"object_marking_refs": []}, "is empty"),
        ({"created_by_ref": "identity--00000000-0000-4000-8000-000000000000"}, "leads to"),
        ({"extensions": {"x": {"value": None}}}, "is null"),
        ({"extensions": {"x": {"value": float("nan")}}}, "is no number"),
    ],
)
def test_the_quick_judge_sees_a_breach(changes: dict[str, Any], said: str) -> None:
    fixture = fixtures()[0]
    objects = [dict(entry) for entry in normalizer().normalize(fixture.product, fixture.payload, ACME).objects]
    assert breaches(objects) == []
    at = next(number for number, entry in enumerate(objects) if entry["type"] == "incident")
    objects[at] |= changes
    assert any(said in text for text in breaches(objects))


def test_a_mutated_alert_can_be_made_again() -> None:
    payloads = [fixture.payload for fixture in fixtures()[:9]]
    made = [[mutated(payloads[0], payloads, random.Random(seed)) for seed in range(50)] for _ in range(2)]
    assert made[0] == made[1]
    assert len(set(made[0])) > 40
