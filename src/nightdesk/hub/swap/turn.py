"""One vendor's turn in a rehearsal: the recorded cases told to its simulator, and all that was done, done again.

The hub is the one that ``nightdesk run`` starts, with one policy for every vendor; only time is the rehearsal's own.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.engine import Approval
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.registry import Registry
from nightdesk.hub.rehearsing import AGREEABLE, agreed
from nightdesk.hub.setup import make_config, private_file
from nightdesk.hub.store import Store, queries
from nightdesk.hub.swap.recorded import RecordedAction, RecordedCase
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import Simulator, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.verbs import verb

__all__ = ["Deed", "Seen", "Turn", "take_turn"]

_TENANT = "rehearsal"
_INSTANCE = "main"
_STEP = 5.0  # seconds of the rehearsal's time between two looks
_PATIENCE = 3600.0
_S = ActionState
_DONE = frozenset({_S.EFFECTIVE, _S.LEASED, _S.FAILED, _S.UNVERIFIED, _S.CONTRADICTED, _S.REJECTED, _S.CANCELLED})
_IN_EFFECT = frozenset({_S.EFFECTIVE, _S.LEASED})
_SHARED = frozenset({"host", "address", "account", "file", "domain", "url", "email"})
"""Kinds of entity that vendors name alike; a device id or a process of one means nothing at another."""
_UNDO_DONE = frozenset({_S.UNDONE, _S.UNDO_FAILED})


@dataclass(frozen=True, slots=True)
class Deed:
    """One recorded action as this vendor did it. ``seconds`` to the effect; ``undone`` None when it has no inverse."""

    case: str
    verb: str
    target: str
    offered: bool
    accepted: bool = False
    state: str = ""
    losses: tuple[str, ...] = ()
    problem: str = ""
    seconds: float = 0.0
    requests: int = 0
    undone: bool | None = None

    @property
    def effective(self) -> bool:
        """True when it was read back in effect."""
        return self.state in _IN_EFFECT


@dataclass(frozen=True, slots=True)
class Seen:
    """One recorded case as the hub saw it through this vendor: what its alerts said, and what was decided."""

    case: str
    told: int
    arrived: int
    facts: frozenset[str] = frozenset()
    decisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """Everything one vendor showed. ``policy`` is the digest of the policy it ran under."""

    vendor: str
    policy: str
    seen: tuple[Seen, ...]
    deeds: tuple[Deed, ...]
    requests: int
    problems: tuple[str, ...] = field(default=())


async def take_turn(registry: Registry, vendor: str, role: str, cases: Sequence[RecordedCase], policy: bytes) -> Turn:
    """Rehearses the cases on that vendor's simulator. Raises ConfigError for a vendor without the role."""
    time = FakeTime()
    simulator = registry.simulator(vendor)(clock=time.clock)
    with serve(simulator) as served, tempfile.TemporaryDirectory(prefix="nightdesk-rehearsal-") as folder:
        config = _configure(Path(folder), simulator, served.base_url, role, cases, policy, time)
        settings = load_config(config, registry)
        store = Store.open(settings.store, synchronous="NORMAL")
        hub = Hub(settings, registry, store, clock=time.clock, sleep=time.sleep)
        try:
            seen = await _tell(hub, simulator, cases, time)
            deeds = [await _do(hub, simulator, case, action, time) for case in cases for action in case.actions]
            problems = tuple(feed.state.problem for feed in hub.feeds if feed.state.problem)
        finally:
            await hub.bindings.aclose()
            store.close()
    signed = settings.tenants[_TENANT].policy
    digest = signed.policy.sha256 if isinstance(signed, SignedPolicy) else signed.sha256
    return Turn(vendor, digest, seen, tuple(deeds), len(simulator.seen), problems)


def _configure(
    folder: Path,
    simulator: Simulator,
    base_url: str,
    role: str,
    cases: Sequence[RecordedCase],
    policy: bytes,
    time: FakeTime,
) -> Path:
    settings: dict[str, Any] = dict(simulator.settings(base_url))
    for name, value in settings.items():
        if isinstance(value, Secret):
            private_file(folder / "secrets" / name, f"{value.reveal()}\n".encode())
            settings[name] = f"file:secrets/{name}"
    rows = [f"{device.hostname},{device.asset_type}," for case in cases for device in case.devices]
    private_file(folder / "assets.csv", "\n".join(["hostname,type,tags", *rows, ""]).encode())
    more: dict[str, Any] = {
        "quiet_seconds": 0.0,
        "assets": "assets.csv",
        "connectors": {_INSTANCE: {"vendor": simulator.vendor, "settings": settings}},
        "roles": {role: _INSTANCE},
        "approvals": AGREEABLE,
    }
    signers = ("first", "second")
    return make_config(folder, _TENANT, "Rehearsal", at=time.clock(), signers=signers, policy=policy, more=more)


async def _tell(hub: Hub, simulator: Simulator, cases: Sequence[RecordedCase], time: FakeTime) -> tuple[Seen, ...]:
    """Enrols everybody, raises every alert, and lets the hub pull and decide; nothing is acted on yet."""
    pulls = bool(hub.registry.manifest(simulator.vendor).pulls)
    natives: dict[str, set[str]] = {}
    for case in cases:
        estate = case.estate()
        simulator.add_devices(estate.values())
        simulator.add_accounts(account.told() for account in case.accounts)
        alerts = case.alerts if pulls else ()
        begin = time.clock() - timedelta(seconds=600)
        natives[case.case] = {
            simulator.add(alert.told(f"{case.case}-{number}", begin, estate)) for number, alert in enumerate(alerts)
        }
    for feed in hub.feeds:
        await feed.once()
    while hub.pipeline.step():
        pass
    hub.pipeline.tick()
    for proposed in hub.journal.in_state([_S.PROPOSED, _S.AWAITING_APPROVAL, _S.APPROVED]):
        hub.engine.cancel(proposed, "rehearsal", "what the policy proposes is compared, and not done")
    with hub.store.read() as conn:
        rows = queries.case_list(conn, _TENANT, limit=10 * len(cases) + 100)
        pages = [page for row in rows if (page := queries.case_page(conn, _TENANT, row.case_id)) is not None]
    return tuple(_seen(name, ids, pages) for name, ids in natives.items())


def _seen(name: str, ids: set[str], pages: Sequence[queries.CasePage]) -> Seen:
    arrived: set[str] = set()
    facts: set[str] = set()
    decisions: list[str] = []
    for page in pages:
        ours = [alert for alert in page.case.alerts if alert.native_id in ids]
        arrived |= {alert.native_id for alert in ours}
        for alert in ours:
            facts |= {f"{entity.kind}:{entity.value}" for entity in alert.entities if entity.kind in _SHARED}
            facts |= {f"technique:{technique}" for technique in alert.techniques} | {f"severity:{alert.severity_id}"}
        if ours and page.decisions:
            last = page.decisions[-1]
            proposed = ", ".join(sorted(f"{each.verb} {each.target}" for each in last.proposals))
            decisions.append(f"{last.outcome} {last.verdict}" + (f": {proposed}" if proposed else ""))
    return Seen(name, len(ids), len(arrived), frozenset(facts), tuple(sorted(decisions)))


async def _do(hub: Hub, simulator: Simulator, case: RecordedCase, action: RecordedAction, time: FakeTime) -> Deed:
    """Commands one action as a person would, waits for its read-back, and takes it back."""
    offered = action.verb in hub.registry.manifest(simulator.vendor).verbs
    plain = Deed(case.case, action.verb, action.target, offered)
    if not offered:
        return plain
    before, begin = len(simulator.seen), time.clock()
    try:
        asked = hub.engine.propose(
            _TENANT,
            action.verb,
            action.aim,
            requested_by="rehearsal",
            approval=Approval.DIRECT,
            case_id=f"rehearsal-{case.case}",
            parameters=action.parameters,
            reason="rehearsal",
            accept_losses=tuple(action.parameters),
        )
        done = await _settle(hub, agreed(hub, asked), _DONE, time)
        seconds = (time.clock() - begin).total_seconds()
        undone = await _undo(hub, done, time)
    except NightdeskError as error:
        return Deed(case.case, action.verb, action.target, offered, state="refused", problem=str(error))
    return Deed(
        case=case.case,
        verb=action.verb,
        target=action.target,
        offered=True,
        accepted=done.accepted_at is not None or done.state in _IN_EFFECT,
        state=done.state.value,
        losses=_losses(done),
        problem=done.error,
        seconds=seconds,
        requests=len(simulator.seen) - before,
        undone=undone,
    )


async def _settle(hub: Hub, action: Action, states: frozenset[ActionState], time: FakeTime) -> Action:
    until = time.clock() + timedelta(seconds=_PATIENCE)
    while True:
        await hub.engine.run_once()
        found = hub.journal.get(action.tenant, action.action_id) or action
        taken = found.state is _S.ACCEPTED and bool(found.result.get("accept_only"))
        if found.state in states or taken or time.clock() >= until:
            return found
        time.advance(_STEP)


async def _undo(hub: Hub, action: Action, time: FakeTime) -> bool | None:
    if not verb(action.verb).inverse or action.state not in _IN_EFFECT:
        return None
    await hub.engine.undo(action, actor="rehearsal", reason="rehearsal")
    return (await _settle(hub, action, _UNDO_DONE, time)).state is _S.UNDONE


def _losses(action: Action) -> tuple[str, ...]:
    said: Mapping[str, Any] = action.result
    receipt = said.get("losses", ())
    return tuple(dict.fromkeys([*action.losses, *map(str, receipt if isinstance(receipt, list | tuple) else ())]))
