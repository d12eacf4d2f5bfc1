"""Stored groups with what people said of their cases: what a model learns from.

All groups are in it, because the unjudged ones are what the judged ones were seen among; only the judged are learnt
from. Cases of canaries are not: an attack that was planted again is no further attack.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from sqlalchemy import Connection

from nightdesk.autonomy.learning.groups import Judged
from nightdesk.autonomy.oversight.labels import Label, counted
from nightdesk.hub.store import canaries, groups, labels

__all__ = ["canary_cases", "judged_groups", "verdicts"]


def judged_groups(conn: Connection, tenants: Collection[str], since: datetime) -> list[tuple[str, Judged]]:
    """(case, group) of all these tenants since then, as judged by now."""
    return [one for tenant in sorted(tenants) for one in _of_tenant(conn, tenant, since)]


def verdicts(given: Iterable[Label]) -> dict[str, bool]:
    """By case whether it was an attack, of what counts: confirmed attacks, and benign ones that nobody disputes.

    A case that was called both, for different rules, says nothing.
    """
    said: dict[str, set[bool]] = {}
    by_rule: dict[str, list[Label]] = {}
    for label in given:
        by_rule.setdefault(label.rule, []).append(label)
    for of in by_rule.values():
        for label in counted(of):
            said.setdefault(label.case_id, set()).add(label.attack)
    return {case_id: words.pop() for case_id, words in said.items() if len(words) == 1}


def canary_cases(conn: Connection, tenant: str) -> set[str]:
    """The cases that planted attacks are in."""
    return {case_id for one in canaries.listed(conn, tenant) if (case_id := one.case_id or canaries.case_of(conn, one))}


def _of_tenant(conn: Connection, tenant: str, since: datetime) -> Iterator[tuple[str, Judged]]:
    known = verdicts(labels.of_tenant(conn, tenant))
    planted = canary_cases(conn, tenant)
    for case_id, _, group in groups.groups_with_cases(conn, tenant, since):
        attack = known.get(case_id) if case_id not in planted else None
        incident = case_id if attack else ""
        yield case_id, Judged(group, bool(attack), incident, unclear=attack is None)
