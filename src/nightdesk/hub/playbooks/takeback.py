"""A whole run taken back: its own actions, newest first, each at the connector that carried it out (law 6)."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.hub.hub import Hub
from nightdesk.sdk.context import Sleep
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.verbs import verb

__all__ = ["Taken", "undo_run"]

_S = ActionState
_IN_FORCE = frozenset(
    {_S.EFFECTIVE, _S.LEASED, _S.RENEWED, _S.UNVERIFIED, _S.CONTRADICTED, _S.EXPIRED, _S.UNDO_FAILED, _S.UNDO_REQUESTED}
)
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


async def undo_run(
    hub: Hub,
    tenant: str,
    run_id: str,
    *,
    by: str,
    why: str = "",
    wait: float = 60.0,
    sleep: Sleep = asyncio.sleep,
) -> list[Taken]:
    """Stops the run, then undoes one action after the other; ``wait`` seconds for all of them.

    What cannot be taken back by its nature (a message, a scan) is named and left.
    """
    run = await asyncio.to_thread(lambda: hub.playbooks.stop(tenant, run_id, by=by, why=why or "taken back"))
    until = hub.clock() + timedelta(seconds=wait)
    actions = reversed(await asyncio.to_thread(hub.playbooks.actions, run))
    try:
        return [await _undo(hub, action, by, why or f"{run_id} taken back", until, sleep) for action in actions]
    finally:
        await hub.bindings.aclose()


async def _undo(hub: Hub, action: Action, by: str, why: str, until: datetime, sleep: Sleep) -> Taken:
    wanted = verb(action.verb)
    if action.state not in _IN_FORCE:
        return _told(action, "nothing is in force", left=False)
    if not wanted.inverse:
        return _told(action, wanted.no_inverse, left=False)
    if action.changed is False:
        return _told(action, "it was so before", left=False)
    try:
        now = await hub.engine.undo(action, actor=by, reason=why)
        while now.state is _S.UNDO_REQUESTED and hub.clock() < until:
            await sleep(_LOOK)
            now = await hub.engine.advance(now)
    except NightdeskError as error:
        return _told(action, str(error), left=True)
    return _told(now, now.error or str(now.result.get("undo", "")), left=now.state is not _S.UNDONE)


def _told(action: Action, said: str, *, left: bool) -> Taken:
    return Taken(action.action_id, action.verb, action.target.key, action.state.value, said, left)
