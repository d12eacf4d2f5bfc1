"""Law 1 as numbers: what came in against what is there, the one from counters, the other counted from the rows."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from nightdesk.hub.store.schema import inbox, inbox_payload, quarantine
from nightdesk.hub.store.schema import ledger as ledger_table

__all__ = ["LedgerRow", "audit_ledger", "ledger"]

_STATES = frozenset({"normalised", "quarantined", "waiting"})


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The balance of one stream. ``received`` and ``duplicate`` are counters, the others are counted."""

    tenant: str
    instance: str
    stream: str
    received: int
    duplicate: int
    normalised: int
    quarantined: int
    waiting: int

    @property
    def balanced(self) -> bool:
        """True when everything that came in is accounted for."""
        return self.received == self.duplicate + self.normalised + self.quarantined + self.waiting


def ledger(conn: Connection, tenant: str | None = None) -> list[LedgerRow]:
    """The balance of every stream, of all tenants when none is named."""
    counting = select(inbox.c.tenant, inbox.c.instance, inbox.c.stream, inbox.c.state, func.count().label("rows"))
    counting = counting.group_by(inbox.c.tenant, inbox.c.instance, inbox.c.stream, inbox.c.state)
    counters = select(ledger_table)
    if tenant is not None:
        counting = counting.where(inbox.c.tenant == tenant)
        counters = counters.where(ledger_table.c.tenant == tenant)
    counted: dict[tuple[str, str, str], dict[str, int]] = {}
    for name, instance, stream, state, rows in conn.execute(counting):
        counted.setdefault((name, instance, stream), {})[state] = rows
    came = {(row.tenant, row.instance, row.stream): row for row in conn.execute(counters)}
    found = []
    for key in sorted(counted.keys() | came.keys()):
        states, row = counted.get(key, {}), came.get(key)
        found.append(
            LedgerRow(
                tenant=key[0],
                instance=key[1],
                stream=key[2],
                received=row.received if row else 0,
                duplicate=row.duplicate if row else 0,
                normalised=states.get("normalised", 0),
                quarantined=states.get("quarantined", 0),
                waiting=states.get("waiting", 0),
            )
        )
    return found


def audit_ledger(conn: Connection, tenant: str | None = None) -> list[str]:
    """Everything that contradicts law 1, in words; empty when nothing does. Reads the whole inbox."""
    found = [
        f"{row.tenant}/{row.instance}/{row.stream}: received {row.received}, but duplicate {row.duplicate} + "
        f"normalised {row.normalised} + quarantined {row.quarantined} + waiting {row.waiting}"
        for row in ledger(conn, tenant)
        if not row.balanced
    ]
    rows = select(inbox.c.tenant, inbox.c.seq, inbox.c.state).order_by(inbox.c.tenant, inbox.c.seq)
    if tenant is not None:
        rows = rows.where(inbox.c.tenant == tenant)
    unknown = rows.where(inbox.c.state.not_in(_STATES))
    found += [f"{row.tenant}: inbox row {row.seq} has the unknown state {row.state!r}" for row in conn.execute(unknown)]
    for part, word, condition in (
        (inbox_payload, "bytes", None),
        (quarantine, "reason", inbox.c.state == "quarantined"),
    ):
        there = select(part.c.seq).where(part.c.tenant == inbox.c.tenant, part.c.seq == inbox.c.seq).exists()
        lacking = rows.where(~there) if condition is None else rows.where(~there, condition)
        found += [f"{row.tenant}: inbox row {row.seq} has lost its {word}" for row in conn.execute(lacking)]
    return found
