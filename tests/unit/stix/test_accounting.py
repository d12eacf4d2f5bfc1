"""Where each value of an alert ended."""

from collections import Counter
from typing import Any

import pytest
from tests.goldens import ACME, Fixture, fixtures, normalizer
from tests.unit.stix.conftest import Product

from nightdesk.stix.accounting import PLACES, Account, account
from nightdesk.stix.loss import leaves

MAPPING = """
  title: title
  severity: severity > scale level
  native_id_extra: nothing
objects:
  - address: {type: address, value: address}
  - file: {type: file, path: path, hashes: [sum]}
scales:
  level: {"7": high}
vendor_fields: [tag]
ignore:
  - {reason: "the same again", paths: [copy]}
"""


def places(product: Product, **fields: Any) -> Counter[str]:
    product.write(MAPPING.replace("  native_id_extra: nothing\n", ""))
    found = account(product.alert(**fields))
    found.subtract({"standard": 2})  # the id and the time that every alert here has
    return +found


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"title": "A title"}, "standard"),
        ({"address": "2001:DB8:0::1"}, "standard"),
        ({"path": "C:\\Temp\\a.exe"}, "standard"),
        ({"sum": "AB" * 16}, "standard"),
        ({"severity": 7}, "translated"),
        ({"tag": "blue"}, "vendor_fields"),
        ({"copy": {"deep": [5]}}, "ignored"),
        ({"other": 12}, "lost"),
    ],
)
def test_a_value_is_counted_where_it_stands(product: Product, fields: dict[str, Any], place: str) -> None:
    assert places(product, **fields) == {place: 1}


def test_an_ignored_value_that_stands_elsewhere_counts_where_it_stands(product: Product) -> None:
    assert places(product, title="A title", copy="A title") == {"standard": 2}


def test_shares_are_of_all_values(product: Product) -> None:
    product.write(MAPPING.replace("  native_id_extra: nothing\n", ""))
    sums = Account()
    assert sums.share("lost") == 0
    sums.add(product.alert(other=12))
    sums.add(product.alert(copy=13, address="no address"))
    assert (sums.alerts, sums.leaves, sums.wrong) == (2, 7, 1)
    assert sums.lost == {"other": 1}
    assert sum(sums.share(place) for place in PLACES) == pytest.approx(1)


@pytest.mark.parametrize("fixture", [pytest.param(one, id=str(one)) for one in fixtures()])
def test_the_fate_of_every_leaf_agrees_with_the_loss_report(fixture: Fixture) -> None:
    made = normalizer().normalize(fixture.product, fixture.payload, ACME)
    assert made.mapping is not None
    fates = Counter(fate for _, fate in leaves(made.document, made.mapping.coverage))
    lost = [path for path in made.loss.lost if not path.startswith("vendor_fields.")]
    assert fates["ignored"] == sum(made.loss.ignored.values())
    assert bool(fates["lost"]) == bool(lost)
    assert fates["lost"] >= len(lost)
