"""What the hub writes to a vendor's alert comes back as a new version of it, and that must be the end of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.hubs import REGISTRY, working

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.engine import Approval
from nightdesk.hub.hub import Hub
from nightdesk.hub.store.ledger import ledger
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import an_alert
from nightdesk.sdk.verbs import TargetKind

_CLOSE = "alert.set_disposition"
_BOTH_WAYS = sorted(name for name, one in REGISTRY.manifests.items() if one.pulls and _CLOSE in one.writes_back)


@pytest.mark.parametrize("vendor", _BOTH_WAYS)
def test_an_alert_that_the_hub_closes_does_not_go_round_in_circles(vendor: str, tmp_path: Path) -> None:
    time = FakeTime()
    simulator = REGISTRY.simulator(vendor)(clock=time.clock)
    native_id = simulator.add(an_alert(time, "ping"))
    with working(tmp_path, simulator, time) as hub:
        states = asyncio.run(_rounds(hub, native_id, time))
    assert simulator.alert_state(native_id)["status"] == "closed"
    assert states[-1] == states[-2] == states[-3], f"something goes on: {states}"


async def _rounds(hub: Hub, native_id: str, time: FakeTime) -> list[Any]:
    """What was received and done after each of eight rounds; the alert is closed in the second."""
    states = []
    try:
        for number in range(8):
            await hub.once()
            if number == 1:
                hub.engine.propose(
                    "acme", _CLOSE, Target(TargetKind.ALERT, native_id), requested_by="ann", approval=Approval.DIRECT,
                    source_instance="main", parameters={"status": "closed", "disposition": "false-positive"},
                    accept_losses=("disposition",),
                )  # fmt: skip
            time.advance(61)
            states.append(_state(hub))
    finally:
        await hub.bindings.aclose()
    return states


def _state(hub: Hub) -> Any:
    with hub.store.read() as conn:
        received = sum(row.received - row.duplicate for row in ledger(conn, "acme"))
    actions = hub.journal.in_state(list(ActionState), tenant="acme")
    return received, sorted((one.verb, str(one.state)) for one in actions)
