"""`python -m tests.fuzzing`: mutated alerts of every product, and a table of what became of them."""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict

from rich.progress import Progress
from tests.fuzzing.run import Summary, fuzz
from tests.goldens import normalizer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("products", nargs="*", help="slugs; all without")
    parser.add_argument("--count", type=int, default=100_000, help="alerts a product")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    products = asked.products or list(normalizer().products)
    done: dict[str, Summary] = {}
    with ProcessPoolExecutor(asked.jobs) as pool, Progress(disable=asked.json or not sys.stderr.isatty()) as shown:
        task = shown.add_task("fuzzing", total=len(products))
        running = {pool.submit(fuzz, product, asked.count, seed=asked.seed): product for product in products}
        for future in as_completed(running):
            done[running[future]] = future.result()
            shown.advance(task)
    rows = [done[product] for product in products]
    if asked.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        print(f"{'product':<28}{'alerts':>9}{'bundles':>9}{'set aside':>10}{'judged':>8}{'slowest':>9}{'broken':>8}")
        for row in rows:
            numbers = f"{row.count:>9}{row.bundles:>9}{row.refused:>10}{row.judged_whole:>8}"
            print(f"{row.product:<28}{numbers}{row.slowest:>8.2f}s{len(row.broken):>8}")
            for text in row.broken[:5]:
                print(f"    {text[:300]}")
    return 1 if any(row.broken for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
