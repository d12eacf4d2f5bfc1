"""A made-up past for a fleet that has none yet: a few days of judged cases, stored as if people had judged them.

It is the one thing that a demonstration and the tests of earned autonomy make up, and they say so. It is seeded, and
its groups are those that the product's own alerts would make.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from nightdesk.autonomy.grouping import group_id
from nightdesk.autonomy.learning.groups import Group
from nightdesk.autonomy.levels.units import Unit
from nightdesk.autonomy.oversight.labels import How, Label, LabelState
from nightdesk.hub.store import Store, groups, labels
from nightdesk.sdk.case import Verdict

__all__ = ["ATTACKS", "EVERY", "HOSTS", "NOISE", "RARE", "TENANTS", "Judged", "a_past", "remember"]

TENANTS = ("acme", "b", "c", "d")
"""Alerts come in at the first; the others have only their past."""
NOISE, RARE = "noise", "login"
ATTACKS = ("dump", "spread")
"""Rules by their short names; an attack fires both of these on its host."""
HOSTS = 97
EVERY = 864.0
"""Seconds between two benign alerts at a tenant: a hundred a day."""
_JUDGED_AFTER = timedelta(hours=4)


class Judged(NamedTuple):
    """A group with its case and what people said of it."""

    case_id: str
    attack: bool
    group: Group


def a_past(
    tenant: str, until: datetime, shown: Mapping[str, Group], *, attacks: int = 80, days: float = 6
) -> list[Judged]:
    """A hundred benign alerts a day, every fifth of the rare rule, and attacks of two rules on a host.

    ``shown`` are the groups that one alert of each rule makes.
    """
    rng = random.Random(f"{tenant}/{attacks}")  # noqa: S311  # a story, not a secret
    end = until.timestamp()
    made = []
    for number in range(int(days * 86400 / EVERY)):
        at = round(end - days * 86400 + number * EVERY + rng.uniform(0, EVERY / 2), 3)
        name = NOISE if number % 5 else RARE
        made.append(Judged(f"P-{tenant}-{number:05d}", False, _group(tenant, rng.randrange(HOSTS), shown[name], at)))
    for number in range(attacks):
        at, host = round(end - rng.uniform(0.05, days - 0.05) * 86400, 3), rng.randrange(HOSTS)
        for step, name in enumerate(ATTACKS):
            made.append(Judged(f"A-{tenant}-{number:05d}", True, _group(tenant, host, shown[name], at + 40.0 * step)))
    return made


def remember(store: Store, *pasts: Sequence[Judged]) -> None:
    """Stores them: benign judged by one person, attacks by two."""
    with store.begin() as conn:
        for past in pasts:
            tenant = past[0].group.tenant
            stored = {group_id(one.group): one for one in past}
            groups.put_groups(
                conn,
                tenant,
                {name: one.group for name, one in stored.items()},
                {name: one.case_id for name, one in stored.items()},
            )
            given = {(one.case_id, one.group.rule): one for one in past}
            labels.give(conn, [_label(one) for one in given.values()])


def _group(tenant: str, host: int, shown: Group, at: float) -> Group:
    return replace(shown, tenant=tenant, entity=f"host:ws-{host:04d}", opened=at, last=at)


def _label(one: Judged) -> Label:
    tenant, unit = one.group.tenant, Unit.parse(one.group.tenant, one.group.rule)
    return Label(
        tenant,
        "",
        0,
        unit.rule,
        one.case_id,
        "ann",
        Verdict.TRUE_POSITIVE if one.attack else Verdict.BENIGN_POSITIVE,
        datetime.fromtimestamp(one.group.last, UTC) + _JUDGED_AFTER,
        blind=True,
        how=How.CASE,
        entity=one.group.entity,
        state=LabelState.CONFIRMED if one.attack else LabelState.PROVISIONAL,
        # The others have worked with a model before; the first has not.
        stand="" if one.attack or tenant == TENANTS[0] else "close",
    )
