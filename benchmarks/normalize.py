"""Alerts normalised a second, one a call, beside stix-shifter's best batch rate and beside parsing and writing alone.

Processor time of one core on all sides, so that a busy machine does not decide. See benchmarks/README.md.
"""

import argparse
import json
import logging
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog

from benchmarks.ours import SCOPE, Counted, Ours, counted, measure
from benchmarks.peer.install import interpreter
from benchmarks.peer.modules import Module, module_of
from benchmarks.variation import Seed, seeds, varied
from nightdesk.hub.registry import Registry

SHORT = os.environ.get("NIGHTDESK_BENCH") == "short"
COUNT, ROUNDS = (100, 2) if SHORT else (500, 5)
TRANSLATE = Path(__file__).parent / "peer" / "translate.py"
PATIENCE = 900
TARGET, LEAST = 8.0, 4.0


@dataclass(frozen=True)
class Peer:
    """stix-shifter on the same alerts; rates of STIX 2.1, which is what ours writes, and of 2.0 as ``older``."""

    module: str
    exact: bool
    note: str
    way: str
    batch: int
    cold: float
    warm: float
    whole: float
    older: float
    counted: Counted


@dataclass(frozen=True)
class Row:
    """The alerts of one product that one module of the peer reads, or none."""

    product: str
    forms: tuple[str, ...]
    seeds: int
    refused: int
    ours: Ours
    peer: Peer | None

    @property
    def ratio(self) -> float:
        """Ours beside the peer's best."""
        return self.ours.warm / self.peer.warm if self.peer else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description="How many alerts a second are normalised")
    parser.add_argument("--no-peer", action="store_true", help="leave stix-shifter out")
    parser.add_argument("--product", action="append", help="only this one; may stand several times")
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    python, why = (None, "left out by --no-peer") if given.no_peer else interpreter()
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "alerts": COUNT,
        "rounds": ROUNDS,
    }
    print(f"{machine}; rates are alerts a second of processor time, one core")
    if python is None:
        print(f"stix-shifter is MISSING, so there is no ratio to it: {why}")
    rows: list[Row] = []
    print(_HEAD)
    for product in given.product or Registry.load(strangers=False).normalizer().products:
        with tempfile.TemporaryDirectory() as folder:
            for row in _rows(product, python, Path(folder)):
                rows.append(row)
                print(_line(row), flush=True)
    summary = _summary(rows)
    machine["load_after"] = [round(load, 2) for load in os.getloadavg()]
    print("\n".join(_said(summary, rows)), f"load after: {machine['load_after']}", sep="\n")
    if given.json:
        made = {"machine": machine, "peer_missing": why, "rows": [asdict(row) for row in rows], "summary": summary}
        given.json.write_text(json.dumps(made, indent=2) + "\n")


def _rows(product: str, python: Path | None, folder: Path) -> Iterable[Row]:
    """A row for each module of the peer that reads some of the product's alerts, and one for the rest."""
    normalizer = Registry.load(strangers=False).normalizer()
    groups: dict[Module, list[Seed]] = {}
    rest: list[Seed] = []
    for seed in seeds(product, normalizer, SCOPE):
        module = module_of(product, orjson.loads(seed.text))[0]
        (groups.setdefault(module, []) if python and module else rest).append(seed)
    for module, found in groups.items():
        assert python
        taken = _taken(python, module, found, folder)
        rest += [seed for seed in found if seed not in taken]
        if taken:
            yield _row(product, taken, folder, python, module, len(found) - len(taken))
    if rest:
        yield _row(product, rest, folder)


def _row(
    product: str,
    found: list[Seed],
    folder: Path,
    python: Path | None = None,
    module: Module | None = None,
    refused: int = 0,
) -> Row:
    sets = [varied(found, COUNT, seed=f"set {index}") for index in range(ROUNDS + 1)]
    paths = [folder / f"{index}.ours" for index in range(len(sets))]
    for path, made in zip(paths, sets, strict=True):
        path.write_bytes(b"\n".join(payload for _, payload in made))
    ours = _alone(product, paths)
    peer = _peer(python, module, sets, folder) if module and python else None
    return Row(product, tuple(sorted({seed.form for seed in found})), len(found), refused, ours, peer)


def _alone(product: str, paths: list[Path]) -> Ours:
    """In a process just started; one that cannot start ends the benchmark."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, product, paths).result()


def _taken(python: Path, module: Module, found: list[Seed], place: Path) -> list[Seed]:
    """The seeds the module translates: one it fails on would fail its batch, one it ignores is no comparison."""
    path = place / "probe"
    path.write_bytes(_handed(module, [seed.text.encode() for seed in found]))
    wrong = _run(python, module, ["--probe", str(path)])
    return [seed for seed, why in zip(found, wrong, strict=True) if why is None]


def _handed(module: Module, payloads: Iterable[bytes]) -> bytes:
    return b"\n".join(orjson.dumps(module.shape(orjson.loads(payload)) or []) for payload in payloads)


def _peer(python: Path, module: Module, sets: list[list[tuple[str, bytes]]], place: Path) -> Peer:
    """Its rates on the same alerts."""
    paths = [place / f"{index}.peer" for index in range(len(sets))]
    for path, made in zip(paths, sets, strict=True):
        path.write_bytes(_handed(module, (payload for _, payload in made)))
    told = _run(python, module, [str(path) for path in paths])
    best = told["best"]["2.1"]
    return Peer(
        module.name,
        module.exact,
        module.note,
        best["way"],
        best["batch"],
        told["cold"],
        best["warm"],
        best["bytes_to_bytes"],
        told["best"]["2.0"]["warm"],
        counted(bundle["objects"] for bundle in told["sample"]),
    )


def _run(python: Path, module: Module, arguments: list[str]) -> Any:
    command = [str(python), str(TRANSLATE), "--module", module.name, *arguments]
    if module.prepare:
        command += ["--prepare", module.prepare]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        sys.exit(f"stix-shifter's {module.name} module failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


_HEAD = (
    f"{'product':<26}{'module (~ other record)':<24}{'cold':>7}{'warm':>7}{'p.cold':>8}{'p.warm':>8}"
    f"{'xcold':>7}{'xwarm':>7}{'xbytes':>7}{'x2.0':>7}{'floor':>8}{'/floor':>7}{'objects':>12}"
    f"{'properties':>13}{'bytes in/out':>14}"
)


def _line(row: Row) -> str:
    ours, peer = row.ours, row.peer
    sizes = f"{ours.bytes_in:.0f}/{ours.bytes_out:.0f}"
    tail = f"{ours.floor:>8.0f}{ours.floor / ours.warm:>6.0f}x"
    if peer is None:
        return (
            f"{row.product:<26}{'-':<24}{ours.cold:>7.0f}{ours.warm:>7.0f}{'':>44}{tail}"
            f"{ours.counted.objects:>12.1f}{ours.counted.properties:>13.0f}{sizes:>14}"
        )
    ratios = (ours.cold / peer.cold, row.ratio, ours.warm / peer.whole, ours.warm / peer.older)
    return (
        f"{row.product:<26}{('' if peer.exact else '~') + peer.module:<24}{ours.cold:>7.0f}{ours.warm:>7.0f}"
        f"{peer.cold:>8.0f}{peer.warm:>8.0f}{''.join(f'{ratio:>6.2f}x' for ratio in ratios)}{tail}"
        f"{f'{ours.counted.objects:.1f}/{peer.counted.objects:.1f}':>12}"
        f"{f'{ours.counted.properties:.0f}/{peer.counted.properties:.0f}':>13}{sizes:>14}"
        + (f"  ({row.refused} fixtures left out: the module fails on them or maps nothing)" if row.refused else "")
    )


def _summary(rows: list[Row]) -> dict[str, Any]:
    """Medians over products: a product read by several modules counts with its lowest ratio."""
    made: dict[str, Any] = {}
    for name, some in (
        ("all modules", [row for row in rows if row.peer]),
        ("modules of this very record", [row for row in rows if row.peer and row.peer.exact]),
    ):
        lowest: dict[str, Row] = {}
        for row in some:
            if row.product not in lowest or row.ratio < lowest[row.product].ratio:
                lowest[row.product] = row
        pairs = [(row.ours, row.peer) for row in lowest.values() if row.peer]
        if pairs:
            made[name] = {
                "products": len(pairs),
                "warm": statistics.median(ours.warm / peer.warm for ours, peer in pairs),
                "cold": statistics.median(ours.cold / peer.cold for ours, peer in pairs),
                "bytes_to_bytes": statistics.median(ours.warm / peer.whole for ours, peer in pairs),
                "stix_2_0": statistics.median(ours.warm / peer.older for ours, peer in pairs),
                "below": sorted(product for product, row in lowest.items() if row.ratio < LEAST),
            }
    made["floor"] = statistics.median(row.ours.floor / row.ours.warm for row in rows)
    return made


def _said(summary: dict[str, Any], rows: list[Row]) -> Iterable[str]:
    yield f"median: one normalised alert costs {summary['floor']:.1f} times its own parsing and writing"
    for name, found in summary.items():
        if isinstance(found, dict):
            yield (
                f"median of {found['products']} products, {name}: {found['warm']:.2f}x stix-shifter's best batch warm, "
                f"{found['cold']:.2f}x cold, {found['bytes_to_bytes']:.2f}x from bytes to bytes, "
                f"{found['stix_2_0']:.2f}x its STIX 2.0 (wanted: {TARGET:g}x warm, no product under {LEAST:g}x)"
            )
            yield f"  under {LEAST:g}x: {', '.join(found['below']) or 'none'}"
    for row in rows:
        if row.peer and row.peer.note:
            yield f"~ {row.product}: {row.peer.module} {row.peer.note}"


if __name__ == "__main__":
    main()
