"""Many actions taken back at once: each at the connector that carried it out, and only what is ours (law 6).

Every undo is asked for before any of them is waited for, so that one host that is away keeps no other.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.hub.hub import Hub
from nightdesk.sdk.context import Sleep
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.verbs import verb

__all__ = ["UNDOABLE", "Taken", "take_back"]

_S = ActionState
UNDOABLE = frozenset(
    {_S.EFFECTIVE, _S.LEASED, _S.RENEWED, _S.UNVERIFIED, _S.CONTRADICTED, _S.EXPIRED, _S.UNDO_FAILED, _S.UNDO_REQUESTED}
)
"""States in which something of ours may be in force at the vendor."""
_LOOK = 0.2  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one action. ``left``: it is in force still, though it could be taken back."""

    action_id: str
    verb: str
    target: str
    state: str
    said: str
    left: bool


async def take_back(
    hub: Hub, actions: Iterable[Action], *, by: str, why: str, wait: float = 60.0, sleep: Sleep = asyncio.sleep
) -> list[Taken]:
    """Undoes them in the order given; ``wait`` seconds for all of them.

    What cannot be taken back by its nature (a message, a scan) is named and left, and stops no other.
    """
    until = hub.clock() + timedelta(seconds=wait)
    given = list(actions)
    asked = {action.action_id: await _ask(hub, action, by, why) for action in given}
    while any(_under_way(one) for one in asked.values()) and hub.clock() < until:
        await sleep(_LOOK)
        for key, one in asked.items():
            if isinstance(one, Action) and _under_way(one):
                asked[key] = await hub.engine.advance(one)
    return [_taken(action, asked[action.action_id]) for action in given]


async def _ask(hub: Hub, action: Action, by: str, why: str) -> Action | str:
    """The action as it is after the undo was asked for, or why there is nothing to ask for."""
    if action.state not in UNDOABLE:
        return "nothing is in force"
    if not verb(action.verb).inverse:
        return verb(action.verb).no_inverse
    if action.changed is False:
        return "it was so before"
    try:
        return await hub.engine.undo(action, actor=by, reason=why)
    except NightdeskError as error:
        return f"cannot be undone: {error}"


def _under_way(one: Action | str) -> bool:
    return isinstance(one, Action) and one.state is _S.UNDO_REQUESTED


def _taken(before: Action, now: Action | str) -> Taken:
    facts = (before.action_id, before.verb, before.target.key)
    if isinstance(now, str):
        return Taken(*facts, before.state.value, now, left=now.startswith("cannot be undone"))
    return Taken(*facts, now.state.value, now.error, left=now.state is not _S.UNDONE)
