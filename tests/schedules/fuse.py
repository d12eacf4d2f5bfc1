"""`kill -9` in one process: at a boundary of a transaction or of a request, and nothing of ours runs afterwards."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from nightdesk.autonomy.actions import Action, ActionState, Journal
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.store import Store

__all__ = ["Fuse", "FusedJournal", "Killed"]

_T = TypeVar("_T")


class Killed(BaseException):
    """The process is gone: nothing of ours may catch it."""


class Fuse:
    """Counts boundaries; kills at the one it is told, and everything that still runs at its next boundary."""

    def __init__(self) -> None:
        self.crossed = 0
        self.blows_at = 0
        self.dead = False
        self.kills: Counter[str] = Counter()
        self.points: list[str] = []
        """What lies at each boundary so far, in order."""

    def arm(self, after: int) -> None:
        """It blows at the ``after``-th boundary from now."""
        self.blows_at = self.crossed + max(after, 1)

    def cross(self, point: str) -> None:
        """One boundary; ``point`` says what lies there. Raises Killed."""
        if self.dead:
            raise Killed(point)
        self.crossed += 1
        self.points.append(point)
        if self.crossed == self.blows_at:
            self.dead = True
            self.kills[point] += 1
            raise Killed(point)

    def restart(self) -> None:
        """A new process."""
        self.dead = False


class _FusedStore:
    """A store that dies right before a commit, which is then rolled back, or right after it.

    ``doing`` says what is committed; a transaction that wrote nothing has no such boundaries.
    """

    def __init__(self, store: Store, fuse: Fuse) -> None:
        self._store = store
        self._fuse = fuse
        self.clock = store.clock
        self.doing = ""
        self.seen: dict[tuple[object, ...], Sequence[Action]] = {}
        """Answers since the last write: an idle engine asks the same again and again."""

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        self.alive("begin")
        self.seen.clear()
        with self._store.begin() as conn:
            yield conn
            if self.doing:
                self._fuse.cross(f"before {self.doing}")
        if self.doing:
            self._fuse.cross(f"after {self.doing}")

    def transact(self, work: Any) -> Any:
        with self.begin() as conn:
            return work(conn)

    def read(self) -> Any:
        self.alive("read")
        return self._store.read()

    def alive(self, doing: str) -> None:
        if self._fuse.dead:
            raise Killed(doing)


class _Turn:
    """The journal of one turn; tells the store when there is something to commit."""

    def __init__(self, journal: Journal, fused: _FusedStore, on_move: Any) -> None:
        self._journal = journal
        self._fused = fused
        self._on_move = on_move

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def create(self, action: Action, *, actor: str) -> Action:
        self._fused.doing = "create"
        return self._journal.create(action, actor=actor)

    def move(self, action: Action, to: ActionState, **how: Any) -> Action:
        self._fused.doing = _doing(action, to)
        moved = self._journal.move(action, to, **how)
        self._on_move(action, moved, how["actor"])
        return moved


def _doing(action: Action, to: ActionState) -> str:
    return str(to) if to is not action.state else f"progress of {to}"


class FusedJournal(SqlJournal):
    """The hub's own journal on such a store; ``on_move`` sees every move that is on disk."""

    def __init__(self, store: Store, fuse: Fuse, on_move: Any) -> None:
        self._fused = _FusedStore(store, fuse)
        super().__init__(self._fused)  # type: ignore[arg-type]  # the part of a store that a journal uses
        self._on_move = on_move

    def in_state(self, states: Sequence[ActionState], *, tenant: str | None = None) -> Sequence[Action]:
        """As stored; asked of the store once between two writes."""
        self._fused.alive("read")
        key = (*states, tenant)
        if key not in self._fused.seen:
            self._fused.seen[key] = super().in_state(states, tenant=tenant)
        return list(self._fused.seen[key])

    def leases_due(self, now: datetime) -> Sequence[Action]:
        """As stored; where nothing is leased, nothing is due."""
        return super().leases_due(now) if self.in_state([ActionState.LEASED, ActionState.RENEWED]) else []

    def create(self, action: Action, *, actor: str) -> Action:
        """One boundary before its commit, one after."""
        self._fused.doing = "create"
        return super().create(action, actor=actor)

    def in_turn(self, tenant: str, work: Callable[[Journal], _T]) -> _T:
        """The same two boundaries, when something is created or moved in the turn."""
        self._fused.doing = ""
        return super().in_turn(tenant, lambda journal: work(_Turn(journal, self._fused, self._on_move)))

    def move(
        self, action: Action, to: ActionState, *, at: datetime, actor: str, detail: Mapping[str, Any], **changes: Any
    ) -> Action:
        """One boundary before its commit, one after; between them it is seen."""
        self._fused.doing = _doing(action, to)
        moved = super().move(action, to, at=at, actor=actor, detail=detail, **changes)
        self._on_move(action, moved, actor)
        return moved
