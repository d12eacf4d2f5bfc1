"""A playbook tried on simulators: one vendor after another takes a role, the playbook stays as it is.

The hub is the one that ``nightdesk run`` starts; only time, the people and the vendors' products are the rehearsal's.
A second person approves everything, and manual steps get the first answer that they allow.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.playbooks.commands import HTTP, order_of
from nightdesk.autonomy.playbooks.content import called_by
from nightdesk.autonomy.playbooks.library import Library
from nightdesk.autonomy.playbooks.model import Action as ActionStep
from nightdesk.autonomy.playbooks.model import Playbook, settings_of
from nightdesk.autonomy.playbooks.run import Run, RunState, Visit
from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.playbooks.service import Playbooks, questions
from nightdesk.hub.registry import Registry
from nightdesk.hub.rehearsing import AGREEABLE, agreed
from nightdesk.hub.setup import make_config, private_file
from nightdesk.hub.store import Store
from nightdesk.sdk.errors import ConfigError, NightdeskError, Problem
from nightdesk.sdk.manifest import Manifest
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import Simulator, StoryAccount, StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.verbs import verb

__all__ = ["Deed", "Rehearsed", "main_role", "rehearse_playbook", "vendors_for"]

_TENANT = "rehearsal"
_CASE = "CASE-REHEARSAL"
_STEP = 5.0  # seconds of the rehearsal's time between two looks
_PATIENCE = 14 * 86400.0
_S = ActionState


@dataclass(frozen=True, slots=True)
class Deed:
    """One action of the run, as the vendor did it. ``undone`` None when nothing was to be undone."""

    verb: str
    target: str
    instance: str
    state: str
    losses: tuple[str, ...]
    problem: str
    undone: bool | None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What one vendor made of the playbook. ``state`` is ``refused`` when it was not even begun."""

    vendor: str
    state: str
    visits: tuple[Visit, ...] = ()
    deeds: tuple[Deed, ...] = ()
    problem: str = ""
    requests: int = 0

    @property
    def effective(self) -> int:
        """Actions that were read back in effect."""
        return sum(deed.state in {"effective", "leased"} for deed in self.deeds)

    @property
    def losses(self) -> tuple[str, ...]:
        """What it did without, declared."""
        return tuple(f"{deed.verb}: {loss}" for deed in self.deeds for loss in deed.losses)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Steps that it does not offer."""
        return tuple(visit.name for visit in self.visits if visit.outcome == "skipped")


def main_role(playbook: Playbook) -> str:
    """The role whose vendors are tried: the first that it cannot do without."""
    return next(iter(playbook.header.roles.required), "")


def vendors_for(registry: Registry, role: str) -> list[str]:
    """Every vendor with that role that can be simulated."""
    return [name for name, one in sorted(registry.manifests.items()) if role in one.roles and one.simulated]


async def rehearse_playbook(registry: Registry, library: Library, playbook: Playbook, vendor: str) -> Rehearsed:
    """One vendor in the main role, the first that fits best in each other one. Raises ConfigError without values."""
    inputs = _inputs(playbook)
    time = FakeTime()
    bound = _bound(registry, library, playbook, vendor)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nightdesk-playbook-")))
        simulators = {name: registry.simulator(name)(clock=time.clock) for name in dict.fromkeys(bound.values())}
        urls = {name: stack.enter_context(serve(one)).base_url for name, one in simulators.items()}
        settings = load_config(_configure(folder, simulators, urls, bound, inputs, playbook, time), registry)
        for simulator in simulators.values():
            _enrol(simulator, playbook, inputs)
        store = Store.open(settings.store, synchronous="NORMAL")
        stack.callback(store.close)
        hub = Hub(settings, registry, store, clock=time.clock, sleep=time.sleep)
        service = Playbooks(settings, store, library, time.clock)
        try:
            try:
                run = service.start(_TENANT, playbook, case_id=_CASE, by="rehearsal", given=inputs)
            except ConfigError as error:
                return Rehearsed(vendor, "refused", problem="; ".join(str(one) for one in error.problems))
            run = await _play(hub, service, run, time)
            deeds = await _taken_back(hub, service.actions(run), time)
        finally:
            await hub.bindings.aclose()
    requests = sum(len(simulator.seen) for simulator in simulators.values())
    return Rehearsed(vendor, run.state.value, run.visits, tuple(deeds), run.problem, requests)


def _inputs(playbook: Playbook) -> dict[str, str]:
    given = dict(playbook.header.rehearsal)
    missing = [
        name
        for name, one in playbook.playbook_variables.items()
        if one.external
        and one.value is None
        and name not in given
        and playbook.header.inputs.get(name) not in {"case", "tenant"}
    ]
    if missing:
        text = "needs a value to be rehearsed with: x-nightdesk rehearsal"
        raise ConfigError([Problem(playbook.name, name, text) for name in missing])
    return given


def _verbs(library: Library, playbook: Playbook) -> set[str]:
    books = (playbook, *called_by(playbook, library.get).values())
    return {
        order_of(command).verb.name
        for book in books
        for step in book.workflow.values()
        if isinstance(step, ActionStep)
        for command in step.commands
        if command.type == HTTP
    }


def _bound(registry: Registry, library: Library, playbook: Playbook, vendor: str) -> dict[str, str]:
    """By role, who takes it: the vendor that is tried its main one, who offers most of the verbs the others."""
    wanted = _verbs(library, playbook)
    roles, first = playbook.header.roles, main_role(playbook)
    found = {first: vendor} if first else {}
    for role in (*roles.required, *roles.optional):
        if role in found:
            continue
        there = vendors_for(registry, role)
        if there:
            found[role] = max(there, key=lambda name: (_fit(registry.manifest(name), wanted, role), name == vendor))
    return found


def _fit(manifest: Manifest, wanted: set[str], role: str) -> int:
    return sum(name in manifest.verbs for name in wanted if verb(name).role == role)


def _configure(
    folder: Path,
    simulators: Mapping[str, Simulator],
    urls: Mapping[str, str],
    bound: Mapping[str, str],
    inputs: Mapping[str, str],
    playbook: Playbook,
    time: FakeTime,
) -> Path:
    connectors: dict[str, Any] = {}
    for vendor, simulator in simulators.items():
        values = dict(simulator.settings(urls[vendor]))
        for name, value in values.items():
            if isinstance(value, Secret):
                private_file(folder / "secrets" / f"{vendor}.{name}", f"{value.reveal()}\n".encode())
                values[name] = f"file:secrets/{vendor}.{name}"
        connectors[vendor] = {"vendor": vendor, "settings": values}
    rows = [f"{host},workstation," for host in _hosts(playbook, inputs)]
    private_file(folder / "assets.csv", "\n".join(["hostname,type,tags", *rows, ""]).encode())
    more = {"assets": "assets.csv", "connectors": connectors, "roles": dict(bound), "approvals": AGREEABLE}
    return make_config(folder, _TENANT, "Rehearsal", at=time.clock(), more=more)


def _hosts(playbook: Playbook, inputs: Mapping[str, str]) -> Iterator[str]:
    kinds = playbook.header.inputs
    yield from (value for name, value in inputs.items() if kinds.get(name) == "host" or "host" in name)


def _enrol(simulator: Simulator, playbook: Playbook, inputs: Mapping[str, str]) -> None:
    """The hosts and people that the playbook's example values name."""
    devices = [
        StoryDevice(f"dev-{number}", host, (f"192.0.2.{number + 10}",))
        for number, host in enumerate(_hosts(playbook, inputs))
    ]
    simulator.add_devices(devices)
    people: dict[str, list[str]] = {}
    for value in inputs.values():
        owner, _, key = value.partition("/")
        if "@" in owner and "://" not in value:
            people.setdefault(owner, []).extend([key] if key else [])
    simulator.add_accounts(
        StoryAccount(f"acc-{number}", mail.partition("@")[0], mail, "CORP", key_ids=tuple(keys))
        for number, (mail, keys) in enumerate(people.items())
    )


async def _play(hub: Hub, service: Playbooks, run: Run, time: FakeTime) -> Run:
    until = time.clock() + timedelta(seconds=_PATIENCE)
    while run.state is RunState.RUNNING and time.clock() < until:
        for action in hub.journal.in_state([_S.AWAITING_APPROVAL]):
            agreed(hub, action)
        moved = await hub.engine.run_once() + service.step()
        for key, step, _ in questions(service.run(run.tenant, run.run_id)):
            answers = settings_of(step).answers or ("done",)
            service.answer(run.tenant, run.run_id, key, by="rehearsal", text=answers[0])
            moved += 1
        run = service.run(run.tenant, run.run_id)
        if not moved:
            time.advance(_STEP)
    return run


async def _taken_back(hub: Hub, actions: Sequence[Action], time: FakeTime) -> list[Deed]:
    """Each action as it was at the end of the run, and whether it could be undone, newest first."""
    undone: dict[str, bool] = {}
    for action in reversed(actions):
        if action.state in {_S.EFFECTIVE, _S.LEASED} and verb(action.verb).inverse and action.changed:
            until = time.clock() + timedelta(hours=1)
            try:
                now = await hub.engine.undo(action, actor="rehearsal", reason="rehearsal")
                while now.state is _S.UNDO_REQUESTED and time.clock() < until:
                    time.advance(_STEP)
                    now = await hub.engine.advance(now)
            except NightdeskError:
                undone[action.action_id] = False
                continue
            undone[action.action_id] = now.state is _S.UNDONE
    return [
        Deed(
            one.verb,
            one.target.key,
            one.instance,
            one.state.value,
            tuple(one.losses),
            one.error,
            undone.get(one.action_id),
        )
        for one in actions
    ]
