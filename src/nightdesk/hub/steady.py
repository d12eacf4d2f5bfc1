"""Time that nobody sets while the hub runs: leases, deadlines and windows are as long as they were meant to be.

A step of the machine's clock (a person, a time server after hours without one, a virtual machine moved) would release a
host an hour early or keep it an hour longer. Times begin at the machine's clock and go on with the one that counts from
boot, sleep included; daylight saving moves neither, for all times are UTC. The next process begins at the machine's
clock again.
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from nightdesk.hub.notices import Notices
from nightdesk.sdk.context import Clock, utc_now

__all__ = ["SteadyClock", "since_boot", "watch_clock"]

_NOTABLE = 120.0  # seconds: what clocks may differ by, as for a vendor's


def since_boot() -> float:
    """Seconds of a count that only goes forward; on Linux it counts sleep, as leases do."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SteadyClock:
    """A ``Clock``. ``wall`` is the machine's, read once; ``elapsed`` counts seconds from whenever."""

    def __init__(self, wall: Clock = utc_now, elapsed: Callable[[], float] = since_boot) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._began = wall()
        self._counted = elapsed()

    def __call__(self) -> datetime:
        """The present, in UTC."""
        return self._began + timedelta(seconds=self._elapsed() - self._counted)

    def warning(self) -> str:
        """What to say of a machine whose clock was set since; nothing while the two agree."""
        moved = (self._wall() - self()).total_seconds()
        if abs(moved) <= _NOTABLE:
            return ""
        way = "forward" if moved > 0 else "back"
        return (
            f"this machine's clock was set {way} by {abs(moved) / 60:.0f} min while the hub ran: leases and deadlines "
            "go on as they were counted; check its time server, and restart the hub to take the new time"
        )


def watch_clock(clock: Clock, tenants: Iterable[str], notices: Notices) -> None:
    """Tells every tenant's people while the machine's clock is another than the hub's."""
    text = clock.warning() if isinstance(clock, SteadyClock) else ""
    for slug in tenants:
        if text:
            notices.tell(slug, "clock", "this machine", text)
        else:
            notices.over(slug, "clock", "this machine")
