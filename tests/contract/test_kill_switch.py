"""The kill switch on the whole way: a real hub, real simulators on loopback, the command in a process of its own.

Laws 3 (a tenant stops no other), 4 (a crash between), 6 (the way back stays open), 7 (a stop only adds caution) and 11
(what was looked at is in the record).
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.edrs import CONTAINING, ListeningEdr
from tests.hubs import REGISTRY, a_story_alert, bind, browsing, pullers, run_cli, together

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.switches import ANYWHERE, Switch
from nightdesk.autonomy.switches import Scope as Stops
from nightdesk.hub.bounds import BrakeBounds
from nightdesk.hub.config import HubSettings
from nightdesk.hub.hub import Hub
from nightdesk.hub.setup import private_file
from nightdesk.hub.store import Store, decisions, queries, switches
from nightdesk.hub.switching import stop
from nightdesk.sdk.case import Outcome
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime

S = ActionState
VENDOR = next(name for name in pullers() if "host.isolate" in REGISTRY.manifests[name].acts)
HOSTS = 40
PEOPLE = {"ann": "analyst", "abe": "approver", "amy": "approver", "ada": "admin", "bot": "service"}
CLOSING = b"""
policy_id: closing
version: "1"
rules:
  - {id: noise, owner: jane@example.org, when: {rule_name: [UnusualTool, Unusual tool]},
     then: {close: {verdict: benign-positive, at_once: true}}}
"""


@dataclass
class Site:
    """Tenants with a vendor account each, one store, and as many hubs on it as a test wants."""

    folder: Path
    settings: HubSettings
    vendors: dict[str, ListeningEdr]
    time: FakeTime | None = None
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.opened()

    def opened(self) -> Store:
        clock = {"clock": self.time.clock} if self.time else {}
        return Store.open(self.settings.store, synchronous="NORMAL", **clock)

    def hub(self) -> Hub:
        timing: dict[str, Any] = {"clock": self.time.clock, "sleep": self.time.sleep} if self.time else {}
        return Hub(self.settings, REGISTRY, self.store, **timing)

    @property
    def config(self) -> Path:
        return self.folder / next(iter(self.vendors)) / "nightdesk.yaml"

    def work(self, hub: Hub, *, pull: bool = False) -> None:
        async def go() -> None:
            try:
                await hub.once(pull=pull)
            finally:
                await hub.bindings.aclose()

        asyncio.run(go())

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command as a person gives it, in a process of its own."""
        return subprocess.run(
            [
                sys.executable,
                "-c",
                "from nightdesk.hub.cli import main; main()",
                *arguments,
                "--config",
                str(self.config),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=dict(os.environ),
        )

    def stopped(self, tenant: str = "acme") -> list[Switch]:
        with self.store.read() as conn:
            return [one.switch for one in switches.positions(conn, tenant)]


@contextmanager
def a_site(
    folder: Path, *tenants: str, policy: bytes | None = None, time: FakeTime | None = None, **bounds: Any
) -> Iterator[Site]:
    with ExitStack() as stack:
        vendors, configs = {}, []
        for tenant in tenants or ("acme",):
            simulator = REGISTRY.simulator(VENDOR)(clock=time.clock if time else utc_now)
            simulator.add_devices(
                StoryDevice(f"dev-{n:04d}", f"WS-{n:04d}", (f"192.0.2.{n + 1}",)) for n in range(HOSTS)
            )
            vendors[tenant] = vendor = ListeningEdr(simulator)
            home = folder / tenant
            home.mkdir()
            (home / "assets.csv").write_text(
                "hostname,type,tags\n" + "".join(f"WS-{n:04d},workstation,\n" for n in range(HOSTS)), encoding="utf-8"
            )
            for name in PEOPLE:
                private_file(home / "secrets" / name, f"token-of-{tenant}-{name}\n".encode())
            more: dict[str, Any] = {
                "tokens": {name: {"role": role, "secret": f"file:secrets/{name}"} for name, role in PEOPLE.items()},
                "assets": "assets.csv",
                "limits": {"hosts_per_hour": 1.0, "hosts_per_day": 1.0},
            }
            served = stack.enter_context(serve(vendor))
            configs.append(
                bind(
                    home, tenant, {"edr": (simulator, served.base_url)}, policy=policy, signers=("jane", "omar"), **more
                )
            )
        settings = replace(together(*configs), brakes=BrakeBounds(**{"actions": 10**6, **bounds}))
        site = Site(folder, settings, vendors, time)
        stack.callback(site.store.close)
        yield site


def wish(hub: Hub, number: int = 0, tenant: str = "acme", **fields: Any) -> Action:
    given: dict[str, Any] = {"requested_by": "autonomy", "approval": "policy", **fields}
    return hub.engine.propose(tenant, "host.isolate", Target.parse(f"host:WS-{number:04d}"), **given)


def now(hub: Hub, action: Action) -> Action:
    found = hub.journal.get(action.tenant, action.action_id)
    assert found is not None
    return found


def state(hub: Hub, action: Action) -> ActionState:
    return now(hub, action).state


# From another process.


def test_a_stop_by_another_process_holds_in_a_running_hub_from_the_next_request_on(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        hub, vendor = site.hub(), site.vendors["acme"]

        async def go() -> tuple[Action, list[Action]]:
            running = asyncio.create_task(hub.run())
            first = await asyncio.to_thread(wish, hub, 0)
            async with asyncio.timeout(30):
                while await asyncio.to_thread(state, hub, first) is not S.LEASED:
                    await asyncio.sleep(0.02)
            told = await asyncio.to_thread(
                site.command, "stop", "--tenant", "acme", "--as", "ann", "--reason", "it isolates everybody", "--json"
            )
            assert told.returncode == 0, told.stderr
            assert json.loads(told.stdout)["stopped"] is True
            later = [await asyncio.to_thread(wish, hub, number) for number in range(1, 9)]
            async with asyncio.timeout(30):
                while any([await asyncio.to_thread(state, hub, one) is not S.CANCELLED for one in later]):
                    await asyncio.sleep(0.02)
            hub.stop()
            await running
            return first, later

        first, later = asyncio.run(go())
        assert vendor.isolations == 1
        assert vendor.isolated == {"ws-0000"}
        assert state(hub, first) is S.LEASED
        assert {now(hub, one).error for one in later} == {"autonomy of acme stopped by ann: it isolates everybody"}


@pytest.mark.parametrize("at_order", [1, 5, 13])
def test_under_load_nothing_leaves_that_was_not_on_its_way_when_the_stop_was_committed(
    tmp_path: Path, at_order: int
) -> None:
    with a_site(tmp_path) as site:
        hub, vendor = site.hub(), site.vendors["acme"]
        other = site.opened()
        heard_at_commit: list[int] = []

        def pull_the_plug() -> None:
            stop(other, Switch("acme", Stops.TENANT), by="ann", reason="drill")
            heard_at_commit.append(len(vendor.heard))

        vendor.at_order, vendor.before = at_order, pull_the_plug
        wishes = [wish(hub, number) for number in range(HOSTS)]
        site.work(hub)
        other.close()
        (stopped_at,) = {one.changed_at for one in _positions(site)}
        assert {state(hub, one) for one in wishes} <= {S.LEASED, S.CANCELLED, S.REQUESTED}
        under_way = [one for one in wishes if state(hub, one) is not S.CANCELLED]
        for one in under_way:
            lines = hub.journal.history("acme", one.action_id)
            assert next(line.at for line in lines if line.state is S.REQUESTED) < stopped_at
        done = {one.target.value for one in wishes if state(hub, one) is S.LEASED}
        assert done == vendor.isolated
        assert at_order <= len(done) == len(vendor.heard) == vendor.isolations
        # Eight targets are worked on at a time: no more than the others of them were on their way.
        assert len(under_way) < at_order + 8
        assert len(vendor.heard) - heard_at_commit[0] < 8


def _positions(site: Site) -> list[Any]:
    with site.store.read() as conn:
        return switches.positions(conn, "acme")


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "running"])
def test_a_crash_between_journal_and_request_sends_nothing_after_a_stop(tmp_path: Path, stopped: bool) -> None:
    with a_site(tmp_path, time=FakeTime()) as site:
        assert site.time is not None
        vendor, first = site.vendors["acme"], site.hub()

        def gone() -> None:
            raise ConnectionError("nobody is there to answer")

        vendor.at_order, vendor.before = 1, gone
        action = wish(first)
        asyncio.run(_one_round(first))
        assert state(first, action) is S.REQUESTED
        heard = len(vendor.heard)
        if stopped:
            assert site.command("stop", "--all", "--as", "operator", "--reason", "drill").returncode == 0
        site.time.advance(3600)
        second = site.hub()  # the first one is never heard of again
        for _ in range(5):
            site.work(second)
            site.time.advance(20)
        assert len(vendor.heard) - heard == vendor.isolations == (0 if stopped else 1)
        assert state(second, action) is (S.UNVERIFIED if stopped else S.LEASED)


async def _one_round(hub: Hub) -> None:
    try:
        await hub.engine.run_once()
    finally:
        await hub.bindings.aclose()


# The way back, and whose stop it is.


def test_undo_and_the_end_of_a_lease_go_on_while_everything_is_stopped(tmp_path: Path) -> None:
    with a_site(tmp_path, time=FakeTime()) as site:
        assert site.time is not None
        hub, vendor = site.hub(), site.vendors["acme"]
        undone, ended = wish(hub, 1), wish(hub, 2, lease=timedelta(hours=1))
        for _ in range(3):
            site.work(hub)
            site.time.advance(2)
        assert vendor.isolated == {"ws-0001", "ws-0002"}
        for scope in (["--all"], ["--tenant", "acme", "--vendor-action", f"{VENDOR}/host.isolate"]):
            assert site.command("stop", *scope, "--as", "ann", "--reason", "drill").returncode == 0

        async def take_back() -> None:
            try:
                await hub.engine.undo(now(hub, undone), actor="bob")
            finally:
                await hub.bindings.aclose()

        asyncio.run(take_back())
        site.time.advance(3700)
        for _ in range(4):
            site.work(hub)
            site.time.advance(10)
        assert [state(hub, one) for one in (undone, ended)] == [S.UNDONE, S.UNDONE]
        assert vendor.isolated == set()


def test_a_tenants_switch_stops_no_other_tenant_and_all_stops_every_one(tmp_path: Path) -> None:
    with a_site(tmp_path, "acme", "umbrella") as site:
        hub = site.hub()
        stop(site.store, Switch("acme", Stops.TENANT), by="ann", reason="drill")
        ours, theirs = wish(hub, 1, "acme"), wish(hub, 1, "umbrella")
        site.work(hub)
        assert [state(hub, one) for one in (ours, theirs)] == [S.CANCELLED, S.LEASED]
        assert [site.vendors[name].isolations for name in ("acme", "umbrella")] == [0, 1]
        assert site.stopped("umbrella") == []
        with site.store.read() as conn:
            assert switches.history(conn, "umbrella") == []
        stop(site.store, Switch(ANYWHERE, Stops.ALL), by="operator", reason="drill")
        last = wish(hub, 2, "umbrella")
        site.work(hub)
        assert state(hub, last) is S.CANCELLED
        assert site.vendors["umbrella"].isolations == 1


def test_a_person_goes_on_where_the_machine_is_stopped_but_not_with_a_broken_vendor_action(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        hub, vendor = site.hub(), site.vendors["acme"]
        assert site.command("stop", "--tenant", "acme", "--as", "ann", "--reason", "drill").returncode == 0
        told = site.command("act", "host.isolate", "host:WS-0001", "--tenant", "acme", "--as", "abe", "--json")
        assert told.returncode == 0, told.stderr
        approved = wish(hub, 2, approval="human")
        hub.engine.approve(approved, "abe")
        site.work(hub)
        assert vendor.isolated == {"ws-0001", "ws-0002"}
        broken = ("--vendor-action", f"{VENDOR}/host.isolate", "--as", "ann", "--reason", "it isolates the wrong host")
        assert site.command("stop", "--tenant", "acme", *broken).returncode == 0
        told = site.command("act", "host.isolate", "host:WS-0003", "--tenant", "acme", "--as", "abe", "--json")
        assert told.returncode == 1
        assert json.loads(told.stdout)["state"] == "cancelled"
        assert "the wrong host" in json.loads(told.stdout)["error"]
        assert vendor.isolations == 2


# Starting again.


def test_starting_takes_two_people_at_the_command_line_too(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        mine = ("--tenant", "acme", "--config", site.config)
        assert run_cli("stop", *mine, "--as", "ann", "--reason", "drill").exit_code == 0

        def start(who: str, *scope: str | Path) -> Any:
            return run_cli("start", *(scope or mine), "--as", who, "--reason", "over", "--json")

        for nobody in ("ann", "bot", "engine", "stranger"):
            assert start(nobody).exit_code == 1
        assert json.loads(start("abe").stdout)["asked_by"] == "abe"
        assert start("abe").exit_code == 1
        assert start("amy").exit_code == 1
        assert site.stopped() == [Switch("acme", Stops.TENANT)]
        done = start("ada")
        assert (done.exit_code, json.loads(done.stdout)["stopped"]) == (0, False)
        assert site.stopped() == []
        told = json.loads(run_cli("switches", *mine, "--json").stdout)
        assert [(line["event"], line["by"]) for line in told["history"]] == [
            ("switch.started", "ada"),
            ("switch.start_asked", "abe"),
            ("switch.stopped", "ann"),
        ]
        table = run_cli("switches", *mine).stdout
        assert "running" in table
        assert "switch.start_asked" in table

        everywhere = ("--all", "--config", site.config)
        assert run_cli("stop", *everywhere, "--as", "operator", "--reason", "drill").exit_code == 0
        assert start("ada", *everywhere).exit_code == 1  # whose ada?
        assert start("acme/ada", *everywhere).exit_code == 0
        assert site.stopped() == [Switch(ANYWHERE, Stops.ALL)]
        assert start("acme/abe", *everywhere).exit_code == 0
        assert site.stopped() == []


@pytest.mark.parametrize("command", ["stop", "start", "switches"])
def test_no_command_guesses_whose_switch_is_meant(command: str, tmp_path: Path) -> None:
    said = () if command == "switches" else ("--as", "ann", "--reason", "drill")
    with a_site(tmp_path) as site:
        for scope in ((), ("--tenant", "acme", "--all")):
            result = run_cli(command, *scope, *said, "--config", site.config)
            assert result.exit_code == 2
            assert "--tenant" in result.output
        assert run_cli(command, "--tenant", "nobody", *said, "--config", site.config).exit_code != 0
        assert site.stopped() == []


def test_a_broken_configuration_does_not_keep_anybody_from_stopping(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        document = yaml.safe_load(site.config.read_text(encoding="utf-8"))
        document["tenants"]["acme"]["policy"] = "policies/gone.yaml"
        document["tenants"]["acme"]["tokens"]["ann"]["secret"] = "env:NOT_SET_ANYWHERE"
        document["surprise"] = True
        site.config.write_text(yaml.safe_dump(document), encoding="utf-8")
        assert run_cli("config", "check", "--config", site.config).exit_code == 2
        done = run_cli("stop", "--tenant", "acme", "--as", "ann", "--reason", "drill", "--config", site.config)
        assert done.exit_code == 0
        assert site.stopped() == [Switch("acme", Stops.TENANT)]


@pytest.mark.parametrize(
    ("subject", "there"),
    [
        (("--rule", "contain-that"), "contain-it"),
        (("--vendor-action", "no-such-edr/host.isolate"), VENDOR),
        (("--vendor-action", f"{VENDOR}/host.explode"), "a verb that exists"),
    ],
)
@pytest.mark.parametrize("scope", [("--tenant", "acme"), ("--all",)])
def test_a_slip_of_the_pen_is_told_instead_of_stopping_nothing(
    tmp_path: Path, subject: tuple[str, str], there: str, scope: tuple[str, ...]
) -> None:
    with a_site(tmp_path, policy=CONTAINING) as site:
        done = run_cli("stop", *scope, *subject, "--as", "ann", "--reason", "drill", "--config", site.config)
        assert done.exit_code == 1
        assert there in done.output
        right = ("--rule", "contain-it/host.isolate")
        done = run_cli("stop", *scope, *right, "--as", "ann", "--reason", "drill", "--config", site.config)
        assert done.exit_code == 0
        assert [one.subject for one in site.stopped()] == ["contain-it/host.isolate"]


# Decisions.


def test_while_stopped_a_case_that_a_rule_would_close_goes_to_a_person_and_the_record_says_why(tmp_path: Path) -> None:
    with a_site(tmp_path, policy=CLOSING) as site:
        hub, vendor = site.hub(), site.vendors["acme"]
        mutations = len(vendor.simulator.mutations())
        stop(site.store, Switch("acme", Stops.TENANT), by="ann", reason="drill")
        vendor.simulator.add(a_story_alert("one", hub.clock(), 1))
        site.work(hub, pull=True)
        (made,) = _decisions(site)
        assert made.outcome is Outcome.ESCALATE
        assert made.reason_code == "abstain-kill-switch"
        assert made.inputs["context"]["kill_switch"] is True
        assert [one.value for one in made.checks if one.name == "kill-switch"] == ["on"]
        assert hub.journal.in_state(list(S)) == []
        assert (
            len(
                [
                    one
                    for one in vendor.simulator.mutations()[mutations:]
                    if "alerts" in one.path and one.method == "PATCH"
                ]
            )
            == 0
        )


def test_a_stopped_rule_closes_nothing_in_the_running_hub(tmp_path: Path) -> None:
    with a_site(tmp_path, policy=CLOSING) as site:
        hub, vendor = site.hub(), site.vendors["acme"]
        vendor.simulator.add(a_story_alert("one", hub.clock(), 1))
        site.work(hub, pull=True)
        stop(site.store, Switch(ANYWHERE, Stops.RULE, "noise"), by="operator", reason="closes too much")
        vendor.simulator.add(a_story_alert("two", hub.clock(), 2))
        site.work(hub, pull=True)
        first, second = _decisions(site)
        assert (first.outcome, second.outcome) == (Outcome.CLOSE, Outcome.ESCALATE)
        assert second.inputs["context"]["stopped_rules"] == ["noise"]
        (closing,) = [one for one in hub.journal.in_state(list(S)) if one.verb == "alert.set_disposition"]
        assert closing.result["rules"] == ["noise"]


def _decisions(site: Site) -> list[Any]:
    with site.store.read() as conn:
        rows = queries.case_list(conn, "acme", limit=10)
        found = [one for row in rows for one in decisions.decisions(conn, "acme", row.case_id)]
    return sorted(found, key=lambda one: one.decided_at)


def test_one_rule_at_three_tenants_at_once_is_stopped_and_people_are_asked(tmp_path: Path) -> None:
    tenants = ("acme", "initech", "umbrella")
    with a_site(tmp_path, *tenants, policy=CONTAINING) as site:
        hub = site.hub()
        for name in tenants[:2]:
            site.vendors[name].simulator.add(a_story_alert("one", hub.clock(), 1))
        site.work(hub, pull=True)
        assert [site.vendors[name].isolations for name in tenants] == [1, 1, 0]
        site.vendors["umbrella"].simulator.add(a_story_alert("one", hub.clock(), 1))
        site.work(hub, pull=True)
        assert site.vendors["umbrella"].isolations == 0
        (held,) = hub.journal.in_state([S.AWAITING_APPROVAL])
        assert held.tenant == "umbrella"
        assert held.result["rules"] == ["contain-it"]
        assert "in 3 tenants within 10 minutes" in held.error
        assert site.stopped("initech") == [Switch(ANYWHERE, Stops.RULE, "contain-it/host.isolate")]
        hub.engine.approve(held, "abe")
        site.work(hub)
        assert site.vendors["umbrella"].isolations == 1


def test_a_demotion_in_one_process_is_seen_by_another(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        hub, vendor = site.hub(), site.vendors["acme"]
        site.hub().brakes.demote(VENDOR, "host.isolate", "a heartbeat contradicted it")
        held, own = wish(hub, 1), wish(hub, 2, approval="direct", requested_by="ann")
        site.work(hub)
        assert [state(hub, one) for one in (held, own)] == [S.AWAITING_APPROVAL, S.EFFECTIVE]
        assert vendor.isolated == {"ws-0002"}
        notes = [line.detail.get("note", "") for line in hub.journal.history("acme", own.action_id)]
        assert any("warning: " in note and "a heartbeat contradicted it" in note for note in notes)


def test_the_page_of_approvals_says_too_that_everything_is_stopped(tmp_path: Path) -> None:
    with a_site(tmp_path) as site, browsing(site.hub()) as client:
        assert client.post("/console/login", data={"token": "token-of-acme-ada"}).status_code == 303
        assert 'class="stopped"' not in client.get("/console/approvals").text
        stop(site.store, Switch(ANYWHERE, Stops.ALL), by="operator", reason="drill")
        assert 'class="stopped"' in client.get("/console/approvals").text
