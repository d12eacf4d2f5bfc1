"""A canary on the whole way: a real hub, a real simulator on loopback; decided like any alert, and nothing leaves.

Laws 4 and 7, and the design's rule that a canary never causes a vendor's action.
"""

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from tests.edrs import CONTAINING
from tests.hubs import REGISTRY, a_story_alert, balanced, bind, opened

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.oversight.canaries import CanaryState
from nightdesk.autonomy.switches import Word, free
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.hub import Hub
from nightdesk.hub.oversight.planting import Planted, mutated, plant, reveal, shadowed
from nightdesk.hub.store import canaries, queries
from nightdesk.hub.store.schema import inbox_payload
from nightdesk.sdk.case import CaseStatus
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.verbs import TargetKind

VENDOR = "crowdstrike_falcon"
DECOYS = {
    "WS-0001": "WS-DECOY",
    "dev-0001": "dev-decoy",
    "user0001": "decoy",
    "192.0.2.2": "192.0.2.99",
    f"{2:064x}": f"{3:064x}",
}
"""What an attack names that a real case may name too."""
ABE = Principal("acme", "abe", Role.APPROVER)
CLOSING = b"""
policy_id: closing
version: "1"
rules:
  - {id: noise, owner: jane@example.org, when: {rule_name: [UnusualTool, Unusual tool]},
     then: {close: {verdict: benign-positive, at_once: true}}}
"""


@dataclasses.dataclass
class Desk:
    """A hub whose vendor told it of one attack, which is then planted again."""

    hub: Hub
    simulator: Simulator
    time: FakeTime

    def work(self, *, pull: bool = False) -> None:
        async def go() -> None:
            await self.hub.once(pull=pull)
            await self.hub.bindings.aclose()

        asyncio.run(go())

    def payload(self) -> bytes:
        """What the vendor sent of its only alert."""
        with self.hub.store.read() as conn:
            return bytes(conn.execute(inbox_payload.select().where(inbox_payload.c.tenant == "acme")).first().payload)  # type: ignore[union-attr]  # there is one

    def cases(self) -> dict[str, CaseStatus]:
        with self.hub.store.read() as conn:
            return {row.case_id: CaseStatus(row.status) for row in queries.case_list(conn, "acme", limit=100)}

    def actions(self) -> list[Action]:
        return [one for case_id in self.cases() for one in self.hub.journal.of_case("acme", case_id)]

    def plants(self, *, decoy: bool = True) -> Planted:
        payload = self.payload()
        number = orjson.loads(payload)["composite_id"].rpartition("-")[2]
        decoys = DECOYS if decoy else {}
        return plant(
            self.hub.oversight,
            REGISTRY.normalizer(),
            "acme",
            by=ABE,
            connector="main",
            payload=mutated(payload, {number: "4711", **decoys}),
            origin="the incident of May",
        )


@contextmanager
def a_desk(folder: Path, policy: bytes, signers: tuple[str, ...]) -> Iterator[Desk]:
    time = FakeTime()
    simulator = REGISTRY.simulator(VENDOR)(clock=time.clock)
    simulator.add(a_story_alert("known-0001", time.clock(), 1))
    with serve(simulator) as served:
        config = bind(folder, "acme", {"main": (simulator, served.base_url)}, policy=policy, signers=signers)
        with opened(config, time) as hub:
            desk = Desk(hub, simulator, time)
            desk.work(pull=True)
            yield desk


@pytest.fixture
def closing(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path, CLOSING, ("owner",)) as desk:
        yield desk


@pytest.fixture
def containing(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path, CONTAINING, ("owner", "second")) as desk:
        yield desk


def test_a_canary_that_is_closed_is_missed_and_the_vendor_never_hears_of_it(closing: Desk) -> None:
    (before,) = [one for one in closing.actions() if one.requested_at is not None]  # the real one was closed
    heard = len(closing.simulator.mutations())
    planted = closing.plants()
    closing.work()
    assert len(closing.cases()) == 2
    assert len(closing.simulator.mutations()) == heard
    with closing.hub.store.read() as conn:
        found = canaries.canary(conn, "acme", planted.canary.canary_id)
    assert found is not None
    assert (found.state, found.outcome) == (CanaryState.MISSED, "close")
    (action,) = [one for one in closing.actions() if one.action_id != before.action_id]
    assert action.case_id == found.case_id
    assert action.state is ActionState.CANCELLED
    assert "canary" in action.error
    assert action.requested_at is None


def test_a_canary_that_is_contained_is_caught_and_no_host_is_touched(containing: Desk) -> None:
    heard = len(containing.simulator.mutations())
    planted = containing.plants()
    containing.work()
    assert len(containing.simulator.mutations()) == heard
    with containing.hub.store.read() as conn:
        found = canaries.canary(conn, "acme", planted.canary.canary_id)
    assert found is not None
    assert found.state is CanaryState.CAUGHT
    mine = [one for one in containing.actions() if one.case_id == found.case_id]
    assert mine
    assert all(one.requested_at is None for one in mine)


def test_the_decision_about_a_canary_is_the_one_about_the_attack_it_was_made_from(closing: Desk) -> None:
    closing.plants()
    closing.work()
    records = []
    with closing.hub.store.read() as conn:
        for case_id in sorted(closing.cases()):
            page = queries.case_page(conn, "acme", case_id)
            assert page is not None
            records.append(page.decisions[0])
    real, planted = records
    assert (planted.outcome, planted.verdict, planted.reason_code) == (real.outcome, real.verdict, real.reason_code)
    assert [one.name for one in planted.checks] == [one.name for one in real.checks]
    assert "canary" not in str(planted).lower()


def test_an_action_on_what_a_real_alert_names_too_is_not_held_back(containing: Desk) -> None:
    """A canary that joined a real case hinders nobody; what is about the canary alone stays here all the same."""
    containing.plants(decoy=False)
    containing.work()
    assert len(containing.cases()) == 1  # the same host: it joined the real case
    brake = shadowed(containing.hub.store, free)
    with containing.hub.store.read() as conn:
        (one,) = canaries.listed(conn, "acme")
        page = queries.case_page(conn, "acme", one.case_id)
    assert page is not None
    (false,) = [alert for alert in page.case.alerts if alert.alert_id == one.alert_id]
    (isolation,) = [action for action in page.actions if action.verb == "host.isolate"]
    assert brake(isolation).word is Word.GO
    assert brake(replace(isolation, target=Target(TargetKind.HOST, "ws-decoy"))).word is Word.CANCEL
    about_it = replace(isolation, verb="alert.set_disposition", target=Target(TargetKind.ALERT, false.native_id))
    assert brake(about_it).word is Word.CANCEL


def test_a_real_alert_can_never_be_marked_a_canary(closing: Desk) -> None:
    with pytest.raises(PolicyError, match="knows that alert already"):
        plant(
            closing.hub.oversight, REGISTRY.normalizer(), "acme", by=ABE, connector="main", payload=closing.payload(),
            origin="a slip of the pen",
        )  # fmt: skip
    with closing.hub.store.read() as conn:
        assert canaries.listed(conn, "acme") == []


def test_nobody_is_told_which_one_it_is_before_it_is_decided(closing: Desk) -> None:
    planted = closing.plants()
    with pytest.raises(PolicyError, match="would spoil it"):
        reveal(closing.hub.oversight, "acme", planted.canary.canary_id, by=ABE)
    closing.work()
    told = reveal(closing.hub.oversight, "acme", planted.canary.canary_id, by=ABE)
    assert told.case_id in closing.cases()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.SERVICE])
def test_planting_takes_an_approver_or_admin(closing: Desk, role: Role) -> None:
    by = Principal("acme", "x", role)
    with pytest.raises(PolicyError):
        plant(closing.hub.oversight, REGISTRY.normalizer(), "acme", by=by, connector="main", payload=b"{}", origin="o")


@pytest.mark.parametrize(("connector", "origin"), [("nowhere", "o"), ("main", " ")])
def test_what_is_wrong_is_named(closing: Desk, connector: str, origin: str) -> None:
    with pytest.raises(PolicyError, match=r"nowhere|which attack"):
        plant(closing.hub.oversight, REGISTRY.normalizer(), "acme", by=ABE, connector=connector, payload=b"{}",
              origin=origin)  # fmt: skip


def test_a_text_that_is_not_there_cannot_be_exchanged() -> None:
    assert mutated(b'{"id": "a\\"b"}', {'a"b': "c"}) == b'{"id": "c"}'
    with pytest.raises(PolicyError, match="does not occur"):
        mutated(b"{}", {"x": "y"})


def test_law_1_holds_with_canaries(closing: Desk) -> None:

    closing.plants()
    closing.time.advance(timedelta(minutes=1).total_seconds())
    closing.work()
    assert sum(row.received for row in balanced(closing.hub.store)) == 2
