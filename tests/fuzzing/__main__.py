"""`python -m tests.fuzzing`: mutated alerts of every product, and a table of what became of them."""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.progress import Progress
from tests.fuzzing.run import Summary, fuzz
from tests.goldens import normalizer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("products", nargs="*", help="slugs; all without")
    parser.add_argument("--count", type=int, default=100_000, help="alerts a product")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object a line and product, as each ends")
    asked = parser.parse_args()
    products = asked.products or list(normalizer().products)
    done: dict[str, Summary] = {}
    with ProcessPoolExecutor(asked.jobs) as pool, Progress(disable=asked.json or not sys.stderr.isatty()) as shown:
        task = shown.add_task("fuzzing", total=len(products))
        running = {pool.submit(fuzz, product, asked.count, seed=asked.seed): product for product in products}
        if not asked.json:
            print(
                f"{'product':<28}{'alerts':>9}{'bundles':>9}{'set aside':>10}{'judged':>8}{'slowest':>9}{'broken':>8}"
            )
        for future in as_completed(running):
            # Told as it ends: an hour's work is not kept for one last line.
            row = done[running[future]] = future.result()
            print(_line(row, as_json=asked.json), flush=True)
            shown.advance(task)
    return 1 if any(row.broken for row in done.values()) else 0


def _line(row: Summary, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({**vars(row), "reasons": dict(row.reasons)})
    numbers = f"{row.count:>9}{row.bundles:>9}{row.refused:>10}{row.judged_whole:>8}"
    told = f"{row.product:<28}{numbers}{row.slowest:>8.2f}s{len(row.broken):>8}"
    return "\n".join([told, *(f"    {text[:300]}" for text in row.broken[:5])])


if __name__ == "__main__":
    sys.exit(main())
