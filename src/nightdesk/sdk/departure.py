"""The last word before a request leaves: an action that was let go may wait for a token, a turn or a retry meanwhile.

Who sends an action opens a ``Gate`` around the call; the HTTP client asks it before each attempt. What a vendor has
begun to carry out is finished; what it has not taken is not sent again once the gate is shut.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from nightdesk.sdk.errors import NightdeskError

__all__ = ["Gate", "gate", "through"]

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN: ContextVar["Gate | None"] = ContextVar("nightdesk_gate", default=None)


class Gate:
    """One action's way out. ``ask`` raises NightdeskError to keep a request in.

    ``sent`` counts changing requests that left and may have done something; ``shut`` is what kept one in.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._begun = False
        self.sent = 0
        self.shut: NightdeskError | None = None

    def passing(self, *, again: bool = False) -> None:
        """Right before a request leaves. ``again``: the same one was sent before. Raises what ``ask`` raises."""
        if self._begun and not again:
            return
        try:
            self._ask()
        except NightdeskError as error:
            self.shut = error
            raise

    def left(self, method: str) -> None:
        """A request left."""
        self.sent += method not in _READS

    def taken(self, method: str, *, begins: bool) -> None:
        """It was answered with success; when it ``begins`` the change, the rest of the call may follow."""
        self._begun = self._begun or (begins and method not in _READS)

    def untouched(self, method: str) -> None:
        """It was answered, and the vendor surely did nothing."""
        self.sent -= method not in _READS


def gate() -> Gate | None:
    """The gate around the present call; None when what is sent is no action (a pull, a read-back, an undo)."""
    return _OPEN.get()


@contextmanager
def through(gate: Gate) -> Iterator[None]:
    """Everything sent inside goes through this gate."""
    token = _OPEN.set(gate)
    try:
        yield
    finally:
        _OPEN.reset(token)
