"""stix-shifter's rates, measured in its own virtual environment: run as a script, speaks JSON on standard output.

Every argument that favours it is granted: records are parsed and brought into its shape before the clock starts, its
imports, its maps and its logging cost nothing, its bundle is never written to bytes, and of all its ways to translate a
batch the fastest counts.
"""

import argparse
import gc
import importlib
import itertools
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IDENTITY = {"type": "identity", "id": "identity--5f0f1c1e-52f4-4a86-9d4c-6d1f5d9b3a10", "name": "bench"}
SAMPLE = 60
#: No size given: the whole set in one call.
SIZES = (None, 100, 10)
VERSIONS = ("2.1", "2.0")

Alerts = list[list[dict[str, Any]]]
Translate = Callable[[list[dict[str, Any]]], dict[str, Any]]


def options(version: str, given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "stix_2.1": True} if version == "2.1" else dict(given)


def direct(module: str, version: str, given: dict[str, Any]) -> Translate:
    """The module's results translator, made once and called without the layers above it."""
    validator = importlib.import_module("stix_shifter_utils.utils.param_validator")
    entry = importlib.import_module(f"stix_shifter_modules.{module}.entry_point")
    valid = validator.param_validator(module, options(version, given), "connection.options")
    translator = entry.EntryPoint(options=valid).get_results_translator(valid.get("dialects"))

    def translate(records: list[dict[str, Any]]) -> dict[str, Any]:
        return translator.translate_results(IDENTITY, records)  # type: ignore[no-any-return]

    return translate


def public(module: str, version: str, given: dict[str, Any]) -> Translate:
    """The documented entry point: ``StixTranslation.translate(module, "results", ...)``."""
    made = importlib.import_module("stix_shifter.stix_translation.stix_translation").StixTranslation()

    def translate(records: list[dict[str, Any]]) -> dict[str, Any]:
        return made.translate(module, "results", IDENTITY, records, options(version, given))  # type: ignore[no-any-return]

    return translate


WAYS = {"direct": direct, "translate()": public}


def lines(path: Path) -> Alerts:
    """A list of records for each alert."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def prepared(records: list[dict[str, Any]], prepare: Any) -> list[dict[str, Any]]:
    """After the module's own last step before translation, which answers with a list or changes the one it is given."""
    made = prepare(records) if prepare else None
    return made if isinstance(made, list) else records


def read(path: Path, prepare: Any) -> Alerts:
    return [prepared(records, prepare) for records in lines(path)]


def batches(alerts: Alerts, size: int | None) -> list[list[dict[str, Any]]]:
    size = size or len(alerts)
    return [list(itertools.chain.from_iterable(alerts[start : start + size])) for start in range(0, len(alerts), size)]


def rate(translate: Translate, alerts: Alerts, size: int | None) -> float:
    """Alerts a second of processor time; all threads count."""
    given = batches(alerts, size)
    gc.collect()
    start = time.process_time()
    made = [translate(batch) for batch in given]
    spent = time.process_time() - start
    wrong = next(filter(None, map(told, made)), None)
    if wrong:
        sys.exit(wrong)  # an error is quick to answer, and no rate
    return len(alerts) / spent


def told(bundle: dict[str, Any]) -> str | None:
    """What went wrong, for the layers that answer with an error and raise none."""
    return None if "objects" in bundle else json.dumps(bundle, default=str)


def probe(module: str, given: dict[str, Any], alerts: Alerts, prepare: Any) -> list[str | None]:
    """For each alert by itself: why it cannot be translated, or that nothing of it is."""
    translate = direct(module, "2.1", given)
    found: list[str | None] = []
    for records in alerts:
        try:
            bundle = translate(prepared(records, prepare))
            nothing = len(bundle.get("objects", ())) <= 1 + len(records)  # who made it, and an empty observation each
            found.append(told(bundle) or ("maps nothing of it" if nothing else None))
        except Exception as error:  # noqa: BLE001 -- whatever another product raises is what is asked for here
            found.append(f"{type(error).__name__}: {error}")
    return found


def whole(translate: Translate, path: Path, prepare: Any, size: int) -> float:
    """Alerts a second from bytes to bytes, as ours: read and written with json, as the peer's own commands do."""
    payloads = path.read_bytes().splitlines()
    gc.collect()
    start = time.process_time()
    for begin in range(0, len(payloads), size):
        alerts = [prepared(json.loads(line), prepare) for line in payloads[begin : begin + size]]
        json.dumps(translate(list(itertools.chain.from_iterable(alerts))), default=str)
    return len(payloads) / (time.process_time() - start)


def measure(module: str, given: dict[str, Any], paths: list[Path], prepare: Any) -> dict[str, Any]:
    first = read(paths[0], prepare)
    started = direct(module, "2.1", given)
    cold = rate(started, first, None)
    tried: dict[tuple[str, str, int], list[float]] = {}
    for path in paths[1:]:
        for way, version, size in itertools.product(WAYS, VERSIONS, SIZES):
            if way == "direct" or not size:  # the public one makes its translator anew on each call: one call is best
                translate = WAYS[way](module, version, given)
                key = way, version, size or len(first)
                tried.setdefault(key, []).append(rate(translate, read(path, prepare), size))
    best: dict[str, dict[str, Any]] = {}
    for version in VERSIONS:
        key = max((key for key in tried if key[1] == version), key=lambda key: statistics.median(tried[key]))
        translate = WAYS[key[0]](module, version, given)
        rates = [whole(translate, path, prepare, key[2]) for path in paths[1:]]
        warm = statistics.median(tried[key])
        best[version] = {"way": key[0], "batch": key[2], "warm": warm, "bytes_to_bytes": statistics.median(rates)}
    return {
        "cold": cold,
        "best": best,
        "tried": [
            {"way": way, "stix": version, "batch": size, "rates": rates}
            for (way, version, size), rates in tried.items()
        ],
        "sample": [started(records) for records in read(paths[0], prepare)[:SAMPLE]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--module", required=True)
    parser.add_argument("--prepare", help="module:Class.function, called with the records of an alert")
    parser.add_argument("--options", default="{}", type=json.loads)
    parser.add_argument("--probe", action="store_true")
    parser.add_argument(
        "sets", nargs="+", type=Path, help="a line an alert: a list of records; the first is the cold one"
    )
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    prepare = None
    if given.prepare:
        module, _, path = given.prepare.partition(":")
        connector, _, method = path.partition(".")
        kind = getattr(importlib.import_module(module), connector)
        prepare = getattr(object.__new__(kind), method)  # its connector would connect if it were made properly
    answer: Any
    if given.probe:
        answer = probe(given.module, given.options, lines(given.sets[0]), prepare)
    else:
        answer = measure(given.module, given.options, given.sets, prepare)
    json.dump(answer, sys.stdout, default=str)


if __name__ == "__main__":
    main()
