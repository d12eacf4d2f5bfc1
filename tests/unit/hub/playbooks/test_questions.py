"""What people are asked: an answer counts once, to what was shown, and only while it is asked."""

from typing import Any

import pytest
from tests.desks import TENANT, Desktop
from tests.playbooks import a_playbook, do, end, isolate, manual, start, var

from nightdesk.autonomy.playbooks.run import RunState
from nightdesk.hub.playbooks.questions import asked_of, key_named, still_open
from nightdesk.hub.store import audit
from nightdesk.sdk.errors import PolicyError, UnsupportedError

RUN = "run-000001"
BESIDE = a_playbook(
    {
        "start": start("both"),
        "both": {"type": "parallel", "next_steps": ["look", "who", "isolate"], "on_completion": "z"},
        "look": manual("disable __who__:value?", settings={"answers": ["yes", "no"]}, on_completion="e1"),
        "who": manual("who is it?", out_args=["__who__"], on_completion="e2"),
        "isolate": do(isolate(), on_completion="e3"),
        "e1": end(),
        "e2": end(),
        "e3": end(),
        "z": end(),
    },
    variables={"__who__": var(value="ann")},
    name="beside",
)


@pytest.fixture
def begun(desk: Desktop) -> Desktop:
    desk.start(BESIDE)
    desk.work(10)
    return desk


def answered(desk: Desktop) -> list[tuple[str, Any]]:
    """Who answered what, by the audit."""
    with desk.store.read() as conn:
        lines = audit.entries(conn, TENANT, limit=1000)
    return [(line.actor, line.detail["answer"]) for line in lines if line.event == "playbook.answer"]


def key(desk: Desktop, name: str) -> str:
    return key_named(desk.run(), name)


def test_a_question_has_its_text_filled_in_and_a_digest_of_it(begun: Desktop) -> None:
    by_name = {one.name: one for one in asked_of(begun.run())}
    assert (by_name["look"].text, by_name["look"].answers) == ("disable ann?", ("yes", "no"))
    assert (by_name["who"].text, by_name["who"].into) == ("who is it?", "__who__")
    told = {row["name"]: row.get("digest") for row in begun.hub.playbooks.shown(begun.run())["waiting"]}
    assert told == {"look": by_name["look"].digest, "who": by_name["who"].digest, "isolate": None}
    assert by_name["look"].digest != by_name["who"].digest


def test_the_second_answer_changes_nothing_also_while_something_else_moves(begun: Desktop) -> None:
    """The run would move with it, for the action beside it is over: that is no sign that the answer was taken."""
    meant = key(begun, "look")
    begun.hub.playbooks.answer(TENANT, RUN, meant, by="carol", text="yes")
    (action,) = begun.waiting_approvals()
    begun.hub.engine.reject(action, "bob", "no")
    before = begun.run()
    with pytest.raises(PolicyError, match="look was answered meanwhile by carol; this answer changes nothing"):
        begun.hub.playbooks.answer(TENANT, RUN, meant, by="dave", text="no")
    assert answered(begun) == [("carol", "yes")]
    assert begun.run() == before, "all of the look was undone with it"


def test_an_answer_is_to_what_was_shown(begun: Desktop) -> None:
    (shown,) = [one for one in asked_of(begun.run()) if one.name == "look"]
    begun.hub.playbooks.answer(TENANT, RUN, "who", by="bob", text="the chief")
    with pytest.raises(PolicyError, match="look was changed since it was shown"):
        begun.hub.playbooks.answer(TENANT, RUN, shown.key, by="carol", text="yes", shown=shown.digest)
    assert answered(begun) == [("bob", "the chief")]
    (now,) = [one for one in asked_of(begun.run()) if one.name == "look"]
    assert now.text == "disable the chief?"
    begun.hub.playbooks.answer(TENANT, RUN, now.key, by="carol", text="yes", shown=now.digest)
    assert answered(begun) == [("bob", "the chief"), ("carol", "yes")]


def test_after_a_stop_it_is_too_late_and_that_is_said(begun: Desktop) -> None:
    meant = key(begun, "look")
    begun.hub.playbooks.stop(TENANT, RUN, by="carol", why="wrong host")
    with pytest.raises(PolicyError, match=r"too late: the run is over \(stopped by carol: wrong host\)"):
        begun.hub.playbooks.answer(TENANT, RUN, meant, by="dave", text="yes")
    with pytest.raises(UnsupportedError, match=r"names 0 open questions; .* it is over \(stopped by carol"):
        begun.hub.playbooks.answer(TENANT, RUN, "look", by="dave", text="yes")
    assert answered(begun) == []
    assert begun.run().state is RunState.CANCELLED


def test_a_step_that_ran_out_of_time_takes_no_answer(desk: Desktop) -> None:
    slow = a_playbook(
        {
            "start": start("look"),
            "look": manual("quick!", timeout=1000, on_success="z", on_failure="more"),
            "more": manual("and now?", on_completion="z"),
            "z": end(),
        },
        name="slow",
    )
    desk.start(slow)
    meant = key(desk, "look")
    desk.work(10)
    with pytest.raises(PolicyError, match=r"too late: look waits no more \(timed-out\)"):
        desk.hub.playbooks.answer(TENANT, RUN, meant, by="dave", text="yes")


@pytest.mark.parametrize("named", ["isolate", "nothing", f"{RUN}/nothing"])
def test_what_is_no_question_is_said_to_be_none(begun: Desktop, named: str) -> None:
    with pytest.raises(UnsupportedError, match=r"names (0 open questions|no question)"):
        begun.hub.playbooks.answer(TENANT, RUN, named, by="dave", text="yes")


def test_a_text_that_no_encoding_has_is_asked_all_the_same(desk: Desktop) -> None:
    desk.start(BESIDE)
    run = desk.hub.playbooks.answer(TENANT, RUN, "who", by="bob", text="\ud800")
    (question,) = [one for one in asked_of(run) if one.name == "look"]
    assert question.text == "disable \ud800?"
    still_open(run, key=question.key, text="yes", shown=question.digest)
