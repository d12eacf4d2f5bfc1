"""The record as a list, and whether it is what was recorded."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from nightdesk.autonomy.canonical import fingerprint
from nightdesk.hub.store.alerts import changed_alerts
from nightdesk.hub.store.artefacts import verify_artefacts
from nightdesk.hub.store.chain import Head
from nightdesk.hub.store.codec import stamp
from nightdesk.hub.store.decisions import decision_head, link_at, verify_decisions
from nightdesk.hub.store.playbooks import runs
from nightdesk.hub.store.schema import decision as table
from nightdesk.sdk.case import Outcome
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["Line", "Verified", "listed", "verified"]

_RUNS = 1_000_000
"""More than a tenant has."""


@dataclass(frozen=True, slots=True)
class Line:
    """One decision by its columns; ``verify`` says whether they agree with its record."""

    seq: int
    decision_id: str
    case_id: str
    outcome: str
    decided_at: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What is wrong with a tenant's record, and the newest link of its chain."""

    head: Head
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"head": {"seq": self.head.seq, "hash": self.head.hash}, "problems": list(self.problems)}


def listed(
    conn: Connection, tenant: str, *, case_id: str = "", outcome: str = "", since: datetime | None = None, limit: int
) -> list[Line]:
    """The newest decisions, newest first. Raises ConfigError for an outcome that is none."""
    if outcome and outcome not in set(Outcome):
        raise ConfigError([Problem("--outcome", outcome, f"is none of {', '.join(Outcome)}")])
    statement = select(table).where(table.c.tenant == tenant)
    if case_id:
        statement = statement.where(table.c.case_id == case_id)
    if outcome:
        statement = statement.where(table.c.outcome == outcome)
    if since is not None:
        statement = statement.where(table.c.decided_at >= stamp(since))
    rows = conn.execute(statement.order_by(table.c.seq.desc()).limit(limit))
    return [Line(row.seq, row.decision_id, row.case_id, row.outcome, row.decided_at, row.hash) for row in rows]


def verified(conn: Connection, tenant: str, noted: str = "") -> Verified:
    """Checks all of it. ``noted`` is a head that was written down elsewhere: it must still be a link of the chain."""
    problems = [*verify_decisions(conn, tenant), *verify_artefacts(conn, tenant)]
    problems += [
        f"alert {name} of {tenant}: its content is not what was stored" for name in changed_alerts(conn, tenant)
    ]
    problems += _other_books(conn, tenant)
    if noted:
        number, _, digest = noted.partition(":")
        if not number.isdigit() or len(digest) != 64:
            raise ConfigError([Problem("--noted", noted, "is no head: write NUMBER:HASH as `decisions verify` did")])
        there = link_at(conn, tenant, int(number))
        if int(number) and (there is None or there.hash != digest):
            problems.append(
                f"decision {number} of {tenant} had the hash {digest[:16]}… when it was noted, "
                f"and now {'has ' + there.hash[:16] + '…' if there else 'is not there'}: the record was rewritten"
            )
    return Verified(decision_head(conn, tenant), tuple(problems))


def _other_books(conn: Connection, tenant: str) -> list[str]:
    """Runs that a rule started and whose documents are not the content that was signed for."""
    return [
        f"playbook run {run.run_id} of {tenant}: its documents are not those that were signed for"
        for run in runs(conn, tenant, limit=_RUNS)
        if run.mandate is not None
        and fingerprint({"playbook": run.playbook_id, "documents": run.documents}) != run.mandate.sha256
    ]
