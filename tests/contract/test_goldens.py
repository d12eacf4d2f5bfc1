"""Every invented alert of every product becomes the STIX, and leaves behind the loss, that was reviewed for it.

``pytest tests/contract/test_goldens.py --update-golden`` writes the golden files anew; their diff is then reviewed.
"""

import json
import random
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from tests.fuzzing.mutate import mutated
from tests.goldens import ACME, Fixture, fixtures, normalizer
from tests.stix_validity import faults

from nightdesk.sdk.errors import MappingError
from nightdesk.stix.normalize import Normalized

_CASES = [pytest.param(fixture, id=str(fixture)) for fixture in fixtures()]
_INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def _normalized(fixture: Fixture) -> Normalized:
    return normalizer().normalize(fixture.product, fixture.payload, ACME)


def _by_id(bundle: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in bundle["objects"]}


@pytest.mark.parametrize("fixture", _CASES)
def test_an_alert_becomes_its_golden_bundle(fixture: Fixture, update_golden: bool) -> None:
    made = _normalized(fixture)
    if update_golden:
        fixture.bundle.write_bytes(orjson.dumps(orjson.loads(made.bundle), option=_INDENTED))
    wanted = orjson.loads(fixture.bundle.read_bytes())
    assert _by_id(orjson.loads(made.bundle)) == _by_id(wanted)
    # The order of objects and properties is part of the bytes; the golden file only adds blanks.
    assert made.bundle == orjson.dumps(wanted)


@pytest.mark.parametrize("fixture", _CASES)
def test_an_alert_leaves_its_golden_loss(fixture: Fixture, update_golden: bool) -> None:
    made = _normalized(fixture)
    if update_golden:
        fixture.loss.write_bytes(orjson.dumps(made.loss.to_json(), option=_INDENTED))
    assert made.loss.to_json() == json.loads(fixture.loss.read_bytes())


@pytest.mark.parametrize("fixture", _CASES)
def test_its_bundle_is_valid_for_strangers(fixture: Fixture) -> None:
    assert faults(_normalized(fixture).bundle) == []


@pytest.mark.parametrize("fixture", _CASES)
def test_the_same_bytes_are_the_same_bundle(fixture: Fixture) -> None:
    first, second = _normalized(fixture), _normalized(fixture)
    assert first.bundle == second.bundle
    assert first.alert == second.alert
    assert first.loss == second.loss


@pytest.mark.parametrize("fixture", _CASES)
def test_a_value_of_the_wrong_kind_is_told_to_the_autonomy(fixture: Fixture) -> None:
    made = _normalized(fixture)
    assert len(made.alert.caution) == len(made.loss.wrong)
    assert all(pointer in made.alert.caution[number] for number, (pointer, _, _) in enumerate(made.loss.wrong))


@pytest.mark.parametrize("fixture", _CASES)
def test_an_alert_changed_anywhere_is_valid_or_refused(fixture: Fixture) -> None:
    """Whatever a vendor puts anywhere: the bundle stays valid, or the alert is set aside with a pointer."""
    dice = random.Random(str(fixture))  # the same changes at every run
    payload = mutated(fixture.payload, [fixture.payload], dice)
    try:
        made = normalizer().normalize(fixture.product, payload, ACME)
    except MappingError as error:
        assert error.pointer  # noqa: PT017  # either outcome is right
        return
    assert faults(made.bundle) == [], payload


def test_every_product_has_goldens() -> None:
    assert {fixture.product for fixture in fixtures()} == set(normalizer().products)


def test_every_stream_of_a_product_has_goldens() -> None:
    read = {(fixture.product, _normalized(fixture).loss.stream) for fixture in fixtures()}
    wanted = {
        (product, compiled.mapping.stream)
        for product in normalizer().products
        for compiled in normalizer().mappings(product)
    }
    assert read == wanted


def test_no_golden_file_outlives_its_alert() -> None:
    wanted = {path for fixture in fixtures() for path in (fixture.bundle, fixture.loss)}
    folders = {fixture.path.parent for fixture in fixtures()}
    found = {path for folder in folders for suffix in ("stix", "loss") for path in folder.glob(f"*.{suffix}.json")}
    assert found == wanted
