"""Every invented alert of every product becomes the STIX, and leaves behind the loss, that was reviewed for it.

``pytest tests/contract/test_goldens.py --update-golden`` writes the golden files anew; their diff is then reviewed.
"""

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest
from tests.goldens import ACME, Fixture, fixtures, normalizer
from tests.stix_validity import faults

from nightdesk.sdk.errors import MappingError
from nightdesk.stix.normalize import Normalized

_CASES = [pytest.param(fixture, id=str(fixture)) for fixture in fixtures()]
_STRANGE: tuple[Any, ...] = (
    None, "", "-", 0, -1, 2**53, 2**63, 1e300, True, [], {}, [[]], [{}], ["a", "b"], {"a": {"b": 1}}, "\x00", "\u202e",
    "a" * 5000, "192.0.2.300", "::ffff:192.0.2.1", "fe80::1%eth0", "_dmarc.example.com", "xn--", "münchen.example",
    "x@y", "http://", "https://[::1]/%zz?q=[]{}|\\^`", "javascript:alert(1)", "C:\\", "C:\\dir\\", "\\", "HKLM",
    "T9999", "2026-02-30T00:00:00Z", "99999999999999999999", "ab" * 16, "zz", "application/x-foo", "DOMAIN\\", "'",
    "']] OR [",
)  # fmt: skip
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


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, key)
        yield from _places(value, (*path, key))


@pytest.mark.parametrize("fixture", _CASES)
def test_an_alert_changed_anywhere_is_valid_or_refused(fixture: Fixture) -> None:
    """Whatever a vendor puts anywhere: the bundle stays valid, or the alert has no id, no time or no form."""
    dice = random.Random(str(fixture))  # the same changes at every run
    for _ in range(3):
        document = json.loads(fixture.payload)
        *parents, last = dice.choice(list(_places(document)))
        inner = document
        for step in parents:
            inner = inner[step]
        inner[last] = dice.choice(_STRANGE)
        try:
            made = normalizer().normalize(fixture.product, json.dumps(document).encode(), ACME)
        except MappingError as error:
            assert any(said in error.reason for said in ("without an id", "without a time", "none of its forms"))  # noqa: PT017  # either outcome is right
            continue
        assert faults(made.bundle) == [], (parents, last, inner[last])


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
