"""Judges a story that has settled: what must be so at each vendor, worked out from the wishes and from what happened.

The engine is believed in nothing but where an action went and since when it says what it says. What is wanted of a slot
is the newest wish that stands; without one it is as it was before us, or as somebody else left it since.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from tests.schedules.slots import Event, Slot
from tests.schedules.vendors import place_of
from tests.schedules.world import Wish, World

from nightdesk.autonomy.actions import FOLLOWS, Action, ActionState
from nightdesk.autonomy.pacing import Limits
from nightdesk.sdk.manifest import Manifest
from nightdesk.sdk.verbs import Risk, verb

__all__ = ["Verdict", "judge"]

_S = ActionState
_RESTING = frozenset(
    {_S.AWAITING_APPROVAL, _S.REJECTED, _S.CANCELLED, _S.FAILED, _S.EFFECTIVE, _S.LEASED, _S.RENEWED, _S.UNVERIFIED,
     _S.CONTRADICTED, _S.UNDONE, _S.UNDO_FAILED}
)  # fmt: skip
_NOTHING = frozenset({_S.REJECTED, _S.CANCELLED, _S.FAILED})
_DOUBTFUL = frozenset({_S.UNVERIFIED, _S.UNDO_FAILED, _S.CONTRADICTED})
_UNDOING = frozenset({_S.UNDO_REQUESTED, _S.UNDONE, _S.UNDO_FAILED})


@dataclass
class Verdict:
    """What is wrong, and what was counted on the way."""

    wrong: list[str] = field(default_factory=list)
    effects: int = 0
    undos: int = 0
    expired: int = 0
    unverified: int = 0
    undo_failed: int = 0
    double_effects: int = 0
    double_undos: int = 0
    lost_leases: int = 0
    judged: int = 0
    """Slots of which exactly one final state was right."""
    unsure: int = 0
    """Slots where the plan or somebody else left more than one."""
    late_again: int = 0
    """Orders that were asked again, as nothing was seen of them, and then came about all the same."""
    alike: int = 0
    """Undos of what somebody else had made again in the meantime, which no vendor lets anybody tell apart."""


def judge(world: World, *, last: bool) -> Verdict:
    """The verdict on everything so far. ``last``: every lease must be over."""
    found = Verdict()
    actions = world.journal.in_state(list(ActionState))
    for action in actions:
        found.wrong += _words(world, action, last=last)
        found.wrong += _excuses(world, action)
        found.unverified += action.state is _S.UNVERIFIED
        found.undo_failed += action.state is _S.UNDO_FAILED
        history = world.journal.history(action.tenant, action.action_id)
        found.undos += any(line.state is _S.UNDONE for line in history)
        found.expired += any(line.state is _S.EXPIRED for line in history)
        due = action.lease_until is not None and action.lease_until <= world.time.now
        if last and due and action.state in {_S.LEASED, _S.RENEWED, _S.EXPIRED}:
            found.lost_leases += 1
            found.wrong.append(f"{_name(action)}: its lease to {action.lease_until} is over, and it is {action.state}")
    for slot in world.slots:
        about = [one for one in actions if world.slot_of(one.tenant, slot.instance, one) is slot]
        mine = sorted((one for one in about if one.instance == slot.instance), key=lambda one: one.generation)
        _effects(world, slot, mine, found)
        if not slot.truth.one_way:
            _final(world, slot, mine, found)
    return found


def _name(action: Action) -> str:
    return f"{action.action_id[:12]} {action.verb} {action.target.key} #{action.generation}"


def _words(world: World, action: Action, *, last: bool) -> Iterator[str]:
    """The journal's path is a legal one and ends where something may rest."""
    del last
    lines = world.journal.history(action.tenant, action.action_id)
    if not lines or lines[0].state is not _S.PROPOSED:
        yield f"{_name(action)}: its journal begins with {lines[0].state if lines else 'nothing'}"
    for before, after in pairwise(lines):
        if after.state is not before.state and after.state not in FOLLOWS[before.state]:
            yield f"{_name(action)}: {after.state} follows {before.state}"
    if [line.seq for line in lines] != list(range(1, len(lines) + 1)):
        yield f"{_name(action)}: its journal has a gap"
    accept_only = action.state is _S.ACCEPTED and action.result.get("accept_only")
    if action.state not in _RESTING and not accept_only:
        yield f"{_name(action)} is still {action.state}"
    if action.state in _DOUBTFUL and action.action_id not in world.told.attention:
        yield f"{_name(action)} is {action.state} and nobody was called"


def _excuses(world: World, action: Action) -> Iterator[str]:
    """What did not come about has a cause outside: a person's no, a guard, a newer wish, a fault of that vendor."""
    root = world.root(action)
    wish = world.told.wishes.get(root.action_id)
    if wish is None:
        yield f"{_name(action)}: nobody asked for it"
        return
    state = action.state
    if state is _S.REJECTED and not wish.refused:
        yield f"{_name(action)} is rejected and nobody refused it"
    # What the engine repeats by itself is cancelled when its wish is undone before it was sent.
    over = (bool(action.result.get("repeats")) and wish.undo_at is not None) or _unanswered(world, action)
    if state is _S.CANCELLED and not wish.withdrawn and not over and not _cancelled_rightly(world, action):
        yield f"{_name(action)} is cancelled and nobody took it back: {action.error}"
    if state in {_S.FAILED, _S.UNVERIFIED, _S.UNDO_FAILED} and not _warranted(world, action):
        yield f"{_name(action)} is {state} without a fault of the vendor: {action.error}"
    if state in _UNDOING and not _over(world, wish, action, world.time.now):
        yield f"{_name(action)} is {state} and nobody wanted it undone"
    if (wish.refused or wish.withdrawn or not wish.allowed) and state not in {
        _S.REJECTED, _S.CANCELLED, _S.AWAITING_APPROVAL}:  # fmt: skip
        yield f"{_name(action)} is {state} without leave"


def _unanswered(world: World, action: Action) -> bool:
    """Whether people were asked and none answered within the hour that they had."""
    lines = world.journal.history(action.tenant, action.action_id)
    waited = [line.at for line in lines if line.state is _S.AWAITING_APPROVAL]
    return bool(waited) and lines[-1].at - waited[0] >= timedelta(hours=1)


def _cancelled_rightly(world: World, action: Action) -> bool:
    if _is_protected(world, action):
        return True
    return any(
        other.generation > action.generation and (other.verb, other.parameters) != (action.verb, action.parameters)
        for other in world.journal.in_state(list(ActionState), tenant=action.tenant)
        if place_of(other.target) == place_of(action.target)
    )


def _is_protected(world: World, action: Action) -> bool:
    return any(
        thing.protected and place_of(thing.target) == place_of(action.target)
        for (tenant, _), things in world.things.items()
        if tenant == action.tenant
        for thing in things
    )


def _warranted(world: World, action: Action) -> bool:
    """A fault of that vendor, a verb that it does not have, or something that is gone for good."""
    if any(
        plan.hits
        for (tenant, instance), plan in world.plans.items()
        if tenant == action.tenant and action.instance in {"", instance}
    ):
        return True
    if world.fuse.kills and any(  # what cannot be read back is not asked for twice after a crash
        instance.manifest.action(action.verb).accept_only
        for instance in world.instances(action.tenant, action.instance)
        if action.verb in instance.manifest.verbs
    ):
        return True
    if any(_is_beyond(instance.manifest, action) for instance in world.instances(action.tenant, action.instance)):
        return True
    slot = world.slot_of(action.tenant, action.instance, action)
    if slot is None:
        return False
    # CrowdSec ends no decision of others, and what is killed cannot be killed again.
    others_ban = slot.truth.vendor == "crowdsec" and any(not event.by and event.on for event in slot.events)
    return others_ban or slot.truth.is_held_open or (slot.truth.one_way and bool(slot.events))


def _is_beyond(vendor: Manifest, action: Action) -> bool:
    """Whether the manifest says no: the verb, a parameter, an end, or doing it without a person."""
    if action.verb not in vendor.verbs:
        return True
    declared = vendor.action(action.verb)
    undoable = declared.inverse and not declared.irreversible and not declared.accept_only
    alone = action.result.get("lease_seconds") is not None or action.approval == "policy"
    return bool(set(action.parameters) - set(declared.parameters) or (not undoable and alone)) or bool(
        declared.irreversible and action.state is _S.UNDO_FAILED
    )


def _over(world: World, wish: Wish, action: Action, now: datetime) -> bool:
    """Whether people want it no more: undone by somebody, or its time is up."""
    if wish.undo_at is not None:
        return True
    seconds = wish.step.data["lease"]
    if seconds is None and wish.step.data["approval"] == "policy":
        seconds = 4 * 3600
    if seconds is None or action.effective_at is None:
        return False
    root = world.root(action)
    start = root.effective_at or action.effective_at
    until = max(filter(None, (start + timedelta(seconds=seconds), wish.renewed_until)))
    return now >= until


def _effects(world: World, slot: Slot, mine: Sequence[Action], found: Verdict) -> None:
    """No effect twice, none that nobody wanted, and nobody else's change taken back."""
    by_id = {action.action_id: action for action in world.journal.in_state(list(ActionState), tenant=slot.tenant)}
    found.wrong += slot.unexplained
    done: dict[tuple[str, bool], int] = {}
    theirs_since: dict[tuple[str, bool], bool] = {}
    for position, event in enumerate(slot.events):
        if not event.by:
            theirs_since = dict.fromkeys(theirs_since, True)
            continue
        if not event.flip:
            continue
        action = by_id[event.by]
        forward = event.key == action.idempotency_key
        key = (event.by, forward)
        found.effects += forward
        done[key] = done.get(key, 0) + 1
        if done[key] > 1 and _was_waited_for(slot.events[:position], event):
            found.late_again += 1
        elif done[key] > 1 and not theirs_since.get(key) and not _others_between(slot.events, position, event):
            found.double_effects += forward
            found.double_undos += not forward
            found.wrong.append(f"{_name(action)}: {'done' if forward else 'undone'} {done[key]} times")
        theirs_since[key] = False
        if slot.truth.thing.protected and forward and event.on and verb(action.verb).risk >= Risk.R2:
            found.wrong.append(f"{_name(action)} touched what nobody may touch")
        if not forward:
            _undone_rightly(world, slot, position, action, mine, found)


def _was_waited_for(before: Sequence[Event], event: Event) -> bool:
    """Whether the order was asked again although the first was on its way, after it was waited for: decision 23, 6."""
    return any(
        first.at >= event.asked_at and (event.asked_at - first.asked_at).total_seconds() >= Limits().doubt
        for first in before
        if first.key == event.key and first.flip
    )


def _others_between(events: Sequence[Event], position: int, event: Event) -> bool:
    """Whether another action of ours changed it in between: then the same order again is no repeat."""
    for before in reversed(events[:position]):
        if before.by == event.by and before.key == event.key and before.flip:
            return False
        if before.flip:
            return True
    return False


def _undone_rightly(
    world: World, slot: Slot, position: int, action: Action, mine: Sequence[Action], found: Verdict
) -> None:
    event = slot.events[position]
    wish = world.told.wishes.get(world.root(action).action_id)
    if wish is not None and not _over(world, wish, action, event.at):
        found.wrong.append(f"{_name(action)} was undone at {event.at} and nobody wanted that yet")
    before = next((one for one in reversed(slot.events[:position]) if one.flip), None)
    if before is None:
        found.wrong.append(f"{_name(action)}: its undo changed what was so before anybody")
        return
    if before.by or before.at > event.asked_at:
        return
    equal = [one for one in mine if (one.verb, one.parameters) == (action.verb, action.parameters)]
    if any(_was_under_way(one, before) for one in equal) or any(
        one.by and one.flip and one.on == before.on for one in slot.events[:position]
    ):
        found.alike += 1  # ours or an equal wish's that was taken over, then theirs: see docs on ownership
        return
    found.wrong.append(f"{_name(action)}: its undo took back what somebody else did at {before.at}")


def _was_under_way(action: Action, event: Event) -> bool:
    """Whether somebody else made a change between our request and the read-back that should show what it did."""
    return action.requested_at is not None and action.requested_at <= event.at <= (action.effective_at or event.at)


def _final(world: World, slot: Slot, mine: Sequence[Action], found: Verdict) -> None:
    """What must be so now."""
    now = world.time.now
    standing: list[tuple[Action, Wish]] = []
    doubtful = False
    for action in mine:
        wish = world.told.wishes.get(world.root(action).action_id)
        if wish is None or action.state in _NOTHING or not wish.allowed or wish.refused or wish.withdrawn:
            continue
        if action.state in _DOUBTFUL:
            doubtful = doubtful or not (action.state is _S.CONTRADICTED and _is_repeated(world, action))
        if action.effective_at is None and action.state not in _UNDOING and action.state not in _DOUBTFUL:
            continue
        if not _over(world, wish, action, now) and action.state is not _S.CONTRADICTED:
            standing.append((action, wish))
    right = _right(slot, standing, mine)
    last = slot.last_flip
    if last is not None and last.by and slot.overtaken(last) and slot.on not in right:
        found.late_again += 1
        doubtful = True
    if doubtful or len(right) > 1:
        found.unsure += 1
        return
    found.judged += 1
    if slot.on not in right:
        wanted = ", ".join(_name(action) for action, _ in standing) or "nothing"
        found.wrong.append(
            f"{slot.truth.thing.target.key} at {slot.tenant}/{slot.instance} is {'on' if slot.on else 'off'} and must"
            f" be {'on' if right == {True} else 'off'}; standing: {wanted}"
        )


def _is_repeated(world: World, action: Action) -> bool:
    return any(
        other.result.get("repeats") == action.action_id
        for other in world.journal.in_state(list(ActionState), tenant=action.tenant)
    )


def _right(slot: Slot, standing: Sequence[tuple[Action, Wish]], mine: Sequence[Action]) -> set[bool]:
    """Every final state that is right; one, but where nobody could know better."""
    theirs = [event for event in slot.events if not event.by]
    if not theirs:
        return {standing[-1][1].on} if standing else {slot.initial}
    last = theirs[-1]
    if slot.outstanding(last.at) or any(_was_under_way(action, last) for action in mine):
        return {True, False}  # both were on their way: who came last is the vendor's business
    without = _right_before(slot, theirs, mine)
    if not standing:
        if any(one.by and one.flip and one.on is last.on and one.at < last.at for one in slot.events):
            return {True, False}  # ours, then theirs, of the same kind: no vendor here says whose it is
        # What somebody else made as it was already looks like ours where the vendor names nobody.
        return {last.on} if last.flip else {last.on, *without}
    action, wish = standing[-1]
    since = _established(slot, action)
    if since is not None and since > last.at:
        return {wish.on}
    if last.on is wish.on:
        return {wish.on}
    ours_after = any(event.by and event.flip and event.at > last.at for event in slot.events)
    return {wish.on, last.on} if ours_after or since is None else {last.on}


def _right_before(slot: Slot, theirs: Sequence[Event], mine: Sequence[Action]) -> set[bool]:
    """As it was before the last thing somebody else did: what they made while our order was out may look like ours."""
    for event in reversed(theirs[:-1]):
        if event.flip:
            return {True, False} if any(_was_under_way(action, event) for action in mine) else {event.on}
    return {slot.initial}


def _established(slot: Slot, action: Action) -> datetime | None:
    """Since when it is as the action wants: its last change, or else when it was seen to be so."""
    flips = [event.at for event in slot.events if event.by == action.action_id and event.key == action.idempotency_key
             and event.flip]  # fmt: skip
    return max(flips, default=None) or action.effective_at
