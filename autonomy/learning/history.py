"""What was seen lately, tenant by tenant: bounded windows that a group's features are read from.

A look depends on the set of groups that are known, not on the order in which they came: late, equal and repeated ones
change nothing. Nothing that opened after the moment of the look is in it.
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import isfinite, log1p, sqrt
from typing import Any, TypeVar

from nightdesk.autonomy.learning.catalogue import FEATURES, INDEX
from nightdesk.autonomy.learning.groups import WINDOW, Group
from nightdesk.sdk.errors import NightdeskError

__all__ = ["HOLD", "Bounds", "History", "Observation"]

HOLD = WINDOW
"""Seconds of quiet that a close by statistics waits for: what happened until then is known when it is decided."""

_MINUTES, _HOUR, _DAY = 600.0, 3600.0, 86400.0
_DEPTH = 32
_BURST = 8.0
_SPREAD = 0.25
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept at most; what is beyond is forgotten, oldest first."""

    entities: int = 50_000
    """Entities of a tenant."""
    rules: int = 5_000
    """Rules of a tenant, and of an entity."""
    groups: int = 2_048
    """Groups of an entity within two hours, and of a rule within a day."""
    idle: float = 30 * _DAY
    """Seconds after which an entity that is not heard of is forgotten."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the past says about one group; what other tenants say is not in it yet.

    ``values`` follow the catalogue. ``around`` are the other rules on the entity since an hour before.
    """

    group: Group
    values: tuple[float, ...]
    around: tuple[str, ...]


@dataclass(slots=True)
class _Pair:
    """One rule on one entity: when it was first seen, and (opened, alerts) of its groups within a day."""

    first: float
    seen: list[tuple[float, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Entity:
    """``recent`` are (opened, rule, alerts, last) within two hours; ``pairs`` the rules, last used last."""

    recent: list[tuple[float, str, int, float]] = field(default_factory=list)
    pairs: OrderedDict[str, _Pair] = field(default_factory=OrderedDict)
    touched: float = 0.0


@dataclass(slots=True)
class _Rule:
    """One rule at one tenant: when it was first seen, and (opened, entity) of its groups within a day."""

    first: float
    seen: list[tuple[float, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Tenant:
    """Everything of one tenant; nothing in it refers to another."""

    entities: OrderedDict[str, _Entity] = field(default_factory=OrderedDict)
    rules: OrderedDict[str, _Rule] = field(default_factory=OrderedDict)


class History:
    """The windows of all tenants. ``add`` what is seen, ``look`` at a group, ``advance`` as time goes on."""

    def __init__(self, bounds: Bounds = Bounds()) -> None:
        self._bounds = bounds
        self._tenants: dict[str, _Tenant] = {}
        self._now = float("-inf")
        self._swept = float("-inf")

    def add(self, group: Group) -> None:
        """Take a group in, or what has become of it: the same one again only ever grows."""
        if not (isfinite(group.opened) and isfinite(group.last)):
            raise NightdeskError(
                f"group of rule {group.rule!r} on {group.entity!r}: its times are no numbers; give seconds since 1970"
            )
        tenant = self._tenants.setdefault(group.tenant, _Tenant())
        entity = _touched(tenant.entities, group.entity, self._bounds.entities, _Entity)
        entity.touched = self._now if isfinite(self._now) else group.opened
        pair = _touched(entity.pairs, group.rule, self._bounds.rules, lambda: _Pair(group.opened))
        pair.first = min(pair.first, group.opened)
        rule = _touched(tenant.rules, group.rule, self._bounds.rules, lambda: _Rule(group.opened))
        rule.first = min(rule.first, group.opened)
        if self._keep(entity, pair, group):
            insort(rule.seen, (group.opened, group.entity))
        _trim(entity.recent, self._now - 2 * _HOUR, self._bounds.groups)
        _trim(pair.seen, self._now - _DAY - _HOUR, self._bounds.groups)
        _trim(rule.seen, self._now - _DAY - _HOUR, self._bounds.groups)

    @staticmethod
    def _keep(entity: _Entity, pair: _Pair, group: Group) -> bool:
        """Whether it is a group that was not there."""
        place = bisect_left(pair.seen, (group.opened, 0))
        if place < len(pair.seen) and pair.seen[place][0] == group.opened:
            known = pair.seen[place][1]
            if group.alerts > known:
                pair.seen[place] = group.opened, group.alerts
            at = bisect_left(entity.recent, (group.opened, group.rule))
            if at < len(entity.recent) and entity.recent[at][:2] == (group.opened, group.rule):
                _, _, alerts, last = entity.recent[at]
                entity.recent[at] = group.opened, group.rule, max(alerts, group.alerts), max(last, group.last)
            return False
        pair.seen.insert(place, (group.opened, group.alerts))
        insort(entity.recent, (group.opened, group.rule, group.alerts, group.last))
        return True

    def advance(self, now: float) -> None:
        """It is ``now``: what is older than the windows may go. Only this forgets: a wrong clock in an alert cannot."""
        self._now = max(self._now, now)
        if self._now - self._swept < _HOUR:
            return
        self._swept = self._now
        for tenant in self._tenants.values():
            idle = [name for name, one in tenant.entities.items() if one.touched < self._now - self._bounds.idle]
            for name in idle:
                del tenant.entities[name]

    def look(self, group: Group, at: float | None = None) -> Observation:
        """What is known of a group at a moment, by default that of its last alert. The group itself counts nowhere."""
        opened = group.opened
        now = max(opened, group.last) if at is None else max(at, opened)
        values = list(_NEUTRAL)
        values[_ALERTS] = log1p(max(group.alerts, 0))
        values[_DURATION] = log1p(max(group.last - opened, 0.0))
        tenant = self._tenants.get(group.tenant, _NOBODY)
        rule = tenant.rules.get(group.rule)
        entity = tenant.entities.get(group.entity, _NOTHING)
        self._look_at_rule(values, group, rule, now)
        self._look_at_pair(values, group, entity.pairs.get(group.rule))
        around = _look_around(values, group, entity, now)
        return Observation(group, tuple(values), around)

    @staticmethod
    def _look_at_rule(values: list[float], group: Group, rule: _Rule | None, now: float) -> None:
        opened = group.opened
        seen = rule.seen if rule is not None else []
        before = bisect_left(seen, (opened,))
        values[_SAME_RULE] = log1p(before - bisect_left(seen, (opened - _DAY,)))
        values[_NEW_TO_TENANT] = float(rule is None or rule.first >= opened)
        end = bisect_right(seen, (now, "\U0010ffff"))
        start = max(bisect_left(seen, (opened - _HOUR,)), end - 512)
        others = {name for _, name in seen[start:end]}
        others.discard(group.entity)
        values[_OTHER_ENTITIES] = log1p(len(others))

    @staticmethod
    def _look_at_pair(values: list[float], group: Group, pair: _Pair | None) -> None:
        opened = group.opened
        values[_NEW_TO_ENTITY] = float(pair is None or pair.first >= opened)
        seen = pair.seen if pair is not None else []
        before = bisect_left(seen, (opened,))
        start = bisect_left(seen, (opened - _DAY,))
        values[_SAME_KEY] = log1p(before - start)
        values[_SINCE_LAST] = log1p(min(opened - seen[before - 1][0], _DAY) if before > start else _DAY)
        values[_BURST_Z] = _deviation(values[_ALERTS], seen[max(start, before - _DEPTH) : before])

    def observe(self, groups: Iterable[Group], *, hold: float = HOLD) -> Iterator[Observation]:
        """Look at each group at the moment its close could be decided: ``hold`` seconds after its last alert.

        Groups come in the order they opened; observations in the order of those moments. Equal moments: all that opened
        by then is in.
        """
        waiting: list[tuple[float, int, Group]] = []
        for number, group in enumerate(groups):
            while waiting and waiting[0][0] < group.opened:
                yield self._decided(*heappop(waiting))
            self.add(group)
            heappush(waiting, (max(group.last, group.opened) + hold, number, group))
        while waiting:
            yield self._decided(*heappop(waiting))

    def _decided(self, at: float, _: int, group: Group) -> Observation:
        self.advance(at)
        return self.look(group, at)


def _look_around(values: list[float], group: Group, entity: _Entity, now: float) -> tuple[str, ...]:
    """The context on the entity: fills its features, and names the other rules."""
    opened, own = group.opened, group.rule
    recent = entity.recent
    hour: set[str] = set()
    minutes: set[str] = set()
    alerts = 0
    soon = opened - _MINUTES
    for place in range(bisect_left(recent, (opened - _HOUR,)), bisect_right(recent, (now, "\U0010ffff"))):
        at, rule, count, last = recent[place]
        if rule == own:
            if at != opened and at >= soon:
                alerts += count if last <= now else 1
            continue
        hour.add(rule)
        if at >= soon:
            minutes.add(rule)
            # A group that still grows is one alert at least; how many it will be is not known yet.
            alerts += count if last <= now else 1
    values[_OTHER_10M] = len(minutes)
    values[_OTHER_1H] = len(hour)
    values[_ALERTS_10M] = log1p(alerts)
    pairs = entity.pairs
    values[_NEW_RULES] = sum(1 for rule in hour if rule in pairs and pairs[rule].first >= opened - _HOUR)
    return tuple(sorted(hour))


def _deviation(value: float, before: Sequence[tuple[float, int]]) -> float:
    """How many standard deviations ``value`` is from the past ones, with a floor under the deviation."""
    if len(before) < 2:
        return 0.0
    past = [log1p(count) for _, count in before]
    mean = sum(past) / len(past)
    spread = sqrt(sum((one - mean) ** 2 for one in past) / len(past))
    return max(-_BURST, min(_BURST, (value - mean) / max(spread, _SPREAD)))


def _touched(kept: OrderedDict[str, _T], key: str, most: int, make: Callable[[], _T]) -> _T:
    """The value of a key, which becomes the last one to be forgotten."""
    value = kept.get(key)
    if value is None:
        value = kept[key] = make()
        if len(kept) > most:
            kept.popitem(last=False)
    else:
        kept.move_to_end(key)
    return value


def _trim(rows: list[Any], since: float, most: int) -> None:
    """Forget what is older than ``since``, some at a time, and what is too much."""
    if len(rows) > most:
        del rows[: len(rows) - most]
    if rows and rows[0][0] < since:
        del rows[: bisect_left(rows, (since,))]


_NOBODY = _Tenant()
_NOTHING = _Entity()
_NEUTRAL = tuple(feature.neutral for feature in FEATURES)
_ALERTS, _DURATION, _BURST_Z = INDEX["alerts"], INDEX["duration"], INDEX["burst"]
_SAME_KEY, _SAME_RULE, _SINCE_LAST = INDEX["same_key_24h"], INDEX["same_rule_24h"], INDEX["since_last"]
_OTHER_10M, _OTHER_1H, _ALERTS_10M = INDEX["other_rules_10m"], INDEX["other_rules_1h"], INDEX["other_alerts_10m"]
_NEW_RULES, _OTHER_ENTITIES = INDEX["new_rules_1h"], INDEX["other_entities_1h"]
_NEW_TO_ENTITY, _NEW_TO_TENANT = INDEX["new_to_entity"], INDEX["new_to_tenant"]
