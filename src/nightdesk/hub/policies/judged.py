"""What people said of cases: their decisions and their labels, for whoever asks whether a machine was right."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from nightdesk.hub.store.codec import decode_decision, load, moment
from nightdesk.hub.store.schema import decision as decision_table
from nightdesk.hub.store.schema import verdict_label
from nightdesk.hub.store.sql import chunks
from nightdesk.sdk.case import Mode, Outcome, Verdict

__all__ = ["Judgement", "judged_attacks"]

_ATTACK = frozenset({Verdict.TRUE_POSITIVE.value, Verdict.LIKELY_TRUE_POSITIVE.value})
_WITHDRAWN = frozenset({"withdrawn", "removed"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """A person's word that a case was an attack, or that its closing was wrong."""

    case_id: str
    what: str
    by: str
    at: datetime


def judged_attacks(conn: Connection, tenant: str, case_ids: Collection[str]) -> dict[str, Judgement]:
    """The newest such word on each of these cases; those without any are left out."""
    found: dict[str, Judgement] = {}
    for part in chunks(sorted(set(case_ids))):
        row = decision_table.c
        made = select(row.record).where(row.tenant == tenant, row.case_id.in_(part)).order_by(row.seq)
        for record in conn.execute(made).scalars():
            # Most decisions are a machine's: that is told without reading them whole.
            if b'"human"' not in record:
                continue
            told = decode_decision(record)
            if told.mode is not Mode.HUMAN:
                continue
            if told.verdict in _ATTACK or told.outcome is Outcome.REOPEN:
                what = "re-opened" if told.outcome is Outcome.REOPEN else told.verdict.value
                found[told.case_id] = Judgement(told.case_id, what, told.reviewer, told.decided_at)
        label = verdict_label.c
        said = select(label.case_id, label.analyst, label.state, label.at, label.body)
        for line in conn.execute(said.where(label.tenant == tenant, label.case_id.in_(part)).order_by(label.seq)):
            verdict = str(load(line.body).get("verdict", ""))
            if verdict in _ATTACK and line.state not in _WITHDRAWN:
                found[line.case_id] = Judgement(line.case_id, verdict, line.analyst, moment(line.at))
    return found
