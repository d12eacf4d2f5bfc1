"""Law 4 for playbooks: whatever is killed, and wherever, the run goes on and nothing is done twice."""

import json
from pathlib import Path

import pytest
from tests import killed
from tests.killed_playbook import CASE, HOSTS

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.playbooks.run import RunState
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.playbooks import runs


def _check(folder: Path) -> None:
    orders = [json.loads(line) for line in (folder / "vendor.jsonl").read_text().splitlines()]
    assert sorted(order["device"] for order in orders) == [f"dev-{number}" for number in range(HOSTS)]
    store = Store.open(f"sqlite:///{folder / 'journal.db'}")
    try:
        with store.read() as conn:
            (run,) = runs(conn, "acme")
        actions = SqlJournal(store).of_case("acme", CASE)
    finally:
        store.close()
    assert run.state is RunState.COMPLETED
    assert [visit.name for visit in run.visits if visit.outcome == "answered"] == ["look"]
    assert [action.state for action in actions] == [ActionState.EFFECTIVE] * HOSTS
    assert set(run.actions) == {action.action_id for action in actions}
    assert len({action.decision_id for action in actions}) == HOSTS


def test_a_process_that_is_killed_again_and_again_loses_and_repeats_nothing(tmp_path: Path) -> None:
    killed.die_again_and_again("killed_playbook.py", tmp_path, (2, 5, 9, 14, 6))
    _check(tmp_path)


@pytest.mark.slow
def test_a_process_that_is_killed_at_any_boundary_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """One life killed at each boundary there is, and one that goes on from there."""
    for folder in killed.die_everywhere("killed_playbook.py", tmp_path):
        _check(folder)
