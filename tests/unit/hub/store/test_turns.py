"""One wish, proposed by many at the same moment, is one action: on both engines, by threads and by processes."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from nightdesk.autonomy.actions import Action, ActionState, Journal, StaleActionError
from nightdesk.autonomy.ledger import Ledger
from nightdesk.autonomy.proposals import Approval, Proposals
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import CASE_TIME

FAMILY = "host.isolate"
HOSTS = [f"ws-{number:04}" for number in range(25)]
WORKERS = 6
PATIENCE = 60.0  # seconds that a test that hangs is given


def _proposals(store: Store) -> Proposals:
    return Proposals(Ledger(SqlJournal(store), lambda: CASE_TIME), default_lease=timedelta(hours=4))


def _propose(proposals: Proposals, host: str, case_id: str = "case-1", verb: str = FAMILY) -> Action:
    target = Target.parse(f"host:{host}")
    return proposals.propose(
        "acme", verb, target, requested_by="ann", approval=Approval.DIRECT, case_id=case_id, reason="a test"
    )


def _together(barrier: Barrier, store: Store, number: int, case_of: Callable[[int], str]) -> list[str]:
    """Every host's wish, each at the same moment as the other workers'."""
    proposals, made = _proposals(store), []
    for host in HOSTS:
        barrier.wait(PATIENCE)
        made.append(_propose(proposals, host, case_of(number)).action_id)
    return made


def _by_threads(store: Store, case_of: Callable[[int], str]) -> list[list[str]]:
    barrier = Barrier(WORKERS)
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda number: _together(barrier, store, number, case_of), range(WORKERS)))


def _standing(store: Store, host: str) -> list[Action]:
    return list(SqlJournal(store).standing("acme", f"host:{host}", FAMILY))


def test_equal_wishes_of_many_threads_are_one_action_each(store: Store) -> None:
    made = _by_threads(store, lambda _: "case-1")
    for host, ids in zip(HOSTS, zip(*made, strict=True), strict=True):
        (action,) = _standing(store, host)
        assert set(ids) == {action.action_id}
        assert (action.generation, action.state) == (1, ActionState.APPROVED)
        states = [line.state for line in SqlJournal(store).history("acme", action.action_id)]
        assert states == [ActionState.PROPOSED, ActionState.APPROVED], "started once, whoever came first"


def test_wishes_of_different_cases_are_an_action_each_and_a_generation_each(store: Store) -> None:
    _by_threads(store, lambda number: f"case-{number}")
    for host in HOSTS:
        actions = _standing(store, host)
        assert sorted(action.case_id for action in actions) == [f"case-{number}" for number in range(WORKERS)]
        assert sorted(action.generation for action in actions) == list(range(1, WORKERS + 1))


def _process(url: str, barrier: Barrier) -> None:
    store = Store.open(url)
    try:
        _together(barrier, store, 0, lambda _: "case-1")
    finally:
        store.close()


def test_equal_wishes_of_many_processes_are_one_action_each(
    store_url: str, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.syspath_prepend(str(pytestconfig.rootpath))  # a spawned process looks this module up by its name
    store = Store.open(store_url)
    try:
        spawn = multiprocessing.get_context("spawn")
        barrier = spawn.Barrier(2)
        workers = [spawn.Process(target=_process, args=(store_url, barrier)) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(PATIENCE * 2)
        assert [worker.exitcode for worker in workers] == [0, 0]
        assert [len(_standing(store, host)) for host in HOSTS] == [1] * len(HOSTS)
    finally:
        store.close()


def test_two_engines_that_see_an_effect_ended_repeat_it_once(store: Store) -> None:
    proposals, journal = _proposals(store), SqlJournal(store)
    ended = [_in_force(journal, _propose(proposals, host)) for host in HOSTS]
    barrier = Barrier(WORKERS)

    def work(_: int) -> list[str]:
        mine, made = _proposals(store), []
        for action in ended:
            barrier.wait(PATIENCE)
            made.append(mine.repeat(action, "a late effect ended it").action_id)
        return made

    with ThreadPoolExecutor(WORKERS) as pool:
        repeated = list(pool.map(work, range(WORKERS)))
    for action, ids in zip(ended, zip(*repeated, strict=True), strict=True):
        first, second = _standing(store, action.target.value)
        assert (first.action_id, second.generation) == (action.action_id, 2)
        assert set(ids) == {second.action_id}


def _race(store: Store, sent_by: Callable[[int, int], Action]) -> list[int]:
    """For each host, how many of the workers' requests may leave when all set out at the same moment."""
    barrier = Barrier(WORKERS)

    def work(number: int) -> list[bool]:
        ledger, left = Ledger(SqlJournal(store), lambda: CASE_TIME), []
        for host in range(len(HOSTS)):
            action = sent_by(host, number)
            barrier.wait(PATIENCE)
            try:
                ledger.set_out(
                    action, ActionState.REQUESTED, result={"attempts": int(action.result.get("attempts", 0)) + 1}
                )
            except StaleActionError:
                left.append(False)
            else:
                left.append(True)
        return left

    with ThreadPoolExecutor(WORKERS) as pool:
        return [sum(each) for each in zip(*pool.map(work, range(WORKERS)), strict=True)]


def test_of_one_targets_wishes_one_request_leaves_whoever_sends_it(store: Store) -> None:
    """Law 4: one change in flight for each target, also where a command works beside the hub that runs."""
    wishes = [[_propose(_proposals(store), host, f"case-{number}") for number in range(WORKERS)] for host in HOSTS]
    assert _race(store, lambda host, number: wishes[host][number]) == [1] * len(HOSTS)


def test_a_request_that_is_asked_again_leaves_once_whoever_asks(store: Store) -> None:
    """All see the same lost request and the state stays *requested*: what was read of it is no longer so."""
    ledger = Ledger(SqlJournal(store), lambda: CASE_TIME)
    lost = [ledger.set_out(_propose(_proposals(store), host), ActionState.REQUESTED, result={"attempts": 1})
            for host in HOSTS]  # fmt: skip
    assert _race(store, lambda host, _: lost[host]) == [1] * len(HOSTS)
    assert {int(_standing(store, host)[0].result["attempts"]) for host in HOSTS} == {2}


def test_what_two_processes_note_of_an_action_is_not_lost(store: Store) -> None:
    ledger = Ledger(SqlJournal(store), lambda: CASE_TIME)
    seen = ledger.set_out(_propose(_proposals(store), "ws-0001"), ActionState.REQUESTED, result={"attempts": 1})
    ledger.move(seen, ActionState.REQUESTED, result={"stop": True})
    with pytest.raises(StaleActionError, match="added to meanwhile"):
        ledger.move(seen, ActionState.REQUESTED, result={"held": "the switch"})


def _in_force(journal: Journal, action: Action) -> Action:
    for state in (ActionState.REQUESTED, ActionState.ACCEPTED, ActionState.EFFECTIVE):
        action = journal.move(action, state, at=CASE_TIME, actor="engine", detail={})
    return action


def test_a_repeat_that_came_to_nothing_is_made_again(store: Store) -> None:
    proposals, journal = _proposals(store), SqlJournal(store)
    action = _in_force(journal, _propose(proposals, "ws-0001"))
    first = proposals.repeat(action, "handed over")
    proposals.cancel(first, "ann")
    second = proposals.repeat(action, "handed over")
    assert (first.generation, second.generation) == (2, 3)


def test_what_breaks_in_a_turn_leaves_nothing_and_frees_it(store: Store) -> None:
    journal = SqlJournal(store)
    draft = _propose(_proposals(store), "ws-0001")

    def breaks(inner: Journal) -> None:
        inner.create(replace(draft, action_id="act-lost", idempotency_key="another"), actor="ann")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        journal.in_turn("acme", breaks)
    assert journal.get("acme", "act-lost") is None
    assert journal.in_turn("acme", lambda inner: inner.next_generation("acme", "host:ws-0001", FAMILY)) == 2


@pytest.mark.postgresql
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_another_tenant_waits_for_nobody(store: Store) -> None:
    """While one tenant's turn is taken, and not given back before the other is through."""
    done = threading.Event()

    def other() -> None:
        proposals = _proposals(store)
        proposals.propose("zeta", FAMILY, Target.parse("host:ws-0001"), requested_by="zoe", approval="direct")
        done.set()

    thread = threading.Thread(target=other)

    def work(_: Journal) -> bool:
        thread.start()
        return done.wait(PATIENCE)

    assert SqlJournal(store).in_turn("acme", work)
    thread.join()
