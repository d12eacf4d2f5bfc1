"""What decisions were made with, kept by the hash of its own bytes: written once, never changed, checked when read.

A policy stands here as its text, each set of signatures that it decided under beside it: the same text may be signed
anew by others, and a record names who had signed when it was made.
"""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, select

from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.signing import SignedPolicy, sidecar
from nightdesk.hub.store.codec import stamp
from nightdesk.hub.store.schema import artefact
from nightdesk.hub.store.sql import insert

__all__ = ["Kept", "keep_policy", "kept_policy", "kept_signatures", "verify_artefacts"]

_POLICY = "policy"


class Kept(NamedTuple):
    """One of them; ``sha256`` is what it was kept under."""

    sha256: str
    body: bytes

    @property
    def intact(self) -> bool:
        """Whether it still is what was kept."""
        return sha256(self.body).hexdigest() == self.sha256


def keep_policy(conn: Connection, tenant: str, policy: SignedPolicy | Policy, at: datetime) -> None:
    """Keeps the policy that decides, in the decision's own transaction; the second time it is one look by key.

    A policy that was not verified has no text to keep: it is the one of a tenant that has none.
    """
    if not isinstance(policy, SignedPolicy) or not policy.text:
        return
    _keep(conn, tenant, _POLICY, policy.text, at)
    _keep(conn, tenant, _signatures(policy.policy.sha256), sidecar(policy.signatures), at)


def kept_policy(conn: Connection, tenant: str, digest: str) -> Kept | None:
    """The text of that policy as it is stored now."""
    return next(_kept(conn, tenant, _POLICY, digest), None)


def kept_signatures(conn: Connection, tenant: str, digest: str) -> list[Kept]:
    """Every set of signatures that the policy decided under, in the order of their hashes."""
    return list(_kept(conn, tenant, _signatures(digest)))


def verify_artefacts(conn: Connection, tenant: str) -> list[str]:
    """Which of a tenant's are not what was kept; empty when all are."""
    table = artefact.c
    statement = select(table.kind, table.sha256, table.body).where(table.tenant == tenant)
    rows = conn.execute(statement.order_by(table.kind, table.sha256), execution_options={"yield_per": 100})
    return [
        f"{row.kind} {row.sha256} of {tenant}: its content is not what was kept"
        for row in rows
        if not Kept(row.sha256, row.body).intact
    ]


def _signatures(digest: str) -> str:
    return f"signatures of policy {digest}"


def _keep(conn: Connection, tenant: str, kind: str, body: bytes, at: datetime) -> None:
    key = {"tenant": tenant, "kind": kind, "sha256": sha256(body).hexdigest()}
    where = [artefact.c[name] == value for name, value in key.items()]
    if conn.execute(select(artefact.c.sha256).where(*where)).first() is None:
        adding = insert(conn, artefact).values(**key, kept_at=stamp(at), body=body)
        conn.execute(adding.on_conflict_do_nothing())


def _kept(conn: Connection, tenant: str, kind: str, digest: str = "") -> Iterator[Kept]:
    table = artefact.c
    statement = select(table.sha256, table.body).where(table.tenant == tenant, table.kind == kind)
    if digest:
        statement = statement.where(table.sha256 == digest)
    for row in conn.execute(statement.order_by(table.sha256)):
        yield Kept(row.sha256, row.body)
