"""ECS events as a witness: what stands in them, and what is left out."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from nightdesk.connectors.elastic_security import Connector, telemetry
from nightdesk.connectors.elastic_security.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import ConfigError, ScopeError, UnavailableError, UnsupportedError
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAccount, StoryDevice, StorySighting, serve
from nightdesk.sdk.testing.fake_time import FakeTime

DEVICE = StoryDevice("dev-1", "WS-0042", ("192.0.2.42",))
ANN = StoryAccount("acc-1", "ann", "ann@corp.example.com", "CORP", "S-1-5-21-7")
K = SightingKind


@dataclass
class Site:
    """A cluster with events, asked about the last hour."""

    simulator: Simulator
    url: str
    time: FakeTime

    def saw(self, kind: SightingKind, **facts: Any) -> None:
        given = {"device": DEVICE, "peer": "203.0.113.9", **facts}
        number = len(self.simulator.telemetry)
        at = self.time.clock() - timedelta(seconds=600 - number)
        self.simulator.saw(StorySighting(f"ev-{number}", kind, at, **given))

    def ask(self, target: str, facts: dict[str, str] | None = None, **settings: Any) -> Sequence[Sighting]:
        parsed = Target.parse(target)
        asked = Target(parsed.kind, parsed.value, facts or {})

        async def once() -> Sequence[Sighting]:
            values = {**self.simulator.settings(self.url), **settings}
            context = Context("acme", "siem", Settings(values), Network(timeout=5), self.time.clock, self.time.sleep)
            connector = Connector(context)
            try:
                now = self.time.clock()
                return await connector.activity(asked, now - timedelta(hours=1), now, limit=50)
            finally:
                await connector.aclose()

        return asyncio.run(once())


@pytest.fixture
def site() -> Iterator[Site]:
    """A cluster without events yet."""
    time = FakeTime()
    simulator = Simulator(clock=time.clock)
    with serve(simulator) as served:
        yield Site(simulator, served.base_url, time)


def test_the_machine_that_forwarded_a_firewalls_log_is_not_taken_for_the_host(site: Site) -> None:
    site.saw(K.NETWORK_FLOW)
    assert site.ask("host:log-forwarder-1")[0].facts.get("hostname") is None
    (one,) = site.ask("host:ws-0042", {"address": "192.0.2.42"})
    assert "hostname" not in one.facts
    assert one.facts["direction"] == "outbound"


def test_a_session_tells_when_it_began(site: Site) -> None:
    began = site.time.clock() - timedelta(seconds=3000)
    site.saw(K.NETWORK_FLOW, began=began)
    assert site.ask("address:203.0.113.9")[0].began == began


def test_a_network_of_addresses_is_one_question(site: Site) -> None:
    site.saw(K.BLOCKED_FLOW)
    assert [one.kind for one in site.ask("address:203.0.113.0/24")] == [K.BLOCKED_FLOW]


@pytest.mark.parametrize("target", ["account:ann@corp.example.com", "account:S-1-5-21-7", "account:ANN"])
def test_an_account_is_found_by_any_of_its_names_whatever_their_case(site: Site, target: str) -> None:
    site.saw(K.SIGN_IN, account=ANN, provider="okta.system")
    (one,) = site.ask(target)
    assert (one.kind, one.facts["provider"]) == (K.SIGN_IN, "okta.system")


def test_a_logon_at_a_host_is_no_sign_in_at_a_provider(site: Site) -> None:
    site.saw(K.LOGON, account=ANN)
    (one,) = site.ask("account:ann@corp.example.com")
    assert (one.kind, one.facts["hostname"]) == (K.LOGON, "WS-0042")


def test_a_link_is_one_of_its_own_letters(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, url="https://bad.example.com/Load")
    assert site.ask("url:https://bad.example.com/load") == []
    assert len(site.ask("url:https://bad.example.com/Load")) == 1


def test_attempts_and_alerts_are_no_activity() -> None:
    """An agent writes an attempt before it lets anything out; an alert would be its own evidence."""
    assert {"terms": {"event.action": ["connection_attempted", "connection_failed"]}} in telemetry._NOT
    assert {"term": {"event.kind": "signal"}} in telemetry._NOT


def test_other_indices_are_not_looked_into(site: Site) -> None:
    site.saw(K.NETWORK_FLOW)
    assert site.ask("address:203.0.113.9", telemetry_indices="packetbeat-*") == []


@pytest.mark.parametrize("indices", ["-secret", "a b", "logs-*,", "LOGS"])
def test_an_expression_that_is_no_list_of_indices_is_refused(site: Site, indices: str) -> None:
    with pytest.raises(ConfigError, match="telemetry_indices"):
        site.ask("address:203.0.113.9", telemetry_indices=indices)


def test_missing_shards_are_no_silence(site: Site) -> None:
    site.simulator.faults.add("partial_answer")
    with pytest.raises(UnavailableError, match="shards"):
        site.ask("address:203.0.113.9")


def test_a_missing_privilege_names_the_indices(site: Site) -> None:
    site.simulator.denied.add("read")
    with pytest.raises(ScopeError, match="read on logs-"):
        site.ask("address:203.0.113.9")


def test_what_it_cannot_tell_of_is_said(site: Site) -> None:
    with pytest.raises(UnsupportedError):
        site.ask("sender:x@example.com")
