"""Alerts a second, one alert a call to bundle bytes, as a ratio to parsing and writing the same bytes."""

import gc
import logging
import os
import statistics
import time
from collections.abc import Callable

import orjson
import structlog

from benchmarks.alerts import varied
from nightdesk.hub.registry import Registry
from nightdesk.sdk.records import RawRecord
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

SHORT = os.environ.get("NIGHTDESK_BENCH") == "short"
COUNT, ROUNDS = (300, 2) if SHORT else (1500, 5)


def seconds(work: Callable[[bytes], object], payloads: list[bytes]) -> float:
    gc.collect()
    start = time.perf_counter()
    for payload in payloads:
        work(payload)
    return time.perf_counter() - start


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    registry = Registry.load(strangers=False)
    scope = Scope("bench", "Bench", TenantKey.derived("bench"))
    head = ("alerts", "cold/s", "warm/s", "floor/s", "floor/ours", "bytes in", "bytes out")
    print(f"{'product':<22}" + "".join(f"{word:>12}" for word in head))
    ratios = []
    for vendor in sorted(registry.manifests):
        records: list[RawRecord] = varied(vendor, COUNT)
        product = next(iter(registry.manifest(vendor).pulls.values())).product
        payloads = [record.payload for record in records]
        normalizer = registry.normalizer()
        normalizer.mappings(product)

        def ours(payload: bytes, product: str = product, normalizer: object = normalizer) -> bytes:
            return normalizer.normalize(product, payload, scope).bundle  # type: ignore[attr-defined, no-any-return]  # bound early

        def floor(payload: bytes) -> bytes:
            return orjson.dumps(orjson.loads(payload))

        cold = seconds(ours, payloads)
        warm = statistics.median(seconds(ours, payloads) for _ in range(ROUNDS))
        bare = statistics.median(seconds(floor, payloads) for _ in range(ROUNDS))
        ratios.append(warm / bare)
        size_in = statistics.mean(map(len, payloads))
        size_out = statistics.mean(len(ours(payload)) for payload in payloads[:50])
        n = len(payloads)
        rates = "".join(f"{rate:>12.0f}" for rate in (n / cold, n / warm, n / bare))
        print(f"{product:<22}{n:>12}{rates}{warm / bare:>11.1f}x{size_in:>12.0f}{size_out:>12.0f}")
    print(f"median: one normalised alert costs {statistics.median(ratios):.1f} times its own parsing and writing")


if __name__ == "__main__":
    main()
