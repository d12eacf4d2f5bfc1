"""Looks for what nobody else would say: a feed that fell silent, an API that ends, a flood and what it is made of."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from nightdesk.autonomy.guardrails import flood_check
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.feeds import Feed
from nightdesk.hub.notices import Notices, silence, sunset_warnings
from nightdesk.hub.store import Store, groups

__all__ = ["watch_feeds", "watch_floods", "watch_sunsets"]

_HOUR = timedelta(hours=1)
_NAMED = 3
"""Rules that the digest of a flood names: what it is about, not all that is in it."""
_FLOOD = "alerts"


def watch_feeds(feeds: Iterable[Feed], begun: datetime, now: datetime, notices: Notices) -> None:
    """Feeds that are well and bring nothing."""
    for feed in feeds:
        state = feed.state
        about = f"{state.instance}/{state.stream}"
        text = silence(state.last_alert_at or begun, now, feed.silent_after) if state.ok else ""
        if text:
            notices.tell(state.tenant, "silent", about, text)
        else:
            notices.over(state.tenant, "silent", about)


def watch_sunsets(tenants: Mapping[str, TenantSettings], now: datetime, notices: Notices) -> None:
    """APIs of bound vendors that are about to end."""
    for slug, tenant in tenants.items():
        for instance in tenant.instances.values():
            for text in sunset_warnings(instance.manifest, now.date()):
                notices.tell(slug, "sunset", instance.name, text)


def watch_floods(
    tenants: Mapping[str, TenantSettings],
    rate: Callable[[str, datetime], tuple[int, float]],
    store: Store,
    now: datetime,
    notices: Notices,
) -> None:
    """Tenants in which far more alerts than usual arrive: one line for people instead of every case of it."""
    for slug, tenant in tenants.items():
        last_hour, median = rate(slug, now)
        check = flood_check(last_hour, median, tenant.limits)
        if check.passed:
            notices.over(slug, "flood", _FLOOD)
        elif not any(one.kind == "flood" for one in notices.standing(slug)):
            notices.tell(slug, "flood", _FLOOD, _digest(store, slug, last_hour, median, now))


def _digest(store: Store, tenant: str, last_hour: int, median: float, now: datetime) -> str:
    with store.read() as conn:
        found = groups.busiest(conn, tenant, now - _HOUR, limit=_NAMED)
    named = "; ".join(f"{one.title or one.rule} ({one.alerts} on {one.entities})" for one in found)
    usual = f", usually {median:.0f}" if median else ""
    return (
        f"{last_hour} alerts in the hour before {now:%H:%M} UTC{usual}; while it lasts a machine closes nothing and "
        f"contains nothing alone, for a flood can hide an attack. Most of it: {named or 'not grouped yet'}"
    )
