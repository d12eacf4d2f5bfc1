"""Looks for what nobody else would say: a silent feed, the end of an API, a flood, a vendor action that was demoted."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from nightdesk.autonomy.guardrails import flood_check
from nightdesk.autonomy.switches import Position, Scope
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.feeds import Feed
from nightdesk.hub.notices import Notices, silence, sunset_warnings
from nightdesk.hub.store import Store, groups, switches
from nightdesk.sdk.verbs import Risk, verb

__all__ = ["watch_demotions", "watch_feeds", "watch_floods", "watch_sunsets"]

_HOUR = timedelta(hours=1)
_NAMED = 3
"""Rules that the digest of a flood names: what it is about, not all that is in it."""
_FLOOD = "alerts"
_DEMOTED = "demoted"


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


def watch_demotions(tenants: Mapping[str, TenantSettings], store: Store, notices: Notices) -> None:
    """Vendor actions that a brake took from policy, for every tenant that uses the vendor, until they are started.

    The words are of the switch alone: what was seen, and of what, is the business of the tenant where it was (law 3).
    """
    for slug, tenant in tenants.items():
        vendors = {instance.manifest.vendor for instance in tenant.instances.values()}
        with store.read() as conn:
            stopped = switches.positions(conn, slug)
        demoted = {
            f"{one.switch.owner} {one.switch.verb}": one
            for one in stopped
            if one.by_engine and one.switch.scope is Scope.VENDOR_ACTION and one.switch.owner in vendors
        }
        for one in notices.standing(slug):
            if one.kind == _DEMOTED and one.about not in demoted:
                notices.over(slug, _DEMOTED, one.about)
        for about, position in demoted.items():
            notices.tell(slug, _DEMOTED, about, _demotion(position))


def _demotion(position: Position) -> str:
    subject = position.switch.subject
    instead = "Each one asks a person instead" if verb(position.switch.verb).risk >= Risk.R2 else "None is done"
    return (
        f"policy no longer does {position.switch.verb} at {position.switch.owner}, in no tenant, since "
        f"{position.changed_at:%Y-%m-%d %H:%M} UTC: {position.reason}. {instead}. When the vendor "
        f"is mended, two persons start it again: nightdesk start --all --vendor-action {subject} --reason WHY --as WHO"
    )


def _digest(store: Store, tenant: str, last_hour: int, median: float, now: datetime) -> str:
    with store.read() as conn:
        found = groups.busiest(conn, tenant, now - _HOUR, limit=_NAMED)
    named = "; ".join(f"{one.title or one.rule} ({one.alerts} on {one.entities})" for one in found)
    usual = f", usually {median:.0f}" if median else ""
    return (
        f"{last_hour} alerts in the hour before {now:%H:%M} UTC{usual}; while it lasts a machine closes nothing and "
        f"contains nothing alone, for a flood can hide an attack. Most of it: {named or 'not grouped yet'}"
    )
