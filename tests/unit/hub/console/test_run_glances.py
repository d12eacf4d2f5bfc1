"""What the navigation counts on every page: read once for each change of a run, and of each tenant its own."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from tests.playbooks import a_playbook, do, end, isolate, manual, start

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.playbooks.interpreter import advance
from nightdesk.autonomy.playbooks.run import Act, Answered, Run, Told
from nightdesk.autonomy.playbooks.standing import begin, waiting_for
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.console.run_glances import Place, RunGlances
from nightdesk.hub.store.playbooks import Stored, add_run, save_run
from nightdesk.hub.store.schema import playbook_run

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
BOOK = a_playbook({"start": start("look"), "look": manual("?", on_completion="z"), "z": end()})
VERA, SVEN = Principal("north", "vera", Role.VIEWER), Principal("south", "sven", Role.VIEWER)


def asking(hub: Any, number: int = 1, tenant: str = "north") -> Run:
    facts: dict[str, Any] = {"tenant": tenant, "run_id": f"run-{number:06d}", "case_id": "c", "started_by": "ann"}
    run, _ = advance(begin(BOOK, {}, **facts, variables={}, now=NOW + timedelta(seconds=number)), (), hub.now)
    with hub.store.begin() as conn:
        add_run(conn, run)
    return run


def test_what_did_not_change_is_not_read_again(hub: Any) -> None:
    glances, run = RunGlances(hub), asking(hub)
    assert glances.waiting(VERA) == 1
    with hub.store.begin() as conn:  # Not how anybody writes: it would be noticed by whoever read it.
        conn.execute(update(playbook_run).values(body=b"unreadable"))
    assert glances.waiting(VERA) == 1
    (key,) = waiting_for(run)
    over, _ = advance(run, [Answered(key, "bob", "")], hub.now)
    with hub.store.begin() as conn:
        save_run(conn, Stored(run, 1), over)
    assert glances.waiting(VERA) == 0


def test_a_run_that_changed_is_read_again(hub: Any) -> None:
    glances, run = RunGlances(hub), asking(hub)
    assert glances.waiting(VERA) == 1
    with hub.store.begin() as conn:
        save_run(conn, Stored(run, 1), replace(run, branches={}))
    assert glances.waiting(VERA) == 0


def test_each_tenant_counts_its_own_and_who_is_signed_out_none(hub: Any) -> None:
    glances = RunGlances(hub)
    asking(hub, 1)
    asking(hub, 2)
    asking(hub, 1, "south")
    assert [glances.waiting(who) for who in (VERA, SVEN, VERA, None)] == [2, 1, 2, 0]


@pytest.mark.parametrize(("tenant", "waits"), [("north", 1), ("south", 0)])
def test_an_approval_counts_in_its_own_tenant_only(hub: Any, stage: Any, tenant: str, waits: int) -> None:
    """Law 3: the same id in another tenant is another action."""
    book = a_playbook({"start": start("a"), "a": do(isolate(), on_completion="z"), "z": end()})
    facts: dict[str, Any] = {"tenant": "north", "run_id": "run-000001", "case_id": "c", "started_by": "ann"}
    run, (wish,) = advance(begin(book, {}, **facts, variables={}, now=NOW), (), hub.now)
    assert isinstance(wish, Act)
    action = stage.act(hub, "c", (ActionState.AWAITING_APPROVAL, {}), tenant=tenant)
    run, _ = advance(run, [Told(wish.key, action.action_id)], hub.now)
    with hub.store.begin() as conn:
        add_run(conn, run)
    assert RunGlances(hub).waiting(VERA) == waits


def test_a_page_goes_on_after_a_run_that_is_gone_from_its_place(hub: Any) -> None:
    """The last one of a page may have been answered before the next page is asked for."""
    glances = RunGlances(hub)
    for number in (1, 2, 4):
        asking(hub, number)
    gone = Place("0", f"{NOW + timedelta(seconds=3):%Y-%m-%dT%H:%M:%S.%f}", "run-000003")
    with hub.store.read() as conn:
        assert [one.run_id for one in glances.page(conn, "north", before=gone, limit=9)] == ["run-000002", "run-000001"]
