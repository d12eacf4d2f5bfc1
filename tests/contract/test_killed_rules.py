"""Law 4 for playbooks that a rule starts: whatever is killed, and wherever, there is one run and no effect twice."""

import json
from pathlib import Path

import pytest
from tests import killed
from tests.killed_rule import ALERTS, CASE, HOSTS

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.playbooks.run import RunState
from nightdesk.hub.store import Store, decisions
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.playbooks import runs


def _check(folder: Path) -> None:
    orders = [json.loads(line) for line in (folder / "vendor.jsonl").read_text().splitlines()]
    assert sorted(order["device"] for order in orders) == [f"dev-{number}" for number in range(HOSTS)]
    store = Store.open(f"sqlite:///{folder / 'journal.db'}")
    try:
        with store.read() as conn:
            (run,) = runs(conn, "acme")
            made = decisions.decisions(conn, "acme", CASE)
            assert decisions.verify_decisions(conn, "acme") == []
        actions = SqlJournal(store).of_case("acme", CASE)
    finally:
        store.close()
    assert run.state is RunState.COMPLETED
    assert run.mandate is not None
    assert (run.mandate.decision_id, run.mandate.rules) == (f"{CASE}-001", ("worm",))
    assert len(made) == ALERTS
    assert all(one.starts == made[0].starts for one in made), "the second wants the same, and finds it done"
    assert len(made[0].starts) == 1
    assert [action.state for action in actions] == [ActionState.LEASED] * HOSTS
    assert set(run.actions) == {action.action_id for action in actions}


def test_a_process_that_is_killed_again_and_again_starts_it_once(tmp_path: Path) -> None:
    killed.die_again_and_again("killed_rule.py", tmp_path, (5, 6, 8, 14, 20))
    _check(tmp_path)


@pytest.mark.slow
def test_a_process_that_is_killed_at_any_boundary_starts_it_once(tmp_path: Path) -> None:
    """One life killed at each boundary there is, and one that goes on from there."""
    for folder in killed.die_everywhere("killed_rule.py", tmp_path):
        _check(folder)
