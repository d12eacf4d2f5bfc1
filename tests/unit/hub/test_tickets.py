import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.hubs import REGISTRY, bind, opened

from nightdesk.autonomy.actions import ActionState
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import audit, decisions, queries
from nightdesk.sdk.case import Mode, Outcome
from nightdesk.sdk.testing import Simulator, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import an_alert

_TICKETING = sorted(name for name, one in REGISTRY.manifests.items() if one.follows_cases)
_SIEM = "crowdstrike_falcon"


class Office:
    """A hub with a source of alerts and a ticket system, in time that the test moves."""

    def __init__(self, hub: Hub, source: Simulator, tickets: Simulator, time: FakeTime) -> None:
        self.hub, self.source, self.tickets, self.time = hub, source, tickets, time

    async def round(self, seconds: float = 61) -> int:
        """Everything that there is to do now, and then some time; how much was done about tickets."""
        await self.hub.once()
        done = await self.hub.tickets.once()
        await self.hub.once(pull=False)
        self.time.advance(seconds)
        return done

    @property
    def states(self) -> list[Any]:
        return list(self.tickets.case_states().values())

    @property
    def case_status(self) -> str:
        with self.hub.store.read() as conn:
            return queries.case_list(conn, "acme", limit=5)[0].status


def run(vendor: str, tmp_path: Path, story: Callable[[Office], Coroutine[Any, Any, None]]) -> None:
    time = FakeTime()
    source, tickets = REGISTRY.simulator(_SIEM)(clock=time.clock), REGISTRY.simulator(vendor)(clock=time.clock)
    source.add(an_alert(time, "one"))

    async def go() -> None:
        with serve(source) as one, serve(tickets) as other:
            bound = {"edr": (source, one.base_url), "desk": (tickets, other.base_url)}
            config = bind(tmp_path, "acme", bound, roles={"edr": "edr", "ticketing": "desk"})
            with opened(config, time) as hub:
                try:
                    await story(Office(hub, source, tickets, time))
                finally:
                    await hub.bindings.aclose()

    asyncio.run(go())


pytestmark = pytest.mark.parametrize("vendor", _TICKETING)


def test_an_escalated_case_has_one_ticket_and_nothing_goes_round_in_circles(vendor: str, tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        await office.round()
        assert len(office.states) == 1
        assert office.states[0]["status"] == "open"
        await office.round()
        before = len(office.tickets.mutations())
        assert [await office.round() for _ in range(6)] == [0] * 6
        assert len(office.tickets.mutations()) == before
        assert len(office.states) == 1

    run(vendor, tmp_path, story)


def test_what_a_person_does_to_the_ticket_is_that_persons_decision_and_is_not_sent_back(
    vendor: str, tmp_path: Path
) -> None:
    async def story(office: Office) -> None:
        await office.round()
        await office.round()
        (ticket,) = office.tickets.case_states()
        before = len(office.tickets.mutations())
        office.tickets.edit_case(ticket, status="closed", comment="the owner was testing")
        for _ in range(5):
            await office.round()
        assert office.case_status == "closed"
        with office.hub.store.read() as conn:
            (row,) = queries.case_list(conn, "acme", limit=5)
            made = decisions.decisions(conn, "acme", row.case_id)
            told = [entry.event for entry in audit.entries(conn, "acme")]
        assert [(one.mode, one.outcome) for one in made][-1] == (Mode.HUMAN, Outcome.CLOSE)
        assert "ticket.comment" in told
        assert len(office.tickets.mutations()) == before, "the hub wrote back what it had just been told"
        office.tickets.edit_case(ticket, status="open", comment="no, look again")
        for _ in range(5):
            await office.round()
        assert office.case_status == "escalated"
        assert [await office.round() for _ in range(3)] == [0] * 3
        assert len(office.tickets.mutations()) == before

    run(vendor, tmp_path, story)


def test_a_ticket_system_that_is_down_costs_nothing_but_time(vendor: str, tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        office.tickets.faults.add("server_error")
        for _ in range(3):
            await office.round()
        assert not office.states
        office.tickets.faults.clear()
        for _ in range(12):
            await office.round(600)
        assert len(office.states) == 1
        actions = office.hub.journal.in_state(list(ActionState), tenant="acme")
        assert [one.verb for one in actions if one.state == "effective"].count("case.open") == 1

    run(vendor, tmp_path, story)


def test_a_ticket_system_that_is_bound_later_gets_no_tickets_for_the_past(vendor: str, tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        await office.hub.once()
        assert office.case_status == "escalated"
        office.time.advance(3600)
        # As after a restart with the role newly bound.
        office.hub = Hub(
            office.hub.settings, REGISTRY, office.hub.store, clock=office.time.clock, sleep=office.time.sleep
        )
        try:
            assert [await office.round() for _ in range(3)] == [0] * 3
            assert not office.states
            office.source.add(an_alert(office.time, "two"))
            for _ in range(3):
                await office.round()
            assert len(office.states) == 1
        finally:
            await office.hub.bindings.aclose()

    run(vendor, tmp_path, story)
