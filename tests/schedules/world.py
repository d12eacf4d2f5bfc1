"""Tells a story for real: engine, journal, bindings and connectors of the hub over the vendors' simulators.

Only time, the wire and the power switch are ours. After a kill everything that lived in the process is dropped, and a
new engine and new connectors are built on the same journal.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from tests.schedules.fuse import Fuse, FusedJournal, Killed
from tests.schedules.slots import Slot
from tests.schedules.story import Step, Story, TenantPlan
from tests.schedules.vendors import ACCOUNTS, FAMILIES, PROTECTED, VENDORS, Truth, enrol, place_of, things
from tests.schedules.vendors import Thing as StoryThing
from tests.schedules.virtual import VirtualTime
from tests.schedules.wire import Asked, Calls, Watched, Wires

from nightdesk.autonomy.actions import Action, ActionState, JournalEntry
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.guards import standing_guards
from nightdesk.autonomy.ledger import slot_of
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.reconcile import ACTIVE, WATCHED
from nightdesk.autonomy.routing import Route
from nightdesk.autonomy.surroundings import Surroundings
from nightdesk.hub.config import HubSettings, InstanceSettings, TenantSettings
from nightdesk.hub.registry import Registry
from nightdesk.hub.store.store import Store
from nightdesk.sdk.context import Network, Settings
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.manifest import validate_settings
from nightdesk.sdk.ports import Reading
from nightdesk.sdk.testing import Fault, FaultPlan, Simulator
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

__all__ = ["Told", "Wish", "World"]

_S = ActionState
_ROUNDS = 400  # of the engine without time passing: more is a loop that gets nowhere
_PATIENCE = 60  # looks while everything settles, each up to 15 minutes after the last
_AWAITED = timedelta(days=10)  # a vendor's own clock may run for a year: that is not waited for
_IN_FORCE = frozenset({_S.EFFECTIVE, _S.LEASED, _S.RENEWED})
_SAID = {"approve": _S.APPROVED, "reject": _S.REJECTED, "cancel": _S.CANCELLED}
_POLICY = b"""
policy_id: schedules
version: "1"
rules:
  - id: crown-jewels
    owner: j
    then: {never_touch: {assets: "crown-*", accounts: "crown-*", addresses: "198.51.100.7"}}
"""


class CountingPlan(FaultPlan):
    """A fault plan that remembers what went wrong, and when."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self.hits: list[tuple[datetime, str]] = []
        self._clock = clock
        self._stood: set[int] = set()

    def clear(self) -> None:
        """Everything works again, but that a wrong clock stays wrong."""
        kept = [fault for fault in self.faults if fault.kind == "clock_skew"]
        super().clear()
        for fault in kept:
            self.add(fault.kind, options=fault.options)

    def take(self, *given: Any, **named: Any) -> Fault | None:
        """As the plan; what is taken is noted."""
        fault = super().take(*given, **named)
        if fault is not None:
            self.hits.append((self._clock(), fault.kind))
        return fault

    def standing(self, *given: Any, **named: Any) -> Fault | None:
        """As the plan; what stands is noted once."""
        fault = super().standing(*given, **named)
        if fault is not None and id(fault) not in self._stood:
            self._stood.add(id(fault))
            self.hits.append((self._clock(), fault.kind))
        return fault


@dataclass
class Wish:
    """What a person (or policy) asked for, and what people said of it since; written by the story, not the engine."""

    step: Step
    action_id: str
    asked_at: datetime
    allowed: bool
    refused: bool = False
    withdrawn: bool = False
    undo_at: datetime | None = None
    renewed_until: datetime | None = None

    @property
    def on(self) -> bool:
        """Which way it wants the thing."""
        return bool(self.step.data["on"])


@dataclass
class Told:
    """What the oracle judges."""

    wishes: dict[str, Wish] = field(default_factory=dict)
    """By action."""
    attention: dict[str, list[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """What must never be, seen as it happened."""
    false_effective: int = 0
    foreign: int = 0
    rounds: int = 0
    faults: Counter[str] = field(default_factory=Counter)


class _Plain:
    """Every asset is an ordinary one that the inventory knows; what is protected, a signed rule names."""

    def survey(self, action: Action, route: Route, now: datetime) -> Surroundings:
        """The same facts for everything."""
        del route, now
        kind = {"host": "workstation", "account": "user"}.get(action.target.kind, "")
        return Surroundings(inventory=AssetFacts(asset_type=kind), fleet_size=10_000)


@cache
def _registry() -> Registry:
    return Registry.load(strangers=False)


@cache
def _policy() -> Policy:
    return parse_policy(_POLICY, file="schedules")


class World:
    """One story at work on an empty store."""

    def __init__(self, story: Story, store: Store, *, blows_at: int = 0) -> None:
        self.story = story
        self.time = VirtualTime()
        self.fuse = Fuse()
        self.fuse.blows_at = blows_at
        self.told = Told()
        self.calls = Calls()
        self._dice = random.Random(f"wire/{story.name}")
        random.seed(story.name)  # the jitter of retries
        self.wires = Wires(self.fuse, self._dice, self.time.clock)
        self.wires.look = self._look
        self.journal = FusedJournal(store, self.fuse, self._moved)
        self.simulators: dict[tuple[str, str], Simulator] = {}
        self.plans: dict[tuple[str, str], CountingPlan] = {}
        self.things: dict[tuple[str, str], list[StoryThing]] = {}
        self.slots: list[Slot] = []
        self._roles: dict[str, dict[str, str]] = {}
        self._instances: dict[str, dict[str, InstanceSettings]] = {}
        self._alerts: dict[str, dict[str, list[str]]] = {}
        self._beside: Engine | None = None
        self._numbers: dict[tuple[str, int], str] = {}
        for plan in story.tenants:
            self._bind(plan)
        for slot in self.slots:
            slot.begin()

    # The story.

    def tell(self) -> None:
        """The whole of it, until it has settled twice: as it stands, and after every lease has run out."""
        with asyncio.Runner(loop_factory=self.time.loop) as runner:
            runner.run(self._tell())

    async def _tell(self) -> None:
        self._start()
        for step in self.story.steps:
            await self._step(step)
        for plan in self.plans.values():
            plan.clear()
        await self._settle()

    async def settle_again(self) -> None:
        """A person helps where the engine called one, and every lease runs out."""
        for action in self.journal.in_state([_S.UNDO_FAILED]):
            await self._command(partial(self._undo, action.action_id, action.tenant, "dora"))
        for _ in self.told.wishes:  # what takes another's effect over takes it for its own time
            leases = [action.lease_until for action in self.journal.in_state([_S.LEASED, _S.RENEWED])]
            soon = self.time.now + _AWAITED
            last = max((one for one in leases if one is not None and one <= soon), default=None)
            if last is None:
                break
            await self._work((last - self.time.now).total_seconds() + 1, step=900.0)
            await self._settle()
        await self._settle()

    def again(self) -> None:
        """``settle_again`` from outside."""
        with asyncio.Runner(loop_factory=self.time.loop) as runner:
            self._start()
            runner.run(self.settle_again())

    async def _step(self, step: Step) -> None:
        match step.kind:
            case "wish":
                await self._command(lambda: self._wish(step))
            case "undo":
                await self._about(step, lambda action_id: self._undo(action_id, step.tenant, step.data["by"]))
            case "undo-case":
                for action in reversed(self.journal.of_case(step.tenant, step.data["case"])):
                    if action.state in {*_IN_FORCE, _S.UNVERIFIED, _S.CONTRADICTED}:
                        await self._command(partial(self._undo, action.action_id, step.tenant, step.data["by"]))
            case "approve" | "reject" | "cancel" | "renew":
                await self._about(step, lambda action_id: self._say(step, action_id))
            case "foreign":
                self._foreign(step)
            case "fault":
                given = {name: value for name, value in step.data.items() if name != "instance"}
                self.plans[step.tenant, step.data["instance"]].add(given.pop("what"), **given)
            case "heal":
                self.plans[step.tenant, step.data["instance"]].clear()
            case "pass":
                await self._work(step.data["seconds"])
            case "down":
                self._start(after=step.data["seconds"])
            case "kill":
                self.fuse.arm(step.data["after"])
            case "beside":
                self._beside = self._process()
            case "swap":
                self._roles[step.tenant][step.data["role"]] = step.data["to"]
                self._start()

    async def _about(self, step: Step, do: Callable[[str], Any]) -> None:
        action_id = self._numbers.get((step.tenant, step.number))
        if action_id is not None:
            await self._command(lambda: do(action_id))

    async def _command(self, do: Callable[[], Any]) -> None:
        """What a person does; broken off by a kill, the person does it again.

        Where two processes work, the second one is the person's command, and the first one goes on meanwhile.
        """
        while True:
            try:
                if self._beside is None:
                    await do()
                else:
                    await self._together(do(), self.engine.run_once())
            except Killed:
                self._restart()
            except NightdeskError:
                return  # said no: that is an answer
            else:
                return

    @property
    def hand(self) -> Engine:
        """The engine that carries out what people say."""
        return self._beside or self.engine

    async def _together(self, *doing: Awaitable[Any]) -> list[Any]:
        """Side by side in one order or the other; a kill ends all of them."""
        order = self._dice.sample(range(len(doing)), len(doing))
        done = await asyncio.gather(*(doing[index] for index in order), return_exceptions=True)
        for each in sorted(
            (one for one in done if isinstance(one, BaseException)), key=lambda one: one.__class__ is not Killed
        ):
            raise each
        return [done[order.index(index)] for index in range(len(doing))]

    async def _wish(self, step: Step) -> None:
        instance, thing = self._thing(step)
        family, data = FAMILIES[step.data["family"]], step.data
        parameters: dict[str, Any] = {}
        if family.role == "source":
            parameters = {"status": "closed", "disposition": "false-positive"} if data["on"] else {"status": "open"}
        action = self.hand.propose(
            step.tenant,
            family.verb if data["on"] else family.inverse,
            thing.target,
            requested_by=data["by"],
            approval=data["approval"],
            case_id=data["case"],
            parameters=parameters,
            lease=timedelta(seconds=data["lease"]) if data["lease"] else None,
            source_instance=instance if family.role == "source" else "",
        )
        self._numbers[step.tenant, step.number] = action.action_id
        self.told.wishes.setdefault(
            action.action_id, Wish(step, action.action_id, self.time.now, allowed=action.approval != "human")
        )

    async def _undo(self, action_id: str, tenant: str, by: str) -> None:
        action = self._now(tenant, action_id)
        asked_at = self.time.now
        done = await self.hand.undo(action, actor=by, reason="false alarm")
        wish = self.told.wishes.get(self.root(done).action_id)
        if wish is not None and wish.undo_at is None:
            wish.undo_at = asked_at

    async def _say(self, step: Step, action_id: str) -> None:
        action, wish = self._now(step.tenant, action_id), self.told.wishes[action_id]
        by = step.data["by"]
        if step.kind == "renew" and action.state is _S.RENEWED and action.result.get("renewed_by") == by:
            wish.renewed_until = action.lease_until  # a kill took the answer, not the word
            return
        if any(line.actor == by and line.state == _SAID.get(step.kind) for line in self._lines(action)):
            self._said(wish, step.kind)  # a kill took the answer, not the word
            return
        match step.kind:
            case "approve":
                if self.hand.approve(action, by).state is not _S.APPROVED:
                    return  # one of two
            case "reject":
                self.hand.reject(action, by, "no")
            case "cancel":
                self.hand.cancel(action, by, "no longer")
            case "renew":
                until = self.time.now + timedelta(seconds=step.data["seconds"])
                wish.renewed_until = self.hand.renew(action, until, by).lease_until
        self._said(wish, step.kind)

    def _said(self, wish: Wish, word: str) -> None:
        wish.allowed = wish.allowed or word == "approve"
        wish.refused = wish.refused or word == "reject"
        wish.withdrawn = wish.withdrawn or word == "cancel"

    def _lines(self, action: Action) -> Sequence[JournalEntry]:
        return self.journal.history(action.tenant, action.action_id)

    def _foreign(self, step: Step) -> None:
        _, thing = self._thing(step)
        for slot in self.slots:
            if (slot.tenant, slot.instance, slot.truth.thing.key) == (step.tenant, step.data["instance"], thing.key):
                if slot.truth.others_can and not thing.protected:
                    slot.look(self.time.now)
                    slot.truth.by_somebody_else(on=step.data["on"])
                    slot.look(self.time.now, by_hand=True)
                    self.told.foreign += 1
                return

    # The process.

    def _start(self, after: float = 0.0) -> None:
        self.time.advance(after)
        self.fuse.restart()
        self.calls.sending.clear()
        network = Network(timeout=30.0, transport=self.wires)
        tenants = {
            plan.slug: TenantSettings(
                scope=Scope(plan.slug, plan.slug.title(), TenantKey(bytes(32))),
                policy=_policy(),
                quiet=timedelta(0),
                window=timedelta(hours=4),
                leases={},
                instances=self._instances[plan.slug],
                roles=dict(self._roles[plan.slug]),
                tokens={},
            )
            for plan in self.story.tenants
        }
        self._settings = HubSettings("schedules", "", "127.0.0.1", 0, network, tenants)
        self._beside = None
        self.engine = self._process()

    def _process(self) -> Engine:
        """One more process on the same journal, with connectors of its own."""
        return Engine(
            self.journal,
            Watched(self.calls, self._read, self._settings, _registry(), clock=self.time.clock),
            self.time.clock,
            guards=standing_guards(dict.fromkeys(self._settings.tenants, _policy())),
            lookout=_Plain(),
            on_attention=lambda action, text: self.told.attention.setdefault(action.action_id, []).append(text),
        )

    def _restart(self) -> None:
        self._start(after=self._dice.choice((0.1, 1.0, 5.0, 40.0, 400.0)))

    async def _work(self, seconds: float, step: float = 150.0) -> None:
        """The process runs for that long."""
        until, pause, rounds = self.time.now + timedelta(seconds=seconds), 1.0, 0
        while True:
            try:
                rounds_of = [one.run_once() for one in (self.engine, self._beside) if one is not None]
                moved = sum(await self._together(*rounds_of))
            except Killed:
                self._restart()
                continue
            self.told.rounds += 1
            rounds = rounds + 1 if moved else 0
            if rounds > _ROUNDS:
                self.told.wrong.append("the engine moves without getting anywhere")
                return
            if moved:
                pause = 1.0
                continue
            left = (until - self.time.now).total_seconds()
            if left <= 0:
                self._look()
                return
            await asyncio.sleep(min(pause, left))
            pause = min(step, pause * 2.5)

    async def _settle(self) -> None:
        """Until nothing moves any more."""
        quiet = 0
        for _ in range(_PATIENCE):
            await self._work(0.0 if quiet == 0 else 1000.0, step=500.0)
            active = [one for one in self.journal.in_state(list(ACTIVE)) if not _is_accept_only(one)]
            busy = active or any(slot.is_busy for slot in self.slots)
            watched = self.journal.in_state(list(WATCHED))
            quiet = 1 if busy else quiet + 1
            if not busy and (not watched or quiet > 3):
                return
        self.told.wrong.append("it never settles")

    # What is seen.

    def root(self, action: Action) -> Action:
        """The wish's own action, of one that repeats it."""
        while action.result.get("repeats"):
            action = self._now(action.tenant, str(action.result["repeats"]))
        return action

    def _now(self, tenant: str, action_id: str) -> Action:
        found = self.journal.get(tenant, action_id)
        if found is None:
            raise AssertionError(f"{action_id} was proposed and is not in the journal")
        return found

    def _look(self) -> None:
        for simulator in self.simulators.values():
            simulator.fleet.settle()
            simulator.directory.settle()
        for slot in self.slots:
            slot.look(self.time.now)

    def instances(self, tenant: str, name: str = "") -> list[InstanceSettings]:
        """That instance, or all that the tenant has."""
        return [one for one in self._instances[tenant].values() if name in {"", one.name}]

    def slot_of(self, tenant: str, instance: str, action: Action) -> Slot | None:
        """The slot that an action is about."""
        for slot in self.slots:
            thing = slot.truth.thing
            about = action.verb in {FAMILIES[thing.family].verb, FAMILIES[thing.family].inverse}
            where = (slot.tenant, slot.instance, place_of(thing.target))
            if about and where == (tenant, instance, place_of(action.target)):
                return slot
        return None

    def _read(self, asked: Asked, reading: Reading) -> None:
        if asked.command is not None:
            action = self._now(asked.tenant, asked.command.action_id)
            slot = self.slot_of(asked.tenant, asked.instance, action)
            self.calls.readings[asked.command.action_id] = (reading, slot.on if slot else None)

    def _moved(self, before: Action, after: Action, actor: str) -> None:
        if after.state is _S.EFFECTIVE and before.state is not _S.EFFECTIVE:
            slot = self.slot_of(after.tenant, after.instance, after)
            seen = self.calls.readings.get(after.action_id)
            wish = after.verb == FAMILIES[slot.truth.thing.family].verb if slot else True
            if slot is not None and slot.truth.thing.family == "alert.set_disposition":
                wish = after.parameters.get("status") == "closed"
            if seen is None or (slot is not None and not slot.truth.one_way and seen[1] is not wish):
                self.told.false_effective += 1
                self.told.wrong.append(f"{after.action_id} is called effective and it was not so: {seen}")
            if slot is not None and slot.truth.one_way and not any(event.by for event in slot.events) and after.changed:
                self.told.false_effective += 1
                self.told.wrong.append(f"{after.action_id} is called effective and nothing was done")
        for name in ("attempts", "undo_attempts"):
            if int(after.result.get(name, 0)) > int(before.result.get(name, 0)):
                self._one_in_flight(after)

    def _one_in_flight(self, action: Action) -> None:
        for other in self.journal.standing(action.tenant, slot_of(action), _family(action)):
            if other.action_id == action.action_id or other.instance != action.instance:
                continue
            flying = other.state in {_S.REQUESTED, _S.PENDING} or (
                other.state is _S.UNDO_REQUESTED
                and other.result.get("undo_attempts")
                and not other.result.get("undo_shown")
            )
            if flying:
                self.told.wrong.append(f"{action.action_id} is sent while {other.action_id} is {other.state}")

    # The estate.

    def _bind(self, plan: TenantPlan) -> None:
        self._instances[plan.slug], self._roles[plan.slug] = {}, {}
        for name, (role, vendor) in plan.instances().items():
            faults = CountingPlan(self.time.clock)
            secret = f"{self.story.name}-{plan.slug}-{name}"
            simulator = _registry().simulator(vendor)(clock=self.time.clock, faults=faults, secret=secret)
            self.simulators[plan.slug, name], self.plans[plan.slug, name] = simulator, faults
            alerts = enrol(simulator, role, self.time)
            manifest = _registry().manifest(vendor)
            url = self.wires.add(plan.slug, name, simulator)
            given = validate_settings(manifest, simulator.settings(url), file="schedules", key=name)
            self._instances[plan.slug][name] = InstanceSettings(
                name, manifest, Settings(given), (), timedelta(seconds=10)
            )
            self._roles[plan.slug].setdefault(role, name)
            there = things(VENDORS[role][vendor], alerts)
            self.things[plan.slug, name] = there
            about = {family for family, _ in plan.targets}
            for thing in there:
                if thing.family in about:
                    self.slots.append(Slot(plan.slug, name, Truth(simulator, thing, vendor)))
            self.wires.guarded[plan.slug, name] = _guarded(simulator)

    def _thing(self, step: Step) -> tuple[str, StoryThing]:
        """By family and number, at the instance that the step names or at the first that has the family."""
        names = [name for tenant, name in self.things if tenant == step.tenant]
        named = step.data.get("instance")
        for name in [named, *names] if named in names else names:
            found = [thing for thing in self.things[step.tenant, name] if thing.family == step.data["family"]]
            if found:
                return name, found[step.data["thing"]]
        raise AssertionError(f"nobody has {step}")


def _guarded(simulator: Simulator) -> set[str]:
    devices = {one.device_id for one in simulator.fleet.devices.values() if one.hostname == PROTECTED}
    crown = {account.email for account in ACCOUNTS if account.name.startswith("crown")}
    return devices | {one.account_id for one in simulator.directory.accounts.values() if one.email in crown}


def _is_accept_only(action: Action) -> bool:
    return action.state is _S.ACCEPTED and bool(action.result.get("accept_only"))


def _family(action: Action) -> str:
    return next(
        (family.verb for family in FAMILIES.values() if action.verb in {family.verb, family.inverse}), action.verb
    )
