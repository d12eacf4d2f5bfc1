from typing import Any

import pytest
from tests.desks import CASE, MAIL, TENANT, Desktop
from tests.playbooks import HOST, a_playbook, do, end, isolate, manual, openc2, start, var

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.playbooks.run import RunState
from nightdesk.hub.store import audit
from nightdesk.sdk.errors import ConfigError, PolicyError, UnsupportedError

Json = dict[str, Any]
LINE: dict[str, Json] = {
    "start": start("isolate"),
    "isolate": do(isolate(), on_success="look", on_failure="by-hand"),
    "look": manual("is it quiet?", settings={"answers": ["yes", "no"]}, out_args=["__quiet__"], on_success="z",
                   on_failure="by-hand"),
    "by-hand": manual("isolate it by hand", on_completion="z"),
    "z": end(),
}  # fmt: skip
VARIABLES = {"__quiet__": var()}


def _line(**more: Json) -> Any:
    return a_playbook({**LINE, **more}, variables=VARIABLES)


def _said(desk: Desktop, event: str) -> list[Any]:
    with desk.store.read() as conn:
        return [one for one in audit.entries(conn, TENANT, limit=1000) if one.event == event]


def test_what_a_user_feels_waits_for_a_second_person_and_nothing_is_sent_before(desk: Desktop) -> None:
    run = desk.start(_line())
    desk.work(60)
    (action,) = desk.actions()
    assert action.state is ActionState.AWAITING_APPROVAL
    assert (action.requested_by, action.approval, action.case_id) == ("ann", "human", CASE)
    assert action.decision_id.startswith(f"{run.run_id}/action--")
    assert not [seen for seen in desk.simulators["edr"].seen if seen.method == "POST" and "actions" in seen.path]
    with pytest.raises(PolicyError, match="cannot approve it"):
        desk.hub.engine.approve(action, "ann")


def test_a_run_goes_on_with_the_read_back_and_waits_for_its_answer(desk: Desktop) -> None:
    desk.start(_line())
    desk.play()
    assert desk.outcomes() == ["isolate: effective"]
    shown = desk.hub.playbooks.shown(desk.run())
    (waiting,) = shown["waiting"]
    assert (waiting["name"], waiting["text"], waiting["answers"]) == ("look", "is it quiet?", ("yes", "no"))
    with pytest.raises(UnsupportedError, match="answer one of yes, no, not 'perhaps'"):
        desk.hub.playbooks.answer(TENANT, "run-000001", "look", by="carol", text="perhaps")
    with pytest.raises(UnsupportedError, match="names 0 open questions"):
        desk.hub.playbooks.answer(TENANT, "run-000001", "isolate", by="carol", text="yes")
    with pytest.raises(PolicyError, match="names the person"):
        desk.hub.playbooks.answer(TENANT, "run-000001", "look", by="", text="yes")
    run = desk.hub.playbooks.answer(TENANT, "run-000001", "look", by="carol", text="yes")
    assert run.state is RunState.COMPLETED
    assert run.variables["0"]["__quiet__"] == "yes"
    assert desk.outcomes() == ["isolate: effective", "look: answered"]
    events = [
        entry.event for name in ("start", "question", "answer", "end") for entry in _said(desk, f"playbook.{name}")
    ]
    assert events == ["playbook.start", "playbook.question", "playbook.answer", "playbook.end"]
    assert _said(desk, "playbook.answer")[0].actor == "carol"


def test_what_nobody_feels_is_done_at_once(desk: Desktop) -> None:
    steps = {"start": start("scan"), "scan": do(openc2("scan", HOST), on_success="z"), "z": end()}
    desk.start(a_playbook(steps))
    desk.work(3600, until=lambda: desk.run().state is not RunState.RUNNING)
    assert desk.run().state is RunState.COMPLETED
    (action,) = desk.actions()
    assert (action.approval, action.approved_by) == ("direct", "ann")


def test_a_rejection_takes_the_way_of_a_failure(desk: Desktop) -> None:
    desk.start(_line())
    desk.hub.engine.reject(desk.actions()[0], "bob", "not this one")
    desk.work()
    assert desk.outcomes() == ["isolate: rejected"]
    assert desk.run().visits[0].note == "not this one"
    assert desk.hub.playbooks.shown(desk.run())["waiting"][0]["name"] == "by-hand"


def test_an_approval_that_comes_too_late_lets_nothing_go(desk: Desktop) -> None:
    slow = {**LINE["isolate"], "timeout": 60_000}
    desk.start(_line(isolate=slow))
    desk.work(61)
    assert desk.outcomes() == ["isolate: timed-out"]
    (action,) = desk.actions()
    assert action.state is ActionState.CANCELLED
    assert not desk.waiting_approvals()


def test_a_failed_answer_is_a_failure(desk: Desktop) -> None:
    desk.start(_line())
    desk.play()
    desk.hub.playbooks.answer(TENANT, "run-000001", "look", by="carol", text="", done=False)
    assert desk.outcomes() == ["isolate: effective", "look: not-done"]


def test_the_same_wish_of_the_case_is_one_action(desk: Desktop) -> None:
    desk.start(_line())
    desk.start(_line(), by="dan")
    assert len(desk.actions()) == 1
    desk.play("run-000001")
    desk.work()
    assert desk.outcomes("run-000002") == ["isolate: effective"]
    first, second = (desk.hub.playbooks.actions(desk.run(run)) for run in ("run-000001", "run-000002"))
    assert len(first) == 1
    assert second == [], "somebody else's action is not undone with this run"


def test_a_case_keeps_its_one_ticket(desk: Desktop) -> None:
    ticket = openc2("create", {"x-nightdesk:case": {"uid": CASE}}, ours={"parameters": {"title": "t"}})
    again = openc2("create", {"x-nightdesk:case": {"uid": CASE}}, ours={"parameters": {"title": "another"}})
    note = openc2(
        "update", {"x-nightdesk:case": {"uid": CASE}}, ours={"verb": "case.comment", "parameters": {"comment": "c"}}
    )
    steps = {
        "start": start("one"),
        "one": do(ticket, on_success="two"),
        "two": do(again, on_success="note"),
        "note": do(note, on_success="z"),
        "z": end(),
    }
    desk.start(a_playbook(steps))
    desk.work(120, until=lambda: desk.run().state is not RunState.RUNNING)
    assert desk.run().state is RunState.COMPLETED
    assert [action.verb for action in desk.actions()] == ["case.open", "case.comment"]
    assert desk.actions()[1].target.facts["ticket"]


def test_stopping_takes_back_what_was_not_sent(desk: Desktop) -> None:
    desk.start(_line())
    run = desk.hub.playbooks.stop(TENANT, "run-000001", by="carol", why="false alarm")
    assert (run.state, run.problem) == (RunState.CANCELLED, "stopped by carol: false alarm")
    assert desk.actions()[0].state is ActionState.CANCELLED
    assert desk.hub.playbooks.stop(TENANT, "run-000001", by="carol").state is RunState.CANCELLED
    assert len(_said(desk, "playbook.stop")) == 1


def test_a_new_process_carries_a_run_on(desk: Desktop) -> None:
    desk.start(_line())
    desk.restart()
    desk.play()
    desk.restart()
    assert desk.hub.playbooks.answer(TENANT, "run-000001", "look", by="carol", text="yes").state is RunState.COMPLETED
    assert len(desk.actions()) == 1


def test_a_run_that_breaks_does_not_hold_up_the_others(desk: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.start(_line())
    desk.start(_line(), by="dan", case_id="CASE-2026-000002")
    move = desk.hub.playbooks._move

    def broken(tenant: str, run_id: str, *args: Any, **kwargs: Any) -> bool:
        if run_id == "run-000001":
            raise PolicyError("gets nowhere")
        return move(tenant, run_id, *args, **kwargs)

    monkeypatch.setattr(desk.hub.playbooks, "_move", broken)
    desk.play("run-000002")
    assert desk.outcomes("run-000002") == ["isolate: effective"]
    assert desk.outcomes("run-000001") == []


def test_a_tenant_sees_its_own_runs_only(desk: Desktop) -> None:
    """Law 3."""
    desk.start(_line())
    with pytest.raises(UnsupportedError, match="beta: no run run-000001"):
        desk.hub.playbooks.run("beta", "run-000001")
    with pytest.raises(ConfigError, match="there are acme"):
        desk.hub.playbooks.start("beta", _line(), case_id=CASE, by="ann", given={})


def test_who_and_what_for_are_always_named(desk: Desktop) -> None:
    for who, case in (("", CASE), ("ann", "")):
        with pytest.raises(PolicyError, match="names the person who starts it and the case"):
            desk.start(_line(), by=who, case_id=case)


def test_an_account_is_locked_at_the_identity_provider(desk: Desktop) -> None:
    steps = {
        "start": start("lock"),
        "lock": do(
            openc2("deny", {"x-nightdesk:user_account": {"uid": "__who__:value"}}, duration=3600_000), on_success="z"
        ),
        "z": end(),
    }
    book = a_playbook(steps, variables={"__who__": var(external=True)}, header={"inputs": {"__who__": "account"}})
    desk.start(book, who=MAIL)
    assert desk.play().state is RunState.COMPLETED
    (action,) = desk.actions()
    assert action.state is ActionState.LEASED
    assert action.instance == "identity"
    assert (action.lease_until - action.effective_at).total_seconds() == 3600  # type: ignore[operator]  # both are set
