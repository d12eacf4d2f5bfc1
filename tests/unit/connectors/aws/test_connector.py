import asyncio
import importlib.util
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

import nightdesk.connectors.aws as package
from nightdesk.connectors.aws import Connector
from nightdesk.connectors.aws.boto import Boto
from nightdesk.connectors.aws.payloads import stamp
from nightdesk.connectors.aws.simulator import Simulator
from nightdesk.connectors.aws.wire import Ask, AwsError
from nightdesk.sdk import errors
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.targets import AccountQuery, AssetQuery, Target
from nightdesk.sdk.testing import StoryAccount, StoryAlert, StoryDevice
from nightdesk.sdk.testing.checks import acting, pulling
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import Ground, Subject

T = TypeVar("T")
Make = Callable[..., Any]
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
WEB = StoryDevice("web", "Web-01", ("192.0.2.10", "203.0.113.10"))
DEV = StoryDevice("dev", "Dev-01", ("192.0.2.20",))
KEYS = ("AKIA00000000000000A1", "AKIA00000000000000A2")
ANN = StoryAccount("ann", "ann", "ann@corp.example.com", key_ids=KEYS)
BAD = "address:203.0.113.77"
HUB = {"product": "security_hub"}


@dataclass
class Site:
    """One account on loopback, and the time of both ends; every call builds its own connector."""

    simulator: Simulator
    time: FakeTime
    url: str
    settings: dict[str, Any] = field(default_factory=dict)

    def connector(self) -> Connector:
        given = {**self.simulator.settings(self.url), **self.settings}
        values = Settings(validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.aws"))
        return Connector(Context("tenant-a", "aws", values, Network(timeout=5), self.time.clock, self.time.sleep))

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            connector = self.connector()
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(
        self, stream: str = "guardduty", cursor: Cursor | None = None, limit: int = 50, meanwhile: Any = None
    ) -> list[Batch]:
        async def drained(connector: Connector) -> list[Batch]:
            batches = []
            async for batch in connector.pull(stream, cursor, limit=limit):
                batches.append(batch)
                if meanwhile is not None and len(batches) == 1:
                    meanwhile()
            return batches

        return self.run(drained)

    def add(self, uid: str, *, ago: float = 60, hub: bool = False, **labels: str) -> str:
        labels = {**(HUB if hub else {}), **labels}
        at = self.time.now - timedelta(seconds=ago)
        return self.simulator.add(StoryAlert(uid, at, "Odd call", "rule-1", "high", labels=labels))

    def finding(self, native_id: str) -> dict[str, Any]:
        found = self.simulator.guardduty.find(native_id) or self.simulator.hub.find(native_id)
        assert found is not None
        return found

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def write(self, native_id: str, **parameters: Any) -> Receipt:
        return self.run(lambda connector: connector.write_back(self.triage(native_id, **parameters)))

    def read(self, command: Command) -> Reading:
        return self.run(lambda connector: connector.read_back(command))

    def find(self, **query: str) -> list[str]:
        """The ids of the instances that fit."""
        return [one.native_id for one in self.run(lambda connector: connector.find_asset(AssetQuery(**query)))]

    def asked(self, operation: str) -> list[Ask]:
        return [ask for name, ask in self.simulator.calls if name == operation]

    def before(self, operation: str, event: Callable[[Ask], object]) -> None:
        """Something happens at AWS just before the operation."""
        service, _, name = operation.partition(":")
        there: Any = self.simulator._table[service]
        handler = there[name].handler
        there[name] = replace(there[name], handler=lambda ask: (event(ask), handler(ask))[1])

    def command(self, verb: str, target: str, **changes: Any) -> Command:
        options = {"native_id": target.partition(":")[2], **changes}
        return Command("tenant-a", f"a-{verb}", verb, Target.parse(target), f"key-{verb}", self.time.now, **options)

    def on_host(self, verb: str, **changes: Any) -> Command:
        return self.command(verb, "host:web-01", native_id=self.find(hostname="web-01")[0], **changes)

    def on_user(self, verb: str, target: str = "account:ann", **changes: Any) -> Command:
        return self.command(verb, target, native_id=next(iter(self.simulator.directory.accounts)), **changes)

    def triage(self, native_id: str, **parameters: Any) -> Command:
        before = parameters.pop("pre_state", {})
        verb = "alert.comment" if set(parameters) == {"comment"} else "alert.set_disposition"
        return self.command(verb, f"alert:{native_id}", parameters=parameters, pre_state=before)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground() as made:
        yield made


@pytest.fixture
def make(ground: Ground) -> Make:
    @contextmanager
    def opened(**options: Any) -> Iterator[Site]:
        time = FakeTime()
        simulator = Simulator(clock=time.clock, **options)
        simulator.add_devices([WEB, DEV])
        simulator.add_accounts([ANN, replace(ANN, account_id="anna", name="anna", key_ids=())])
        with ground.host(simulator) as url:
            yield Site(simulator, time, url)

    return opened


@pytest.fixture
def site(make: Make) -> Iterator[Site]:
    with make() as made:
        yield made


def names(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


# Pulling


class HubSimulator(Simulator):
    def add(self, alert: StoryAlert) -> str:
        return super().add(replace(alert, labels={**alert.labels, **HUB}))


class HubSubject(Subject):
    """The same vendor, seen through its other stream."""

    @property
    def simulator(self) -> type[HubSimulator]:
        return HubSimulator


CHECKS = [pulling.any_page_size, pulling.resumes_anywhere, pulling.late_arrivals, pulling.new_versions,
          pulling.one_by_one, acting.dispositions]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.__name__))
def test_security_hub_passes_the_contract_of_alerts_too(ground: Ground, check: Any) -> None:
    turned = MANIFEST.model_copy(update={"pulls": dict(reversed(MANIFEST.pulls.items()))})
    asyncio.run(check(ground, HubSubject("nightdesk.connectors.aws", Path(), turned)))


def test_guardduty_is_asked_in_milliseconds_and_security_hub_in_text_with_a_fixed_end(site: Site) -> None:
    site.settings["minimum_severity"] = "medium"
    site.pull()
    site.pull("security_hub")
    listed, got = site.asked("guardduty:ListFindings")[0].given, site.asked("securityhub:GetFindings")[0].given
    yesterday, criterion = site.time.now - timedelta(hours=24), listed["findingCriteria"]["criterion"]
    assert criterion["updatedAt"] == {"greaterThanOrEqual": int(yesterday.timestamp() * 1000)}
    assert criterion["severity"] == {"greaterThanOrEqual": 4}
    assert got["Filters"]["UpdatedAt"] == [{"Start": stamp(yesterday), "End": "2036-11-07T12:00:00.000Z"}]
    assert [one["Value"] for one in got["Filters"]["SeverityLabel"]] == ["MEDIUM", "HIGH", "CRITICAL"]


@pytest.mark.parametrize("hub", [False, True])
def test_a_finding_that_changes_while_pages_are_read_does_not_hide_another(site: Site, hub: bool) -> None:
    wanted = [site.add(f"f{number}", ago=7200 - number, hub=hub) for number in range(6)]
    change = {"UpdatedAt" if hub else "updatedAt": stamp(site.time.now)}
    stream = "security_hub" if hub else "guardduty"
    batches = site.pull(stream, limit=2, meanwhile=lambda: site.finding(wanted[0]).update(change))
    assert set(names(batches)) == set(wanted)


def test_a_finding_that_changes_after_it_was_listed_does_not_move_the_cursor_past_others(site: Site) -> None:
    wanted = [site.add(f"f{number}", ago=7200 - number) for number in range(4)]
    changed = site.finding(wanted[0])
    site.before("guardduty:GetFindings", lambda _: changed.update(updatedAt=stamp(site.time.now)))
    first = site.pull(limit=2)[0]
    assert set(names(site.pull(cursor=first.cursor))) >= set(wanted[2:])


def test_a_provider_whose_clock_is_years_ahead_does_not_end_the_reading(site: Site) -> None:
    ahead = site.add("ahead", hub=True)
    site.finding(ahead)["UpdatedAt"] = "2030-01-01T00:00:00.000Z"
    first = site.pull("security_hub")
    assert names(first) == [ahead]
    site.time.advance(7200)
    later = site.add("later", ago=3000, hub=True)
    assert later in names(site.pull("security_hub", first[-1].cursor))


def test_a_new_update_time_alone_is_no_new_version_and_a_new_count_is(site: Site) -> None:
    finding = site.finding(site.add("one"))
    first = site.pull()
    finding["updatedAt"] = stamp(site.time.now - timedelta(seconds=5))
    second = site.pull(cursor=first[-1].cursor)
    assert names(second) == []
    finding["service"]["count"] = 2
    assert names(site.pull(cursor=second[-1].cursor)) == [finding["id"]]


def test_a_page_token_that_is_refused_restarts_from_the_stored_time(site: Site) -> None:
    for number in range(5):
        site.add(f"f{number}", hub=True)
    expire = site.simulator.hub.expire_tokens
    site.before("securityhub:GetFindings", lambda ask: expire() if "NextToken" in ask.given else None)
    with pytest.raises(errors.CursorExpiredError):
        site.pull("security_hub", limit=1)


def test_a_region_that_is_new_to_a_cursor_is_read_from_its_start(make: Make) -> None:
    with make(regions=("eu-west-1", "us-east-1")) as site:
        site.settings["regions"] = "eu-west-1"
        here, there = site.add("here"), site.add("there", ago=7200, region="us-east-1")
        first = site.pull()
        assert names(first) == [here]
        site.settings["regions"] = "eu-west-1 us-east-1"
        assert names(site.pull(cursor=first[-1].cursor)) == [there]
        assert site.run(lambda connector: connector.read_one("guardduty", there)).native_id == there


def test_what_is_not_enabled_is_said_with_its_region(make: Make) -> None:
    with make(closed=["ap-east-1"]) as site:
        site.simulator.guardduty.detectors["eu-west-1"] = ""
        assert names(site.pull()) == []
        site.simulator.hub.enabled.clear()
        with pytest.raises(errors.RejectedError, match="not enabled in eu-west-1"):
            site.pull("security_hub")
        problems = site.run(lambda connector: connector.check_health()).problems
        assert ["guardduty: false" in problems[0], "security_hub: false" in problems[1]] == [True, True]
        site.settings["regions"] = "ap-east-1"
        with pytest.raises(errors.AuthError, match="the region ap-east-1"):
            site.find(hostname="web-01")


def test_an_answer_that_is_none_is_not_taken_for_an_empty_one(site: Site) -> None:
    site.simulator.faults.add("not_json")
    for work in (site.pull, lambda: site.find(hostname="web-01")):
        with pytest.raises(errors.ResponseError):
            work()
    site.simulator.faults.clear()
    site.simulator.faults.add("truncated_body")
    with pytest.raises(errors.UnavailableError, match="broke off"):
        site.pull()


def test_reads_are_repeated_and_writes_only_when_they_were_throttled(site: Site) -> None:
    native_id = site.add("one", hub=True)
    site.simulator.faults.add("server_error", times=1, path="^/findings$")
    site.simulator.faults.add("rate_limited", times=1, path="batchupdate")
    assert site.write(native_id, status="closed").changed
    site.simulator.faults.add("server_error", times=1, path="batchupdate")
    with pytest.raises(errors.UnavailableError):
        site.write(native_id, status="open")
    assert len(site.asked("securityhub:BatchUpdateFindings")) == 1


# Credentials


def test_nothing_is_taken_from_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, "nowhere")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert site.find(hostname="web-01")
    plain = Boto(Network(), endpoint_url="", clock=site.time.clock)._client("ec2", "eu-west-1")
    assert (plain.meta.endpoint_url, plain._endpoint.http_session._verify) == (
        "https://ec2.eu-west-1.amazonaws.com",
        True,
    )
    plain.close()


def test_a_role_is_taken_on_for_an_hour_and_again_before_it_ends_or_when_it_is_refused(make: Make) -> None:
    with make(role=True) as site:
        wanted = site.add("one")

        async def four(connector: Connector) -> None:
            for wait in (0, 3000, 400):
                site.time.advance(wait)
                await connector.read_one("guardduty", wanted)
            for key in [key for key in site.simulator.keys if key.startswith("ASIA")]:
                del site.simulator.keys[key]
            await connector.read_one("guardduty", wanted)

        site.run(four)
        assert len(site.asked("sts:AssumeRole")) == 3
        site.settings["external_id"] = "another"
        with pytest.raises(errors.ScopeError, match="the permission sts:AssumeRole is missing"):
            site.pull()


def test_a_wrong_setting_and_a_missing_library_are_said_before_anything_is_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"regions": "eu-west-1,cn-north-1", "endpoint_url": "http://a:b@example.com", "external_id": "x"}
    wrong |= {"isolation_groups": "default", "network_acls": "acl", "waf_ip_sets": "blocked", "start": "yesterday"}
    for name, value in wrong.items():
        site.settings = {name: value}
        with pytest.raises(errors.ConfigError, match=name):
            site.connector()
    site.settings = {}
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(errors.ConfigError, match=r"nightdesk\[aws\]"):
        site.connector()


# Triage


UNPROCESSED = {
    "FindingNotFound": errors.NotFoundError,
    "ConcurrentUpdateError": errors.UnavailableError,
    "InvalidInput": errors.RejectedError,
}


@pytest.mark.parametrize("code", UNPROCESSED)
def test_a_finding_that_was_not_processed_is_an_error_though_the_status_is_200(site: Site, code: str) -> None:
    native_id = site.add("one", hub=True)
    site.simulator.hub.stuck[native_id] = code
    with pytest.raises(UNPROCESSED[code], match=code):
        site.write(native_id, status="closed")


def test_a_comment_is_added_to_the_note_once_and_replaces_it_only_with_a_loss(site: Site) -> None:
    native_id = site.add("one", hub=True)
    site.finding(native_id)["Note"] = {"Text": "ask Bob", "UpdatedBy": "eve", "UpdatedAt": stamp(site.time.now)}
    wish = site.triage(native_id, comment="seen")
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    assert [site.write(native_id, comment="seen").losses for _ in range(2)] == [(), ()]
    text = site.finding(native_id)["Note"]["Text"]
    assert (text.startswith("ask Bob\nseen [nightdesk "), text.count("seen")) == (True, 1)
    assert site.read(wish).effect is Effect.IN_EFFECT
    assert len(site.write(native_id, comment="x" * 600, status="closed").losses) == 2
    assert len(site.finding(native_id)["Note"]["Text"]) == 512


def test_an_undo_gives_back_the_workflow_and_that_there_was_no_verdict(site: Site) -> None:
    native_id = site.add("one", hub=True)
    finding = site.finding(native_id)
    finding["Workflow"] = {"Status": "NOTIFIED"}
    before = dict(site.read(site.triage(native_id, status="closed")).state)
    site.write(native_id, status="closed", disposition="false-positive")
    assert (finding["Workflow"]["Status"], finding["VerificationState"]) == ("RESOLVED", "FALSE_POSITIVE")
    site.write(native_id, status="open", pre_state=before)
    assert (finding["Workflow"]["Status"], finding["VerificationState"]) == ("NOTIFIED", "UNKNOWN")


def test_an_id_that_two_products_use_is_not_guessed(site: Site) -> None:
    finding = site.finding(site.add("one", hub=True))
    site.simulator.hub.put("eu-west-1", {**finding, "ProductArn": "arn:aws:securityhub:eu-west-1::product/a/b"})
    with pytest.raises(errors.RejectedError, match="several products"):
        site.write(finding["Id"], status="closed")


def test_guardduty_takes_one_word_of_feedback_and_no_comment(site: Site) -> None:
    native_id = site.add("one")
    assert len(site.write(native_id, disposition="benign-positive", comment="a test").losses) == 2
    assert site.finding(native_id)["service"]["userFeedback"] == "NOT_USEFUL"
    assert "comments" not in site.asked("guardduty:UpdateFindingsFeedback")[0].given
    assert "taken back" in site.write(native_id, disposition="undetermined").losses[-1]
    with pytest.raises(errors.UnsupportedError):
        site.write(native_id, comment="seen")


# Hosts


@pytest.mark.parametrize("memory", ["pre-state", "tags"])
def test_every_interface_is_isolated_also_after_a_break_and_gets_back_what_it_had(site: Site, memory: str) -> None:
    cloud, wish = site.simulator.instances, site.on_host("host.isolate", pre_state={"isolated": False})
    interfaces = cloud.interfaces[wish.native_id]
    second = cloud.attach(wish.native_id, "192.0.2.11", [cloud.app])
    before = dict(site.read(wish).state)
    broken = [AwsError("Unavailable", "overloaded", 503)]

    def break_off(ask: Ask) -> None:
        if ask.given["NetworkInterfaceId"] == second and broken:
            raise broken.pop()

    site.before("ec2:ModifyNetworkInterfaceAttribute", break_off)
    with pytest.raises(errors.UnavailableError):
        site.act(wish)
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    assert [site.act(wish).changed for _ in range(2)] == [True, True]
    assert [one.groups for one in interfaces] == [[cloud.isolation]] * 2
    if memory == "pre-state":
        cloud.tags.clear()
    site.act(site.on_host("host.release", pre_state=before if memory == "pre-state" else {}))
    assert [one.groups for one in interfaces] == [[cloud.app]] * 2
    assert not any(cloud.tags.values())


def test_selective_isolation_is_another_group_and_keeps_the_record_of_the_first(site: Site) -> None:
    cloud, wish = site.simulator.instances, site.on_host("host.isolate", parameters={"mode": "selective"})
    interface = cloud.interfaces[wish.native_id][0]
    site.act(site.on_host("host.isolate"))
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    site.act(wish)
    assert interface.groups == [cloud.selective]
    site.act(site.on_host("host.release"))
    assert interface.groups == [cloud.app]
    interface.groups = [cloud.isolation]
    with pytest.raises(errors.RejectedError, match="not recorded"):
        site.act(site.on_host("host.release"))


def test_what_would_not_isolate_is_refused_before_anything_is_changed(site: Site) -> None:
    cloud, wish = site.simulator.instances, site.on_host("host.isolate")
    cloud.groups[cloud.isolation].outbound.append("192.0.2.1/32")
    with pytest.raises(errors.RejectedError, match="does not isolate"):
        site.act(wish)
    cloud.groups[cloud.isolation].outbound.clear()
    cloud.attach(wish.native_id, "192.0.2.9", [], "vpc-0")
    with pytest.raises(errors.RejectedError, match="in vpc-0"):
        site.act(wish)
    assert not site.simulator.mutations()


def test_an_instance_is_found_by_name_id_and_address_unless_it_is_gone(site: Site) -> None:
    name = next(iter(site.simulator.instances.interfaces))
    for query in (
        {"hostname": "web-01"}, {"hostname": "ip-192-0-2-10"}, {"fqdn": "ip-192-0-2-10.eu-west-1.compute.internal"},
        {"hostname": name}, {"device_id": name}, {"address": "192.0.2.10"}, {"address": "203.0.113.10"},
    ):  # fmt: skip
        assert site.find(**query) == [name], query
    site.simulator.instances.states[name] = "terminated"
    assert not site.find(hostname="web-01")


# Accounts


def test_a_disabled_user_is_denied_everything_and_gets_only_the_keys_back_that_were_active(site: Site) -> None:
    member = next(iter(site.simulator.directory.accounts.values()))
    member.keys["AKIA00000000000000A3"], member.keys[KEYS[1]] = False, False
    wish = site.on_user("account.disable")
    site.act(wish)
    member.keys[KEYS[1]] = True  # somebody brings one back
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    site.act(wish)
    assert (member.enabled, set(member.keys.values())) == (False, {False})
    site.act(site.on_user("account.enable"))
    assert (member.enabled, member.keys) == (True, {KEYS[0]: True, KEYS[1]: True, "AKIA00000000000000A3": False})


def test_a_user_is_who_has_the_id_and_not_who_has_the_name_now(site: Site) -> None:
    ann, anna = site.simulator.directory.accounts.values()

    async def renamed(connector: Connector) -> None:
        (found,) = await connector.find_account(AccountQuery(name="ann"))
        ann.name, anna.name = "ann-old", "ann"
        await connector.act(site.command("account.disable", "account:ann", native_id=found.native_id))
        assert not await connector.find_account(AccountQuery(name="ann", domain="CORP"))

    site.run(renamed)
    assert (ann.enabled, anna.enabled) == (False, True)


# Addresses


def test_an_address_is_denied_both_ways_before_the_rule_that_allows_it(site: Site) -> None:
    walls, wish = site.simulator.walls, site.command("ip.block", BAD)
    site.act(wish)
    assert [(one["ruleNumber"], one["egress"]) for one in walls.entries[4:]] == [(1, False), (1, True)]
    assert walls.set.addresses == ["203.0.113.77/32"]
    walls.entries[4]["ruleNumber"] = 200
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    site.act(wish)
    assert site.read(wish).effect is Effect.IN_EFFECT
    site.act(site.command("ip.unblock", BAD))
    assert (len(walls.entries), walls.set.addresses) == (4, [])


def test_others_who_change_a_set_or_take_a_number_meanwhile_lose_nothing(site: Site) -> None:
    walls, other = site.simulator.walls, "198.51.100.1/32"

    def change(_: Ask) -> None:
        if walls.set.changes == 0:
            walls.set.addresses, walls.set.changes = [other], 1

    def take(ask: Ask) -> None:
        if len(walls.entries) == 4:
            rule = {"egress": False, "protocol": "-1", "ruleAction": "deny", "cidrBlock": other}
            walls.entries.append({"ruleNumber": int(ask.given["RuleNumber"]), **rule})

    site.before("wafv2:UpdateIPSet", change)
    site.before("ec2:CreateNetworkAclEntry", take)
    site.act(site.command("ip.block", BAD))
    assert walls.set.addresses == [other, "203.0.113.77/32"]
    assert [one["ruleNumber"] for one in walls.entries[4:]] == [1, 2, 1]


def test_an_address_within_a_wider_block_or_behind_full_rules_is_refused(site: Site) -> None:
    walls = site.simulator.walls
    walls.set.addresses = ["203.0.113.0/24"]
    with pytest.raises(errors.RejectedError, match="stands for more"):
        site.act(site.command("ip.unblock", BAD))
    for entry in walls.entries[:3]:
        entry["ruleNumber"] = 1
    with pytest.raises(errors.RejectedError, match="no free number below 1"):
        site.act(site.command("ip.block", BAD))
    site.settings = {"network_acls": ""}
    with pytest.raises(errors.RejectedError, match="IPv6"):
        site.act(site.command("ip.block", "address:2001:db8::1"))
