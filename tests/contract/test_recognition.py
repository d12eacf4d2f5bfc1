"""The alert itself tells which product it is of: it is known to one product, and to the right form of it."""

from collections import Counter

import pytest
from tests.goldens import ACME, Fixture, fixtures, normalizer

from nightdesk.stix.normalize import AUTO, parse

_CASES = [pytest.param(fixture, id=str(fixture)) for fixture in fixtures()]
_LEAST = 5


@pytest.mark.parametrize("fixture", _CASES)
def test_an_alert_is_known_to_one_product_and_read_by_the_same_mapping_unnamed(fixture: Fixture) -> None:
    named = normalizer().normalize(fixture.product, fixture.payload, ACME)
    document, _ = parse(fixture.payload)
    claims = {
        compiled.mapping.product
        for product in normalizer().products
        for compiled in normalizer().mappings(product)
        if not compiled.mapping.generic and compiled.recognises(document)
    }
    assert claims <= {fixture.product}
    found = normalizer().normalize(AUTO, fixture.payload, ACME)
    assert (found.product, found.loss.stream) == (named.product, named.loss.stream)
    assert found.bundle == named.bundle


def test_every_form_has_its_hard_cases() -> None:
    """Arrays, IPv6, other scripts, missing and redacted parts, hostile strings: fewer than five cannot hold them."""
    read = Counter(
        (fixture.product, normalizer().normalize(fixture.product, fixture.payload, ACME).loss.stream)
        for fixture in fixtures()
    )
    assert {form: count for form, count in read.items() if count < _LEAST} == {}


@pytest.mark.parametrize("said", ["hostile", "wrong"])
def test_every_product_is_tried_with_hostile_texts_and_wrong_types(said: str) -> None:
    tried = {fixture.product for fixture in fixtures() if said in fixture.path.stem}
    assert set(normalizer().products) - tried == set()
