"""Many workers and one command: on either engine there is one action, and everybody is told of that one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.hubs import REGISTRY, together
from tests.openc2 import EDR, bound_tenants

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.openc2.message import Command, read_command
from nightdesk.autonomy.openc2.states import Response, Status
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.openc2.consumer import Consumer
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SOAR = Principal("acme", "soar", Role.SERVICE)
ANN = Principal("acme", "ann", Role.APPROVER)


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def consumer(store: Store, tmp_path: Path, calls: list[str]) -> Consumer:
    simulator = REGISTRY.simulator(EDR)()
    settings = together(*bound_tenants(tmp_path, simulator, "http://127.0.0.1:9"))

    def call(action: Action, _: str) -> None:
        calls.append(action.action_id)

    return Consumer(settings, store, lambda: NOW, call)


def _isolate(command_id: str, **more: object) -> Command:
    target = {"device": {"hostname": "ws-0001"}}
    return read_command({"action": "contain", "target": target, "command_id": command_id, **more})


def _at_once(work: Callable[[int], Response]) -> list[Response]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, range(16)))


def _actions(store: Store) -> list[Action]:
    return list(SqlJournal(store).standing("acme", "host:ws-0001", "host.isolate"))


def test_one_command_sent_by_many_is_one_action(consumer: Consumer, store: Store, calls: list[str]) -> None:
    told = _at_once(lambda _: consumer.answer(SOAR, _isolate("c-1"), "r"))
    (action,) = _actions(store)
    assert {one.results["x-nightdesk"]["action_id"] for one in told} == {action.action_id}
    assert calls == [action.action_id], "the person is called once"


def test_one_wish_in_many_commands_is_one_action(consumer: Consumer, store: Store) -> None:
    told = _at_once(lambda number: consumer.answer(ANN, _isolate(f"c-{number}"), "r"))
    (action,) = _actions(store)
    assert {one.results["x-nightdesk"]["action_id"] for one in told} == {action.action_id}
    assert {one.results["x-nightdesk"]["command_id"] for one in told} == {f"c-{number}" for number in range(16)}
    for number in range(16):
        assert consumer.state(ANN, f"c-{number}").status is Status.PROCESSING


def test_the_moment_of_the_end_stands_with_the_action(consumer: Consumer, store: Store) -> None:
    stop = int(NOW.timestamp() * 1000) + 60_000
    consumer.answer(ANN, _isolate("c-1", args={"stop_time": stop}), "r")
    (action,) = _actions(store)
    assert (action.result["stop_at"], action.result["lease_seconds"]) == ("2026-11-01T12:01:00+00:00", 60.0)
