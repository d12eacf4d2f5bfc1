"""What people must hear of though nothing failed: a feed that fell silent, a shape that drifted, an API that will end.

Each is said once while it holds, stands in the audit, and shows in /healthz until it is over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import structlog

from nightdesk.hub.store import Store, audit
from nightdesk.sdk.context import Clock
from nightdesk.sdk.manifest import Manifest

__all__ = ["Notice", "Notices", "silence", "sunset_warnings"]

_log = structlog.get_logger(__name__)
_STEPS = (7, 30, 90)
"""Days before the end of an API at which people are warned."""
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to know of a connector (``about``); ``kind`` is ``silent``, ``drift``, ``sunset`` or ``clock``."""

    tenant: str
    kind: str
    about: str
    text: str
    since: datetime


class Notices:
    """The notices that hold now."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._standing: dict[tuple[str, str, str, str], Notice] = {}

    def tell(self, tenant: str, kind: str, about: str, text: str) -> None:
        """Says it, unless it is said already."""
        key = (tenant, kind, about, text)
        if key in self._standing:
            return
        if len(self._standing) >= _MOST:
            self._standing.pop(next(iter(self._standing)))
        self._standing[key] = Notice(tenant, kind, about, text, self._clock())
        _log.warning("notice", tenant=tenant, kind=kind, about=about, text=text)
        self._store.transact(
            lambda conn: audit.append(
                conn,
                tenant=tenant,
                at=self._clock(),
                actor="hub",
                event=f"feed.{kind}",
                detail={"about": about, "text": text},
            )
        )

    def over(self, tenant: str, kind: str, about: str) -> None:
        """It no longer holds."""
        for key in [key for key in self._standing if key[:3] == (tenant, kind, about)]:
            del self._standing[key]

    def standing(self, tenant: str | None = None) -> list[Notice]:
        """What holds now, of one tenant or of all."""
        return [one for one in self._standing.values() if tenant in {None, one.tenant}]


def silence(last: datetime, now: datetime, allowed: timedelta) -> str:
    """What to say of a feed whose last alert is that old; nothing while it is within what is allowed."""
    quiet = now - last
    if not allowed or quiet <= allowed:
        return ""
    hours = allowed.total_seconds() / 3600
    return f"no alert for more than {hours:g} h: a sensor, a rule or a permission may be gone"


def sunset_warnings(manifest: Manifest, today: date) -> Iterator[str]:
    """A sentence for each of the vendor's APIs that ends within 90, 30 or 7 days, or has ended."""
    for sunset in manifest.sunsets:
        left = (sunset.on - today).days
        step = next((days for days in _STEPS if left <= days), None)
        if step is None:
            continue
        when = f"ended on {sunset.on}" if left < 0 else f"ends on {sunset.on}, within {step} days"
        instead = f"; {sunset.instead} replaces it" if sunset.instead else ""
        yield f"{manifest.title}: {sunset.api} {when}{instead} ({sunset.docs})"
