"""The alarm when a product's alerts change their shape: a path that was never there, a path that was always there."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["DriftMonitor"]

_DEEPEST = 6
_MOST_PATHS = 5_000
"""An attacker may name fields; no monitor grows without end."""


class DriftMonitor:
    """Learns which paths a stream carries and tells, once each, when one appears or vanishes.

    ``learning`` alerts are watched in silence. Afterwards a lost path seen for the first time is *appeared*, and a path
    that was in nearly every alert but in none of the last ``patience`` is *vanished*; of an object that vanished only
    the object itself is named. What stands in lists comes and goes, and is not watched.
    """

    def __init__(self, *, learning: int = 200, patience: int = 100, common: float = 0.95) -> None:
        self.learning = learning
        self.patience = patience
        self.common = common
        self.seen = 0
        self._counts: Counter[str] = Counter()
        self._last: dict[str, int] = {}
        self._known_lost: set[str] = set()
        self._vanished: set[str] = set()

    def watch(self, document: Mapping[str, Any], lost: tuple[str, ...]) -> list[str]:
        """Sentences for people; empty most of the time."""
        self.seen += 1
        alarms = [f"a field never seen before: {path}" for path in self._appeared(lost)]
        if self.seen <= self.learning:
            self._counts.update(path for path in _paths(document) if path in self._counts or self._room())
            if self.seen == self.learning:
                least = self.common * self.learning
                self._last = {path: self.seen for path, count in sorted(self._counts.items()) if count >= least}
            return alarms
        for path in _paths(document):
            if path in self._last:
                self._last[path] = self.seen
                self._vanished.discard(path)
        return alarms + [self._told(path) for path in self._gone()]

    def _room(self) -> bool:
        return len(self._counts) < _MOST_PATHS

    def _appeared(self, lost: tuple[str, ...]) -> Iterator[str]:
        for path in lost:
            if path not in self._known_lost and len(self._known_lost) < _MOST_PATHS:
                self._known_lost.add(path)
                if self.seen > self.learning:
                    yield path

    def _gone(self) -> Iterator[str]:
        for path, last in self._last.items():
            if path not in self._vanished and self.seen - last >= self.patience:
                self._vanished.add(path)
                if path.rpartition(".")[0] not in self._vanished:
                    yield path

    def _told(self, path: str) -> str:
        silent = self.seen - self._last[path]
        return f"a field that was always there has not come for {silent} alerts: {path}"


def _paths(node: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterator[str]:
    """Objects and the values in them, parents first."""
    for key, value in node.items():
        if value is None:
            continue
        path = f"{before}{key}"
        yield path
        if value.__class__ is dict and depth < _DEEPEST:
            yield from _paths(value, f"{path}.", depth + 1)
