"""The index of indicators: read by the bundled connector from its simulator, asked by value, network and pattern."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.enriching import an_alert_of, decided, enriched, worked
from tests.hubs import REGISTRY
from tests.stores import prepared

from nightdesk.connectors.taxii.payloads import COMMUNITY, stix_time
from nightdesk.connectors.taxii.simulator import Simulator
from nightdesk.hub.enrichment.config import IndicatorsConfig
from nightdesk.hub.enrichment.indicators import Indexer
from nightdesk.hub.enrichment.intel_index import IntelIndex
from nightdesk.hub.store import Store
from nightdesk.hub.store import enrichment as rows
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.enrichment import Enrichment, EnrichmentStatus, IntelFact
from nightdesk.sdk.errors import UnavailableError
from nightdesk.sdk.manifest import validate_settings
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.cases import an_entity
from nightdesk.sdk.testing.fake_time import FakeTime

MANIFEST = REGISTRY.manifests["taxii"]
GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"


@dataclass
class Site:
    """One collection, and the index that one tenant has of it."""

    simulator: Simulator
    url: str
    store: Store
    time: FakeTime

    def share(self, number: int, pattern: str, **changes: Any) -> str:
        told = stix_time(self.time.clock() - timedelta(hours=1))
        made: dict[str, Any] = {
            "type": "indicator",
            "spec_version": "2.1",
            "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
            "created_by_ref": COMMUNITY,
            "created": told,
            "modified": told,
            "pattern": pattern,
            "pattern_type": "stix",
            "valid_from": told,
            **changes,
        }
        self.simulator.shared.put([made])
        return str(made["id"])

    def newer(self) -> str:
        self.time.advance(60)
        return stix_time(self.time.clock())

    def polled(self, tenant: str = "acme", **config: Any) -> tuple[Indexer, int]:
        """One poll by a process of its own."""
        given = IndicatorsConfig(kind="indicators", connector="feed", **config)
        values = validate_settings(MANIFEST, self.simulator.settings(self.url), file="t", key="t")

        context = Context(tenant, "feed", Settings(values), clock=self.time.clock, sleep=self.time.sleep)

        async def go() -> tuple[Indexer, int]:
            connector = REGISTRY.connector("taxii", context)
            made = Indexer(tenant, "intel", given, MANIFEST, lambda: connector, self.store, self.time.clock)
            try:
                return made, await made.poll()
            finally:
                await connector.aclose()

        return asyncio.run(go())

    def poll(self, tenant: str = "acme", **config: Any) -> Indexer:
        return self.polled(tenant, **config)[0]

    def ask(self, key: str, tenant: str = "acme", index: IntelIndex | None = None, name: str = "") -> Enrichment:
        entity = an_entity(key, **({"name": name} if name else {}))
        asked = index or self.index()
        return asked.know(tenant, [entity], self.time.clock())[entity.key]

    def index(self, **config: Any) -> IntelIndex:
        return IntelIndex("intel", IndicatorsConfig(kind="indicators", connector="feed", **config), self.store)

    def facts(self, key: str, name: str = "") -> list[IntelFact]:
        return [fact for fact in self.ask(key, name=name).facts if isinstance(fact, IntelFact)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    time = FakeTime()
    simulator = Simulator(clock=time.clock)
    store = Store.open(prepared(f"sqlite:///{tmp_path}/nightdesk.db"), clock=time.clock)
    with serve(simulator) as served:
        yield Site(simulator, served.base_url, store, time)
    store.close()


def test_an_indicator_is_found_by_its_value_with_age_confidence_and_marking(site: Site) -> None:
    site.share(1, "[domain-name:value = 'Bad.example.com']", name="C2", confidence=70, object_marking_refs=[GREEN])
    site.share(2, "[domain-name:value = 'bad.example.com']", confidence=40)
    site.poll()
    (fact,) = site.facts("domain:bad.example.com")
    assert (fact.verdict, fact.count, fact.confidence, fact.tlp, fact.labels) == ("malicious", 2, 70, "green", ("C2",))
    assert fact.newest == site.time.clock() - timedelta(hours=1)
    assert site.ask("domain:good.example.com").status is EnrichmentStatus.NOTHING


def test_networks_and_patterns_are_asked_too(site: Site) -> None:
    site.share(1, "[ipv4-addr:value ISSUBSET '198.51.100.0/24']")
    site.share(2, "[url:value LIKE 'https://bad.example.com/%']")
    site.share(3, f"[file:hashes.'SHA-256' = '{'a' * 64}' AND file:name = 'x.exe']")
    site.poll()
    assert site.facts("address:198.51.100.7")
    assert not site.facts("address:198.51.101.7")
    assert site.facts("url:https://bad.example.com/a")
    assert site.facts(f"file:sha256:{'a' * 64}", name="x.exe")
    assert not site.facts(f"file:sha256:{'a' * 64}", name="y.exe")


def test_a_newer_version_takes_the_older_ones_place_and_a_revocation_takes_it_away(site: Site) -> None:
    site.share(1, "[domain-name:value = 'old.example.com']")
    site.poll()
    assert site.facts("domain:old.example.com")
    site.share(1, "[domain-name:value = 'new.example.com']", modified=site.newer())
    site.poll()
    assert not site.facts("domain:old.example.com")
    assert site.facts("domain:new.example.com")
    site.share(1, "[domain-name:value = 'new.example.com']", modified=site.newer(), revoked=True)
    site.poll()
    assert not site.facts("domain:new.example.com")


def test_an_older_version_that_comes_late_changes_nothing(site: Site) -> None:
    new = site.newer()
    site.share(1, "[domain-name:value = 'new.example.com']", modified=new)
    site.poll()
    site.share(1, "[domain-name:value = 'old.example.com']")
    site.poll()
    assert site.facts("domain:new.example.com")
    assert not site.facts("domain:old.example.com")


def test_what_is_over_or_still_to_begin_says_nothing(site: Site) -> None:
    soon = stix_time(site.time.clock() + timedelta(hours=1))
    site.share(1, "[domain-name:value = 'a.example.com']", valid_until=soon)
    site.share(2, "[domain-name:value = 'b.example.com']", valid_from=soon)
    site.poll()
    assert site.facts("domain:a.example.com")
    assert not site.facts("domain:b.example.com")
    site.time.advance(3601)
    assert not site.facts("domain:a.example.com")
    assert site.facts("domain:b.example.com")


def test_what_is_dear_is_set_aside_and_told(site: Site) -> None:
    name = site.share(1, "[url:value MATCHES '^(a+)+$']")
    site.share(2, "alert tcp any any -> any any (msg:x;)", pattern_type="snort")
    made = site.poll()
    assert set(made.aside) == {name, "indicator--00000000-0000-4000-8000-000000000002"}
    assert "for ever" in made.aside[name]
    with site.store.read() as conn:
        assert rows.count(conn, "acme")["intel", "set-aside"] == 2


def test_more_patterns_than_are_asked_are_told(site: Site) -> None:
    for number in range(4):
        site.share(number, f"[url:value LIKE 'https://bad{number}.example.com/%']")
    site.poll()
    index = site.index(max_patterns=2)
    site.ask("url:https://bad1.example.com/x", index=index)
    assert index.problems == ("more than 2 patterns; the rest is not asked",)


def test_words_that_weaken_an_indicator_are_heard(site: Site) -> None:
    site.share(1, "[domain-name:value = 'a.example.com']", indicator_types=["benign"])
    site.share(2, "[domain-name:value = 'b.example.com']", indicator_types=["anomalous-activity"])
    site.share(3, "[domain-name:value = 'c.example.com']", confidence=10)
    site.poll(confidence_at_least=50)
    assert [site.facts(f"domain:{name}.example.com")[0].verdict for name in "ab"] == ["benign", "suspicious"]
    assert not site.facts("domain:c.example.com")


def test_an_index_that_was_never_read_or_not_lately_is_no_answer(site: Site) -> None:
    assert site.ask("domain:bad.example.com").status is EnrichmentStatus.PENDING
    site.share(1, "[domain-name:value = 'bad.example.com']")
    site.poll()
    site.time.advance(3601)
    late = site.ask("domain:bad.example.com")
    assert (late.status, len(late.facts)) == (EnrichmentStatus.STALE, 1)


def test_it_outlives_the_process_and_goes_on_where_it_was(site: Site) -> None:
    site.share(1, "[domain-name:value = 'a.example.com']")
    assert site.polled()[1] == 1
    assert site.polled()[1] == 0
    site.share(2, "[domain-name:value = 'b.example.com']")
    assert site.polled()[1] == 1
    assert site.facts("domain:a.example.com")


def test_3_the_index_of_one_tenant_is_not_another_ones(site: Site) -> None:
    """Law 3."""
    site.share(1, "[domain-name:value = 'bad.example.com']")
    site.share(2, "[url:value LIKE 'https://bad.example.com/%']")
    site.poll("acme")
    assert site.ask("domain:bad.example.com", "umbrella").status is EnrichmentStatus.PENDING
    index = site.index()
    assert site.ask("url:https://bad.example.com/x", "acme", index).facts
    assert site.ask("url:https://bad.example.com/x", "umbrella", index).facts == ()


def test_a_server_that_is_down_leaves_the_index_as_it_was(site: Site) -> None:
    site.share(1, "[domain-name:value = 'bad.example.com']")
    made = site.poll()
    site.url = "http://127.0.0.1:9"
    with pytest.raises(UnavailableError):
        site.poll()
    assert site.facts("domain:bad.example.com")
    assert made.aside == {}


def test_a_hub_polls_its_collection_and_a_case_about_it_goes_to_a_person(tmp_path: Path) -> None:
    time = FakeTime()
    feed = Simulator(clock=time.clock)
    told = stix_time(time.clock() - timedelta(hours=1))
    feed.shared.put(
        [
            {
                "type": "indicator", "spec_version": "2.1", "created": told, "modified": told, "valid_from": told,
                "id": "indicator--00000000-0000-4000-8000-000000000001", "pattern_type": "stix",
                "pattern": "[ipv4-addr:value = '192.0.2.1']",
            }
        ]
    )  # fmt: skip
    sources = {"intel": {"kind": "indicators", "connector": "feed"}}
    with (
        serve(feed) as served,
        enriched(tmp_path, sources, time, bound={"feed": (feed, served.base_url)}) as (hub, sim),
    ):
        an_alert_of(sim, time)
        worked(hub)
        assert decided(hub)[-1].reason_code == "abstain-intel"
