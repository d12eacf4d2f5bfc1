"""Ariel's events and flows as a witness: what each kind of row proves, and what no row of them does."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from nightdesk.connectors.ibm_qradar import Connector
from nightdesk.connectors.ibm_qradar.simulated_aql import parsed
from nightdesk.connectors.ibm_qradar.simulated_console import RefusedError
from nightdesk.connectors.ibm_qradar.simulated_rows import Record
from nightdesk.connectors.ibm_qradar.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import RejectedError, ScopeError, UnavailableError, UnsupportedError
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAccount, StoryDevice, StorySighting, serve
from nightdesk.sdk.testing.fake_time import FakeTime

DEVICE = StoryDevice("dev-1", "WS-0042", ("192.0.2.42",))
ANN = StoryAccount("acc-1", "ann", "ann@corp.example.com", "CORP")
K = SightingKind


@dataclass
class Site:
    """A console, asked about the last hour."""

    simulator: Simulator
    url: str
    time: FakeTime

    def saw(self, kind: SightingKind, ago: float = 60.0, **facts: Any) -> None:
        at = self.time.clock() - timedelta(seconds=ago)
        given = {"device": DEVICE, "peer": "203.0.113.9", **facts}
        self.simulator.saw(StorySighting(f"ev-{len(self.simulator.telemetry)}", kind, at, **given))

    def ask(self, target: str, limit: int = 50, *, until: datetime | None = None, **facts: str) -> Sequence[Sighting]:
        parsed_target = Target.parse(target)
        asked = Target(parsed_target.kind, parsed_target.value, facts)

        async def once() -> Sequence[Sighting]:
            values = Settings(self.simulator.settings(self.url))
            connector = Connector(Context("acme", "siem", values, Network(timeout=5), self.time.clock, self.time.sleep))
            try:
                end = until or self.time.clock()
                return await connector.activity(asked, end - timedelta(hours=1), end, limit=limit)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    @property
    def queries(self) -> int:
        return sum(one.method == "POST" and one.path == "/api/ariel/searches" for one in self.simulator.seen)


@pytest.fixture
def site() -> Iterator[Site]:
    """An hour in which nothing happened yet."""
    time = FakeTime()
    simulator = Simulator(clock=time.clock)
    with serve(simulator) as served:
        yield Site(simulator, served.base_url, time)


def test_a_flow_tells_when_it_began_and_that_somebody_answered(site: Site) -> None:
    noon = site.time.clock()
    site.saw(K.NETWORK_FLOW, began=noon - timedelta(seconds=660))
    (one,) = site.ask("host:ws-0042")
    assert (one.began, one.at) == (noon - timedelta(seconds=660), noon - timedelta(seconds=60))
    assert (one.facts["direction"], one.peer, one.facts["port"]) == ("outbound", "203.0.113.9", "443")
    assert "passage" not in one.facts


def test_a_flow_that_nobody_answered_may_not_have_got_through(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, provider="unanswered")
    (one,) = site.ask("host:ws-0042")
    assert (one.kind, one.facts["passage"]) == (K.NETWORK_FLOW, "unknown")


@pytest.mark.parametrize(
    ("kind", "provider", "told", "passage"),
    [
        (K.NETWORK_FLOW, "firewall", K.NETWORK_FLOW, "unknown"),
        (K.NETWORK_FLOW, "session", K.NETWORK_FLOW, None),
        (K.BLOCKED_FLOW, "", K.BLOCKED_FLOW, None),
    ],
)
def test_a_permit_may_be_of_an_older_session_but_an_opening_and_a_deny_are_of_now(
    site: Site, kind: SightingKind, provider: str, told: SightingKind, passage: str | None
) -> None:
    site.saw(kind, provider=provider)
    (one,) = site.ask("address:203.0.113.9")
    assert (one.kind, one.facts.get("passage"), one.began) == (told, passage, None)
    assert (one.facts["direction"], one.facts["sensor"]) == ("inbound", "paloalto_firewall")


def test_flows_and_events_are_told_together_in_order_and_each_once(site: Site) -> None:
    noon = site.time.clock()
    for number, ago in enumerate((10, 300, 200, 100)):
        site.saw(K.BLOCKED_FLOW if number % 2 else K.NETWORK_FLOW, ago=ago)
    told = site.ask("address:203.0.113.9", limit=3)
    assert [(noon - one.at).total_seconds() for one in told] == [300, 200, 100]
    assert site.queries == 2
    assert not site.simulator.searches, "a search is left at the console"


def test_rows_that_say_the_same_are_two(site: Site) -> None:
    site.saw(K.NETWORK_FLOW)
    site.saw(K.NETWORK_FLOW)
    first, second = site.ask("host:ws-0042")
    assert first.native_id != second.native_id
    assert [one.native_id for one in site.ask("host:ws-0042")] == [first.native_id, second.native_id]


def test_a_host_is_found_whatever_its_case_under_its_full_name_and_not_under_a_longer_one(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, device=StoryDevice("a", "Ws-0042.corp.example.com", ("192.0.2.42",)))
    site.saw(K.NETWORK_FLOW, device=StoryDevice("b", "ws-00420", ("192.0.2.43",)))
    assert [one.facts["hostname"] for one in site.ask("host:ws-0042")] == ["Ws-0042.corp.example.com"]
    assert not site.ask("host:ws-0042.corpsexample.com")


def test_a_host_that_the_asset_database_does_not_know_is_found_by_its_address(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, device=StoryDevice("a", "", ("192.0.2.42",)))
    assert not site.ask("host:ws-0042")
    (one,) = site.ask("host:ws-0042", address="192.0.2.42")
    assert "hostname" not in one.facts


def test_a_connection_towards_the_host_is_told_as_that(site: Site) -> None:
    site.saw(K.NETWORK_FLOW, inbound=True, port=51000)
    (one,) = site.ask("host:ws-0042")
    assert (one.facts["direction"], one.peer, one.facts["port"]) == ("inbound", "203.0.113.9", "51000")


def test_a_sign_in_names_its_provider_and_a_logon_its_host(site: Site) -> None:
    site.saw(K.SIGN_IN, ago=60, account=ANN, provider="okta")
    site.saw(K.LOGON, ago=50, account=ANN)
    site.saw(K.SIGN_IN_REFUSED, ago=40, account=ANN, provider="microsoft_entra_id")
    site.saw(K.LOGON_REFUSED, ago=30, account=ANN)
    first, second, third, fourth = site.ask("account:ANN@corp.example.com")
    assert (first.kind, first.facts["provider"]) == (K.SIGN_IN, "okta")
    assert (second.kind, second.facts["hostname"]) == (K.LOGON, "WS-0042")
    assert "provider" not in second.facts
    assert (third.kind, third.facts["provider"]) == (K.SIGN_IN_REFUSED, "microsoft_entra_id")
    assert "disabled" in third.facts["reason"]
    assert fourth.kind is K.LOGON_REFUSED


def test_an_account_is_found_without_the_domain_before_it(site: Site) -> None:
    site.saw(K.SIGN_IN, account=StoryAccount("acc-3", "carl", ""))
    assert len(site.ask(r"account:CORP\carl")) == 1


def test_what_happens_between_two_whole_milliseconds_is_in_no_time_twice(site: Site) -> None:
    noon = site.time.clock()
    site.saw(K.NETWORK_FLOW, ago=0.5)
    middle = noon - timedelta(seconds=0.5)
    assert len(site.ask("host:ws-0042", until=middle)) == 0
    assert len(site.ask("host:ws-0042", until=middle + timedelta(microseconds=1))) == 1


def test_an_event_processor_that_is_down_is_no_silence(site: Site) -> None:
    site.saw(K.NETWORK_FLOW)
    site.simulator.faults.add("partial_answer")
    with pytest.raises(UnavailableError, match=r"incomplete: Unable to reach the event processor 192\.0\.2\.250"):
        site.ask("host:ws-0042")


def test_the_capability_that_is_missing_is_named(site: Site) -> None:
    site.simulator.capabilities.discard("Log Activity")
    with pytest.raises(ScopeError, match="Log Activity"):
        site.ask("host:ws-0042")


@pytest.mark.parametrize("target", ["host:ws'0042", "host:ws%", r"account:a' OR username != 'b", 'account:x"y'])
def test_what_could_widen_a_question_is_refused_and_nobody_is_asked(site: Site, target: str) -> None:
    with pytest.raises(RejectedError):
        site.ask(target)
    assert not site.queries


@pytest.mark.parametrize(
    "target", ["address:203.0.113.0/24", "url:https://bad.example.com/", f"file:sha256:{'ab' * 32}"]
)
def test_what_it_cannot_tell_of_is_said(site: Site, target: str) -> None:
    with pytest.raises(UnsupportedError):
        site.ask(target)


NAMES = frozenset({"starttime", "sourceip", "username", "category", "mitre technique"})
ROWS = [
    Record("events", {"starttime": at, "sourceip": ip, "username": user, "category": 4002}, {("QIDNAME", 7): "x"}, 5)
    for at, ip, user in ((1000, "192.0.2.1", "ann"), (2000, "192.0.2.2", "O'Brien"), (3000, "192.0.2.3", None))
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT sourceip FROM events WHERE username = 'O''Brien' START 1 STOP 9000", ["192.0.2.2"]),
        ("SELECT sourceip FROM events WHERE sourceip IN ('192.0.2.1', 'x') START 1", ["192.0.2.1"]),
        ("SELECT SourceIP FROM events WHERE username IMATCHES '^AN[n]$' START 1", ["192.0.2.1"]),
        ("SELECT sourceip FROM events WHERE NOT category < 2 ORDER BY starttime DESC LIMIT 1 START 1", ["192.0.2.3"]),
        ("SELECT sourceip FROM events WHERE INOFFENSE(5) AND category >= 4002 START 1 STOP 1500", ["192.0.2.1"]),
        ("SELECT sourceip FROM events WHERE INOFFENSE(6) OR username != 'ann' START 1", ["192.0.2.2"]),
        ("SELECT sourceip FROM events", []),
    ],
)  # fmt: skip
def test_the_simulated_language_finds_what_it_says(query: str, found: list[str]) -> None:
    rows = parsed(query, {"events": NAMES}).rows(ROWS, now=1_000_000)
    assert [next(iter(row.values())) for row in rows] == found


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nothing FROM events",
        "SELECT * FROM simarc",
        "SELECT * FROM events WHERE username = ann",
        "SELECT * FROM events WHERE username = 'a' OR",
        "SELECT * FROM events WHERE username IMATCHES '(' LAST 1 DAYS",
        "SELECT * FROM events WHERE (username = 'a' LAST 1 DAYS",
        "SELECT * FROM events WHERE username ~ 'a'",
        "SELECT MAGIC(sourceip) FROM events",
        "SELECT * FROM events LAST 2 FORTNIGHTS",
        "SELECT * FROM events GROUP BY sourceip",
        "SELECT sourceip",
    ],
)
def test_the_simulated_language_refuses_what_it_does_not_know(query: str) -> None:
    with pytest.raises(RefusedError, match="Could not parse query"):
        parsed(query, {"events": NAMES})
