import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import pytest

import nightdesk.connectors.wazuh as package
from nightdesk.connectors.wazuh import Connector
from nightdesk.connectors.wazuh.indicators import drops
from nightdesk.connectors.wazuh.payloads import MANAGER
from nightdesk.connectors.wazuh.server import Server
from nightdesk.connectors.wazuh.simulator import Simulator
from nightdesk.connectors.wazuh.wire import local_time
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    ConfigError,
    NightdeskError,
    NotFoundError,
    RejectedError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.targets import Account, AccountQuery, Asset, AssetQuery, Target
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import ACCOUNT, DEVICE, an_alert

T = TypeVar("T")
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
BAD = "203.0.113.7"
EAST, WEST, BASTION = "901", "902", "903"


@dataclass
class Site:
    """One served simulator, and the time of both ends."""

    simulator: Simulator
    url: str
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)

    def context(self) -> Context:
        given = {**self.simulator.settings(self.url), **self.settings}
        values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.siem")
        return Context("acme", "siem", Settings(values), Network(timeout=5), self.time.clock, self.time.sleep)

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            connector = Connector(self.context())
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(self, cursor: Cursor | None = None, *, limit: int = 100) -> list[Batch]:
        async def all_of(connector: Connector) -> list[Batch]:
            return [batch async for batch in connector.pull("alerts", cursor, limit=limit)]

        return self.run(all_of)

    def ids(self, cursor: Cursor | None = None, *, limit: int = 100) -> list[str]:
        return [record.native_id for batch in self.pull(cursor, limit=limit) for record in batch.records]

    def add(self, *, ago: float = 60, **changes: Any) -> dict[str, Any]:
        """Ships one alert that was raised so many seconds ago; gives the document."""
        native_id = self.simulator.add(an_alert(self.time, f"a{len(self.simulator.search.documents)}", seconds_ago=ago))
        document = self.simulator.search.documents.pop()
        source = {**document.source, **changes}
        self.simulator.ship(source)
        assert changes.get("id", native_id) == source["id"]
        return source

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def read(self, command: Command) -> Reading:
        return self.run(lambda connector: connector.read_back(command))

    def effect(self, command: Command) -> Effect:
        return self.read(command).effect

    def assets(self, **query: str) -> list[Asset]:
        return list(self.run(lambda connector: connector.find_asset(AssetQuery(**query))))

    def accounts(self, **query: str) -> list[Account]:
        return list(self.run(lambda connector: connector.find_account(AccountQuery(**query))))

    def command(self, verb: str, target: str, *, key: str = "", native_id: str = "", **parameters: Any) -> Command:
        aim = Target.parse(target)
        return Command(
            "acme",
            f"action-{verb}{key}",
            verb,
            aim,
            f"idempotency-{verb}{key}",
            self.time.clock(),
            native_id=native_id or aim.value,
            parameters=parameters,
        )

    def block(self, address: str = BAD, *, key: str = "", **parameters: Any) -> Command:
        return self.command("ip.block", f"address:{address}", key=key, **parameters)

    def unblock(self, address: str = BAD, *, key: str = "") -> Command:
        return self.command("ip.unblock", f"address:{address}", key=key)

    @property
    def sent(self) -> list[str]:
        """To whom each active response went."""
        return [request.query for request in self.simulator.mutations()]


@pytest.fixture
def site() -> Iterator[Site]:
    time = FakeTime()
    time.advance(10)
    simulator = Simulator(clock=time.clock)
    with serve(simulator) as served:
        yield Site(simulator, served.base_url, time)


# Reading alerts


def test_two_nodes_may_give_one_id_and_none_is_lost_between_pages(site: Site) -> None:
    first = site.add()
    site.add(id=first["id"], timestamp=first["timestamp"], cluster={"name": "wazuh", "node": "node02"})
    site.add(id=first["id"], timestamp=first["timestamp"], cluster=None)
    batches = site.pull(limit=1)
    keys = [record.key for batch in batches for record in batch.records]
    assert keys == [f"{MANAGER}/node01:{first['id']}", f"{MANAGER}/node02:{first['id']}", f"{MANAGER}:{first['id']}"]


def test_an_alert_that_is_shipped_again_comes_once(site: Site) -> None:
    source = site.add()
    site.simulator.ship(source)
    assert site.ids(limit=1) == [source["id"]]


def test_an_alert_that_is_shipped_late_is_read_within_the_overlap_and_not_beyond(site: Site) -> None:
    site.add(ago=0)
    cursor = site.pull()[-1].cursor
    late = site.add(ago=29 * 60)
    site.add(ago=31 * 60)
    assert site.ids(cursor) == [late["id"]]


def test_a_manager_whose_clock_is_ahead_hides_nobody_elses_alerts(site: Site) -> None:
    ahead = site.add(timestamp=local_time(site.time.now + timedelta(hours=2)))
    (batch,) = site.pull()
    assert [record.native_id for record in batch.records] == [ahead["id"]]
    site.time.advance(600)
    other = site.add(ago=0)
    again = site.pull(batch.cursor)
    assert [record.native_id for each in again for record in each.records] == [other["id"]]


def test_our_own_commands_and_the_listings_they_need_do_not_come_back_as_alerts(site: Site) -> None:
    site.act(site.block())
    site.time.advance(60)
    wanted = site.add(ago=0)
    assert len(site.simulator.search.documents) > 4
    assert site.ids() == [wanted["id"]]


def test_a_page_that_lacks_a_shard_moves_nothing(site: Site) -> None:
    wanted = {site.add(ago=second)["id"] for second in (3, 2, 1)}
    site.simulator.faults.add("partial_answer", times=1, after=1)

    async def first_page(connector: Connector) -> Batch:
        pages = connector.pull("alerts", None, limit=1)
        page = await anext(pages)
        with pytest.raises(UnavailableError, match="1 of 3 shards"):
            await anext(pages)
        return page

    first = site.run(first_page)
    found = {record.native_id for record in first.records} | set(site.ids(first.cursor))
    assert found == wanted


def test_an_id_that_two_nodes_gave_is_not_read_as_either(site: Site) -> None:
    first = site.add()
    assert site.run(lambda connector: connector.read_one("alerts", first["id"])).native_id == first["id"]
    site.add(id=first["id"], manager={"name": "other"})
    with pytest.raises(RejectedError, match=f"other/node01, {MANAGER}/node01"):
        site.run(lambda connector: connector.read_one("alerts", first["id"]))
    with pytest.raises(NotFoundError):
        site.run(lambda connector: connector.read_one("alerts", "1.1"))


# The server API


def test_a_token_ends_after_a_quarter_of_an_hour_or_when_the_manager_says_so(site: Site) -> None:
    async def ask_thrice(connector: Connector) -> None:
        await connector.find_asset(AssetQuery(hostname="gw-east"))
        site.time.advance(901)
        await connector.find_asset(AssetQuery(hostname="gw-east"))
        site.simulator.server.tokens.clear()
        await connector.find_asset(AssetQuery(hostname="gw-east"))

    site.run(ask_thrice)
    assert [request.path for request in site.simulator.seen].count("/security/user/authenticate") == 3


def test_no_command_is_ever_sent_without_naming_its_agents(site: Site) -> None:
    async def nobody() -> None:
        server = Server(site.context())
        for agents in ([], [""], ["000"], ["all"]):
            with pytest.raises(RejectedError, match="nothing was sent"):
                await server.respond(agents, "firewall-drop600", (), {}, "test")
        with pytest.raises(RejectedError, match="no agent is named"):
            await server.agents("test", name="")
        await server.aclose()

    asyncio.run(nobody())
    assert not site.sent


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda server: server.missing.add("active-response:command"), ScopeError, "lack active-response:command"),
        (lambda server: server.hidden.update({EAST, WEST}), ScopeError, "agent 901: .*active-response:command"),
        (lambda server: setattr(server, "version", "5.0.0"), UnsupportedError, "5.0.0 has no active response"),
    ],
)
def test_what_the_manager_refuses_says_what_to_do(
    site: Site, spoil: Callable[[Any], None], error: type[NightdeskError], said: str
) -> None:
    spoil(site.simulator.server)
    with pytest.raises(error, match=said):
        site.act(site.block())
    if error is UnsupportedError:
        assert "5.0.0 is not supported" in site.run(lambda connector: connector.check_health()).problems[-1]


def test_an_answer_of_200_may_say_that_all_failed(site: Site) -> None:
    site.settings = {"block_commands": "host-deny600"}
    with pytest.raises(RejectedError, match="code 1652"):
        site.act(site.block())
    site.settings = {}
    site.simulator.faults.add("offline_host")
    with pytest.raises(UnavailableError, match=r"agent 901: it is not active.*code 1707"):
        site.act(site.block())


def test_the_health_check_tells_the_two_credentials_apart(site: Site) -> None:
    site.simulator.server.missing.add("agent:read")
    health = site.run(lambda connector: connector.check_health())
    assert len(health.problems) == 1
    assert "agent:read" in health.problems[0]
    site.settings = {"indexer_username": "somebody"}
    health = site.run(lambda connector: connector.check_health())
    assert len(health.problems) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("block_agents", "003,all"),
        ("account_agents", "000"),
        ("block_commands", "firewall-drop"),
        ("unblock_script", "../../bin/sh"),
        ("scripts", "a;b"),
        ("overlap", 0),
        ("index", "*/_all"),
    ],
)
def test_a_setting_that_could_mean_too_much_is_refused_at_the_start(site: Site, name: str, value: Any) -> None:
    site.settings = {name: value}
    with pytest.raises(ConfigError, match=name):
        site.ids()


# Hosts


def test_an_agents_number_counts_under_its_manager_or_with_its_name(site: Site) -> None:
    site.simulator.add_devices([DEVICE])
    (asset,) = site.assets(device_id=f"{MANAGER}/001")
    assert (asset.native_id, asset.hostname, asset.online) == (f"{MANAGER}/001", DEVICE.hostname, True)
    assert site.assets(device_id="1") == [asset]
    assert site.assets(device_id="other-manager/001") == [], "numbers begin at 001 under every manager"
    assert site.assets(device_id="other-manager/001", hostname="ws-0042") == [asset], "it moved within its cluster"
    assert site.assets(device_id=f"{MANAGER}/999") == []
    assert site.assets(address=DEVICE.addresses[0]) == [asset]
    assert site.assets() == []


def test_only_a_configured_script_runs_and_only_once(site: Site) -> None:
    site.simulator.add_devices([DEVICE])
    wish = site.command("host.run_script", "host:ws-0042", native_id=f"{MANAGER}/001", script="collect-triage")
    assert site.act(wish).changed
    assert site.act(wish).changed, "a restarted connector knows it by the agent's report"
    assert [order.kind for order in site.simulator.fleet.devices[DEVICE.device_id].orders] == ["script"]
    other = site.command("host.run_script", "host:ws-0042", native_id=f"{MANAGER}/001", script="restart-wazuh")
    with pytest.raises(UnsupportedError, match="there: collect-triage"):
        site.act(other)
    manager = site.command("host.run_script", f"host:{MANAGER}", native_id=f"{MANAGER}/000", script="collect-triage")
    with pytest.raises(RejectedError, match="agent 000"):
        site.act(manager)
    stranger = site.command("host.run_script", "host:ws-9", native_id="elsewhere/001", script="collect-triage")
    with pytest.raises(NotFoundError):
        site.act(stranger)


# Addresses


def test_a_block_is_in_effect_when_every_firewall_lists_it_and_not_when_a_script_says_that_it_began(site: Site) -> None:
    wish = site.block()
    assert site.act(wish).changed
    site.simulator.agents.settle()
    reports = [one.source for one in site.simulator.search.documents if one.source.get("rule", {}).get("id") == "651"]
    assert len(reports) == 2
    assert site.effect(wish) is Effect.NOT_IN_EFFECT
    site.time.advance(60)
    reading = site.read(wish)
    assert (reading.effect, reading.state["ours"], reading.native_state) == (
        Effect.IN_EFFECT,
        True,
        "901 drops, 902 drops",
    )


def test_a_script_that_fails_after_its_report_is_no_block(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed", options={"device_id": WEST})
    wish = site.block()
    site.act(wish)
    site.time.advance(60)
    reading = site.read(wish)
    assert (reading.effect, reading.native_state) == (Effect.NOT_IN_EFFECT, "901 drops, 902 passes")


def test_a_listing_from_before_the_request_proves_nothing_after_it(site: Site) -> None:
    site.act(site.block())
    site.time.advance(60)
    assert site.effect(site.block()) is Effect.IN_EFFECT
    site.time.advance(10)
    again = site.block(key="again")
    assert site.effect(again) is Effect.PENDING
    assert not site.act(again).changed
    site.time.advance(60)
    assert site.effect(again) is Effect.IN_EFFECT


def test_a_gateway_that_is_silent_or_cuts_its_listing_is_not_known(site: Site) -> None:
    wish = site.block()
    assert site.effect(wish) is Effect.NOT_IN_EFFECT
    site.simulator.faults.add("offline_host", options={"device_id": WEST})
    receipt = site.act(wish)
    assert any("agent 902" in loss and "1707" in loss for loss in receipt.losses)
    site.time.advance(301)
    assert site.read(wish).native_state == "901 drops, 902 unknown"
    assert site.effect(wish) is Effect.UNKNOWN
    site.simulator.faults.clear()
    site.time.advance(60)
    site.simulator.agents.settle()
    newest = site.simulator.search.documents.pop()
    site.simulator.ship({**newest.source, "full_log": newest.source["full_log"].removesuffix("complete")})
    assert site.read(wish).native_state == "901 drops, 902 unknown"


@pytest.mark.parametrize(
    ("duration", "command", "lost"),
    [(600, "firewall-drop600", ""), (601, "firewall-drop86400", "601"), (None, "firewall-drop86400", "no duration"),
     (90_000, "firewall-drop86400", "90000")],
)  # fmt: skip
def test_the_command_that_lasts_long_enough_is_taken_and_a_difference_named(
    site: Site, duration: int | None, command: str, lost: str
) -> None:
    receipt = site.act(site.block() if duration is None else site.block(duration=duration))
    assert receipt.evidence["command"] == command
    assert [lost in loss for loss in receipt.losses] == ([True] if lost else [])


def test_a_block_ends_by_itself_and_a_repeat_is_not_sent_twice(site: Site) -> None:
    wish = site.block(duration=600)
    site.act(wish)
    assert site.act(wish).changed
    site.time.advance(60)
    assert site.act(wish).changed is False, "as it is, and no pre-state says that it was otherwise"
    assert len(site.sent) == 1
    site.time.advance(600)
    assert site.effect(wish) is Effect.NOT_IN_EFFECT
    site.time.advance(1)
    assert site.effect(site.unblock()) is Effect.PENDING, "what was listed before the request"


def test_a_lifted_block_cannot_be_made_again_while_the_agent_still_counts_it(site: Site) -> None:
    site.act(site.block(duration=600))
    site.time.advance(60)
    assert site.act(site.unblock()).changed
    site.time.advance(60)
    assert site.effect(site.block()) is Effect.NOT_IN_EFFECT
    again = site.block(key="again", duration=600)
    assert site.act(again).changed
    site.time.advance(60)
    assert site.effect(again) is Effect.NOT_IN_EFFECT


def test_somebody_elses_block_is_never_lifted(site: Site) -> None:
    site.simulator.agents.agents[EAST].drops[BAD] = site.time.now
    site.time.advance(60)
    before = site.read(site.block())
    assert before.state == {"blocked": False, "ours": False, "agents": {EAST: "drops", WEST: "passes"}}
    with pytest.raises(RejectedError, match="agent 901, and not by us"):
        site.act(site.unblock())
    site.act(site.block())
    assert site.sent == [f"agents_list={WEST}"]
    site.time.advance(60)
    undo = site.unblock(key="undo")
    undo = Command(**{**_fields(undo), "pre_state": before.state})
    assert site.act(undo).losses == ()
    site.time.advance(60)
    assert site.effect(undo) is Effect.IN_EFFECT, "what stood before is none of what is taken back"
    assert BAD in site.simulator.agents.agents[EAST].drops
    direct = site.unblock(key="direct")
    assert site.effect(direct) is Effect.NOT_IN_EFFECT


def test_what_the_operator_did_not_set_up_is_refused_with_what_to_set(site: Site) -> None:
    for name, command in (("block_agents", site.block()), ("block_commands", site.block()),
                          ("unblock_script", site.unblock())):  # fmt: skip
        site.settings = {name: ""}
        with pytest.raises(UnsupportedError, match=name):
            site.act(command)
    site.settings = {}
    with pytest.raises(RejectedError, match="no network"):
        site.act(site.block("203.0.113.0/24"))
    for duration in (0, -1, True, "1h"):
        with pytest.raises(RejectedError, match="duration"):
            site.act(site.block(duration=duration))
    assert not site.sent


_V6 = "\n-P INPUT ACCEPT\n-A INPUT -s 2001:db8::7/128 -j DROP\nnightdesk-complete"


@pytest.mark.parametrize(
    ("rules", "address", "found"),
    [
        ("-A INPUT -s 203.0.113.7/32 -j DROP", BAD, True),
        ("-A INPUT -s 203.0.113.0/24 -j REJECT --reject-with icmp-port-unreachable", BAD, True),
        ("-A INPUT -s 203.0.113.70/32 -j DROP", BAD, False),
        ("-A INPUT -s 203.0.113.7/32 -p tcp -m tcp --dport 22 -j DROP", BAD, False),
        ("-A INPUT -s 203.0.113.7/32 -j ACCEPT\n-A INPUT -s 203.0.113.7/32 -j DROP", BAD, False),
        ("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -s 203.0.113.7/32 -j DROP", BAD, False),
        ("-A INPUT -i lo -j ACCEPT\n-A INPUT -s 203.0.113.7/32 -j LOG\n-A INPUT -s 203.0.113.7/32 -j DROP", BAD, True),
        ("-A INPUT -j DROP", BAD, False),
        ("-A INPUT -s nonsense -j ACCEPT\n-A INPUT -s 203.0.113.7/32 -j DROP", BAD, False),
        ("-A INPUT -j ACCEPT", "2001:db8::7", True),
    ],
)
def test_the_first_rule_that_could_be_about_an_address_decides(rules: str, address: str, found: bool) -> None:
    listing = f"ossec: output: 'nightdesk-firewall':\n-P INPUT ACCEPT\n{rules}{_V6}"
    assert drops(listing, ip_address(address)) is found
    assert drops(listing.partition(_V6)[0], ip_address(address)) is None, "one family alone is no listing"


# Accounts


def test_a_login_is_a_persons_only_where_the_operator_said_so(site: Site) -> None:
    site.simulator.add_accounts([ACCOUNT])
    (account,) = site.accounts(name="jdoe", email="jdoe@corp.example.com")
    assert (account.native_id, account.domain, account.enabled) == (f"{BASTION}/jdoe", "bastion", True)
    for query in ({"name": "jdoe"}, {"name": "jdoe", "domain": "BASTION"}, {"name": "jdoe", "domain": "corp"}):
        assert site.accounts(**query) == [account]
    for query in ({"name": "jdoe", "domain": "OTHER"}, {"email": "jdoe@other.example.com"}, {"name": "jdo"},
                  {"native_id": "001/jdoe"}):  # fmt: skip
        assert site.accounts(**query) == []
    (root,) = site.accounts(name="root")
    assert root.privileged
    site.settings = {"account_agents": ""}
    assert site.accounts(name="jdoe") == []


def test_an_account_is_locked_when_the_inventory_says_so(site: Site) -> None:
    site.simulator.add_accounts([ACCOUNT])
    wish = site.command("account.disable", "account:jdoe", native_id=f"{BASTION}/jdoe")
    assert site.act(wish).changed
    assert site.effect(wish) is Effect.NOT_IN_EFFECT
    assert site.act(wish).changed
    assert len(site.sent) == 1
    site.time.advance(300)
    assert site.read(wish).state == {"enabled": False}
    assert site.effect(wish) is Effect.IN_EFFECT
    site.simulator.search.put("wazuh-states-inventory-users-wazuh", f"{BASTION}_jdoe", _user("not_set"))
    assert site.effect(wish) is Effect.UNKNOWN


def test_root_and_accounts_elsewhere_are_left_alone(site: Site) -> None:
    for native_id, error in ((f"{BASTION}/root", "root"), ("001/jdoe", "account_agents"), (f"{BASTION}/x", "x in the")):
        with pytest.raises((RejectedError, NotFoundError), match=error):
            site.act(site.command("account.disable", "account:jdoe", native_id=native_id))
    site.settings = {"enable_script": ""}
    with pytest.raises(UnsupportedError, match="enable_script"):
        site.act(site.command("account.enable", "account:jdoe", native_id=f"{BASTION}/jdoe"))
    assert not site.sent


def _user(status: str) -> Mapping[str, Any]:
    return {"agent": {"id": BASTION, "name": "bastion"}, "user": {"name": "jdoe", "password": {"status": status}}}


def _fields(command: Command) -> dict[str, Any]:
    return {name: getattr(command, name) for name in Command.__slots__}
