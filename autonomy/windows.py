"""Times at which a machine holds back: change windows of the tenant, and announced work on named hosts or rules.

Both only lower autonomy: nothing here lets anything go that would not go without it.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from nightdesk.autonomy.matching import forms, glob
from nightdesk.sdk.case import Case, EntityKind
from nightdesk.sdk.targets import Target

__all__ = ["Maintenance", "Window"]


@dataclass(frozen=True, slots=True)
class Window:
    """Once from ``starts`` to ``ends``, or every week: on ``days`` (0 is Monday) from ``begin`` to ``end`` local time.

    One that ends before it begins ends on the next day. Where the clock is put back, both hours of one name count.
    """

    name: str
    starts: datetime | None = None
    ends: datetime | None = None
    days: frozenset[int] = frozenset()
    begin: time = time()
    end: time = time()
    zone: ZoneInfo | None = None

    def open_at(self, now: datetime) -> bool:
        """Whether it is open."""
        if self.starts is not None and now < self.starts:
            return False
        if self.ends is not None and now >= self.ends:
            return False
        return not self.days or self._weekly(now)

    def _weekly(self, now: datetime) -> bool:
        local = now.astimezone(self.zone)
        day, hour = local.weekday(), local.time()
        if self.begin < self.end:
            return day in self.days and self.begin <= hour < self.end
        yesterday = (local.date() - timedelta(days=1)).weekday()
        return (day in self.days and hour >= self.begin) or (yesterday in self.days and hour < self.end)


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Announced work: what is about these hosts or comes from these rules is closed by no machine meanwhile."""

    window: Window
    owner: str
    hosts: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def covers(self, case: Case, now: datetime) -> bool:
        """Whether anything of the case is meant, and the work goes on."""
        if not self.window.open_at(now):
            return False
        for alert in case.alerts:
            names = [text for text in (alert.rule_id, alert.rule_name) if text]
            if any(glob(pattern, name) for pattern in self.rules for name in names):
                return True
            hosts = [one for one in alert.entities if one.kind is EntityKind.HOST]
            if any(self._names(forms(one.kind, one.value, one.facts)) for one in hosts):
                return True
        return False

    def touches(self, host: Target, now: datetime) -> bool:
        """Whether an action's host is meant, and the work goes on."""
        return self.window.open_at(now) and self._names(forms(host.kind, host.value, host.facts))

    def _names(self, texts: tuple[str, ...]) -> bool:
        return any(glob(pattern, text) for pattern in self.hosts for text in texts)
