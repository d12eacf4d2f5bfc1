"""`python -m tests.schedules`: random schedules with faults and kills, and a table of what they held."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.progress import Progress
from tests.schedules.run import Failure, Totals, every_point, random_ones, replay

_CHUNK = 100
_TOLD = 5  # failures that are told whole


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="random schedules")
    parser.add_argument("--bases", type=int, default=12, help="stories that are killed at every point")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object a line and part, the last one of all")
    parser.add_argument("--only", type=int, help="one schedule, told whole when it goes wrong")
    parser.add_argument("--point", type=int, default=0, help="with --only: killed at this boundary, and nowhere else")
    parser.add_argument("--verbose", action="store_true", help="with --only: told whole in any case, not shortened")
    asked = parser.parse_args()
    if asked.only is not None:
        failure = replay(asked.seed, asked.only, blows_at=asked.point, whole=asked.verbose)
        print(failure.told)
        return 1 if failure.wrong else 0
    begun = time.monotonic()
    totals = Totals()
    parts = [range(first, min(first + _CHUNK, asked.count)) for first in range(0, asked.count, _CHUNK)]
    with ProcessPoolExecutor(asked.jobs) as pool, Progress(disable=asked.json or not sys.stderr.isatty()) as shown:
        task = shown.add_task("schedules", total=len(parts) + asked.bases)
        running = {pool.submit(random_ones, asked.seed, part): f"{part.start}-{part.stop - 1}" for part in parts}
        running |= {
            pool.submit(every_point, asked.seed + 1, number): f"every point of {number}"
            for number in range(asked.bases)
        }
        for future in as_completed(running):
            part = future.result()
            totals.add(part)
            print(_line(running[future], part, as_json=asked.json), flush=True)
            shown.advance(task)
    wall = time.monotonic() - begun
    print(json.dumps({"part": "all", "wall_seconds": round(wall, 1), **totals.as_json()}) if asked.json
          else _table(totals, wall))  # fmt: skip
    return 1 if totals.failures else 0


def _line(name: str, part: Totals, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"part": name, **part.as_json()})
    rate = part.schedules / part.seconds if part.seconds else 0.0
    told = f"{name:<22}{part.schedules:>6} schedules {part.actions:>6} actions {part.kills.total():>5} kills"
    told += f" {rate:>6.1f}/s {len(part.failures):>4} wrong"
    return "\n".join([told, *_failures(part.failures)])


def _failures(failures: Iterable[Failure]) -> Iterable[str]:
    for number, failure in enumerate(failures):
        again = f"--seed {failure.seed} --only {failure.number}" + (
            f" --point {failure.blows_at}" if failure.blows_at else ""
        )
        yield f"  python -m tests.schedules {again} --verbose"
        yield from (f"    {text[:300]}" for text in failure.wrong[:4])
        if number < _TOLD:
            yield failure.told


def _table(totals: Totals, wall: float) -> str:
    rows: list[tuple[str, object]] = [
        (name.replace("_", " "), value)
        for name, value in vars(totals).items()
        if not isinstance(value, Counter | list) and name != "seconds"
    ]
    rows += [("seconds", f"{wall:.0f}"), ("schedules a CPU second", f"{totals.schedules / totals.seconds:.1f}")]
    rows += [("wrong", len(totals.failures))]
    lines = ["", *(f"{name:<28}{value:>12}" for name, value in rows)]
    for name in ("kills", "faults", "vendors", "verbs", "states"):
        counts: Counter[str] = getattr(totals, name)
        lines += ["", f"{name}: {counts.total()}", *(f"  {key:<40}{count:>9}" for key, count in counts.most_common())]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
