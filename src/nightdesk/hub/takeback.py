"""Many actions taken back at once: each at the connector that carried it out, and only what is ours (law 6).

Every undo is journalled before any of them is waited for, so that one host or vendor that is away keeps no other. What
is still on its way is taken back as soon as it is there: else a host that was switched off would be isolated after all.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from nightdesk.autonomy.actions import Action, ActionState, StaleActionError
from nightdesk.autonomy.ownership import instead_of_undo
from nightdesk.hub.hub import Hub
from nightdesk.sdk.context import Sleep
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.verbs import verb

__all__ = ["OPEN", "UNDOABLE", "Taken", "is_to_take_back", "take_back"]

_S = ActionState
UNDOABLE = frozenset(
    {_S.EFFECTIVE, _S.LEASED, _S.RENEWED, _S.UNVERIFIED, _S.CONTRADICTED, _S.EXPIRED, _S.UNDO_FAILED, _S.UNDO_REQUESTED}
)
"""States in which something of ours may be in force at the vendor."""
_WAITING = frozenset({_S.PROPOSED, _S.AWAITING_APPROVAL, _S.APPROVED})
_ON_ITS_WAY = frozenset({_S.REQUESTED, _S.ACCEPTED, _S.PENDING})
OPEN = UNDOABLE | _ON_ITS_WAY | {_S.APPROVED}
"""States that end by somebody's taking back, or else in an effect."""
_LOOK = 0.2  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one action. ``left``: it is in force still, or may yet be, though it could be taken back."""

    action_id: str
    verb: str
    target: str
    state: str
    said: str
    left: bool


def _quietly(done: int, of: int) -> None:
    """Nobody watches."""


def is_to_take_back(action: Action) -> bool:
    """Whether something of it is in force, or will be without anybody's further word."""
    if action.state in UNDOABLE:
        return True
    return action.state in OPEN and bool(verb(action.verb).inverse)


async def take_back(  # whom it concerns, and how long and how it is waited for
    hub: Hub,
    actions: Iterable[Action],
    *,
    by: str,
    why: str,
    wait: float = 60.0,
    sleep: Sleep = asyncio.sleep,
    tell: Callable[[int, int], None] = _quietly,
) -> list[Taken]:
    """Undoes them in the order given; ``wait`` seconds for all of them. ``tell`` hears how many of how many are over.

    What cannot be taken back by its nature (a message, a scan) is named and left, and stops no other.
    """
    until = hub.clock() + timedelta(seconds=wait)
    given = [_Return(hub, action, by, why) for action in actions]
    tell(0, len(given))
    await asyncio.gather(*(one.go_on() for one in given))
    tell(sum(one.over for one in given), len(given))
    while not all(one.over for one in given) and hub.clock() < until:
        await sleep(_LOOK)
        await asyncio.gather(*(one.go_on() for one in given))
        tell(sum(one.over for one in given), len(given))
    return [one.told(wait) for one in given]


class _Return:
    """One action's way back, as far as it got."""

    def __init__(self, hub: Hub, action: Action, by: str, why: str) -> None:
        self._hub = hub
        self._by = by
        self._why = why
        self._now = action
        self._said = ""
        self._left = False
        self.over = False

    async def go_on(self) -> None:
        """As far as it goes now. What goes wrong is this action's alone, and told."""
        if self.over:
            return
        try:
            self._now = self._hub.journal.get(self._now.tenant, self._now.action_id) or self._now
            await self._step()
        except StaleActionError:
            return  # somebody moved it meanwhile: the next look sees how it is
        except NightdeskError as error:
            self._said = str(error)

    async def _step(self) -> None:
        action, engine = self._now, self._hub.engine
        if action.state is _S.UNDO_REQUESTED:
            self._now = await engine.advance(action)
            self.over = self._now.state is not _S.UNDO_REQUESTED
        elif action.state not in UNDOABLE | _WAITING | _ON_ITS_WAY:
            self._end("nothing is in force")
        elif not verb(action.verb).inverse:
            self._end(verb(action.verb).no_inverse)
        elif action.state in _WAITING:
            self._now = engine.cancel(action, self._by, self._why)
            self._end("it was not sent yet")
        elif action.result.get("accept_only") and action.state is _S.ACCEPTED:
            self._end(f"it may be in force: {instead_of_undo(action)}", left=True)
        elif action.state in _ON_ITS_WAY:
            self._now = await engine.advance(action)
            if self._now.state in UNDOABLE:
                await self._undo()
        else:
            await self._undo()

    async def _undo(self) -> None:
        try:
            self._now = await self._hub.engine.undo(self._now, actor=self._by, reason=self._why)
        except StaleActionError:
            raise
        except NightdeskError as error:
            self._end(f"cannot be undone: {error}", left=True)
            return
        self.over = self._now.state is not _S.UNDO_REQUESTED

    def _end(self, said: str, *, left: bool = False) -> None:
        self._said, self._left, self.over = said, left, True

    def told(self, wait: float) -> Taken:
        """What a person reads of it, at the end."""
        now = self._now
        left, said = self._left, self._said
        if now.state is _S.UNDONE:
            said = str(now.result.get("undo", ""))
        elif now.state is _S.UNDO_FAILED:
            left, said = True, now.error
        elif not self.over:
            left, said = True, f"{self._unfinished(wait)}{f' ({said})' if said else ''}"
        return Taken(now.action_id, now.verb, now.target.key, now.state.value, said, left)

    def _unfinished(self, wait: float) -> str:
        if self._now.state is not _S.UNDO_REQUESTED:
            return f"{instead_of_undo(self._now)}, then undo it"
        if self._now.result.get("undo_shown"):
            return "read back; it was never seen in effect, so a running hub watches whether it comes late"
        return f"asked for, not read back within {wait:g} s; a running hub goes on"
