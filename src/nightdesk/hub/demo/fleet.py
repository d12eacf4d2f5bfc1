"""Four tenants in one hub and one time that only moves when it is told to: days of work in seconds, nothing left out.

Alerts come from a served simulator that lives in the same time, and people do here what they do at the console. The
demonstration and the tests of earned autonomy both work with it.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import yaml

from nightdesk.autonomy.grouping import grouped
from nightdesk.autonomy.learning.champion import CASES
from nightdesk.autonomy.learning.groups import Group
from nightdesk.autonomy.levels.standing import Level, Standing
from nightdesk.autonomy.levels.units import Unit, rule_key
from nightdesk.autonomy.oversight.canaries import Canary
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.config import load_config
from nightdesk.hub.demo.past import EVERY, HOSTS, NOISE, RARE, TENANTS, Judged, a_past, remember
from nightdesk.hub.hub import Hub
from nightdesk.hub.learning.settings import LearningSettings
from nightdesk.hub.learning.training import Trained
from nightdesk.hub.oversight.judging import Judgement, judge
from nightdesk.hub.oversight.planting import plant
from nightdesk.hub.oversight.raising import agree, promote
from nightdesk.hub.registry import Registry
from nightdesk.hub.setup import make_config, private_file
from nightdesk.hub.store import Store, cases, decisions, levels, queries
from nightdesk.sdk.case import Alert, Case, Decision
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import StoryAlert, StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess

__all__ = ["PEOPLE", "TITLES", "Fleet"]

PEOPLE = {"ann": "analyst", "ben": "analyst", "cat": "analyst", "abe": "approver", "ada": "admin"}
"""Who works at each tenant."""
_HERE, _INSTANCE = TENANTS[0], "edr"
TITLES = {
    NOISE: "Maintenance tool starts a shell",
    RARE: "Login from a new device",
    "dump": "Credential dump",
    "spread": "Lateral movement by a remote service",
}
"""By the short names of rules."""


@dataclass
class Fleet:
    """One life of it. ``open`` is a process over the store; another one over the same store goes on from there.

    ``quiet`` is the tenants' window in seconds; ``cases`` those that a new model scores in shadow.
    """

    folder: Path
    registry: Registry
    vendor: str
    time: FakeTime = field(default_factory=FakeTime)
    quiet: float = 0.0
    cases: int = CASES
    numbers: int = 0
    prepare: Callable[[str], str] = str
    """What happens to the store's URL before it is opened."""
    hub: Hub = field(init=False)
    simulator: Any = field(init=False)

    def __post_init__(self) -> None:
        # One that keeps its alerts as ``alerts``, as sent, by native id; canaries and shown rules are such payloads.
        self._template: Any = self.registry.simulator(self.vendor)
        self._normalizer = self.registry.normalizer()
        streams = self.registry.manifest(self.vendor).pulls
        self._product = next(iter(streams.values())).product
        self._rules: dict[str, Alert] = {}
        self._runner: asyncio.Runner

    @contextmanager
    def running(self) -> Iterator["Fleet"]:
        """The hub, open over the folder's store."""
        self.simulator = self._template(clock=self.time.clock)
        with serve(self.simulator) as served:
            settings = load_config(self._configured(served.base_url), self.registry)
            store = Store.open(self.prepare(settings.store), clock=self.time.clock, synchronous="NORMAL")
            try:
                self.hub = Hub(settings, self.registry, store, clock=self.time.clock, sleep=self.time.sleep)
                training = self.hub.learning.training
                self.hub.learning.training = replace(training, settings=LearningSettings(cases=self.cases))
                with asyncio.Runner() as self._runner:
                    try:
                        yield self
                    finally:
                        self._runner.run(self.hub.bindings.aclose())
            finally:
                store.close()

    # What happens.

    def works(self) -> None:
        """The hub does what there is to do."""
        self._runner.run(self.hub.once())

    def remembers(self, *pasts: Sequence[Judged]) -> None:
        """Stores what was judged before."""
        remember(self.hub.store, *pasts)

    def past(self, tenant: str, **more: Any) -> list[Judged]:
        """A made-up past of that tenant until now; ``more`` as of ``a_past``."""
        return a_past(tenant, self.time.now, self.shown(), **more)

    def trains(self) -> Trained:
        """By hand, as the command does."""
        return self.hub.learning.training.train()

    def arrives(self, name: str = NOISE, host: int | None = None, *, after: float = EVERY) -> str:
        """An alert, decided on; returns its case."""
        return self.arrive([name], host, after=after)[0]

    def arrive(self, names: Sequence[str], host: int | None = None, *, after: float = EVERY) -> list[str]:
        """Alerts of these rules, ``after`` seconds apart, fetched in one page once the last is there; their cases."""
        told = []
        for name in names:
            self.time.advance(after)
            self.numbers += 1
            where = self.numbers % HOSTS if host is None else host  # each about once a day, so no case joins another
            told.append(self.simulator.add(self._story(f"a-{self.numbers}", name, where)))
        self.works()
        return self.cases_of(told)

    def cases_of(self, native: Sequence[str]) -> list[str]:
        """The cases of these alerts, by the vendor's names of them."""
        with self.hub.store.read() as conn:
            rows = queries.case_list(conn, _HERE, limit=len(native) + 20)
            found = cases.cases(conn, _HERE, [row.case_id for row in rows])
        of = {alert.native_id: case_id for case_id, case in found.items() for alert in case.alerts}
        return [of[name] for name in native]

    def plants(self, name: str, host: int, *, after: float = EVERY) -> Canary:
        """A known attack, sent in again as an alert of that rule, by a person; decided on."""
        found = self.plant([(name, host)], after=after)
        self.works()
        return found[0]

    def plant(self, told: Sequence[tuple[str, int]], *, after: float = EVERY) -> list[Canary]:
        """Several of them, as (rule, host), for the hub to find when it works next."""
        found = []
        for name, host in told:
            self.time.advance(after)
            self.numbers += 1
            done = plant(
                self.hub.oversight,
                self._normalizer,
                _HERE,
                by=self.person("abe"),
                connector=_INSTANCE,
                payload=orjson.dumps(self._payload(f"c-{self.numbers}", name, host)),
                origin="last year's intrusion",
            )
            found.append(done.canary)
        return found

    def judges(self, case_id: str, verdict: str = "benign-positive", by: str = "ann") -> Judgement:
        """A person's word on a case, given without the machine's."""
        return judge(self.hub.oversight, _HERE, by=self.person(by), about=case_id, verdict=verdict)

    def raises(self) -> None:
        """Two persons, one an admin of the tenant. Raises PolicyError that says what is missing."""
        promote(self.hub.oversight, self.unit(), Level.CLOSE, by=self.person("abe"), reason="it is noise")
        agree(self.hub.oversight, self.unit(), by=self.person("ada"), reason="I looked at the samples")

    # What there is.

    def person(self, name: str) -> Principal:
        """One of the people, with their role."""
        return Principal(_HERE, name, Role(PEOPLE[name]))

    def shown(self) -> dict[str, Group]:
        """By short name the group that an alert of the rule makes."""
        return {name: next(iter(grouped([self._alert(name)]).groups.values())) for name in TITLES}

    def unit(self, name: str = NOISE) -> Unit:
        """The rule's right to close."""
        alert = self._alert(name)
        return Unit(_HERE, rule_key(alert.product, alert.rule_id or alert.rule_name, alert.rule_version))

    def standing(self, name: str = NOISE) -> Standing:
        """How far it is."""
        with self.hub.store.read() as conn:
            return levels.standing(conn, self.unit(name))

    def case(self, case_id: str) -> Case:
        """The case as it stands."""
        with self.hub.store.read() as conn:
            return cases.cases(conn, _HERE, [case_id])[case_id]

    def decisions(self, case_id: str) -> list[Decision]:
        """All decisions on it, oldest first."""
        with self.hub.store.read() as conn:
            return decisions.decisions(conn, _HERE, case_id)

    # How it is told.

    def _alert(self, name: str) -> Alert:
        """One alert of the rule; no simulator that the hub knows has it."""
        if name not in self._rules:
            payload = orjson.dumps(self._payload("one", name, 1))
            scope = self.hub.settings.tenants[_HERE].scope
            self._rules[name] = self._normalizer.normalize(self._product, payload, scope).alert
        return self._rules[name]

    def _payload(self, uid: str, name: str, host: int) -> dict[str, Any]:
        simulator = self._template(clock=self.time.clock)
        return dict(simulator.alerts[simulator.add(self._story(uid, name, host))])

    def _story(self, uid: str, name: str, host: int) -> StoryAlert:
        device = StoryDevice(f"dev-{host:04d}", f"WS-{host:04d}", (f"192.0.2.{host % 250 + 1}",))
        tool = StoryProcess("tool.exe", r"C:\Tools\tool.exe", "tool.exe --quiet", 4000 + host, f"{host + 1:064x}")
        return StoryAlert(
            uid,
            self.time.now - timedelta(seconds=1),
            TITLES.get(name, name),
            name,
            "medium",
            raised_at=self.time.now,
            device=device,
            user=f"user{host:04d}",
            user_domain="EXAMPLE",
            process=tool,
            technique_ids=("T1059.001",),
            tactic_ids=("TA0002",),
        )

    def _configured(self, url: str) -> Path:
        """One configuration of all tenants, each with its own key, people and signed policy."""
        whole: dict[str, Any] = {"store": "sqlite:///nightdesk.db", "tenants": {}}
        for slug in TENANTS:
            folder = self.folder / slug
            people = {name: {"role": role, "secret": f"file:{slug}/secrets/{name}"} for name, role in PEOPLE.items()}
            for name in people:
                private_file(folder / "secrets" / name, f"{secrets.token_urlsafe(24)}\n".encode())
            more = {"quiet_seconds": self.quiet, "tokens": people}
            if slug == _HERE:
                more |= self._bound(folder, url)
            written = make_config(folder, slug, slug.title(), at=utc_now(), more=more)
            text = written.read_text(encoding="utf-8").replace("file:secrets/", f"file:{slug}/secrets/")
            whole["tenants"] |= yaml.safe_load(text.replace("policies/", f"{slug}/policies/"))["tenants"]
            written.unlink()
        file = self.folder / "nightdesk.yaml"
        file.write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
        return file

    def _bound(self, folder: Path, url: str) -> dict[str, Any]:
        given = dict(self.simulator.settings(url))
        for key, value in given.items():
            if isinstance(value, Secret):
                private_file(folder / "secrets" / f"{_INSTANCE}.{key}", f"{value.reveal()}\n".encode())
                given[key] = f"file:secrets/{_INSTANCE}.{key}"
        spec = {"vendor": self.vendor, "poll_seconds": 0.1, "settings": given}
        return {
            "connectors": {_INSTANCE: spec},
            "roles": dict.fromkeys(self.registry.manifest(self.vendor).roles, _INSTANCE),
        }
