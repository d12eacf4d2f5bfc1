"""UDM events as a witness: what a parser's fields say, and what a search that has too many does."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from nightdesk.connectors.google_secops import Connector
from nightdesk.connectors.google_secops.search import time_of
from nightdesk.connectors.google_secops.simulated_language import condition
from nightdesk.connectors.google_secops.simulator import Simulator
from nightdesk.connectors.google_secops.wire import GoogleError
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import RejectedError, ResponseError, ScopeError, UnsupportedError
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAccount, StoryDevice, StorySighting, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess

DEVICE = StoryDevice("dev-1", "WS-0042", ("192.0.2.42",))
ANN = StoryAccount("acc-1", "ann", "ann@corp.example.com", "CORP", "S-1-5-21-1-2-3-1104")
TOOL = StoryProcess("tool.exe", r"C:\Tools\tool.exe", "tool.exe", 7, "ab" * 32)
K = SightingKind


@dataclass
class Site:
    """An instance, asked about the last hour."""

    simulator: Simulator
    url: str
    time: FakeTime

    def saw(self, kind: SightingKind, ago: float = 60.0, **facts: Any) -> None:
        at = self.time.clock() - timedelta(seconds=ago)
        given = {"device": DEVICE, "peer": "203.0.113.9", **facts}
        self.simulator.saw(StorySighting(f"ev-{len(self.simulator.telemetry)}", kind, at, **given))

    def ask(self, target: str, limit: int = 50, hours: float = 1.0, **facts: str) -> Sequence[Sighting]:
        parsed = Target.parse(target)
        asked = Target(parsed.kind, parsed.value, facts)

        async def once() -> Sequence[Sighting]:
            values = Settings(self.simulator.settings(self.url))
            connector = Connector(Context("acme", "siem", values, Network(timeout=5), self.time.clock, self.time.sleep))
            try:
                now = self.time.clock()
                return await connector.activity(asked, now - timedelta(hours=hours), now, limit=limit)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def rewrites(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Another parser wrote what the simulator tells."""
        told = self.simulator._search._telemetry
        self.simulator._search._telemetry = lambda: [change(dict(one)) for one in told()]

    @property
    def searches(self) -> int:
        return sum(one.path.endswith(":udmSearch") for one in self.simulator.seen)


@pytest.fixture
def site() -> Iterator[Site]:
    """An hour in which nothing happened yet."""
    time = FakeTime()
    simulator = Simulator(clock=time.clock)
    with serve(simulator) as served:
        yield Site(simulator, served.base_url, time)


def test_a_host_is_found_whatever_its_case_under_its_full_name_and_not_under_a_longer_one(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, device=StoryDevice("a", "Ws-0042.corp.example.com", ("192.0.2.42",)))
    site.saw(K.NETWORK_FLOW, device=StoryDevice("b", "ws-00420", ("192.0.2.43",)))
    site.saw(K.NETWORK_FLOW, device=StoryDevice("c", "ws-0042x.corp.example.com", ("192.0.2.44",)))
    (one,) = site.ask("host:ws-0042")
    assert (one.facts["hostname"], one.facts["direction"]) == ("Ws-0042.corp.example.com", "outbound")


def test_a_dot_in_a_name_is_a_dot_and_no_letter_of_any_kind(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, device=StoryDevice("b", "ws-0042xcorp.example.com", ("192.0.2.43",)))
    assert site.ask("host:ws-0042.corp.example.com") == []


def test_a_firewall_that_knows_no_name_is_found_by_the_address(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, device=StoryDevice("dev-1", "", ("192.0.2.42",)))
    assert not site.ask("host:ws-0042")
    (one,) = site.ask("host:ws-0042", address="192.0.2.42")
    assert "hostname" not in one.facts


def test_a_sensor_tells_no_verdict_and_is_known_by_our_name_for_it(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, provider="sensor")
    (one,) = site.ask("host:ws-0042")
    assert (one.kind, one.facts["sensor"]) == (K.NETWORK_FLOW, "crowdstrike_falcon")
    assert "passage" not in one.facts


def test_a_connection_towards_the_host_and_one_from_a_blocked_address_are_told_as_that(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, inbound=True, port=51000)
    (one,) = site.ask("host:ws-0042")
    assert (one.facts["direction"], one.peer, one.facts["port"]) == ("inbound", "203.0.113.9", "51000")
    (same,) = site.ask("address:203.0.113.9")
    assert (same.facts["direction"], same.peer) == ("outbound", "192.0.2.42")


def test_a_session_that_is_written_at_its_end_tells_when_it_began(site: Site) -> None:
    began = site.time.clock() - timedelta(seconds=660)
    site.saw(K.NETWORK_FLOW, began=began)
    (one,) = site.ask("host:ws-0042")
    assert one.began == began


@pytest.mark.parametrize(
    ("actions", "kind", "passage"),
    [
        (["ALLOW"], K.NETWORK_FLOW, None),
        (["ALLOW_WITH_MODIFICATION"], K.NETWORK_FLOW, None),
        (["FAIL"], K.NETWORK_FLOW, "unknown"),
        (["UNKNOWN_ACTION"], K.NETWORK_FLOW, None),
        (["ALLOW", "BLOCK"], K.BLOCKED_FLOW, None),
        (["QUARANTINE"], K.BLOCKED_FLOW, None),
    ],
)
def test_what_a_product_did_with_a_flow_is_never_told_as_more_than_it_says(
    site: Site, actions: list[str], kind: SightingKind, passage: str | None
) -> None:
    site.saw(K.NETWORK_FLOW)
    site.rewrites(lambda event: {**event, "securityResult": [{"action": actions}]})
    (one,) = site.ask("host:ws-0042")
    assert (one.kind, one.facts.get("passage")) == (kind, passage)


def test_a_sign_in_names_its_provider_and_a_logon_its_host(site: Site) -> None:
    site.saw(K.SIGN_IN, ago=60, account=ANN, provider="okta")
    site.saw(K.LOGON, ago=50, account=ANN)
    site.saw(K.SIGN_IN_REFUSED, ago=40, account=ANN, provider="microsoft_entra_id")
    first, second, third = site.ask("account:ANN@corp.example.com")
    assert (first.kind, first.facts["provider"], first.facts["account"]) == (K.SIGN_IN, "okta", ANN.email)
    assert (second.kind, second.facts["hostname"]) == (K.LOGON, "WS-0042")
    assert "provider" not in second.facts
    assert (third.kind, third.facts["reason"]) == (K.SIGN_IN_REFUSED, "The user account is disabled")
    assert [one.native_id for one in site.ask(r"account:CORP\ann")] == [one.native_id for one in (first, second, third)]


def test_a_sign_in_whose_end_no_parser_tells_may_have_been_refused(site: Site) -> None:
    site.saw(K.SIGN_IN, account=ANN)
    site.rewrites(lambda event: {name: part for name, part in event.items() if name != "securityResult"})
    (one,) = site.ask("account:ann@corp.example.com")
    assert one.facts["passage"] == "unknown"


def test_a_start_that_was_stopped_is_no_start(site: Site) -> None:
    site.saw(K.PROCESS_START, ago=60, process=TOOL)
    site.saw(K.PROCESS_BLOCKED, ago=50, process=TOOL)
    first, second = site.ask(f"file:sha256:{'AB' * 32}")
    assert [one.kind for one in (first, second)] == [K.PROCESS_START, K.PROCESS_BLOCKED]
    assert first.facts["path"] == TOOL.path


def test_the_oldest_come_first_although_google_gives_the_newest(site: Site) -> None:
    noon = site.time.clock()
    for ago in (10, 300, 200, 100):
        site.saw(K.NETWORK_FLOW, ago=ago)
    told = site.ask("address:203.0.113.9", limit=3)
    assert [(noon - one.at).total_seconds() for one in told] == [300, 200, 100]
    assert site.searches == 1


def test_a_time_with_too_many_events_is_asked_for_in_parts_and_none_is_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightdesk.connectors.google_secops.search._PART", 10)
    for number in range(24):
        site.saw(K.NETWORK_FLOW, ago=3500 - number * 140.25)
    told = site.ask("address:203.0.113.9", limit=50)
    assert [one.text for one in told] == [told[0].text] * 24
    assert sorted(one.at for one in told) == [one.at for one in told]
    assert len({one.native_id for one in told}) == 24
    assert len(site.ask("address:203.0.113.9", limit=5)) == 5


def test_a_second_with_more_events_than_a_search_gives_is_no_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightdesk.connectors.google_secops.search._PART", 3)
    for _ in range(9):
        site.saw(K.NETWORK_FLOW, ago=3599.5)
    with pytest.raises(ResponseError, match="more events than 8 searches bring"):
        site.ask("address:203.0.113.9")
    assert site.searches <= 8


def test_a_partial_answer_is_no_silence(site: Site) -> None:
    site.saw(K.NETWORK_FLOW)
    site.simulator.faults.add("partial_answer", options={"fits": 0})
    with pytest.raises(ResponseError):
        site.ask("host:ws-0042")


@pytest.mark.parametrize("event", [{}, {"udm": {"metadata": {"eventTimestamp": "soon"}}}, {"metadata": "x"}])
def test_an_event_without_a_time_is_no_answer(event: dict[str, Any]) -> None:
    with pytest.raises(ResponseError, match="no eventTimestamp"):
        time_of(event)


def test_the_permission_that_is_missing_is_named(site: Site) -> None:
    site.simulator.permissions.discard("chronicle.events.udmSearch")
    with pytest.raises(ScopeError, match=r"chronicle\.events\.udmSearch"):
        site.ask("host:ws-0042")


@pytest.mark.parametrize(
    "target", ['url:https://bad.example.com/"x"', "host:ws/0042", "host:ws*", 'account:x\' or "a" = "a']
)
def test_what_could_widen_a_question_is_refused_and_nobody_is_asked(site: Site, target: str) -> None:
    with pytest.raises(RejectedError):
        site.ask(target)
    assert not site.searches


@pytest.mark.parametrize("target", ["address:203.0.113.0/24", "sender:x@example.com"])
def test_what_it_cannot_tell_of_is_said(site: Site, target: str) -> None:
    with pytest.raises(UnsupportedError):
        site.ask(target)


EVENT: dict[str, Any] = {
    "metadata": {"eventType": "USER_LOGIN"},
    "principal": {"ip": ["192.0.2.1", "192.0.2.2"], "hostname": "ws"},
}


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ('principal.ip = "192.0.2.2" or principal.hostname = "x"', True),
        ('principal.hostname = "x" or principal.hostname = "y" and principal.ip = "192.0.2.1"', False),
        ('(principal.hostname = "ws" or principal.hostname = "y") principal.ip = "192.0.2.1"', True),
        ('not principal.hostname = "ws"', False),
        ('not (principal.hostname = "ws" and principal.ip = "192.0.2.9")', True),
        ("principal.hostname = /(?i)^W[s]$/", True),
        ('principal.ip != "192.0.2.1"', False),
    ],
)
def test_the_simulated_language_joins_and_brackets(query: str, holds: bool) -> None:
    assert condition(query)(EVENT) is holds


@pytest.mark.parametrize(
    "query",
    [
        '(principal.ip = "192.0.2.1"',
        'principal.ip = "192.0.2.1")',
        'principal.ip = "192.0.2.1" or',
        "metadata.event_type = /USER.*/",
        "principal.hostname = /(/",
        " or ".join(['principal.ip = "192.0.2.1"'] * 171),
        "",
    ],
)
def test_the_simulated_language_refuses_what_does_not_compile(query: str) -> None:
    with pytest.raises(GoogleError, match="does not compile"):
        condition(query)
