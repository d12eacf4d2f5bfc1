"""One connector under test, and its ground: the simulator on real sockets, and time that the test moves."""

import importlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.types import Receive, Scope, Send

from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.manifest import Manifest, load_manifest, validate_settings
from nightdesk.sdk.ports import Command
from nightdesk.sdk.records import Cursor, RawRecord
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import AccountQuery, AssetQuery, Target
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.serve import serve
from nightdesk.sdk.testing.simulator import Simulator
from nightdesk.sdk.testing.story import StoryAccount, StoryAlert, StoryDevice, StoryProcess
from nightdesk.sdk.verbs import VERBS, TargetKind

__all__ = [
    "ACCOUNT",
    "DEVICE",
    "GROUP",
    "KEY",
    "OBSERVABLES",
    "PROCESS",
    "Bench",
    "Ground",
    "Subject",
    "an_alert",
    "plain_command",
]

_HASH = "5f" * 32
PROCESS = StoryProcess("powershell.exe", r"C:\Windows\powershell.exe", "powershell.exe -enc SQBF", 7720, _HASH)
DEVICE = StoryDevice("dev-0042", "WS-0042", ("192.0.2.42",), processes=(PROCESS,))
GROUP = "finance-approvers"
KEY = "AKIA00000EXAMPLE0042"
ACCOUNT = StoryAccount("acc-0042", "jdoe", "jdoe@corp.example.com", "CORP", "S-1-5-21-1-2-3-1042", (GROUP,), (KEY,))
"""Fits every vendor: a member of GROUP that has the access key KEY."""

_AGO = 30.0  # seconds: within the overlap of any vendor that reads late arrivals again


OBSERVABLES: Mapping[TargetKind, Target] = {
    TargetKind.FILE: Target(TargetKind.FILE, f"sha256:{'c0de' * 16}"),
    TargetKind.ADDRESS: Target(TargetKind.ADDRESS, "203.0.113.77"),
    TargetKind.DOMAIN: Target(TargetKind.DOMAIN, "bad.example.com"),
    TargetKind.URL: Target(TargetKind.URL, "https://bad.example.com/payload"),
}
"""What is its own id at every vendor."""
_PLAIN: Mapping[TargetKind, Target] = {
    TargetKind.INDICATOR: Target(TargetKind.INDICATOR, "domain:bad.example.com"),
    TargetKind.CASE: Target(TargetKind.CASE, "case-0042"),
    TargetKind.PERSON: Target(TargetKind.PERSON, "soc-alerts"),
}
_SAYS: Mapping[str, Mapping[str, Any]] = {
    "case.open": {"title": "Encoded script on WS-0042 <b>& co</b>", "description": "Two\nlines", "severity": "high"},
    "case.comment": {"comment": "seen by the contract suite"},
    "case.close": {"comment": "done by the contract suite"},
    "notify.send": {"title": "WS-0042", "text": "An *alert* <b>& co</b> at hxxp://bad.example.com"},
    "approval.request": {"title": "Isolate WS-0042?", "text": "It beacons", "options": ["approve", "reject"]},
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A connector's package: its manifest, and its classes imported when they are asked for."""

    package: str
    folder: Path
    manifest: Manifest

    @classmethod
    def of(cls, package: str) -> "Subject":
        """The connector of that importable package. Raises ConfigError for its manifest, ImportError for itself."""
        folder = Path(next(iter(importlib.import_module(package).__path__)))
        return cls(package, folder, load_manifest(folder / "manifest.yaml"))

    @property
    def name(self) -> str:
        """The vendor's slug."""
        return self.manifest.vendor

    @property
    def connector(self) -> type[Any]:
        """Its ``Connector``."""
        found: type[Any] = importlib.import_module(f"{self.package}.connector").Connector
        return found

    @property
    def simulator(self) -> type[Simulator]:
        """Its ``Simulator``."""
        found: type[Simulator] = importlib.import_module(f"{self.package}.simulator").Simulator
        return found

    def __str__(self) -> str:
        return self.name


class _Slot:
    """A served address whose application can be changed."""

    def __init__(self) -> None:
        self.url = ""
        self.app: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Ground:
    """Loopback addresses, kept for the next simulator: starting a server costs more than most tests."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._free: list[_Slot] = []

    @contextmanager
    def host(self, app: Any) -> Iterator[str]:
        """Serves the application; gives its base URL."""
        slot = self._free.pop() if self._free else self._new()
        slot.app = app
        try:
            yield slot.url
        finally:
            self._free.append(slot)

    @asynccontextmanager
    async def bench(self, subject: Subject, *, secret: str = "", tenant: str = "acme") -> AsyncIterator["Bench"]:
        """A vendor's tenant of its own and everything that is needed to talk to it."""
        time = FakeTime()
        simulator = subject.simulator(clock=time.clock, secret=secret)
        with self.host(simulator) as url:
            bench = Bench(subject, simulator, url, time, tenant)
            try:
                yield bench
            finally:
                for connector in bench.opened:
                    await connector.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _new(self) -> _Slot:
        slot = _Slot()
        slot.url = self._stack.enter_context(serve(slot)).base_url
        return slot


@dataclass(slots=True)
class Bench:
    """One simulator, and connectors to it."""

    subject: Subject
    simulator: Simulator
    url: str
    time: FakeTime
    tenant: str
    opened: list[Any] = field(default_factory=list)

    @property
    def given(self) -> dict[str, Any]:
        """Settings that reach the simulator, as an instance has them."""
        return self.validated(self.simulator.settings(self.url))

    @property
    def streams(self) -> tuple[str, ...]:
        """What can be pulled."""
        return tuple(self.subject.manifest.feeds)

    def validated(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings as the manifest wants them."""
        return validate_settings(self.subject.manifest, settings, file="contract", key="settings")

    def connect(self, **changed: Any) -> Any:
        """A new connector, as after a restart; ``changed`` settings replace the simulator's."""
        context = Context(
            self.tenant,
            f"{self.subject.name}-main",
            Settings({**self.given, **changed}),
            Network(timeout=10.0),
            clock=self.time.clock,
            sleep=self.time.sleep,
        )
        made = self.subject.connector(context)
        self.opened.append(made)
        return made

    def secrets(self) -> list[str]:
        """Every secret in the settings, revealed."""
        return [value.reveal() for value in self.given.values() if isinstance(value, Secret)]

    def ids(self, records: Iterable[RawRecord]) -> set[str]:
        """Which alerts they are."""
        return {self.simulator.native_id_of(record) for record in records}

    def burst(self, count: int, prefix: str = "burst") -> set[str]:
        """Raises that many alerts in one instant; returns their native ids."""
        return {self.simulator.add(an_alert(self.time, f"{prefix}-{number:04d}")) for number in range(count)}

    async def drain(
        self, connector: Any, *, limit: int = 500, cursors: Mapping[str, Cursor | None] | None = None
    ) -> tuple[list[RawRecord], dict[str, Cursor | None]]:
        """Every stream to its end: the records, and where to go on."""
        records: list[RawRecord] = []
        reached: dict[str, Cursor | None] = dict(cursors or {})
        for stream in self.streams:
            async for batch in connector.pull(stream, reached.get(stream), limit=limit):
                assert not batch.failures, f"{stream}: {batch.failures[0].error}"
                assert len(batch.records) <= limit, f"{stream}: {len(batch.records)} records, {limit} were asked for"
                records += batch.records
                reached[stream] = batch.cursor or reached.get(stream)
        return records, reached

    async def exercise(self, connector: Any) -> None:
        """One thing of its normal operation that talks to the vendor: a drain, else its first other call."""
        manifest = self.subject.manifest
        if self.streams:
            await self.drain(connector)
        elif manifest.follows_cases:
            async for _ in connector.follow_cases(None, limit=10):
                pass
        elif manifest.finds_accounts:
            await connector.find_account(AccountQuery(name=ACCOUNT.name, email=ACCOUNT.email))
        elif manifest.finds_assets:
            await connector.find_asset(AssetQuery(hostname=DEVICE.hostname))
        elif manifest.enriches:
            await connector.enrich(OBSERVABLES[manifest.enriches[0]])
        else:
            await connector.act(plain_command(self, next(iter(manifest.acts))))

    async def trouble(self, connector: Any) -> NightdeskError:
        """What its normal operation fails with."""
        try:
            await self.exercise(connector)
        except NightdeskError as error:
            return error
        raise AssertionError(f"{self.subject.name}: the call succeeded against a vendor that does not work")


def plain_command(bench: Bench, name: str, parameters: Mapping[str, Any] | None = None, *, key: str = "key") -> Command:
    """A command on what needs no looking up: something observable, an indicator, a case, a person."""
    kind = VERBS[name].target
    target = _PLAIN.get(kind) or OBSERVABLES[kind]
    return Command(
        bench.tenant,
        f"action-{name}-{key}",
        name,
        target,
        f"idempotency-{name}-{key}",
        bench.time.clock(),
        native_id="" if kind is TargetKind.CASE else target.value,
        parameters=dict(_SAYS.get(name, {})) if parameters is None else parameters,
        reason="contract",
        case_id="case-0042",
    )


def an_alert(time: FakeTime, uid: str, *, seconds_ago: float = _AGO, happened_ago: float = _AGO) -> StoryAlert:
    """One plain endpoint alert; ``seconds_ago`` is when it was told."""
    now = time.clock()
    return StoryAlert(
        uid,
        now - timedelta(seconds=max(happened_ago, seconds_ago)),
        "Office document started an encoded script",
        "office-spawns-script",
        "high",
        raised_at=now - timedelta(seconds=seconds_ago),
        device=DEVICE,
        user="jdoe",
        process=PROCESS,
        technique_ids=("T1059.001",),
        tactic_ids=("TA0002",),
    )
