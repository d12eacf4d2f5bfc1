"""One run of it: two nights of the same story with another EDR in the second, then a rule that earns to close.

Nothing here is staged: the simulators are strict servers on loopback, the hub is the one that ``nightdesk run`` starts,
and every sentence printed is read from the store or from a simulator.
"""

import asyncio
import difflib
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from nightdesk.autonomy.actions import ActionState
from nightdesk.hub.config import load_config
from nightdesk.hub.demo.climb import Climb
from nightdesk.hub.demo.levels import LEARNS, Act, Levels, learns
from nightdesk.hub.demo.telling import counted, picture, told
from nightdesk.hub.hub import Hub
from nightdesk.hub.logs import configure_logs
from nightdesk.hub.registry import Registry
from nightdesk.hub.serving import run_hub, server_of
from nightdesk.hub.setup import make_config, private_file, starter_policy
from nightdesk.hub.store import Store, decisions, queries
from nightdesk.hub.store.ledger import LedgerRow, ledger
from nightdesk.hub.story import DOMAIN_CONTROLLER, PATIENT_ZERO, Story, night
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import Simulator, serve

__all__ = ["Demo"]

_TENANT = "acme"
_ENDPOINTS = {"falcon": "crowdstrike_falcon", "elastic": "elastic_security"}
_OVER = frozenset(
    {"leased", "effective", "awaiting_approval", "failed", "rejected", "cancelled", "unverified", "undone"}
)
_PATIENCE = 50.0


@dataclass
class _Night:
    """What one night showed."""

    edr: str
    alerts: int
    outcomes: Counter[str] = field(default_factory=Counter)
    isolated: bool = False
    closed_at_vendor: int = 0
    protected_refused: bool = False
    undone: bool = False
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """True when everything that was to be shown was so."""
        return (
            self.isolated
            and self.undone
            and self.protected_refused
            and self.closed_at_vendor > 0
            and self.outcomes["closed"] > 0
            and self.outcomes["escalated"] > 0
        )


class Demo:
    """One run. ``headless`` prints lines, else a live view."""

    def __init__(
        self, *, alerts: int, folder: Path | None, headless: bool, quiet: bool = False, keep: bool = False
    ) -> None:
        self._count = alerts
        self._folder = folder
        self._headless = headless
        self._keep = keep
        self._console = Console(quiet=quiet, soft_wrap=True)
        self._registry = Registry.load()
        self._simulators: dict[str, Simulator] = {}
        self._said: list[str] = []

    def run(self) -> dict[str, Any]:
        """Runs both nights; ``held`` says whether all of it held."""
        configure_logs("error")
        started = time.monotonic()
        with ExitStack() as stack:
            folder = self._folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nightdesk-demo-")))
            settings = self._start(stack)
            config = self._configure(folder, settings)
            nights = [self._night(config, "falcon", utc_now() - timedelta(hours=30))]
            before = config.read_text(encoding="utf-8")
            self._bind(config, "elastic")
            changed = list(difflib.unified_diff(before.splitlines(), config.read_text().splitlines(), lineterm="", n=0))
            self._say("the EDR binding is switched; this is all that changes:")
            for line in changed[3:]:
                self._say(f"    {line}")
            nights.append(self._night(config, "elastic", utc_now() - timedelta(hours=5)))
            levels = self.levels(folder / "levels")
            found = self._summary(config, nights, levels, time.monotonic() - started)
            if self._keep:
                self._stay(config)
            return found

    def _stay(self, config: Path) -> None:
        """Goes on with the desk as the nights left it, for whoever wants to look around, until interrupted."""
        settings = load_config(config, self._registry)
        token = (config.parent / "secrets" / f"{_TENANT}.console").read_text(encoding="utf-8").strip()
        store = Store.open(settings.store)
        with socket.create_server((settings.host, 0)) as listener, suppress(KeyboardInterrupt):
            url = f"http://{settings.host}:{listener.getsockname()[1]}/console/"
            self._say(f"console: {url}  token: {token}  (Ctrl-C stops)")
            asyncio.run(run_hub(settings, self._registry, store, listener))
        store.close()

    # Setting up.

    def _start(self, stack: ExitStack) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name, vendor in (("siem", "splunk_es"), *_ENDPOINTS.items()):
            simulator = self._registry.simulator(vendor)()
            served = stack.enter_context(serve(simulator))
            self._simulators[name] = simulator
            given = {
                **simulator.settings(served.base_url),
                "start": f"{utc_now() - timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}",
            }
            found[name] = {"vendor": vendor, "poll_seconds": 1.0, "settings": given}
            self._say(f"{self._registry.manifest(vendor).title} simulated at {served.base_url}")
        return found

    def _configure(self, folder: Path, connectors: Mapping[str, dict[str, Any]]) -> Path:
        story = night(utc_now(), alerts=20)
        rows = [f"{device.hostname},{device.asset_type}," for device in story.devices]
        private_file(folder / "assets.csv", ("hostname,type,tags\n" + "\n".join(rows) + "\n").encode())
        for name, spec in connectors.items():
            for key, value in spec["settings"].items():
                if isinstance(value, Secret):
                    private_file(folder / "secrets" / f"{name}.{key}", f"{value.reveal()}\n".encode())
                    spec["settings"][key] = f"file:secrets/{name}.{key}"
        config = make_config(
            folder,
            _TENANT,
            "Acme GmbH",
            at=utc_now(),
            signers=("alice", "bob"),
            policy=starter_policy("demo"),
            more={
                "quiet_seconds": 2.0,
                "assets": "assets.csv",
                "limits": {
                    "new_cases_per_hour": 5000,
                    "closes_per_hour": 5000,
                    "hosts_per_hour": 0.05,
                    "flood_floor": 5000,
                },
                "connectors": dict(connectors),
                "roles": {"siem": "siem", "edr": "falcon"},
            },
        )
        self._say(f"policy signed by alice and bob; {len(rows)} assets in the inventory; a fresh embedded store")
        return config

    @staticmethod
    def _bind(config: Path, edr: str) -> None:
        text = config.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
        document["tenants"][_TENANT]["roles"]["edr"] = edr
        config.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")

    # One night.

    def _night(self, config: Path, edr: str, start: datetime) -> _Night:
        story = night(start, alerts=self._count)
        siem, endpoint = self._simulators["siem"], self._simulators[edr]
        endpoint.add_devices(story.devices)
        natives = [siem.add(alert) for alert in story.siem]
        natives_edr = [endpoint.add(alert) for alert in story.endpoint]
        title = self._registry.manifest(
            load_config(config, self._registry).tenants[_TENANT].instances[edr].manifest.vendor
        )
        self._say(f"night with {title.title} as EDR: {len(natives) + len(natives_edr)} alerts are told")
        found = _Night(edr, len(story.alerts))
        started = time.monotonic()
        asyncio.run(self._work(config, story, found, natives))
        found.seconds = time.monotonic() - started
        return found

    async def _work(self, config: Path, story: Story, found: _Night, natives: list[str]) -> None:
        settings = load_config(config, self._registry)
        store = Store.open(settings.store)
        hub = Hub(settings, self._registry, store)
        server = server_of(hub, settings.host, 0)
        serving = asyncio.create_task(server.serve())
        running = asyncio.create_task(hub.run())
        try:
            with self._view(hub):
                await self._until_settled(hub, found.alerts)
            self._read(hub, story, found, natives)
            await self._undo(hub, found)
        finally:
            server.should_exit = True
            hub.stop()
            await asyncio.gather(running, serving)
            store.close()

    async def _until_settled(self, hub: Hub, expected: int) -> None:
        """Until every alert told is decided and every action is over, or patience ends."""
        until = time.monotonic() + _PATIENCE
        with hub.store.read() as conn:
            done_before = _normalised(ledger(conn, _TENANT))
        calm, told = 0, set[str]()
        while time.monotonic() < until and calm < 3:
            await asyncio.sleep(0.3)
            with hub.store.read() as conn:
                rows = ledger(conn, _TENANT)
                states = queries.status_counts(conn, _TENANT)
            for feed in hub.feeds:
                if feed.state.problem and feed.state.problem not in told:
                    told.add(feed.state.problem)
                    self._say(f"  {feed.state.instance}/{feed.state.stream}: {feed.state.problem}")
            moving = [one for one in hub.journal.in_state(list(ActionState), tenant=_TENANT) if one.state not in _OVER]
            arrived = _normalised(rows) - done_before >= expected
            waiting = sum(row.waiting for row in rows) + states.get("waiting", 0) + states.get("new", 0)
            calm = calm + 1 if arrived and not waiting and not moving else 0

    def _read(self, hub: Hub, story: Story, found: _Night, natives: list[str]) -> None:
        """What the store and the simulators say now."""
        siem, endpoint = self._simulators["siem"], self._simulators[found.edr]
        first, last = story.alerts[0].at - timedelta(hours=1), story.alerts[-1].at + timedelta(hours=1)
        shown: set[str] = set()
        with hub.store.read() as conn:
            rows = queries.case_list(conn, _TENANT, limit=1000)
            for row in rows:
                page = queries.case_page(conn, _TENANT, row.case_id)
                if page is None or not any(first <= alert.first_seen <= last for alert in page.case.alerts):
                    continue
                found.outcomes[page.case.status.value] += 1
                decision = page.decisions[-1]
                if decision.reason_code not in shown or (page.actions and page.case.status != "closed"):
                    shown.add(decision.reason_code)
                    self._say(f"  {row.case_id} {page.case.status}: {row.title}")
                    self._say(f"      {decision.outcome}, because {' '.join(decision.reasons)[:200]}")
                    for action in page.actions[:2]:
                        self._say(f"      {told(action)}")
                found.protected_refused |= _refused(page)
        endpoint.fleet.settle()
        isolated = self._is_isolated(found.edr)
        effective = [
            one
            for one in hub.journal.in_state([ActionState.LEASED, ActionState.EFFECTIVE], tenant=_TENANT)
            if one.verb == "host.isolate" and one.instance == found.edr
        ]
        found.isolated = isolated and bool(effective)
        found.closed_at_vendor = sum(siem.alert_state(native)["status"] == "closed" for native in natives)
        self._say(
            f"  {PATIENT_ZERO}: the hub says {effective[0].state if effective else 'not effective'}, "
            f"the simulator says {'isolated' if isolated else 'not isolated'}"
        )
        self._say(f"  {found.closed_at_vendor} alerts closed in the SIEM itself")
        if found.protected_refused:
            self._say(f"  {DOMAIN_CONTROLLER}: containment refused, a signed rule protects it; a person has the case")

    async def _undo(self, hub: Hub, found: _Night) -> None:
        for action in hub.journal.in_state([ActionState.LEASED], tenant=_TENANT):
            if action.verb != "host.isolate":
                continue
            undone = await hub.engine.undo(action, actor="carol", reason="the host was cleaned")
            until = time.monotonic() + 10
            while undone.state is ActionState.UNDO_REQUESTED and time.monotonic() < until:
                await asyncio.sleep(0.1)
                undone = await hub.engine.advance(undone)
            isolated = self._is_isolated(found.edr)
            found.undone = undone.state is ActionState.UNDONE and not isolated
            said = "isolated" if isolated else "released"
            self._say(f"  carol undoes it: {undone.state} at {undone.instance}; the simulator says {said}")

    def _is_isolated(self, edr: str) -> bool:
        """What the simulated network really does to the host."""
        devices = self._simulators[edr].fleet.devices.values()
        return any(one.isolated for one in devices if one.hostname == PATIENT_ZERO)

    def levels(self, folder: Path) -> Levels | None:
        """The third act; None where nothing can be trained."""
        self._say("how a rule earns the right to close alone, and loses it:")
        if not learns():
            self._say(f"  left out: training a model needs scikit-learn; {LEARNS}")
            return None
        folder.mkdir()
        return Act(folder, self._registry, _ENDPOINTS["falcon"], self._say, self._climbing).run()

    # Telling.

    def _say(self, text: str) -> None:
        self._said.append(text)
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def _view(self, hub: Hub) -> Iterator[None]:
        """The live view: ledger, cases and actions while they move."""
        if self._headless:
            yield
            return
        with Live(
            get_renderable=lambda: picture(hub, _TENANT), console=self._console, refresh_per_second=4, transient=True
        ):
            yield

    @contextmanager
    def _climbing(self, climb: Climb) -> Iterator[None]:
        """The live view of the third act."""
        if self._headless:
            yield
            return
        with self._live(climb.drawn):
            yield

    def _live(self, drawn: Callable[[], Table]) -> Live:
        return Live(get_renderable=drawn, console=self._console, refresh_per_second=4, transient=True)

    def _summary(self, config: Path, nights: list[_Night], levels: Levels | None, seconds: float) -> dict[str, Any]:
        store = Store.open(load_config(config, self._registry).store)
        try:
            with store.read() as conn:
                rows = ledger(conn, _TENANT)
                problems = decisions.verify_decisions(conn, _TENANT)
                totals = queries.status_counts(conn, _TENANT)
        finally:
            store.close()
        balanced = all(row.balanced for row in rows)
        held = balanced and not problems and all(one.held for one in nights) and (levels is None or levels.held)
        table = Table(title="summary", title_justify="left", box=None, pad_edge=False)
        table.add_column(no_wrap=True)
        for column in ("received", "normalised", "duplicate", "quarantined", "waiting", "balanced"):
            table.add_column(column)
        for row in rows:
            numbers = (row.received, row.normalised, row.duplicate, row.quarantined, row.waiting)
            table.add_row(f"{row.instance}/{row.stream}", *map(str, numbers), "yes" if row.balanced else "NO")
        self._console.print(table)
        for one in nights:
            self._say(
                f"{one.edr}: {one.alerts} alerts, cases {counted(one.outcomes)}; isolated, read back: {one.isolated}; "
                f"undone, read back: {one.undone}; closed at the vendor: {one.closed_at_vendor}; {one.seconds:.1f} s"
            )
        if levels is None:
            self._say(f"levels: left out; {LEARNS}")
        else:
            self._say(
                f"levels: earned {levels.earned}, closed alone {levels.closed}; revoked by a planted attack: "
                f"{levels.revoked}, closures open again {levels.reopened} of {levels.closures}; {levels.seconds} s"
            )
        self._say(f"cases: {counted(totals)}; decision record: {'intact' if not problems else problems[0]}")
        self._say(f"{'all of it held' if held else 'NOT all of it held'}, {seconds:.1f} s")
        books = [
            {"connector": f"{row.instance}/{row.stream}", "received": row.received, "balanced": row.balanced}
            for row in rows
        ]
        return {
            "held": held,
            "seconds": round(seconds, 1),
            "ledger": books,
            "cases": totals,
            "nights": [{**asdict(one), "outcomes": dict(one.outcomes), "held": one.held} for one in nights],
            "levels": (
                {"left_out": LEARNS}
                if levels is None
                else {**asdict(levels), "earned": levels.earned, "held": levels.held}
            ),
        }


def _refused(page: queries.CasePage) -> bool:
    """True for the protected server's case when its containment was wanted, refused and not journalled."""
    if not any(DOMAIN_CONTROLLER.lower() == entity.value for entity in page.case.entities):
        return False
    checks = [check for decision in page.decisions for check in decision.checks]
    refused = any(check.name == "never-touch" and not check.passed for check in checks)
    return refused and not any(DOMAIN_CONTROLLER.lower() in action.target.value for action in page.actions)


def _normalised(rows: list[LedgerRow]) -> int:
    return sum(row.normalised for row in rows)
