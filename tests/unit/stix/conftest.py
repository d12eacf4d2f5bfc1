"""A small product of our own, whose one mapping a test writes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.goldens import ACME

from nightdesk.stix.normalize import Normalized, Normalizer

HEAD = """
product: acme_edr
stream: alerts
form: alert document
vendor: ACME
name: ACME EDR
version: 3
docs: https://vendor.example/alerts
recognise: [id]
"""
ALERT = """
alert:
  native_id: id
  created: at
"""


class Product:
    """Normalises documents by the text of one mapping."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.functions: Mapping[str, Callable[..., Any]] = {}

    @property
    def file(self) -> Path:
        return self.folder / "alerts.yaml"

    def write(self, body: str = "", *, head: str = HEAD, alert: str = ALERT) -> "Product":
        self.file.write_text(head + alert + body, encoding="utf-8")
        return self

    @property
    def normalizer(self) -> Normalizer:
        return Normalizer([("acme_edr", self.folder)], lambda _: self.functions)

    def read(self, payload: bytes) -> Normalized:
        return self.normalizer.normalize("acme_edr", payload, ACME)

    def alert(self, **fields: Any) -> Normalized:
        document = {"id": "a-1", "at": "2026-11-20T08:00:00.123Z", **fields}
        return self.read(json.dumps(document).encode())


@pytest.fixture
def product(tmp_path: Path) -> Product:
    return Product(tmp_path).write()
