"""The action journal: one life at a time, moved by one hand at a time, never forgotten."""

import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from nightdesk.autonomy.actions import FOLLOWS, Action, ActionState, Journal, StaleActionError
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal, create_in
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import CASE_TIME

S = ActionState
HOUR = timedelta(hours=1)


def stop(_: object) -> None:
    raise ZeroDivisionError


def an_action(action_id: str = "action-1", **changes: Any) -> Action:
    facts: dict[str, Any] = {
        "tenant": "acme",
        "verb": "host.isolate",
        "target": Target.parse("host:ws-0042"),
        "generation": 1,
        "idempotency_key": f"key of {action_id}",
        "state": S.PROPOSED,
        "created_at": CASE_TIME,
        "updated_at": CASE_TIME,
        "case_id": "case-1",
    }
    return Action(action_id=action_id, **{**facts, **changes})


def walk(journal: Journal, action: Action, *states: ActionState, **changes: Any) -> Action:
    for state in states:
        action = journal.move(action, state, at=CASE_TIME, actor="engine", detail={}, **changes)
    return action


@pytest.fixture
def journal(store: Store) -> SqlJournal:
    return SqlJournal(store)


def test_it_is_the_journal_that_the_engine_asks_for(store: Store) -> None:
    journal: Journal = SqlJournal(store)
    assert journal.get("acme", "missing") is None


def test_a_new_action_is_there_with_its_first_line(journal: SqlJournal) -> None:
    action = an_action(parameters={"mode": "full", "id": 2**70})
    assert journal.create(action, actor="alice") == action
    assert journal.get("acme", "action-1") == action
    (line,) = journal.history("acme", "action-1")
    assert (line.seq, line.state, line.actor, line.at, line.detail) == (1, S.PROPOSED, "alice", CASE_TIME, {})


def test_the_same_idempotency_key_gives_the_action_that_is_there(journal: SqlJournal) -> None:
    first = journal.create(an_action(), actor="alice")
    moved = walk(journal, first, S.APPROVED)
    assert journal.create(an_action("action-2", idempotency_key=first.idempotency_key), actor="bob") == moved
    assert journal.get("acme", "action-2") is None
    assert len(journal.history("acme", "action-1")) == 2


def test_what_two_may_add_to_at_once_is_taken_from_one_at_a_time(journal: SqlJournal) -> None:
    """Two votes read the same state: the second is told that it must look again, and the first is not lost."""
    waiting = walk(journal, journal.create(an_action(), actor="alice"), S.AWAITING_APPROVAL)
    facts: dict[str, Any] = {"at": CASE_TIME, "detail": {}, "seen": {"result": waiting.result}}
    first = journal.move(waiting, waiting.state, actor="bob", result={"votes": ["bob"]}, **facts)
    with pytest.raises(StaleActionError, match="added to"):
        journal.move(waiting, waiting.state, actor="carol", result={"votes": ["carol"]}, **facts)
    kept = journal.get("acme", "action-1")
    assert kept == first
    both = {"votes": ["bob", "carol"]}
    journal.move(first, S.APPROVED, **{**facts, "seen": {"result": first.result}}, actor="carol", result=both)
    assert [line.actor for line in journal.history("acme", "action-1")] == ["alice", "engine", "bob", "carol"]


def test_a_move_changes_the_action_and_adds_a_line(journal: SqlJournal) -> None:
    action = walk(journal, journal.create(an_action(), actor="alice"), S.APPROVED)
    at = CASE_TIME + HOUR
    moved = journal.move(
        action, S.REQUESTED, at=at, actor="engine", detail={"request": "r-1"}, requested_at=at, pre_state={"on": True}
    )
    assert moved == replace(action, state=S.REQUESTED, updated_at=at, requested_at=at, pre_state={"on": True})
    assert journal.get("acme", "action-1") == moved
    assert [(line.seq, line.state, line.detail) for line in journal.history("acme", "action-1")] == [
        (1, S.PROPOSED, {}),
        (2, S.APPROVED, {}),
        (3, S.REQUESTED, {"request": "r-1"}),
    ]


@pytest.mark.parametrize("state", list(S))
def test_only_what_may_follow_follows(journal: SqlJournal, state: ActionState) -> None:
    for number, to in enumerate(S):
        action = journal.create(an_action(f"action-{number}", state=state), actor="alice")
        if to in FOLLOWS[state] or to == state:
            assert walk(journal, action, to).state == to
        else:
            with pytest.raises(StaleActionError, match=f"{to} does not follow {state}"):
                walk(journal, action, to)
            assert journal.get("acme", action.action_id) == action


def test_a_move_from_a_state_that_is_over_is_refused_and_leaves_no_line(journal: SqlJournal) -> None:
    stale = journal.create(an_action(), actor="alice")
    walk(journal, stale, S.APPROVED)
    with pytest.raises(StaleActionError, match="is approved by now, not proposed: read it again"):
        walk(journal, stale, S.REJECTED)
    assert len(journal.history("acme", "action-1")) == 2


def test_a_move_of_an_action_that_is_not_there_is_refused(journal: SqlJournal) -> None:
    journal.create(an_action(), actor="alice")
    with pytest.raises(StaleActionError, match="action-1 of zeta is not in the journal"):
        walk(journal, an_action(tenant="zeta"), S.APPROVED)


def test_progress_in_the_same_state_adds_to_what_others_noted(journal: SqlJournal) -> None:
    action = walk(journal, journal.create(an_action(), actor="a"), S.APPROVED, S.REQUESTED, S.PENDING)
    walk(journal, action, S.PENDING, result={"seen": 1})
    both = walk(journal, action, S.PENDING, native_id="n-1")
    assert (both.result, both.native_id) == ({"seen": 1}, "n-1")
    assert [line.state for line in journal.history("acme", "action-1")][-2:] == [S.PENDING, S.PENDING]


def test_what_an_action_is_never_changes(journal: SqlJournal) -> None:
    action = journal.create(an_action(), actor="alice")
    with pytest.raises(ValueError, match="generation, verb of an action never change"):
        walk(journal, action, S.APPROVED, verb="host.release", generation=9)
    with pytest.raises(TypeError):
        walk(journal, action, S.APPROVED, no_such_field=1)
    assert journal.get("acme", "action-1") == action


def test_of_many_hands_that_move_at_once_one_succeeds(store: Store) -> None:
    journal = SqlJournal(store)
    action = journal.create(an_action(), actor="alice")
    start = threading.Barrier(6)
    outcomes: list[str] = []

    def work(name: str) -> None:
        start.wait()
        try:
            journal.move(action, S.APPROVED, at=CASE_TIME, actor=name, detail={}, approved_by=name)
            outcomes.append(name)
        except StaleActionError:
            outcomes.append("stale")

    threads = [threading.Thread(target=work, args=(f"person-{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [name for name in outcomes if name != "stale"]
    moved = journal.get("acme", "action-1")
    assert moved is not None
    assert moved.approved_by == winner
    assert [line.actor for line in journal.history("acme", "action-1")] == ["alice", winner]


CHILD = """
import sys
from datetime import UTC, datetime
from nightdesk.autonomy.actions import ActionState, StaleActionError
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal

journal = SqlJournal(Store.open(sys.argv[1]))
actions = [journal.get("acme", f"action-{number}") for number in range(20)]
print("ready", flush=True)
sys.stdin.readline()
won = 0
for action in actions:
    try:
        journal.move(action, ActionState.APPROVED, at=datetime.now(UTC), actor=sys.argv[2], detail={})
        won += 1
    except StaleActionError:
        pass
print(won, flush=True)
"""


@pytest.mark.slow
def test_of_several_processes_each_move_is_won_by_one(store_url: str) -> None:
    store = Store.open(store_url)
    journal = SqlJournal(store)
    for number in range(20):
        journal.create(an_action(f"action-{number}"), actor="alice")
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, store_url, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two", "three")
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    won = [int(child.communicate()[0]) for child in children]
    assert sum(won) == 20
    assert all(len(journal.history("acme", f"action-{number}")) == 2 for number in range(20))
    store.close()


def test_generations_count_by_target_and_family(journal: SqlJournal) -> None:
    assert journal.next_generation("acme", "host:ws-0042", "host.isolate") == 1
    journal.create(an_action(generation=4), actor="alice")
    journal.create(an_action("action-2", verb="host.release", generation=5), actor="alice")
    assert journal.next_generation("acme", "host:ws-0042", "host.isolate") == 6
    assert journal.next_generation("acme", "host:ws-0042", "host.scan") == 1
    assert journal.next_generation("acme", "host:other", "host.isolate") == 1
    assert journal.next_generation("zeta", "host:ws-0042", "host.isolate") == 1


def test_what_stands_on_a_target_is_what_is_not_over(journal: SqlJournal) -> None:
    for number, state in enumerate(S):
        journal.create(an_action(f"action-{number}", state=state), actor="alice")
    journal.create(an_action("other-verb", verb="host.scan"), actor="alice")
    standing = [action.state for action in journal.standing("acme", "host:ws-0042", "host.isolate")]
    assert standing == [state for state in S if FOLLOWS[state]]
    assert journal.standing("zeta", "host:ws-0042", "host.isolate") == []


def test_the_work_list_is_oldest_first_and_of_all_tenants(journal: SqlJournal) -> None:
    journal.create(an_action("new", created_at=CASE_TIME + HOUR), actor="a")
    journal.create(an_action("old"), actor="a")
    journal.create(an_action("theirs", tenant="zeta", created_at=CASE_TIME + HOUR / 2, state=S.APPROVED), actor="a")
    journal.create(an_action("over", state=S.FAILED), actor="a")
    assert [action.action_id for action in journal.in_state([S.PROPOSED, S.APPROVED])] == ["old", "theirs", "new"]
    assert [action.action_id for action in journal.in_state([S.PROPOSED, S.APPROVED], tenant="zeta")] == ["theirs"]
    assert [action.action_id for action in journal.in_state([S.FAILED, S.APPROVED])] == ["over", "theirs"]
    assert journal.in_state([]) == []


def test_leases_are_due_when_their_time_has_come(journal: SqlJournal) -> None:
    states = {"leased": S.LEASED, "renewed": S.RENEWED, "effective": S.EFFECTIVE, "undone": S.UNDONE}
    for name, state in states.items():
        journal.create(an_action(name, state=state, lease_until=CASE_TIME + HOUR), actor="a")
    journal.create(an_action("endless", state=S.LEASED), actor="a")
    assert journal.leases_due(CASE_TIME + HOUR - timedelta(microseconds=1)) == []
    due = journal.leases_due(CASE_TIME + HOUR)
    assert [action.action_id for action in due] == ["leased", "renewed"]
    walk(journal, due[0], S.RENEWED, lease_until=CASE_TIME + 9 * HOUR)
    assert [action.action_id for action in journal.leases_due(CASE_TIME + HOUR)] == ["renewed"]


def test_a_case_shows_its_actions_oldest_first(journal: SqlJournal) -> None:
    for name in ("b", "a"):
        journal.create(an_action(name), actor="a")
    journal.create(an_action("other", case_id="case-2"), actor="a")
    journal.create(an_action("theirs", tenant="zeta"), actor="a")
    assert [action.action_id for action in journal.of_case("acme", "case-1")] == ["b", "a"]


def test_two_tenants_with_equal_ids_and_keys_do_not_meet(journal: SqlJournal) -> None:
    ours = journal.create(an_action(), actor="alice")
    theirs = journal.create(an_action(tenant="zeta"), actor="zoe")
    walk(journal, ours, S.APPROVED)
    assert journal.get("zeta", "action-1") == theirs
    assert [line.actor for line in journal.history("zeta", "action-1")] == ["zoe"]


def test_an_action_stands_or_falls_with_the_transaction_it_was_made_in(store: Store) -> None:
    journal = SqlJournal(store)
    with pytest.raises(ZeroDivisionError), store.begin() as conn:
        stop(create_in(conn, an_action(), actor="alice"))
    assert journal.get("acme", "action-1") is None
    with store.begin() as conn:
        create_in(conn, an_action(), actor="alice")
    assert journal.get("acme", "action-1") == an_action()


def test_the_work_list_and_the_leases_use_their_partial_indexes(tmp_path: object) -> None:
    """A million actions that are over must not be read to find the ten that are not."""
    store = Store.open(f"sqlite:///{tmp_path}/nightdesk.db")
    seen: list[str] = []
    with store.read() as conn:
        for condition in (
            "state IN ('approved') AND state NOT IN ('cancelled', 'failed', 'rejected', 'undone')",
            "state IN ('leased', 'renewed') AND lease_until <= 'x'",
        ):
            plan = conn.execute(text(f"EXPLAIN QUERY PLAN SELECT body FROM action WHERE {condition}")).all()
            seen.append(" ".join(str(row) for row in plan))
    store.close()
    assert "USING INDEX action_live" in seen[0]
    assert "USING INDEX action_lease" in seen[1]
