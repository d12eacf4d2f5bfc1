"""The raw events of a stored case, for a bundle that carries them."""

import hashlib

from sqlalchemy import Connection, func, select

from nightdesk.hub.store.schema import alert, inbox_payload
from nightdesk.stix.egress import INLINE_BYTES

__all__ = ["raw_events"]


def raw_events(conn: Connection, tenant: str, case_id: str) -> dict[str, bytes]:
    """What the case's alerts were made of, by SHA-256; those too large to be carried are not read."""
    made_of = (inbox_payload.c.tenant == alert.c.tenant) & (inbox_payload.c.seq == alert.c.newest_seq)
    statement = (
        select(inbox_payload.c.payload)
        .select_from(alert.join(inbox_payload, made_of))
        .where(alert.c.tenant == tenant, alert.c.case_id == case_id)
        .where(func.length(inbox_payload.c.payload) <= INLINE_BYTES)
    )
    return {hashlib.sha256(payload).hexdigest(): payload for payload in conn.execute(statement).scalars()}
