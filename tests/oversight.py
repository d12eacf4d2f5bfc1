"""A site for tests of levels, labels, samples and canaries: a real store, tenants with people, cases with decisions.

Decisions are made by the real gate from the score given; nothing here stands in for what is under test.
"""

import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from tests.stores import a_decision, prepared

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.levels.gate import EARNED, RECORDED, Asked, Certificate, GateInputs, Say, ask
from nightdesk.autonomy.levels.requirements import DEFAULTS, Demands
from nightdesk.autonomy.levels.standing import Level, Standing
from nightdesk.autonomy.levels.units import Unit, rule_key, rule_keys
from nightdesk.autonomy.oversight.canaries import Canary, CanaryState
from nightdesk.autonomy.policy import Policy
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.config import TenantSettings, TokenSettings
from nightdesk.hub.config_file import Role as HeldRole
from nightdesk.hub.oversight.facts import Knowledge
from nightdesk.hub.oversight.judging import Judgement, judge
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.oversight.queue import queue
from nightdesk.hub.oversight.raising import agree, promote
from nightdesk.hub.oversight.rounds import Rounds
from nightdesk.hub.store import Store, alerts, audit, canaries, cases, decisions, levels
from nightdesk.sdk.case import Alert, Case, CaseStatus, Decision, Outcome, Verdict
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing.cases import an_alert, an_entity
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

__all__ = ["CERTIFICATE", "JUDGES", "PEOPLE", "RULE", "Site", "earned_site", "rule"]

PEOPLE: dict[str, HeldRole] = {
    "vic": "viewer",
    "ann": "analyst",
    "ben": "analyst",
    "cat": "analyst",
    "abe": "approver",
    "ada": "admin",
    "bot": "service",
}
JUDGES = ("ann", "ben", "cat")
CERTIFICATE = Certificate(tau=0.2, tie=0, n=299, k=0, alpha=0.01, delta=0.05)


def rule(name: str = "rule-1", version: str = "") -> str:
    """The key of a rule of the tests' product."""
    return rule_key("acme_edr", name, version)


RULE = rule()


def settings(slug: str, assets: Mapping[str, AssetFacts]) -> TenantSettings:
    """A tenant with people and nothing bound."""
    tokens = {name: TokenSettings(name, role, Secret.literal(f"{slug}-{name}"), "") for name, role in PEOPLE.items()}
    return TenantSettings(
        Scope(slug, slug.title(), TenantKey.derived(slug)),
        Policy.unsigned(),
        timedelta(0),
        timedelta(hours=4),
        {},
        {},
        {},
        tokens,
        assets=assets,
    )


@dataclass
class Site:
    """One installation. ``knowledge`` is what the model would say; tests change it."""

    folder: Path
    tenants: Sequence[str] = ("acme",)
    time: FakeTime = field(default_factory=FakeTime)
    knowledge: Knowledge = field(default_factory=lambda: Knowledge(certified=True))
    demands: Demands = DEFAULTS
    assets: dict[str, AssetFacts] = field(default_factory=dict)
    store: Store = field(init=False)
    office: Office = field(init=False)
    rounds: Rounds = field(init=False)
    numbers: int = 0

    def __post_init__(self) -> None:
        url = prepared(f"sqlite:///{self.folder}/nightdesk.db")
        self.store = Store.open(url, clock=self.time.clock, synchronous="NORMAL")
        self.restart()

    def restart(self) -> None:
        """Another process over the same store: nothing is remembered."""
        made = {slug: settings(slug, self.assets) for slug in self.tenants}
        told = lambda *_: self.knowledge  # noqa: E731  # read each time, for tests change it
        self.office = Office.of(self.store, made, self.time.clock, knowledge=told, demands=self.demands)
        self.rounds = Rounds(self.office)

    def close(self) -> None:
        self.store.close()

    def person(self, name: str, tenant: str = "acme") -> Principal:
        return Principal(tenant, name, Role(PEOPLE[name]))

    def unit(self, key: str = RULE, tenant: str = "acme") -> Unit:
        return Unit(tenant, key)

    def standing(self, key: str = RULE, tenant: str = "acme") -> Standing:
        with self.store.read() as conn:
            return levels.standing(conn, self.unit(key, tenant))

    def case(self, case_id: str, tenant: str = "acme") -> Case:
        with self.store.read() as conn:
            found = cases.case(conn, tenant, case_id)
        assert found is not None
        return found

    def decisions(self, case_id: str, tenant: str = "acme") -> list[Decision]:
        with self.store.read() as conn:
            return decisions.decisions(conn, tenant, case_id)

    def events(self, tenant: str = "acme") -> list[audit.AuditEntry]:
        with self.store.read() as conn:
            return audit.entries(conn, tenant, limit=100_000)

    def arrives(  # what an alert says, and what a model would
        self,
        *,
        tenant: str = "acme",
        key: str = "rule-1",
        version: str = "",
        host: str = "",
        score: float | None = 0.05,
        conn: Connection | None = None,
        **more: Any,
    ) -> str:
        """One alert, its case, and the decision that the gate makes of it; returns the case's id."""
        self.numbers += 1
        at, name = self.time.clock(), f"{tenant}-{self.numbers}"
        made = an_alert(
            f"incident--{name}",
            tenant=tenant,
            native_id=f"native-{name}",
            rule_id=key,
            rule_version=version,
            created=at,
            modified=at,
            first_seen=at,
            last_seen=at,
            entities=(an_entity(f"host:{host or f'ws-{self.numbers:05d}'}", "victim-host"),),
            **more,
        )
        if conn is not None:
            return self._stored(conn, made, score)
        with self.store.begin() as own:
            return self._stored(own, made, score)

    def _stored(self, conn: Connection, made: Alert, score: float | None) -> str:
        tenant, at = made.tenant, self.time.clock()
        alerts.put_alerts(conn, [(self.numbers, made, b"{}", b"[]")])
        (case_id,) = cases.new_case_ids(conn, tenant, [at])
        write = cases.CaseWrite(
            tenant, case_id, made.title, CaseStatus.NEW, made.severity_id, at, at, [made.alert_id],
            [entity.key for entity in made.entities],
        )  # fmt: skip
        cases.put_cases(conn, [write])
        decision = self.decided(conn, tenant, case_id, score)
        decisions.put_decisions(conn, [decision])
        status = CaseStatus.CLOSED if decision.outcome is Outcome.CLOSE else CaseStatus.ESCALATED
        cases.set_status(conn, tenant, case_id, status, at=at)
        return case_id

    def decided(self, conn: Connection, tenant: str, case_id: str, score: float | None) -> Decision:
        """What the gate says, with the levels as they are."""
        case = cases.case(conn, tenant, case_id)
        assert case is not None
        asked = []
        for one in rule_keys(case.alerts):
            level = levels.standing(conn, Unit(tenant, one)).level
            asked.append(Asked(one, int(level), score, case_id, CERTIFICATE, canaries=True))
        inputs = GateInputs(tuple(asked))
        closes = ask(inputs).say is Say.CLOSE
        return a_decision(
            f"{case_id}-001",
            case_id,
            tenant=tenant,
            decided_at=self.time.clock(),
            outcome=Outcome.CLOSE if closes else Outcome.ESCALATE,
            verdict=Verdict.LIKELY_FALSE_POSITIVE if closes else Verdict.UNDETERMINED,
            reason_code=EARNED if closes else "abstained",
            inputs={
                RECORDED: inputs.to_json(),
                "alerts": [{"alert_id": alert.alert_id, "sha256": ""} for alert in case.alerts],
            },
        )

    def works(self) -> None:
        """Rounds until there is nothing left to do."""
        while self.rounds.once():
            pass

    def judges(
        self, about: str, verdict: str = "benign-positive", by: str = "ann", tenant: str = "acme", **more: Any
    ) -> Judgement:
        return judge(self.office, tenant, by=self.person(by, tenant), about=about, verdict=verdict, **more)

    def waits(self, by: str = "ann", tenant: str = "acme") -> list[str]:
        return [one.item_id for one in queue(self.office, tenant, by=self.person(by, tenant), limit=100)]

    def catches(self, count: int, key: str = RULE, tenant: str = "acme", *, missed: bool = False) -> None:
        """Canaries of that rule that were decided already."""
        at, family = self.time.clock(), key.rpartition("@")[0]
        state = CanaryState.MISSED if missed else CanaryState.CAUGHT
        with self.store.begin() as conn:
            for _ in range(count):
                self.numbers += 1
                name = f"incident--canary-{self.numbers}"
                named = canaries.canary_id(tenant, name)
                planted = Canary(tenant, named, family, key, "edr", name, at, "abe", "drill")
                canaries.plant(conn, planted)
                after = replace(planted, state=state, settled_at=at)
                canaries.keep(conn, after, event="canary.settled", by="autonomy", at=at)

    def proves(self, count: int = 400, *, tenant: str = "acme", key: str = "rule-1", version: str = "") -> None:
        """Honest work: that many cases over four days, judged blind and benign by three people in turn."""
        per_day = -(-count // 4)
        for number in range(count):
            if number % per_day == 0:
                self.time.advance(86_400)
            case_id = self.arrives(tenant=tenant, key=key, version=version, host=f"ws-{number % 97:03d}")
            self.judges(case_id, by=JUDGES[number % 3], tenant=tenant)

    def earns(self, *, tenant: str = "acme", key: str = "rule-1", version: str = "") -> None:
        """A unit all the way to *auto-close*: seen, judged, canaries caught, raised by two persons."""
        self.arrives(tenant=tenant, key=key, version=version)
        self.works()
        self.time.advance(25 * 3600)
        self.proves(tenant=tenant, key=key, version=version)
        self.catches(59, rule(key, version), tenant)
        self.raises(rule(key, version), tenant)

    def raises(self, key: str = RULE, tenant: str = "acme") -> None:
        unit = self.unit(key, tenant)
        promote(self.office, unit, Level.CLOSE, by=self.person("abe", tenant), reason="it is noise")
        agree(self.office, unit, by=self.person("ada", tenant), reason="I looked at the samples")


@functools.cache
def _earned() -> tuple[bytes, FakeTime, int]:
    """A database in which one rule of acme got to *auto-close*, made once for all tests."""
    with tempfile.TemporaryDirectory(prefix="nightdesk-earned-") as folder:
        site = Site(Path(folder))
        site.earns()
        site.close()
        return (Path(folder) / "nightdesk.db").read_bytes(), site.time, site.numbers


def earned_site(folder: Path, **more: Any) -> Site:
    """A site whose rule got to *auto-close* in acme."""
    data, time, numbers = _earned()
    (folder / "nightdesk.db").write_bytes(data)
    return Site(folder, time=FakeTime(time.now), numbers=numbers, **more)
