import json

from tests.goldens import ACME
from tests.unit.stix.conftest import Product

from nightdesk.stix.files import Refused, read_alerts
from nightdesk.stix.normalize import Normalized

AT = "2026-11-20T08:00:00Z"


def read(product: Product, payload: bytes, **options: bool) -> list[Normalized | Refused]:
    return [
        found for _, found in read_alerts(product.normalizer, "acme_edr", payload, ACME, source="f.json", **options)
    ]


def test_every_alert_of_a_file_is_read_or_refused_at_its_place(product: Product) -> None:
    rows = [{"id": "a", "at": AT}, {"id": "b"}, {"other": 1}]
    first, second, third = read(product, json.dumps(rows).encode())
    assert isinstance(first, Normalized)
    assert second == Refused("/1", "an alert without a time")
    assert third == Refused("/2", "none of its forms: alert document")


def test_a_file_that_does_not_parse_is_refused_whole(product: Product) -> None:
    (found,) = read(product, b'{"id": ')
    assert isinstance(found, Refused)
    assert found.pointer == "@7"


def test_strict_refuses_an_alert_of_which_anything_is_lost(product: Product) -> None:
    rows = [{"id": "a", "at": AT}, {"id": "b", "at": AT, **{f"k{n}": n for n in range(7)}}]
    payload = json.dumps(rows).encode()
    assert [type(found) for found in read(product, payload)] == [Normalized, Normalized]
    first, second = read(product, payload, strict=True)
    assert isinstance(first, Normalized)
    assert second == Refused("/1", "strict: no mapping reads k0, k1, k2, k3, k4 and 2 more")
