"""The people of a rehearsal: they are configured as any tenant's people are, and agree to everything."""

from collections.abc import Mapping
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.hub.hub import Hub

__all__ = ["AGREEABLE", "agreed"]

_PERSONS = ("rehearsal-second", "rehearsal-third")

AGREEABLE: Mapping[str, Any] = {"people": {person: {"role": "approver"} for person in _PERSONS}}
"""``approvals`` of a rehearsal's tenant: as many as any risk takes besides who asks."""


def agreed(hub: Hub, action: Action) -> Action:
    """The action after as many of them as it takes have let it go."""
    for person in _PERSONS:
        if action.state is ActionState.AWAITING_APPROVAL:
            action = hub.engine.approve(action, person)
    return action
