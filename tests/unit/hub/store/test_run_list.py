"""The list of runs on both databases: what is at work, and what is over page by page."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.playbooks import a_playbook, do, end, isolate, start

from nightdesk.autonomy.playbooks.run import Run, RunState
from nightdesk.autonomy.playbooks.standing import begin
from nightdesk.hub.store import Store
from nightdesk.hub.store.playbooks import Stored, add_run, save_run
from nightdesk.hub.store.run_list import action_states, approvals_awaited, ended, moves_at_work, runs_named

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
BOOK = a_playbook({"start": start("a"), "a": do(isolate(), on_completion="z"), "z": end()})
ENDS = (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)


def add(store: Store, number: int, state: RunState, minute: int, tenant: str = "acme") -> Run:
    facts: dict[str, Any] = {"tenant": tenant, "run_id": f"run-{number:06d}", "case_id": "c", "started_by": "ann"}
    run = replace(
        begin(BOOK, {}, **facts, variables={}, now=NOW), state=state, updated_at=NOW + timedelta(minutes=minute)
    )
    with store.begin() as conn:
        add_run(conn, run)
    return run


def test_what_is_over_comes_by_its_end_last_first_and_page_by_page(store: Store) -> None:
    # Seven minutes mix the three kinds of end; two of each minute, so that ids decide as well.
    for number in range(14):
        add(store, number, ENDS[number % 3], (number * 5) % 7)
    add(store, 98, RunState.RUNNING, 99)
    add(store, 99, RunState.COMPLETED, 99, "beta")
    with store.read() as conn:
        whole = ended(conn, "acme")
        assert [run_id for _, run_id in whole] == [
            f"run-{number:06d}" for number in sorted(range(14), key=lambda one: ((one * 5) % 7, one), reverse=True)
        ]
        pages, before = [], None
        while page := ended(conn, "acme", before=before, limit=4):
            pages.append(page)
            before = page[-1]
        assert [len(page) for page in pages] == [4, 4, 4, 2]
        assert [row for page in pages for row in page] == whole


def test_only_what_goes_on_is_at_work_with_how_often_it_changed(store: Store) -> None:
    run = add(store, 1, RunState.RUNNING, 0)
    add(store, 2, RunState.FAILED, 0)
    add(store, 3, RunState.RUNNING, 0, "beta")
    with store.begin() as conn:
        save_run(conn, Stored(run, 1), replace(run, problem="x"))
    with store.read() as conn:
        assert moves_at_work(conn, "acme") == {"run-000001": 2}
        assert runs_named(conn, "acme", ["run-000001", "run-000003"]) == {"run-000001": (2, replace(run, problem="x"))}
        assert approvals_awaited(conn, "acme") == set()
        assert action_states(conn, "acme", ["none"]) == {}
