"""The data models of the CIM as a witness: the quirks of their rows."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from nightdesk.connectors.splunk_es import Connector
from nightdesk.connectors.splunk_es.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import RejectedError, UnavailableError, UnsupportedError
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAccount, StoryDevice, StorySighting, serve
from nightdesk.sdk.testing.fake_time import FakeTime

DEVICE = StoryDevice("dev-1", "WS-0042", ("192.0.2.42",))
ANN = StoryAccount("acc-1", "ann", "ann@corp.example.com", "CORP")
K = SightingKind


@dataclass
class Site:
    """A splunkd with telemetry, asked about the last hour."""

    simulator: Simulator
    url: str
    time: FakeTime

    def saw(self, kind: SightingKind, ago: float = 60.0, **facts: Any) -> None:
        at = self.time.clock() - timedelta(seconds=ago)
        given = {"device": DEVICE, "peer": "203.0.113.9", **facts}
        self.simulator.saw(StorySighting(f"ev-{len(self.simulator.telemetry)}", kind, at, **given))

    def ask(self, target: str, limit: int = 50, **facts: str) -> Sequence[Sighting]:
        parsed = Target.parse(target)
        asked = Target(parsed.kind, parsed.value, facts)

        async def once() -> Sequence[Sighting]:
            values = self.simulator.settings(self.url)
            context = Context("acme", "siem", Settings(values), Network(timeout=5), self.time.clock, self.time.sleep)
            connector = Connector(context)
            try:
                now = self.time.clock()
                return await connector.activity(asked, now - timedelta(hours=1), now, limit=limit)
            finally:
                await connector.aclose()

        return asyncio.run(once())


@pytest.fixture
def site() -> Iterator[Site]:
    """One hour in which nothing happened yet."""
    time = FakeTime()
    simulator = Simulator(clock=time.clock)
    with serve(simulator) as served:
        yield Site(simulator, served.base_url, time)


def test_a_session_that_is_written_at_its_end_tells_when_it_began(site: Site) -> None:
    noon = site.time.clock()
    began = noon - timedelta(seconds=660)
    site.saw(K.NETWORK_FLOW, began=began)
    (one,) = site.ask("host:ws-0042", address="192.0.2.42")
    assert one.began == began
    assert one.at == noon - timedelta(seconds=60)


def test_a_firewall_that_knows_no_name_is_found_by_the_address(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, device=StoryDevice("dev-1", "unknown", ("192.0.2.42",)))
    assert not site.ask("host:ws-0042")
    (one,) = site.ask("host:ws-0042", address="192.0.2.42")
    assert "hostname" not in one.facts


def test_a_host_is_found_under_its_full_name_and_not_under_a_longer_one(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, device=StoryDevice("a", "ws-0042.corp.example.com", ("192.0.2.42",)))
    site.saw(K.NETWORK_FLOW, device=StoryDevice("b", "ws-00420", ("192.0.2.43",)))
    assert [one.facts["hostname"] for one in site.ask("host:ws-0042")] == ["ws-0042.corp.example.com"]


def test_a_connection_towards_the_host_is_told_as_that(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, inbound=True, port=51000)
    (one,) = site.ask("host:ws-0042", address="192.0.2.42")
    assert (one.facts["direction"], one.peer) == ("inbound", "203.0.113.9")


def test_a_sign_in_names_its_provider_and_a_logon_its_host(site: Site) -> None:
    site.saw(K.SIGN_IN, account=ANN, provider="okta")
    site.saw(K.LOGON, ago=50, account=ANN)
    first, second = site.ask("account:ann@corp.example.com")
    assert (first.kind, first.facts["provider"]) == (K.SIGN_IN, "okta")
    assert (second.kind, second.facts["hostname"]) == (K.LOGON, "WS-0042")
    assert "provider" not in second.facts


def test_a_name_with_its_domain_before_it_stands_in_the_query_with_its_backslash(site: Site) -> None:
    account = StoryAccount("acc-2", "bob", r"CORP\bob")
    site.saw(K.SIGN_IN, account=account)
    assert len(site.ask(r"account:CORP\bob")) == 1


def test_the_oldest_come_first_however_they_were_indexed(site: Site) -> None:
    noon = site.time.clock()
    for ago in (10, 300, 200, 100):
        site.saw(K.NETWORK_FLOW, ago=ago)
    told = site.ask("address:203.0.113.9", limit=3)
    assert [(noon - one.at).total_seconds() for one in told] == [300, 200, 100]


def test_a_link_with_a_wildcard_is_refused_and_nobody_is_asked(site: Site) -> None:
    with pytest.raises(RejectedError, match="cannot be asked for exactly"):
        site.ask("url:https://bad.example.com/*")
    assert not [one for one in site.simulator.seen if "/search/" in one.path]


@pytest.mark.parametrize("target", ["address:203.0.113.0/24", "email:msg-1"])
def test_what_it_cannot_tell_of_is_said(site: Site, target: str) -> None:
    with pytest.raises(UnsupportedError):
        site.ask(target)


def test_an_indexer_that_is_down_is_no_silence(site: Site) -> None:
    site.saw(K.NETWORK_FLOW)
    site.simulator.faults.add("partial_answer")
    with pytest.raises(UnavailableError, match="incomplete"):
        site.ask("host:ws-0042", address="192.0.2.42")


def test_a_question_is_one_search_job_that_is_deleted_again(site: Site) -> None:
    site.ask("host:ws-0042", address="192.0.2.42")
    sent = [one for one in site.simulator.seen if one.method == "POST" and one.path.rstrip("/").endswith("jobs")]
    assert len(sent) == 1
    assert not site.simulator.searches.jobs
