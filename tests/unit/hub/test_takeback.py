"""Many actions taken back at once: what is told of each, what is under way, and a vendor that keeps nobody waiting."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from tests.desks import CASE, MAIL, TENANT, Desktop

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.hub.store.codec import dump
from nightdesk.hub.store.schema import action as actions
from nightdesk.hub.takeback import Taken, is_to_take_back, take_back
from nightdesk.sdk.errors import UnavailableError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryDevice

OTHER = "CASE-2026-000002"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desktop]:
    with ExitStack() as stack:
        made = Desktop(stack, tmp_path, ["edr", "identity"])
        made.simulators["edr"].add_devices([StoryDevice("dev-2", "ws-0043", ("192.0.2.43",))])
        yield made


def act(desk: Desktop, verb: str, target: str, case: str = CASE, **more: Any) -> Action:
    wish = desk.hub.engine.propose(
        TENANT, verb, Target.parse(target), requested_by="ann", approval="direct", case_id=case, **more
    )
    desk.work(5)
    return now(desk, wish)


def now(desk: Desktop, action: Action) -> Action:
    found = desk.hub.journal.get(TENANT, action.action_id)
    assert found is not None
    return found


def back(desk: Desktop, *actions: Action, wait: float = 60.0, **more: Any) -> list[Taken]:
    async def go() -> list[Taken]:
        try:
            given = {"by": "bob", "why": "false alarm", "wait": wait, "sleep": desk.time.sleep, **more}
            return await take_back(desk.hub, [now(desk, one) for one in actions], **given)
        finally:
            await desk.hub.bindings.aclose()

    return asyncio.run(go())


def switch_off(desk: Desktop, name: str = "ws-0042") -> None:
    edr = desk.simulators["edr"]
    (found,) = [one.device_id for one in edr.fleet.devices.values() if one.hostname.lower() == name]
    edr.faults.add("offline_host", options={"device_id": found})


def isolated(desk: Desktop) -> set[str]:
    fleet = desk.simulators["edr"].fleet
    fleet.settle()
    return {one.hostname.lower() for one in fleet.devices.values() if one.isolated}


def test_both_cases_taken_back_one_after_the_other_let_the_host_go(desk: Desktop) -> None:
    """Decision 23: a wish that found it so is over when it is taken back, and keeps nothing afterwards."""
    first = act(desk, "host.isolate", "host:ws-0042")
    second = act(desk, "host.isolate", "host:ws-0042", OTHER)
    assert second.changed is False
    (told,) = back(desk, second)
    assert (told.state, told.left) == ("undone", False)
    assert "it was so before us" in told.said
    assert isolated(desk) == {"ws-0042"}, "the other case's"
    (told,) = back(desk, first)
    assert (told.state, told.said) == ("undone", "undone and read back")
    assert isolated(desk) == set()


def test_what_another_case_keeps_is_told_and_not_called_free(desk: Desktop) -> None:
    first = act(desk, "host.isolate", "host:ws-0042")
    second = act(desk, "host.isolate", "host:ws-0042", OTHER)
    (told,) = back(desk, first)
    assert (told.state, told.left) == ("undone", False)
    assert told.said.startswith("left as it is")
    assert second.action_id in told.said, "who keeps it is not named"
    assert isolated(desk) == {"ws-0042"}


def test_what_is_under_way_is_taken_back_as_soon_as_it_is_there(desk: Desktop) -> None:
    """Else the host that was switched off is isolated after everything was taken back."""
    faults = desk.simulators["edr"].faults
    faults.add("late_effect", options={"seconds": 20})
    wish = desk.hub.engine.propose(
        TENANT, "host.isolate", Target.parse("host:ws-0042"), requested_by="ann", approval="direct", case_id=CASE
    )
    desk.work()
    assert now(desk, wish).state in {ActionState.PENDING, ActionState.ACCEPTED}
    faults.clear()
    (told,) = back(desk, wish)
    assert (told.state, told.left) == ("undone", False)
    assert isolated(desk) == set()


def test_what_stays_under_way_is_left_and_told(desk: Desktop) -> None:
    switch_off(desk)
    away = act(desk, "host.isolate", "host:ws-0042")
    there = act(desk, "host.isolate", "host:ws-0043")
    assert away.state is ActionState.PENDING
    told = {one.action_id: one for one in back(desk, away, there, wait=10)}
    assert told[there.action_id].state == "undone"
    assert (told[away.action_id].state, told[away.action_id].left) == ("pending", True)
    assert "wait until it is settled" in told[away.action_id].said


def test_what_was_approved_and_not_sent_is_cancelled(desk: Desktop) -> None:
    desk.simulators["edr"].faults.add("server_error")
    wish = act(desk, "host.isolate", "host:ws-0042")
    assert wish.state is ActionState.APPROVED
    (told,) = back(desk, wish)
    assert (told.state, told.left) == ("cancelled", False)
    desk.simulators["edr"].faults.clear()
    desk.work(60)
    assert isolated(desk) == set()


def test_an_undo_that_no_reading_shows_yet_says_what_goes_on(desk: Desktop) -> None:
    action = act(desk, "host.isolate", "host:ws-0042")
    switch_off(desk)
    (told,) = back(desk, action, wait=10)
    assert (told.state, told.left) == ("undo_requested", True)
    assert "not read back within 10 s" in told.said
    assert "hub" in told.said


def test_a_vendor_that_refuses_is_told_and_stops_no_other_vendors_undo(desk: Desktop) -> None:
    host, account = act(desk, "host.isolate", "host:ws-0042"), act(desk, "account.disable", f"account:{MAIL}")
    desk.simulators["edr"].faults.add("missing_scope")
    told = {one.verb: one for one in back(desk, host, account)}
    assert (told["account.disable"].state, told["account.disable"].left) == ("undone", False)
    assert (told["host.isolate"].state, told["host.isolate"].left) == ("undo_failed", True)
    assert "not undone" in told["host.isolate"].said


def test_every_undo_is_journalled_before_any_vendor_is_waited_for(
    desk: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vendor that does not answer holds up nothing, and who is killed meanwhile has asked for all of it."""
    actions = [act(desk, "host.isolate", f"host:{name}") for name in ("ws-0042", "ws-0043")]
    seen: list[list[str]] = []
    advance = desk.hub.engine.advance

    async def noted(action: Action) -> Action:
        await asyncio.sleep(0)
        seen.append([str(now(desk, one).state) for one in actions])
        return await advance(action)

    monkeypatch.setattr(desk.hub.engine, "advance", noted)
    assert [one.state for one in back(desk, *actions)] == ["undone", "undone"]
    assert seen[0] == ["undo_requested", "undo_requested"]


def test_what_breaks_with_one_is_told_of_that_one(desk: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    actions = [act(desk, "host.isolate", f"host:{name}") for name in ("ws-0042", "ws-0043")]
    desk.simulators["edr"].faults.add("late_effect", options={"seconds": 5})
    advance, broken = desk.hub.engine.advance, actions[0].action_id

    async def breaks(action: Action) -> Action:
        if action.action_id == broken and action.result.get("undo_attempts"):
            raise UnavailableError("the database went away")
        return await advance(action)

    monkeypatch.setattr(desk.hub.engine, "advance", breaks)
    told = {one.action_id: one for one in back(desk, *actions, wait=20)}
    assert told[actions[1].action_id].state == "undone"
    assert (told[broken].state, told[broken].left) == ("undo_requested", True)
    assert "the database went away" in told[broken].said


def test_how_far_it_is_is_told_while_people_wait(desk: Desktop) -> None:
    actions = [act(desk, "host.isolate", f"host:{name}") for name in ("ws-0042", "ws-0043")]
    desk.simulators["edr"].faults.add("late_effect", options={"seconds": 5})
    told: list[tuple[int, int]] = []
    back(desk, *actions, tell=lambda done, of: told.append((done, of)))
    assert told[0] == (0, 2)
    assert told[-1] == (2, 2)


@pytest.mark.parametrize(
    ("state", "isolation", "scan"),
    [
        ("leased", True, True),
        ("unverified", True, True),
        ("undo_failed", True, True),
        ("pending", True, False),
        ("accepted", True, False),
        ("approved", True, False),
        ("awaiting_approval", False, False),
        ("failed", False, False),
        ("undone", False, False),
    ],
)
def test_what_is_in_force_or_will_be_by_itself_is_to_be_taken_back(
    desk: Desktop, state: str, isolation: bool, scan: bool
) -> None:
    """What was accepted and has no way back (a message) is not named by the thousand."""
    action = replace(act(desk, "host.isolate", "host:ws-0042"), state=ActionState(state))
    assert is_to_take_back(action) is isolation
    assert is_to_take_back(replace(action, verb="host.scan")) is scan


def test_what_was_only_accepted_is_left_with_what_to_do(desk: Desktop) -> None:
    """A vendor without a read-back: nobody knows that it is free."""
    faults = desk.simulators["edr"].faults
    faults.add("late_effect", options={"seconds": 900})
    wish = desk.hub.engine.propose(
        TENANT, "host.isolate", Target.parse("host:ws-0042"), requested_by="ann", approval="direct", case_id=CASE
    )
    desk.work()
    was = now(desk, wish)
    sent = replace(was, state=ActionState.ACCEPTED, result={**was.result, "accept_only": "no call shows it"})
    with desk.store.begin() as conn:
        conn.execute(
            update(actions).where(actions.c.action_id == sent.action_id).values(state="accepted", body=dump(sent))
        )
    (told,) = back(desk, sent, wait=5)
    assert (told.state, told.left) == ("accepted", True)
    assert "propose host.release" in told.said
