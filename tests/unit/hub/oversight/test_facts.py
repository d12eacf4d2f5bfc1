"""What containments of the last month count for, with the word of a second source where there is one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.levels.standing import Facts, Standing
from nightdesk.autonomy.levels.units import Unit
from nightdesk.hub.oversight.facts import Surroundings
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import CASE_TIME

UNIT = Unit.parse("acme", "acme_edr/rule-1", "contain-host")
S = ActionState
SEEN = {"verdict": "confirmed", "over": True}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/nightdesk.db", synchronous="NORMAL")
    yield opened
    opened.close()


def _drilled(store: Store, number: int, *, witness: dict[str, Any] | None = None, to: ActionState = S.UNDONE) -> None:
    journal, host = SqlJournal(store), Target.parse(f"host:ws-{number:04}")
    action = Action("acme", f"act-{number}", "host.isolate", host, 1, f"key-{number}", S.PROPOSED, CASE_TIME, CASE_TIME)
    action = journal.create(action, actor="ann")
    way = [S.APPROVED, S.REQUESTED, S.ACCEPTED, S.EFFECTIVE, S.UNDO_REQUESTED, S.UNDONE]
    if to is S.UNVERIFIED:
        way = [*way[:3], S.UNVERIFIED]
    for state in way:
        changes: dict[str, Any] = {"effective_at": CASE_TIME} if state is S.EFFECTIVE else {}
        if state is S.EFFECTIVE and witness is not None:
            changes["result"] = {"witness": witness}
        action = journal.move(action, state, at=CASE_TIME, actor="engine", detail={}, **changes)


def _facts(store: Store) -> Facts:
    with store.read() as conn:
        return Surroundings().facts(conn, Standing(UNIT), CASE_TIME + timedelta(days=1))


def test_a_drill_counts_when_it_was_read_back_and_undone(store: Store) -> None:
    for number in range(3):
        _drilled(store, number)
    _drilled(store, 3, to=S.UNVERIFIED)
    found = _facts(store)
    assert (found.drills, found.verified, found.undone) == (3, 0.75, 1.0)


@pytest.mark.parametrize(
    ("witness", "drills", "verified"),
    [
        (SEEN, 2, 1.0),
        ({"verdict": "silent", "over": True}, 2, 1.0),
        ({"verdict": "blind", "over": True}, 1, 1.0),  # neither a success nor a failure
        ({"verdict": "silent", "over": False}, 1, 1.0),  # still looked at
        ({"verdict": "doubtful", "over": True}, 1, 0.5),
    ],
)
def test_a_second_source_has_its_word_in_what_counts(
    store: Store, witness: dict[str, Any], drills: int, verified: float
) -> None:
    _drilled(store, 0, witness=SEEN)
    _drilled(store, 1, witness=witness)
    found = _facts(store)
    assert (found.drills, found.verified, found.undone) == (drills, verified, 1.0)
