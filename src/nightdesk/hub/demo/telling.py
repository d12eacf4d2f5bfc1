"""How a night is told: actions and counts in words, and the picture of a hub at work."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import queries
from nightdesk.hub.store.ledger import ledger

__all__ = ["counted", "picture", "told"]


def counted(numbers: Mapping[Any, int]) -> str:
    """Counts by name, in words."""
    return ", ".join(f"{count} {name}" for name, count in sorted(numbers.items())) or "none"


def told(action: Action) -> str:
    """One action as it stands."""
    when = f" since {action.effective_at:%H:%M:%S}" if action.effective_at else ""
    lease = f", lease until {action.lease_until:%H:%M}" if action.lease_until else ""
    return f"{action.verb} {action.target.key}: {action.state}{when}{lease} at {action.instance or 'nobody yet'}"


def picture(hub: Hub, tenant: str) -> Table:
    """Ledger, cases and actions as they are now."""
    with hub.store.read() as conn:
        rows = ledger(conn, tenant)
        states = queries.status_counts(conn, tenant)
    actions = Counter(one.state.value for one in hub.journal.in_state(list(ActionState), tenant=tenant))
    table = Table(title="nightdesk", title_justify="left", box=None)
    table.add_column("connector")
    table.add_column("received", justify="right")
    table.add_column("normalised", justify="right")
    table.add_column("waiting", justify="right")
    for row in rows:
        table.add_row(f"{row.instance}/{row.stream}", str(row.received), str(row.normalised), str(row.waiting))
    table.add_row("cases", *(f"{name} {count}" for name, count in list(states.items())[:3]))
    table.add_row("actions", *(f"{name} {count}" for name, count in list(actions.items())[:3]))
    return table
