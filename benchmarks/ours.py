"""Our own rates of one product, measured in a process just started: nothing is warm that a new hub has not warmed."""

import gc
import logging
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog

from nightdesk.hub.registry import Registry
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

__all__ = ["SCOPE", "Counted", "Ours", "counted", "measure"]

SCOPE = Scope("bench", "Bench", TenantKey.derived("bench"))
#: What every STIX object has: no finding of either side.
COMMON = {
    "id",
    "type",
    "spec_version",
    "created",
    "modified",
    "created_by_ref",
    "object_marking_refs",
    "granular_markings",
}


@dataclass(frozen=True)
class Counted:
    """What an alert became, on average."""

    objects: float
    properties: float


@dataclass(frozen=True)
class Ours:
    """Alerts a second of processor time."""

    cold: float
    warm: float
    floor: float
    bytes_in: float
    bytes_out: float
    counted: Counted


def counted(bundles: Iterable[list[dict[str, Any]]]) -> Counted:
    """Objects without the one that names who made the bundle, and the values in them beyond what every object has."""
    each = [
        [
            sum(map(_values, (value for key, value in item.items() if key not in COMMON)))
            for item in objects
            if item["type"] != "identity"
        ]
        for objects in bundles
    ]
    return Counted(statistics.mean(map(len, each)), statistics.mean(map(sum, each)))


def _values(node: Any) -> int:
    if isinstance(node, dict):
        return sum(map(_values, (value for key, value in node.items() if key not in COMMON)))
    return sum(map(_values, node)) if isinstance(node, list) else 1


def measure(product: str, paths: list[Path]) -> Ours:
    """One alert a call, bytes to bundle bytes; the first file is the cold one, each warm round has fresh alerts."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    normalizer = Registry.load(strangers=False).normalizer()
    normalizer.mappings(product)
    first, *rounds = [path.read_bytes().splitlines() for path in paths]

    def ours(payload: bytes) -> bytes:
        return normalizer.normalize(product, payload, SCOPE).bundle

    cold = _rate(ours, first)
    warm = statistics.median(_rate(ours, payloads) for payloads in rounds)
    floor = statistics.median(_rate(_floor, payloads) for payloads in rounds)
    sample = [ours(payload) for payload in first[:60]]
    return Ours(
        cold,
        warm,
        floor,
        statistics.mean(map(len, first)),
        statistics.mean(map(len, sample)),
        counted(orjson.loads(bundle)["objects"] for bundle in sample),
    )


def _floor(payload: bytes) -> bytes:
    return orjson.dumps(orjson.loads(payload))


def _rate(work: Callable[[bytes], object], payloads: list[bytes]) -> float:
    gc.collect()
    start = time.process_time()
    for payload in payloads:
        work(payload)
    return len(payloads) / (time.process_time() - start)
