"""Which case an alert belongs to: by what it is about, within a window, and never through something everybody shares.

Alerts of one page are one set: the order in which they arrived does not change who ends up with whom.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from nightdesk.autonomy.matching import severity_rank
from nightdesk.autonomy.protected import is_service_account, is_shared_address
from nightdesk.sdk.case import Alert, Entity, EntityKind
from nightdesk.sdk.errors import PolicyError

__all__ = ["NEW", "Assignment", "CaseRef", "OpenCase", "correlate", "joining_keys", "raised"]

NEW = "new:"
"""How the token of a case begins that does not exist yet."""

_ALWAYS = frozenset({EntityKind.HOST, EntityKind.DEVICE, EntityKind.DOMAIN})


class OpenCase(Protocol):
    """What correlation wants to know of a case."""

    @property
    def case_id(self) -> str:
        """Its id."""
        ...

    @property
    def last_seen(self) -> datetime:
        """When something of it was seen last."""
        ...


@dataclass(frozen=True, slots=True)
class CaseRef:
    """The smallest open case."""

    case_id: str
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where an alert goes. ``case_id`` is a case's id, or ``new:…``: equal tokens of a page are one new case.

    ``keys`` are the entities it shares with that case or with the other alerts of the page. ``joins`` are further open
    cases that its group belongs to as well: they and that case are one.
    """

    alert_id: str
    case_id: str
    keys: tuple[str, ...]
    reason: str
    joins: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether the case has still to be made."""
        return self.case_id.startswith(NEW)


def joining_keys(alert: Alert) -> frozenset[str]:
    """The entities of an alert that may join it to others: what names one thing, and not what many share."""
    return frozenset(entity.key for entity in alert.entities if _joins(entity))


def raised(case_severity: int, alert: Alert) -> int:
    """The severity of a case after this alert: it goes up or stays (law 7)."""
    return alert.severity_id if severity_rank(alert.severity_id) > severity_rank(case_severity) else case_severity


def correlate(
    alerts: Sequence[Alert],
    open_cases: Mapping[str, Sequence[OpenCase]],
    *,
    window: timedelta = timedelta(hours=4),
    hub_limit: int = 20,
    bridge_limit: int = 4,
) -> list[Assignment]:
    """A case for each alert, in the order given. ``open_cases`` holds this tenant's open cases by entity key.

    A group of alerts goes to the case it shares most entities with, then the most recent, then the smallest id. What
    it shares with at most ``bridge_limit`` cases shows that these are one; what touches more shows nothing (a shared
    thing that no rule knows as one), and joins only the best.
    """
    tenants = {alert.tenant for alert in alerts}
    if len(tenants) > 1:
        raise PolicyError(f"alerts of {len(tenants)} tenants in one page: correlate each tenant by itself")
    hubs = _hubs(alerts, open_cases, hub_limit)
    keys = [joining_keys(alert) - hubs for alert in alerts]
    answers: list[Assignment | None] = [None] * len(alerts)
    for group in _groups(alerts, keys, window):
        shared = _candidates([(alerts[index], keys[index]) for index in group], open_cases, window)
        # The best case is the first of: most keys, most recent, smallest id.
        best = min(shared, key=lambda case_id: (-len(shared[case_id][0]), -shared[case_id][1], case_id), default=None)
        case_id = best if best is not None else NEW + min(alerts[index].alert_id for index in group)
        counts: dict[str, int] = defaultdict(int)
        for index in group:
            for key in keys[index]:
                counts[key] += 1
        with_case = shared[best][0] if best is not None else set()
        joins = tuple(sorted(shared.keys() - {best})) if len(shared) <= bridge_limit else ()
        for index in group:
            common = tuple(sorted(key for key in keys[index] if key in with_case or counts[key] > 1))
            reason = _reason(common, joined=best is not None, alone=len(group) == 1)
            answers[index] = Assignment(alerts[index].alert_id, case_id, common, reason, joins)
    return [answer for answer in answers if answer is not None]


def _joins(entity: Entity) -> bool:
    if entity.kind in _ALWAYS:
        return True
    if entity.kind is EntityKind.ACCOUNT:
        return not any(is_service_account(text) for text in (entity.value, *entity.facts.values()))
    if entity.kind is EntityKind.ADDRESS:
        return not is_shared_address(entity.value)
    # The hash of a shell or an interpreter is in half of all alerts: a file joins when the source accuses it.
    return entity.kind is EntityKind.FILE and entity.role == "malicious-file"


def _hubs(alerts: Sequence[Alert], open_cases: Mapping[str, Sequence[OpenCase]], limit: int) -> frozenset[str]:
    """Keys that too many open cases have, or that are seen on too many hosts in this page."""
    hosts: dict[str, set[str]] = defaultdict(set)
    for alert in alerts:
        own = {entity.key for entity in alert.entities if entity.kind is EntityKind.HOST}
        # Network alerts often name no host: the other end's address stands for it.
        ends = own or {entity.key for entity in alert.entities if entity.kind is EntityKind.ADDRESS}
        for key in joining_keys(alert):
            hosts[key] |= ends - {key}
    return frozenset(
        key
        for key, seen in hosts.items()
        if len({case.case_id for case in open_cases.get(key, ())}) > limit or len(seen) > limit
    )


def _groups(alerts: Sequence[Alert], keys: Sequence[Collection[str]], window: timedelta) -> Iterator[list[int]]:
    """Connected alerts: the same alert, or a shared key and no longer between them than the window."""
    parent = list(range(len(alerts)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    holders: dict[str, list[int]] = defaultdict(list)
    same: dict[str, int] = {}
    for index, alert in enumerate(alerts):
        parent[root(index)] = root(same.setdefault(alert.alert_id, index))
        for key in keys[index]:
            holders[key].append(index)
    for members in holders.values():
        members.sort(key=lambda index: (alerts[index].first_seen, alerts[index].alert_id))
        until, last = alerts[members[0]].last_seen, members[0]
        for index in members[1:]:
            if alerts[index].first_seen - until <= window:
                parent[root(index)] = root(last)
            until, last = max(until, alerts[index].last_seen), index
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(alerts)):
        groups[root(index)].append(index)
    yield from groups.values()


def _candidates(
    group: Sequence[tuple[Alert, Collection[str]]], open_cases: Mapping[str, Sequence[OpenCase]], window: timedelta
) -> dict[str, tuple[set[str], float]]:
    """Open cases within the window by id, each with the keys shared and its latest time."""
    shared: dict[str, tuple[set[str], float]] = {}
    for alert, keys in group:
        for key in keys:
            for case in open_cases.get(key, ()):
                if max(alert.first_seen - case.last_seen, case.last_seen - alert.last_seen) > window:
                    continue
                known, latest = shared.get(case.case_id, (set(), 0.0))
                shared[case.case_id] = (known | {key}, max(latest, case.last_seen.timestamp()))
    return shared


def _reason(common: Sequence[str], *, joined: bool, alone: bool) -> str:
    if joined:
        return (
            "shares entities with an open case" if common else "belongs to alerts that share entities with an open case"
        )
    return "shares nothing with an open case" if alone else "shares entities with other alerts of the page"
