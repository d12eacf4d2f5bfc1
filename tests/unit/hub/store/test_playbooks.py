from datetime import UTC, datetime
from typing import Any

import pytest
from tests.playbooks import a_playbook, do, end, isolate, start

from nightdesk.autonomy.playbooks.interpreter import advance
from nightdesk.autonomy.playbooks.run import Run, Stopped
from nightdesk.autonomy.playbooks.standing import begin
from nightdesk.hub.store import Store
from nightdesk.hub.store.playbooks import StaleRunError, add_run, new_run_id, run_of, running, runs, save_run

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
BOOK = a_playbook({"start": start("a"), "a": do(isolate(), on_completion="z"), "z": end()})


def _run(store: Store, tenant: str = "acme", case_id: str = "case-1") -> Run:
    with store.begin() as conn:
        run_id = new_run_id(conn, tenant)
        facts: dict[str, Any] = {"tenant": tenant, "run_id": run_id, "case_id": case_id, "started_by": "ann"}
        run = begin(BOOK, {}, **facts, variables={"__x__": "ü\u0000\ud800"}, now=NOW)
        add_run(conn, run)
    return run


def test_a_run_is_read_as_it_was_stored(store: Store) -> None:
    run = _run(store)
    with store.read() as conn:
        found = run_of(conn, "acme", run.run_id)
        assert found is not None
        assert found.run == run
        assert run_of(conn, "other", run.run_id) is None
        assert run_of(conn, "acme", "run-999999") is None


def test_each_tenant_counts_its_own(store: Store) -> None:
    assert [_run(store).run_id, _run(store).run_id, _run(store, "beta").run_id] == [
        "run-000001",
        "run-000002",
        "run-000001",
    ]


def test_two_workers_never_both_make_a_move(store: Store) -> None:
    run = _run(store)
    with store.read() as conn:
        first = run_of(conn, "acme", run.run_id)
        second = run_of(conn, "acme", run.run_id)
    assert first is not None
    assert second is not None
    moved, _ = advance(run, (), NOW)
    with store.begin() as conn:
        again = save_run(conn, first, moved)
    assert again.moves == 2
    with pytest.raises(StaleRunError, match="was changed meanwhile"), store.begin() as conn:
        save_run(conn, second, run)
    with store.read() as conn:
        stored = run_of(conn, "acme", run.run_id)
    assert stored == again


def test_only_what_is_not_over_is_work(store: Store) -> None:
    over, left = _run(store), _run(store, case_id="case-2")
    _run(store, "beta")
    with store.begin() as conn:
        stored = run_of(conn, "acme", over.run_id, to_change=True)
        assert stored is not None
        save_run(conn, stored, advance(over, [Stopped("ann")], NOW)[0])
    with store.read() as conn:
        assert [one.run.run_id for one in running(conn, ["acme"])] == [left.run_id]
        assert len(running(conn, ["acme", "beta"])) == 2
        assert [one.run_id for one in runs(conn, "acme")] == [left.run_id, over.run_id]
        assert [one.run_id for one in runs(conn, "acme", case_id="case-1")] == [over.run_id]
        assert len(runs(conn, "acme", limit=1)) == 1
