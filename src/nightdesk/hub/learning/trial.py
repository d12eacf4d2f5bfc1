"""A challenger in shadow: the same cases by both models, each below its own threshold, from the stored groups alone.

Nothing of it is on the way of a decision, and a process that was stopped finds the same result again.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from nightdesk.autonomy.grouping import group_id
from nightdesk.autonomy.learned.artefact import Learned
from nightdesk.autonomy.learned.scoring import group_doubts
from nightdesk.autonomy.learning.champion import Trial
from nightdesk.autonomy.learning.features import vector
from nightdesk.autonomy.learning.groups import Group
from nightdesk.autonomy.learning.history import HOLD, History
from nightdesk.hub.learning.labelled import canary_cases
from nightdesk.hub.store import groups

__all__ = ["shadowed"]

_BEFORE = timedelta(hours=24)


def shadowed(
    conn: Connection,
    tenants: Collection[str],
    champion: Learned | None,
    challenger: Learned,
    since: datetime,
    until: datetime,
) -> Trial:
    """What both would have done with the cases that began since then and were quiet by ``until``."""
    cases: list[tuple[str, bool, bool]] = []
    known: list[tuple[str, bool, bool]] = []
    for tenant in sorted(tenants):
        seen = list(groups.groups_with_cases(conn, tenant, since - _BEFORE))
        begun: dict[str, list[Group]] = {}
        for case_id, _, one in seen:
            begun.setdefault(case_id, []).append(one)
        quiet = until.timestamp() - HOLD
        fresh = {
            case_id
            for case_id, of in begun.items()
            if min(one.opened for one in of) >= since.timestamp() and max(one.last for one in of) <= quiet
        }
        stream = [one for _, _, one in seen]
        case_of = {group_id(one): case_id for case_id, _, one in seen if case_id in fresh}
        old = _closed(champion, tenant, stream, case_of) if champion is not None else dict.fromkeys(fresh, False)
        new = _closed(challenger, tenant, stream, case_of)
        planted = canary_cases(conn, tenant)
        for case_id in sorted(fresh):
            if case_id in planted:
                known.append((f"{tenant}/{case_id}", not old[case_id], not new[case_id]))
            else:
                cases.append((f"{tenant}/{case_id}", old[case_id], new[case_id]))
    return Trial(challenger.model_id, tuple(cases), tuple(known))


def _closed(learned: Learned, tenant: str, stream: Sequence[Group], case_of: Mapping[str, str]) -> dict[str, bool]:
    """By case whether the model would have closed it: every group below its threshold, and no doubt about any."""
    view, claim = learned.fleet.view(tenant), learned.claim(tenant)
    found = dict.fromkeys(case_of.values(), True)
    for one in History().observe(stream):
        name = group_id(one.group)
        case_id = case_of.get(name)
        if case_id is None or not found[case_id]:
            continue
        score = learned.tables.score(vector(one, view))
        below = claim.of(one.group.rule).closes(score.logit, name)
        found[case_id] = below and not group_doubts(claim, one.group, score)
    return found
