"""Law 4 for playbooks that a rule starts: whatever is killed, and wherever, there is one run and no effect twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.killed_rule import ALERTS, CASE, HOSTS

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.playbooks.run import RunState
from nightdesk.hub.store import Store, decisions
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.playbooks import runs

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "killed_rule.py"


def _live(folder: Path, boundary: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), str(boundary)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        timeout=120,
        check=False,
        capture_output=True,
        text=True,
    )


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
    deaths = 0
    for boundary in (5, 6, 8, 14, 20):
        deaths += _live(tmp_path, boundary).returncode == -signal.SIGKILL
    assert deaths >= 4
    ended = _live(tmp_path, 0)
    assert ended.returncode == 0, ended.stderr
    _check(tmp_path)


@pytest.mark.slow
def test_a_process_that_is_killed_at_any_boundary_starts_it_once(tmp_path: Path) -> None:
    """One life killed at each boundary there is, and one that goes on from there."""
    (tmp_path / "whole").mkdir()
    whole = _live(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    _check(tmp_path / "whole")
    count = int(whole.stdout.split()[-1])
    assert count > 50
    for boundary in range(1, count):
        folder = tmp_path / str(boundary)
        folder.mkdir()
        assert _live(folder, boundary).returncode in {-signal.SIGKILL, 0}
        ended = _live(folder, 0)
        assert ended.returncode == 0, (boundary, ended.stderr)
        _check(folder)
