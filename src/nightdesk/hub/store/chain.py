"""Hash chains, one a tenant and kind: a record that was changed, removed or put between others is seen (law 11).

A link's hash covers the chain's name, tenant, number, the hash before it and the record's bytes. Who can rewrite the
whole database can rewrite a whole chain: ``head`` is what to note down elsewhere against that.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from nightdesk.hub.store.schema import chain_head
from nightdesk.hub.store.sql import insert

__all__ = ["GENESIS", "Head", "Link", "extend", "head", "intact", "problems"]

GENESIS = "0" * 64


class Head(NamedTuple):
    """The newest link: its number (0 when there is none) and hash."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Link:
    """One link of a chain."""

    seq: int
    previous_hash: str
    hash: str
    record: bytes


def _hash(chain: str, tenant: str, seq: int, previous: str, record: bytes) -> str:
    return hashlib.sha256(f"{chain}\0{tenant}\0{seq}\0{previous}\0".encode() + record).hexdigest()


def intact(tenant: str, chain: str, link: Link) -> bool:
    """True when the link's record is what was recorded; nothing else should be read from it before."""
    return link.hash == _hash(chain, tenant, link.seq, link.previous_hash, link.record)


def head(conn: Connection, tenant: str, chain: str) -> Head:
    """The newest link of that chain."""
    statement = select(chain_head.c.seq, chain_head.c.hash).where(
        chain_head.c.tenant == tenant, chain_head.c.chain == chain
    )
    row = conn.execute(statement).one_or_none()
    return Head(0, GENESIS) if row is None else Head(row.seq, row.hash)


def extend(conn: Connection, tenant: str, chain: str, records: Sequence[bytes]) -> list[Link]:
    """Links for these records, next in line; other writers of the chain wait until this transaction ends."""
    key = {"tenant": tenant, "chain": chain}
    conn.execute(insert(conn, chain_head).values(**key, seq=0, hash=GENESIS).on_conflict_do_nothing())
    where = (chain_head.c.tenant == tenant, chain_head.c.chain == chain)
    seq, previous = conn.execute(select(chain_head.c.seq, chain_head.c.hash).where(*where).with_for_update()).one()
    links = []
    for record in records:
        seq += 1
        digest = _hash(chain, tenant, seq, previous, record)
        links.append(Link(seq, previous, digest, record))
        previous = digest
    conn.execute(update(chain_head).where(*where).values(seq=seq, hash=previous))
    return links


def problems(conn: Connection, tenant: str, chain: str, links: Iterable[Link]) -> list[str]:
    """What is wrong with these links, given all of them in order; empty when nothing is."""
    found = []
    seq, previous = 0, GENESIS
    for link in links:
        where = f"{chain} {link.seq} of {tenant}"
        if link.seq != seq + 1:
            found.append(f"{where}: {chain} {seq + 1} is missing before it")
        if link.previous_hash != previous:
            found.append(f"{where}: does not follow the one before it")
        if not intact(tenant, chain, link):
            found.append(f"{where}: its content is not what was recorded")
        seq, previous = link.seq, link.hash
    newest = head(conn, tenant, chain)
    if newest != (seq, previous):
        found.append(f"{chain} of {tenant}: ends at {seq}, but {newest.seq} were recorded or its end was replaced")
    return found
