import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from tests.hubs import REGISTRY, bind, opened

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.engine import Approval
from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.swap.handover import Handed, Leases, hand_over, open_leases, rebind
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime

_OLD, _NEW = sorted(name for name, one in REGISTRY.manifests.items() if "edr" in one.roles)[:2]
_HOST = Target.parse("host:ws-0042")
_DEVICE = StoryDevice("dev-1", "WS-0042", ("192.0.2.42",))


@dataclass(frozen=True)
class Estate:
    """A tenant with two EDRs bound, of which the first has the role, and its hub; all in one time."""

    config: Path
    old: Simulator
    new: Simulator
    hub: Hub
    time: FakeTime


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    time = FakeTime()
    old, new = REGISTRY.simulator(_OLD)(clock=time.clock), REGISTRY.simulator(_NEW)(clock=time.clock)
    for simulator in (old, new):
        simulator.add_devices([_DEVICE])
    with serve(old) as one, serve(new) as other:
        config = bind(
            tmp_path, "acme", {"old": (old, one.base_url), "new": (new, other.base_url)}, roles={"edr": "old"}
        )
        with opened(config, time) as hub:
            yield Estate(config, old, new, hub, time)


def _isolate(hub: Hub) -> Action:
    return hub.engine.propose(
        "acme", "host.isolate", _HOST, requested_by="ann", approval=Approval.DIRECT, lease=timedelta(hours=1)
    )


async def _done(hub: Hub, action: Action, time: FakeTime) -> Action:
    for _ in range(200):
        await hub.engine.run_once()
        found = hub.journal.get("acme", action.action_id)
        assert found is not None
        if found.state in {"leased", "failed", "undone"}:
            return found
        await time.sleep(1)
    raise AssertionError(f"{action.action_id} does not settle")


def _restarted(estate: Estate) -> Hub:
    """A hub that has read the configuration anew."""
    settings, time = load_config(estate.config, REGISTRY), estate.time
    return Hub(settings, REGISTRY, estate.hub.store, clock=time.clock, sleep=time.sleep)


async def _commit(estate: Estate, leases: Leases) -> tuple[Action, list[Handed], Hub]:
    hub = estate.hub
    held = await _done(hub, _isolate(hub), estate.time)
    assert held.instance == "old"
    rebind(estate.config, hub.settings, "acme", "edr", "new")
    after = _restarted(estate)
    try:
        held_there = open_leases(after, "acme", "edr", "old")
        handed = await hand_over(after, "acme", held_there, leases, actor="ann", sleep=estate.time.sleep)
    finally:
        await after.bindings.aclose()
        await hub.bindings.aclose()
    return held, handed, after


def _isolated(simulator: Simulator) -> bool:
    simulator.fleet.settle()
    (device,) = simulator.fleet.devices.values()
    return device.isolated


def test_a_lease_is_handed_over_for_what_is_left_of_it_and_taken_back_at_the_old_vendor(estate: Estate) -> None:
    held, (handed,), hub = asyncio.run(_commit(estate, Leases.HAND_OVER))
    successor = hub.journal.get("acme", handed.successor)
    assert (handed.became, handed.problem) == ("handed over", "")
    assert successor is not None
    assert (successor.instance, successor.state, successor.verb) == ("new", "leased", "host.isolate")
    assert successor.lease_until is not None
    assert held.lease_until is not None
    assert abs(successor.lease_until - held.lease_until) < timedelta(seconds=30)
    assert (_isolated(estate.old), _isolated(estate.new)) == (False, True)


def test_closing_takes_it_back_at_the_old_vendor_alone(estate: Estate) -> None:
    _, (handed,), _ = asyncio.run(_commit(estate, Leases.CLOSE))
    assert handed.became == "closed"
    assert (_isolated(estate.old), _isolated(estate.new)) == (False, False)
    assert estate.new.mutations() == []


def test_what_is_kept_is_undone_later_at_the_vendor_that_acted(estate: Estate) -> None:
    async def go() -> Action:
        held, (handed,), _ = await _commit(estate, Leases.KEEP)
        assert handed.became == "kept"
        assert _isolated(estate.old)
        hub = _restarted(estate)
        try:
            await hub.engine.undo(held, actor="ann")
            return await _done(hub, held, estate.time)
        finally:
            await hub.bindings.aclose()

    assert asyncio.run(go()).state == "undone"
    assert (_isolated(estate.old), estate.new.mutations()) == (False, [])


def test_what_the_new_vendor_cannot_take_over_stays_protected_at_the_old_one(estate: Estate) -> None:
    estate.new.fleet.devices.clear()
    _, (handed,), _ = asyncio.run(_commit(estate, Leases.HAND_OVER))
    assert handed.became == "kept"
    assert "0 such hosts" in handed.problem
    assert _isolated(estate.old)


def test_the_file_changes_in_one_word(estate: Estate) -> None:
    before = estate.config.read_text(encoding="utf-8")
    line = rebind(estate.config, estate.hub.settings, "acme", "edr", "new")
    after = estate.config.read_text(encoding="utf-8")
    changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert line == "tenants.acme.roles.edr: old -> new"
    assert [(old.strip(), new.strip()) for old, new in changed] == [("edr: old", "edr: new")]


@pytest.mark.parametrize(
    ("tenant", "role", "instance", "says"),
    [
        ("umbrella", "edr", "new", "umbrella"),
        ("acme", "edr", "third", "old, new"),
        ("acme", "firewall", "new", "offers"),
    ],
)
def test_a_binding_that_makes_no_sense_is_refused_and_changes_nothing(
    estate: Estate, tenant: str, role: str, instance: str, says: str
) -> None:
    before = estate.config.read_bytes()
    with pytest.raises(ConfigError, match=says):
        rebind(estate.config, estate.hub.settings, tenant, role, instance)
    assert estate.config.read_bytes() == before
