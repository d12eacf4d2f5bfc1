"""The garbage collector, set for a process that builds and drops thousands of small objects a second.

An alert becomes some two hundred dictionaries that die with their page, nearly all of them without cycles; at Python's
default threshold the collector walks them again and again and takes a fifth of the time (benchmarks/intake.py).
"""

import gc

__all__ = ["THRESHOLD", "set_collector"]

THRESHOLD = 50_000
"""New container objects between two collections of the youngest generation; Python's default is 700 (3.11)."""


def set_collector() -> None:
    """For the whole process, once it has started: what is loaded by now is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD, 20, 20)
