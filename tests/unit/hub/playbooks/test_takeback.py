import asyncio
from collections.abc import Awaitable

import pytest
from tests.desks import MAIL, TENANT, Desktop
from tests.playbooks import HOST, a_playbook, do, end, isolate, manual, openc2, start

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.playbooks.run import RunState
from nightdesk.hub.playbooks.takeback import undo_run
from nightdesk.hub.takeback import Taken

STEPS = {
    "start": start("isolate"),
    "isolate": do(isolate(), on_success="lock"),
    "lock": do(openc2("deny", {"x-nightdesk:user_account": {"uid": MAIL}}), on_success="scan"),
    "scan": do(openc2("scan", HOST), on_success="look"),
    "look": manual(on_completion="z"),
    "z": end(),
}


def _undo(desk: Desktop) -> list[Taken]:
    return asyncio.run(undo_run(desk.hub, TENANT, "run-000001", by="carol", why="false alarm", sleep=desk.time.sleep))


def test_a_run_is_taken_back_newest_first_at_who_did_it(desk: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.start(a_playbook(STEPS))
    desk.play()
    assert desk.outcomes() == ["isolate: effective", "lock: effective", "scan: effective"]
    asked: list[str] = []
    undo = desk.hub.engine.undo

    def noted(action: Action, *, actor: str, reason: str = "") -> Awaitable[Action]:
        asked.append(action.verb)
        return undo(action, actor=actor, reason=reason)

    monkeypatch.setattr(desk.hub.engine, "undo", noted)
    taken = _undo(desk)
    assert [(one.verb, one.left) for one in taken] == [
        ("host.scan", False),
        ("account.disable", False),
        ("host.isolate", False),
    ]
    assert taken[0].said == "a scan ends by itself"
    assert desk.run().state is RunState.CANCELLED
    ended = {action.verb: action for action in desk.actions()}
    assert ended["host.isolate"].state is ended["account.disable"].state is ActionState.UNDONE
    assert asked == ["account.disable", "host.isolate"]


def test_what_was_so_before_stays_so(desk: Desktop) -> None:
    """Law 6: what somebody else did is never undone."""
    first = {"start": start("isolate"), "isolate": do(isolate(), on_success="z"), "z": end()}
    desk.start(a_playbook(first), case_id="CASE-2026-000009")
    desk.play()
    desk.start(a_playbook(first))
    desk.play("run-000002")
    taken = asyncio.run(undo_run(desk.hub, TENANT, "run-000002", by="carol", sleep=desk.time.sleep))
    assert [(one.said, one.left) for one in taken] == [("it was so before us: left as it is", False)]
    (standing,) = desk.hub.journal.of_case(TENANT, "CASE-2026-000009")
    assert standing.state is ActionState.EFFECTIVE


def test_what_waits_is_cancelled_and_nothing_is_left(desk: Desktop) -> None:
    desk.start(a_playbook(STEPS))
    taken = _undo(desk)
    assert [(one.state, one.said, one.left) for one in taken] == [("cancelled", "nothing is in force", False)]
