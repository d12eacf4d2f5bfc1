import asyncio

import pytest
from tests.hubs import REGISTRY

from nightdesk.hub.setup import starter_policy
from nightdesk.hub.swap.recorded import bundled
from nightdesk.hub.swap.turn import Turn, take_turn

_EDRS = ["crowdstrike_falcon", "elastic_security"]  # of the first wave; the matrix asks all of them


@pytest.fixture(scope="module", params=_EDRS)
def turn(request: pytest.FixtureRequest) -> Turn:
    cases, policy = bundled("edr").cases, starter_policy("demo")
    return asyncio.run(take_turn(REGISTRY, request.param, "edr", cases, policy))


def test_every_alert_told_arrives_and_is_decided_under_the_policy(turn: Turn) -> None:
    assert [(seen.told, seen.arrived) for seen in turn.seen] == [(2, 2), (1, 1), (1, 1)]
    assert turn.seen[0].decisions == ("propose_containment true-positive: host.isolate host:ws-0142",)
    assert {"host:ws-0142", "technique:T1486"} <= turn.seen[0].facts
    assert turn.problems == ()


def test_every_deed_that_is_offered_is_done_read_back_and_undone(turn: Turn) -> None:
    declared = REGISTRY.manifests[turn.vendor].acts
    assert [deed.verb for deed in turn.deeds if deed.offered] == [
        deed.verb for deed in turn.deeds if deed.verb in declared
    ]
    for deed in turn.deeds:
        if deed.offered and declared[deed.verb].read_back:
            assert deed.effective, deed
            assert deed.undone in {True, None}
            assert deed.requests > 0


def test_a_mode_that_the_vendor_lacks_is_a_named_loss(turn: Turn) -> None:
    selective = next(deed for deed in turn.deeds if deed.target == "host:fs-0120" and deed.verb == "host.isolate")
    assert any("mode" in loss for loss in selective.losses)
