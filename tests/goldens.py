"""Finds the fixtures of every product, and normalises as the hub does, for a tenant that never changes."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nightdesk.hub.registry import Registry
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.normalize import Normalizer
from nightdesk.stix.scope import Scope

__all__ = ["ACME", "FIXTURES", "Fixture", "fixtures", "normalizer"]

FIXTURES = Path(__file__).parent / "fixtures"
ACME = Scope("acme", "Acme GmbH", TenantKey(bytes(range(32))))


@dataclass(frozen=True)
class Fixture:
    """One invented alert of one form, ``fixtures/<product>/<form>/<case>.json`` or ``.txt``; its goldens beside it."""

    path: Path

    @property
    def product(self) -> str:
        return self.path.parent.parent.name

    @property
    def payload(self) -> bytes:
        return self.path.read_bytes()

    @property
    def bundle(self) -> Path:
        return self.path.with_suffix(".stix.json")

    @property
    def loss(self) -> Path:
        return self.path.with_suffix(".loss.json")

    def __str__(self) -> str:
        return f"{self.product}/{self.path.parent.name}/{self.path.stem}"


def fixtures() -> Sequence[Fixture]:
    """Every one of every product that has a normaliser."""
    golden = (".stix.json", ".loss.json")
    products = set(normalizer().products)
    return [
        Fixture(path)
        for path in sorted(FIXTURES.glob("*/*/*.*"))
        if path.suffix in {".json", ".txt"} and path.parent.parent.name in products and not path.name.endswith(golden)
    ]


@functools.cache
def normalizer() -> Normalizer:
    """That of the hub with nothing installed beside it."""
    return Registry.load(strangers=False).normalizer()
