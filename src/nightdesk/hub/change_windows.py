"""``change_windows`` and ``maintenance`` of a tenant, from the file to the values that the autonomy asks."""

from collections.abc import Callable
from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from nightdesk.autonomy.windows import Maintenance, Window

__all__ = ["MaintenanceConfig", "WindowConfig", "read_maintenance", "read_windows"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_Wrong = Callable[[str, str], None]


class WindowConfig(BaseModel):
    """A time span: every week (``days``, ``from``, ``to``, ``timezone``), once (``starts``, ``ends``), or both."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: Annotated[str, Field(min_length=1)]
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = []
    begin: Annotated[time | None, Field(alias="from")] = None
    end: Annotated[time | None, Field(alias="to")] = None
    timezone: str = "UTC"
    starts: AwareDatetime | None = None
    ends: AwareDatetime | None = None


class MaintenanceConfig(WindowConfig):
    """Announced work: in its time, nothing about these hosts (globs) or from these rules (globs) is closed unseen."""

    owner: Annotated[str, Field(min_length=1)]
    hosts: list[str] = []
    rules: list[str] = []


def read_windows(key: str, given: list[WindowConfig], wrong: _Wrong) -> tuple[Window, ...]:
    """The change windows; tells ``wrong`` what makes no sense."""
    made = [_window(f"{key}.{number}", one, wrong) for number, one in enumerate(given)]
    return tuple(one for one in made if one is not None)


def read_maintenance(key: str, given: list[MaintenanceConfig], wrong: _Wrong) -> tuple[Maintenance, ...]:
    """The announced work."""
    made = []
    for number, one in enumerate(given):
        if not one.hosts and not one.rules:
            wrong(f"{key}.{number}", "names no hosts and no rules")
        window = _window(f"{key}.{number}", one, wrong)
        if window is not None:
            made.append(Maintenance(window, one.owner, tuple(one.hosts), tuple(one.rules)))
    return tuple(made)


def _window(key: str, given: WindowConfig, wrong: _Wrong) -> Window | None:
    weekly = bool(given.days)
    if not weekly and (given.begin is not None or given.end is not None):
        wrong(f"{key}.days", "from and to are the hours of weekdays: name them, such as [mon, tue]")
        return None
    if not weekly and (given.starts is None or given.ends is None):
        wrong(key, "give days (with from, to and timezone), or starts and ends: one without an end would never be over")
        return None
    if given.starts is not None and given.ends is not None and given.ends <= given.starts:
        wrong(f"{key}.ends", "is not after starts")
        return None
    if any(hour is not None and hour.tzinfo is not None for hour in (given.begin, given.end)):
        wrong(f"{key}.from", "is a local hour: write the zone in timezone")
        return None
    try:
        zone = ZoneInfo(given.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        wrong(
            f"{key}.timezone",
            f"{given.timezone!r} is no zone this system knows: write one such as Europe/Berlin, or install tzdata",
        )
        return None
    return Window(
        name=given.name,
        starts=given.starts,
        ends=given.ends,
        days=frozenset(_DAYS.index(day) for day in given.days),
        begin=given.begin or time(),
        end=given.end or time(),
        zone=zone,
    )
