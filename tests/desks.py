"""A desk for tests of playbooks: a hub with time of its own over simulators of several roles."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.hubs import REGISTRY, bind

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.playbooks.library import Library, bundled
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.run import Run, RunState
from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import Store
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, StoryAccount, StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime

__all__ = ["CASE", "MAIL", "TENANT", "VENDORS", "Desktop"]

TENANT, CASE, MAIL = "acme", "CASE-2026-000001", "jdoe@corp.example.com"
_IN_FORCE = frozenset({ActionState.LEASED, ActionState.EFFECTIVE})
PEOPLE = ("bob", "cleo")
VENDORS = {"edr": "crowdstrike_falcon", "identity": "okta", "chat": "slack", "ticketing": "jira"}


class Desktop:
    """One tenant. ``hub`` can be started again on the same store."""

    def __init__(self, stack: ExitStack, folder: Path, roles: Sequence[str] = tuple(VENDORS), **more: Any) -> None:
        self.stack = stack
        self.time = FakeTime()
        names = {role: VENDORS[role] for role in roles}
        self.simulators: dict[str, Simulator] = {
            role: REGISTRY.simulator(vendor)(clock=self.time.clock) for role, vendor in names.items()
        }
        bound = {role: (one, stack.enter_context(serve(one)).base_url) for role, one in self.simulators.items()}
        for simulator in self.simulators.values():
            simulator.add_devices([StoryDevice("dev-1", "ws-0042", ("192.0.2.42",))])
            simulator.add_accounts([StoryAccount("acc-1", "jdoe", MAIL, "CORP")])
        people = {name: {"role": "approver"} for name in PEOPLE}
        given = {
            "roles": {role: role for role in names},
            "assets": None,
            "approvals": {"people": people},
            **more,
        }
        self.config = bind(folder, TENANT, bound, **given)
        self.settings = load_config(self.config, REGISTRY)
        self.store = Store.open(self.settings.store, synchronous="NORMAL")
        stack.callback(self.store.close)
        self.hub = self.restart()

    def restart(self) -> Hub:
        """A new process on the same store."""
        self.hub = Hub(self.settings, REGISTRY, self.store, clock=self.time.clock, sleep=self.time.sleep)
        return self.hub

    def know(self, *books: Playbook) -> None:
        """Puts playbooks of the test into the library."""
        there = bundled()
        both = {**there.playbooks, **{book.id: book for book in books}}
        self.hub.playbooks.library = Library(both, {**there.files, **{book.id: f"{book.name}.json" for book in books}})

    def start(self, playbook: Playbook, by: str = "ann", case_id: str = CASE, **given: str) -> Run:
        """Starts a run."""
        variables = {f"__{name}__": value for name, value in given.items()}
        return self.hub.playbooks.start(TENANT, playbook, case_id=case_id, by=by, given=variables)

    def run(self, run_id: str = "run-000001") -> Run:
        """The run as it is now."""
        return self.hub.playbooks.run(TENANT, run_id)

    def work(self, seconds: float = 0.0, until: Callable[[], bool] | None = None) -> None:
        """Lets the hub work for that long."""
        end = self.time.clock() + timedelta(seconds=seconds)

        async def loop() -> None:
            try:
                while True:
                    await self.hub.once(pull=False)
                    if self.time.clock() >= end or (until is not None and until()):
                        return
                    self.time.advance(5.0)
            finally:
                await self.hub.bindings.aclose()

        asyncio.run(loop())

    def approve_all(self) -> list[Action]:
        """As many persons as it takes let everything go that waits."""
        approved = []
        for action in self.waiting_approvals():
            voted = action
            for who in PEOPLE:
                if voted.state is ActionState.AWAITING_APPROVAL:
                    voted = self.hub.engine.approve(voted, who)
            approved.append(voted)
        return approved

    def play(self, run_id: str = "run-000001", *, rounds: int = 200) -> Run:
        """Approves and works until only manual steps are left, or it is over."""
        for _ in range(rounds):
            self.approve_all()
            self.work()
            run = self.run(run_id)
            if run.state is not RunState.RUNNING or (
                self.hub.playbooks.waits_for_people(run) and not self.waiting_approvals()
            ):
                return run
            self.time.advance(5.0)
        raise AssertionError(f"not over: {self.hub.playbooks.shown(run)}")

    def contain(self, host: str = "ws-0042", *, lease: timedelta | None = timedelta(hours=1), **more: Any) -> Action:
        """A host isolated by persons, read back, and on lease unless that is None."""
        target = Target.parse(f"host:{host}")
        wish: dict[str, Any] = {"requested_by": "ann", "case_id": CASE, "lease": lease, **more}
        made = self.hub.engine.propose(TENANT, "host.isolate", target, **wish)
        self.approve_all()
        self.work(120, until=lambda: self.action(made).state in _IN_FORCE)
        found = self.action(made)
        assert found.state in _IN_FORCE, found
        return found

    def action(self, action: Action) -> Action:
        """That action as it is now."""
        found = self.hub.journal.get(action.tenant, action.action_id)
        assert found is not None
        return found

    def isolated(self) -> set[str]:
        """The hosts that the simulated vendor keeps away, by its own state."""
        fleet: Any = getattr(self.simulators["edr"], "fleet")  # noqa: B009  # each vendor's simulator has its own
        fleet.settle()
        return {device.hostname.lower() for device in fleet.devices.values() if device.isolated}

    def waiting_approvals(self) -> list[Action]:
        """What waits for a second person."""
        return list(self.hub.journal.in_state([ActionState.AWAITING_APPROVAL]))

    def outcomes(self, run_id: str = "run-000001") -> list[str]:
        """Name and outcome of each step that was done."""
        return [f"{visit.name}: {visit.outcome}" for visit in self.run(run_id).visits]

    def actions(self) -> list[Action]:
        """Every action of the case."""
        return list(self.hub.journal.of_case(TENANT, CASE))
