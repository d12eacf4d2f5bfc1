"""Which case was merged into which, and which was split from which: an old number still leads to its alerts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Select, insert, select, update

from nightdesk.hub.store.codec import moment, safe_text, stamp
from nightdesk.hub.store.schema import case_link

__all__ = ["CaseLink", "Relation", "absorbed", "links", "parted", "put_link", "standing"]


class Relation(StrEnum):
    """What ``case_id`` is to ``other_case``."""

    MERGED_INTO = "merged-into"
    SPLIT_FROM = "split-from"


@dataclass(frozen=True, slots=True)
class CaseLink:
    """One merge or split."""

    tenant: str
    case_id: str
    other_case: str
    relation: Relation
    at: datetime
    actor: str
    reason: str


def put_link(conn: Connection, link: CaseLink) -> None:
    """Notes it. What was merged into a case that is merged away now leads where that one leads."""
    if link.relation is Relation.MERGED_INTO:
        table = case_link.c
        conn.execute(
            update(case_link)
            .where(table.tenant == link.tenant, table.other_case == link.case_id, table.relation == link.relation)
            .values(other_case=link.other_case)
        )
    row = {
        "tenant": link.tenant,
        "case_id": link.case_id,
        "other_case": link.other_case,
        "relation": link.relation,
        "at": stamp(link.at),
        "actor": safe_text(link.actor),
        "reason": safe_text(link.reason),
    }
    conn.execute(insert(case_link), row)


def links(conn: Connection, tenant: str, case_id: str) -> list[CaseLink]:
    """Every merge and split that case took part in, on either side, oldest first."""
    table = case_link.c
    statement = (
        select(case_link)
        .where(table.tenant == tenant, (table.case_id == case_id) | (table.other_case == case_id))
        .order_by(table.at, table.case_id, table.other_case)
    )
    return [
        CaseLink(row.tenant, row.case_id, row.other_case, Relation(row.relation), moment(row.at), row.actor, row.reason)
        for row in conn.execute(statement)
    ]


def standing(conn: Connection, tenant: str, case_id: str) -> str:
    """The case in which the alerts of that one are now: itself, unless it was merged away."""
    table = case_link.c
    statement = select(table.other_case).where(
        table.tenant == tenant, table.case_id == case_id, table.relation == Relation.MERGED_INTO
    )
    return conn.execute(statement).scalar_one_or_none() or case_id


def absorbed(tenant: str, case_id: str) -> Select[tuple[str]]:
    """A query for the cases that were merged into that one; itself is not among them."""
    table = case_link.c
    return select(table.case_id).where(
        table.tenant == tenant, table.other_case == case_id, table.relation == Relation.MERGED_INTO
    )


def parted(conn: Connection, tenant: str, one: str, other: str) -> bool:
    """Whether a person took these two apart: then no correlation puts them together again."""
    table = case_link.c
    pair = ((table.case_id == one) & (table.other_case == other)) | (
        (table.case_id == other) & (table.other_case == one)
    )
    statement = select(table.case_id).where(table.tenant == tenant, table.relation == Relation.SPLIT_FROM, pair)
    return conn.execute(statement.limit(1)).first() is not None
