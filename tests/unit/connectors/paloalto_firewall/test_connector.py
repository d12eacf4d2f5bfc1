import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import pytest
from starlette.responses import Response

import nightdesk.connectors.paloalto_firewall as package
from nightdesk.connectors.paloalto_firewall import Connector
from nightdesk.connectors.paloalto_firewall.documents import command as document
from nightdesk.connectors.paloalto_firewall.documents import read, written
from nightdesk.connectors.paloalto_firewall.policy import covers
from nightdesk.connectors.paloalto_firewall.simulated_policy import Session, SimulatedRule
from nightdesk.connectors.paloalto_firewall.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    NightdeskError,
    NotFoundError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
    VendorError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
BAD = "203.0.113.7"


@dataclass
class Site:
    """One served simulator, and the time of both ends."""

    simulator: Simulator
    url: str
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings(self.url), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.edge")
            context = Context("acme", "edge", Settings(values), Network(timeout=5), self.time.clock, self.time.sleep)
            connector = Connector(context)
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def read(self, command: Command) -> Reading:
        return self.run(lambda connector: connector.read_back(command))

    def effect(self, command: Command) -> Effect:
        return self.read(command).effect

    def health(self) -> Health:
        return self.run(lambda connector: connector.check_health())

    def error(self, command: Command) -> NightdeskError:
        with pytest.raises(NightdeskError) as caught:
            self.act(command)
        return caught.value

    def told(self, part: str) -> int:
        return sum(part in text for text in self.simulator.told)


class Stage:
    """One server for all tests, with another application behind it for each."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    behind = Stage()
    with serve(behind) as served:
        yield behind, served.base_url


@pytest.fixture
def site(stage: tuple[Stage, str]) -> Site:
    time = FakeTime(NOON)
    simulator = Simulator(clock=time.clock)
    stage[0].app = simulator
    return Site(simulator, stage[1], time)


def block(address: str = BAD, **fields: Any) -> Command:
    parameters = {"duration": fields.pop("duration")} if "duration" in fields else fields.pop("parameters", {})
    return _command("ip.block", address, parameters=parameters, **fields)


def unblock(address: str = BAD, **fields: Any) -> Command:
    return _command("ip.unblock", address, **fields)


def _command(verb: str, address: str, **fields: Any) -> Command:
    return Command("acme", "action-1", verb, Target.parse(f"address:{address}"), "key-1", NOON, address, **fields)


# What in effect means


def test_a_tag_that_the_group_has_not_taken_up_is_pending(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 10})
    site.act(block())
    reading = site.read(block())
    assert (reading.effect, reading.state["tagged"], reading.state["in_group"]) == (Effect.PENDING, True, False)
    site.time.advance(10)
    assert site.effect(block()) is Effect.IN_EFFECT


def test_a_receipt_for_a_tag_that_was_never_set_is_no_effect(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    assert site.act(block()).changed
    assert site.effect(block()) is Effect.NOT_IN_EFFECT


@pytest.mark.parametrize("missing", [0, 1])
def test_a_tag_without_a_rule_in_each_direction_blocks_nothing(site: Site, missing: int) -> None:
    site.act(block())
    del site.simulator.policy.rules[missing]
    reading = site.read(block())
    assert reading.effect is Effect.NOT_IN_EFFECT
    assert (reading.state["in_group"], reading.state["denied"]) == (True, False)


def test_a_rule_behind_one_that_allows_does_not_count(site: Site) -> None:
    site.act(block())
    site.simulator.policy.rules.insert(0, SimulatedRule("allow-everything", action="allow"))
    reading = site.read(block())
    assert reading.effect is Effect.NOT_IN_EFFECT
    assert "outbound: allow by allow-everything" in reading.native_state


def test_a_rule_of_our_name_that_allows_denies_nothing(site: Site) -> None:
    site.simulator.policy.rules[0].action = "allow"
    site.act(block())
    assert site.effect(block()) is Effect.NOT_IN_EFFECT


def test_the_default_that_denies_strangers_proves_nothing(site: Site) -> None:
    site.act(block())
    site.simulator.policy.rules.clear()
    assert "inbound: deny by interzone-default" in site.read(block()).native_state
    assert site.effect(block()) is Effect.NOT_IN_EFFECT


def test_zones_are_those_of_the_direction(site: Site) -> None:
    site.settings = {"inside_zone": "trust", "outside_zone": "untrust"}
    site.simulator.policy.rules[0].zones = ("trust", "untrust")
    site.simulator.policy.rules[1].zones = ("untrust", "trust")
    site.act(block())
    assert site.effect(block()) is Effect.IN_EFFECT
    site.simulator.policy.rules[1].zones = ("trust", "untrust")
    assert site.effect(block()) is Effect.NOT_IN_EFFECT


def test_a_tag_in_other_letters_is_another_tag(site: Site) -> None:
    site.simulator.block_by_hand(BAD, "NIGHTDESK-block")
    assert site.read(block()).state["tagged"] is False


# Blocking


def test_a_duration_is_the_tags_own_end(site: Site) -> None:
    site.act(block(duration=3600))
    site.time.advance(3599)
    assert site.effect(block()) is Effect.IN_EFFECT
    site.time.advance(1)
    assert site.effect(block()) is Effect.NOT_IN_EFFECT


@pytest.mark.parametrize("duration", [0, -1, 2_592_001, True, "1h"])
def test_a_duration_that_the_firewall_cannot_hold_is_refused_before_anything_is_sent(site: Site, duration: Any) -> None:
    assert isinstance(site.error(block(duration=duration)), RejectedError)
    assert not site.simulator.told


def test_a_tag_that_stands_is_left_alone_and_an_end_asked_for_is_a_loss(site: Site) -> None:
    site.simulator.block_by_hand(BAD)
    receipt = site.act(block(duration=60))
    assert not receipt.changed
    assert [loss.partition(":")[0] for loss in receipt.losses] == ["duration"]
    site.time.advance(3600)
    assert site.effect(block()) is Effect.IN_EFFECT


def test_a_repeat_of_what_worked_is_a_change_of_ours(site: Site) -> None:
    before = site.read(block(duration=60)).state
    site.act(block(duration=60))
    receipt = site.act(block(duration=60, pre_state=before))
    assert (receipt.changed, receipt.losses) == (True, ())
    assert site.told("<register>") == 1


def test_open_sessions_of_the_address_are_ended_and_no_others(site: Site) -> None:
    other = Session("10.0.0.10", "198.51.100.1")
    site.simulator.policy.sessions += [Session("10.0.0.10", BAD), Session(BAD, "10.0.0.10"), other]
    site.act(block())
    assert site.simulator.policy.sessions == [other]


def test_sessions_live_on_where_the_setting_says_so_and_for_a_network_by_name(site: Site) -> None:
    site.act(block("203.0.113.0/24", pre_state={}))
    assert [loss.partition(":")[0] for loss in site.act(block("203.0.113.0/24")).losses] == ["sessions"]
    site.settings = {"end_sessions": False}
    site.act(block())
    assert site.told("<clear>") == 0


@pytest.mark.parametrize("address", ["2001:db8:bad::1", "203.0.113.0/24"])
def test_other_versions_and_networks_are_blocked_too(site: Site, address: str) -> None:
    site.act(block(address))
    assert site.effect(block(address)) is Effect.IN_EFFECT
    site.act(unblock(address))
    assert site.effect(unblock(address)) is Effect.IN_EFFECT


def test_what_nothing_could_prove_is_not_begun(site: Site) -> None:
    site.settings = {"inside": "10.0.0.10"}
    assert isinstance(site.error(block("2001:db8:bad::1")), UnsupportedError)
    assert not site.simulator.told


def test_an_old_firewall_refuses_a_network_and_a_full_one_everything(site: Site) -> None:
    site.simulator.tags._version = (9, 1)
    assert "not a valid ip address" in str(site.error(block("203.0.113.0/24")))
    site.simulator.tags.capacity = 0
    error = site.error(block())
    assert isinstance(error, RejectedError)
    assert "max registered-ip" in str(error)


@pytest.mark.parametrize("parameters", [{"direction": "inbound"}, {"scope": "branch"}])
def test_direction_and_scope_are_the_rules_business(site: Site, parameters: dict[str, str]) -> None:
    assert isinstance(site.error(block(parameters=parameters)), UnsupportedError)


# Unblocking


def test_an_address_in_a_tagged_network_is_not_unblocked_alone(site: Site) -> None:
    site.simulator.block_by_hand("203.0.113.0/24")
    assert site.effect(unblock()) is Effect.NOT_IN_EFFECT
    error = site.error(unblock())
    assert isinstance(error, RejectedError)
    assert "203.0.113.0/24" in str(error)


def test_an_undo_takes_back_our_tag_and_not_the_network_that_was_tagged_before(site: Site) -> None:
    site.simulator.block_by_hand("203.0.113.0-203.0.113.255")
    before = site.read(block()).state
    site.act(block())
    receipt = site.act(unblock(pre_state=before))
    assert (receipt.changed, receipt.losses) == (True, ())
    assert site.effect(unblock(pre_state=before)) is Effect.IN_EFFECT
    assert list(site.simulator.tags.entries) == ["203.0.113.0-203.0.113.255"]


# What goes wrong


def test_a_missing_right_is_named_and_not_taken_for_a_wrong_key(site: Site) -> None:
    site.simulator.rights.remove("User-ID Agent")
    error = site.error(block())
    assert isinstance(error, ScopeError)
    assert "XML API: User-ID Agent" in str(error)


def test_http_403_is_a_missing_right_when_the_version_is_told(stage: tuple[Stage, str], site: Site) -> None:
    refused = _xml('<response status="error" code="16"><msg><line>Unauthorized request</line></msg></response>', 403)
    told = _xml('<response status="success"><result><sw-version>11.1.4</sw-version></result></response>')
    stage[0].app = Scripted(refused, told)
    assert isinstance(site.error(block()), ScopeError)
    stage[0].app = Scripted(refused, refused)
    assert isinstance(site.error(block()), AuthError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("403", AuthError), ("16", ScopeError), ("7", NotFoundError), ("17", RejectedError), ("15", RejectedError),
     ("21", UnavailableError), ("22", UnavailableError), ("", RejectedError)],
)  # fmt: skip
def test_a_status_200_with_an_error_inside_is_that_error(
    stage: tuple[Stage, str], site: Site, code: str, kind: type[VendorError]
) -> None:
    attribute = f' code="{code}"' if code else ""
    answer = _xml(f'<response status="error"{attribute}><msg><line>so it &lt;says&gt;</line></msg></response>')
    stage[0].app = Scripted(answer)
    error = site.error(block())
    assert type(error) is kind
    assert "so it <says>" in str(error) or kind in {AuthError, ScopeError}


@pytest.mark.parametrize(
    "body",
    [
        '<!DOCTYPE r [<!ENTITY a "ha">]><response status="success"><result>&a;</result></response>',
        '<!DOCTYPE r SYSTEM "http://192.0.2.9/x.dtd"><response status="success"/>',
        '<response status="success"><result>',
        "<response><result/></response>",
        "<html><body>sign in</body></html>",
        "",
    ],
)  # fmt: skip
def test_a_document_that_is_none_of_a_firewalls_is_unread(stage: tuple[Stage, str], site: Site, body: str) -> None:
    stage[0].app = Scripted(_xml(body))
    assert isinstance(site.error(block()), ResponseError)


def test_the_key_is_in_the_header_and_nowhere_else(stage: tuple[Stage, str], site: Site) -> None:
    script = Scripted(_xml('<response status="success"><result/></response>'))
    stage[0].app = script
    site.read(block())
    key = site.simulator.secret
    assert {seen.headers["x-pan-key"] for seen in script.seen} == {key}
    assert not any(key in str(seen.url) or key.encode() in body
                   for seen, body in zip(script.seen, script.bodies, strict=True))  # fmt: skip


def test_a_panorama_is_told_which_firewall_is_meant(site: Site) -> None:
    site.settings = {"target": "007200000000043"}
    assert "007200000000043 not connected" in str(site.error(block()))


def test_health_names_what_makes_a_tag_harmless(site: Site) -> None:
    assert site.health() == Health(True, (), "11.1.4", 0.0, 0.0)
    site.simulator.pair = "passive"
    site.simulator.policy.groups.clear()
    site.simulator.policy.rules[1].disabled = True
    pair, group, rule = site.health().problems
    assert "passive" in pair
    assert "'nightdesk-block'" in group
    assert "'nightdesk-block-in'" in rule
    assert not site.simulator.mutations()


def test_inside_must_be_addresses(site: Site) -> None:
    site.settings = {"inside": "10.0.0.0/8"}
    with pytest.raises(ConfigError, match="inside"):
        site.health()


def test_values_are_escaped_and_entities_never_declared() -> None:
    made = written(document("show/object/registered-ip", {"ip": '<a b="c">&'}))
    assert read(made.encode()).findtext("object/registered-ip/ip") == '<a b="c">&'
    with pytest.raises(ValueError, match="document type"):
        read(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')


@pytest.mark.parametrize("member", [BAD, "203.0.113.0/29", "203.0.113.1-203.0.113.9"])
def test_a_member_can_be_an_address_a_network_or_a_range(member: str) -> None:
    assert covers(member, ip_network(BAD))


@pytest.mark.parametrize("member", ["203.0.113.8", "203.0.113.8-203.0.113.9", "::/96", "web-server"])
def test_a_member_that_is_elsewhere_or_has_a_name_is_no_block(member: str) -> None:
    assert not covers(member, ip_network(BAD))


def _xml(body: str, status: int = 200) -> Response:
    return Response(body, status, media_type="application/xml")
