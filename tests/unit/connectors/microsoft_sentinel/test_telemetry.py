"""The workspace's tables as a witness: what each table says, and what is not in the workspace."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from nightdesk.connectors.microsoft_sentinel import Connector
from nightdesk.connectors.microsoft_sentinel.simulated_query import QueryError, kusto
from nightdesk.connectors.microsoft_sentinel.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import ConfigError, RejectedError, ResponseError, UnsupportedError
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAccount, StoryDevice, StorySighting, serve
from nightdesk.sdk.testing.fake_time import FakeTime

DEVICE = StoryDevice("dev-1", "WS-0042", ("192.0.2.42",))
ANN = StoryAccount("acc-1", "ann", "ann@corp.example.com", "CORP")
K = SightingKind


@dataclass
class Site:
    """A workspace, asked about the last hour."""

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
    """A workspace without any table of telemetry yet."""
    time = FakeTime()
    simulator = Simulator(clock=time.clock)
    with serve(simulator) as served:
        yield Site(simulator, served.base_url, time)


def test_tables_that_the_workspace_does_not_have_tell_nothing(site: Site) -> None:
    assert site.ask("host:ws-0042") == []
    site.saw(K.SIGN_IN, account=ANN)
    assert len(site.ask("account:ann@corp.example.com")) == 1


def test_a_host_with_a_sensor_is_found_under_its_full_name(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, provider="sensor")
    site.saw(K.NETWORK_FLOW, provider="sensor", inbound=True)
    out, back = site.ask("host:ws-0042")
    assert (out.facts["direction"], back.facts["direction"]) == ("outbound", "inbound")
    assert out.facts["hostname"] == "ws-0042.corp.example.com"
    assert out.facts["sensor"] == "microsoft_defender_xdr"


def test_sensor_and_firewall_are_told_together_in_order(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, provider="sensor")
    site.saw(K.BLOCKED_FLOW)
    site.saw(K.NETWORK_FLOW)
    told = site.ask("address:203.0.113.9")
    assert [one.kind for one in told] == [K.NETWORK_FLOW, K.BLOCKED_FLOW, K.NETWORK_FLOW]
    assert [one.facts["direction"] for one in told] == ["inbound"] * 3, "the address is at the flow's end"


def test_a_session_of_a_firewall_tells_when_it_began(site: Site) -> None:
    began = site.time.clock() - timedelta(seconds=3000)
    site.saw(K.NETWORK_FLOW, began=began)
    (one,) = site.ask("host:ws-0042")
    assert one.began == began


def test_an_action_that_nobody_knows_is_neither_let_through_nor_stopped(site: Site) -> None:
    site.saw(K.NETWORK_FLOW)
    rows = site.simulator._tables()["CommonSecurityLog"]
    assert rows[0]["DeviceAction"] == "allow"
    site.simulator._logs._tables = lambda: {"CommonSecurityLog": [{**rows[0], "DeviceAction": "alert"}]}
    (one,) = site.ask("host:ws-0042")
    assert (one.kind, one.facts["passage"]) == (K.NETWORK_FLOW, "unknown")


def test_a_refused_sign_in_counts_only_as_disabled(site: Site) -> None:
    site.saw(K.SIGN_IN_REFUSED, account=ANN)
    (one,) = site.ask("account:ann@corp.example.com")
    assert (one.kind, one.facts["reason"], one.facts["provider"]) == (
        K.SIGN_IN_REFUSED,
        "disabled",
        "microsoft_entra_id",
    )
    rows = site.simulator._tables()["SigninLogs"]
    site.simulator._logs._tables = lambda: {"SigninLogs": [{**rows[0], "ResultType": "50126"}]}
    assert site.ask("account:ann@corp.example.com") == []


def test_a_name_with_a_domain_before_it_is_asked_for_without(site: Site) -> None:
    site.saw(K.SIGN_IN, account=StoryAccount("acc-3", "carl", "carl"))
    assert len(site.ask(r"account:CORP\carl")) == 1


def test_a_partial_answer_is_no_silence(site: Site) -> None:
    site.saw(K.NETWORK_FLOW)
    site.simulator.faults.add("partial_answer")
    with pytest.raises(ResponseError, match="partial"):
        site.ask("host:ws-0042")


def test_without_the_id_of_the_workspace_nobody_can_be_asked(site: Site) -> None:
    with pytest.raises(ConfigError, match="workspace_id"):
        site.ask("host:ws-0042", workspace_id="")


@pytest.mark.parametrize("target", ["address:203.0.113.0/24", "sender:x@example.com"])
def test_what_it_cannot_tell_of_is_said(site: Site, target: str) -> None:
    with pytest.raises(UnsupportedError):
        site.ask(target)


def test_a_quote_in_a_link_is_refused(site: Site) -> None:
    with pytest.raises(RejectedError, match="cannot be asked for exactly"):
        site.ask("url:https://bad.example.com/'x'" + '"')


def test_the_simulated_union_is_strict() -> None:
    tables = {"A": [{"TimeGenerated": "2", "x": "1"}], "B": [{"TimeGenerated": "1", "x": "2"}]}
    legs = "(A | where x == '1' | project TimeGenerated), (B), (C | where y == '1')"
    query = f"union isfuzzy=true {legs} | sort by TimeGenerated asc"
    assert [row["TimeGenerated"] for row in kusto(query, tables)] == ["1", "2"]
    assert kusto("union isfuzzy=true (A | where x == 'a)b') | take 5", tables) == []
    with pytest.raises(QueryError, match="is missing"):
        kusto("union isfuzzy=true (A | where x == '1'", tables)
    with pytest.raises(QueryError, match="scalar expression named"):
        kusto("union isfuzzy=true (A | where y == '1')", tables)
