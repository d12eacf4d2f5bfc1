"""The CrowdSec connector against the Local API itself, and the simulator held against what that server answers."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from tests.goldens import ACME, normalizer
from tests.servers.crowdsec import Lapi, lapi

import nightdesk.connectors.crowdsec as package
from nightdesk.connectors.crowdsec import Connector
from nightdesk.connectors.crowdsec.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings, utc_now
from nightdesk.sdk.errors import AuthError, CursorExpiredError, NotFoundError, RejectedError
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.records import Cursor, RawRecord
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import serve

pytestmark = pytest.mark.slow
T = TypeVar("T")
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")


class Site:
    """A running Local API with an engine that reports, and connectors to it."""

    def __init__(self, server: Lapi) -> None:
        self.server = server
        self.behind = timedelta(0)
        self.enrol()

    def enrol(self) -> None:
        """Registers the connector, an engine and a firewall."""
        self.settings: dict[str, Any] = {
            "base_url": self.server.url,
            "machine_id": "nightdesk",
            "machine_password": Secret.literal(self.server.add_machine("nightdesk")),
            "bouncer_key": Secret.literal(self.server.add_bouncer("nightdesk")),
        }
        self.engine = {"machine_id": "engine", "password": self.server.add_machine("engine"), "scenarios": []}
        self.firewall = {"X-Api-Key": self.server.add_bouncer("firewall")}

    def connector(self, **changes: Any) -> Connector:
        values = validate_settings(MANIFEST, {**self.settings, **changes}, file="nightdesk.yaml", key="lapi")
        clock = utc_now if not self.behind else lambda: utc_now() - self.behind
        return Connector(Context("acme", "lapi", Settings(values), Network(timeout=10), clock))

    def run(self, work: Callable[[Connector], Awaitable[T]], **changes: Any) -> T:
        async def once() -> T:
            connector = self.connector(**changes)
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def report(self, *alerts: dict[str, Any]) -> list[str]:
        """Pushes as an engine does; gives the ids."""
        return [str(number) for number in self.as_engine("POST", "/v1/alerts", json=alerts).json()]

    def delete(self, native_id: str) -> None:
        self.as_engine("DELETE", f"/v1/alerts/{native_id}")

    def as_engine(self, method: str, path: str, **options: Any) -> httpx.Response:
        with httpx.Client(base_url=self.server.url, timeout=30) as client:
            token = client.post("/v1/watchers/login", json=self.engine).raise_for_status().json()["token"]
            answer = client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **options)
            return answer.raise_for_status()

    def banned_by_profile(self) -> str:
        """An address that CrowdSec itself bans for four hours."""
        overflow = an_overflow(remediation=True)
        self.report(overflow)
        return str(overflow["source"]["value"])

    def wait_past(self, seconds: float) -> None:
        """Lets so much of the server's time pass."""
        time.sleep(seconds)

    def drain(
        self, cursor: Cursor | None = None, *, limit: int = 100, **changes: Any
    ) -> tuple[list[RawRecord], Cursor | None]:
        async def all_of(connector: Connector) -> tuple[list[RawRecord], Cursor | None]:
            return await drained(connector, cursor, limit)

        return self.run(all_of, **changes)

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def read(self, command: Command) -> Reading:
        return self.run(lambda connector: connector.read_back(command))

    def told(self, address: str) -> list[dict[str, Any]]:
        """What the firewall's bouncer hears of an address."""
        answer = httpx.get(f"{self.server.url}/v1/decisions", params={"ip": address}, headers=self.firewall)
        return list(answer.raise_for_status().json() or [])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with lapi(tmp_path) as server:
        yield Site(server)


async def drained(connector: Connector, cursor: Cursor | None, limit: int) -> tuple[list[RawRecord], Cursor | None]:
    records: list[RawRecord] = []
    async for batch in connector.pull("alerts", cursor, limit=limit):
        assert len(batch.records) <= limit
        records += batch.records
        cursor = json.loads(json.dumps(batch.cursor)) if batch.cursor is not None else cursor
    return records, cursor


def an_overflow(number: int = 0, *, ago: float = 1, remediation: bool = False) -> dict[str, Any]:
    moment = f"{utc_now() - timedelta(seconds=ago):%Y-%m-%dT%H:%M:%S.%f}Z"
    address = f"198.51.100.{number % 250 + 1}"
    meta = {"log_type": "ssh_failed-auth", "machine": "bastion-1", "source_ip": address, "target_user": "root"}
    return {
        "scenario": "crowdsecurity/ssh-bf",
        "scenario_hash": "",
        "scenario_version": "0.3",
        "message": f"Ip {address} performed 'crowdsecurity/ssh-bf'",
        "events_count": 6,
        "start_at": moment,
        "stop_at": moment,
        "capacity": 5,
        "leakspeed": "10s",
        "simulated": False,
        "remediation": remediation,
        "events": [{"timestamp": moment, "meta": [{"key": key, "value": value} for key, value in meta.items()]}],
        "source": {"scope": "Ip", "value": address, "ip": address},
    }


def command(verb: str, address: str, key: str = "key-1", **fields: Any) -> Command:
    target = Target.parse(f"address:{address}")
    return Command("acme", "action-1", verb, target, key, utc_now(), target.value, **fields)


def block(address: str, key: str = "key-1", duration: float | None = 3600, **fields: Any) -> Command:
    parameters = {} if duration is None else {"duration": duration}
    return command("ip.block", address, key, parameters=parameters, reason="seen in a test", **fields)


# Pulling


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_every_alert_comes_once_in_any_page_size(site: Site, limit: int) -> None:
    # 310 is what made 1.4.6 loop for ever when asked for 500 of them.
    wanted = site.report(*(an_overflow(number) for number in range(310)))
    records, cursor = site.drain(limit=limit)
    assert [record.native_id for record in records] == wanted
    assert site.drain(cursor, limit=limit) == ([], cursor)


def test_a_restart_in_the_middle_loses_nothing(site: Site) -> None:
    wanted = site.report(*(an_overflow(number) for number in range(25)))

    async def two_pages(connector: Connector) -> tuple[list[str], Cursor | None]:
        seen: list[str] = []
        async for batch in connector.pull("alerts", None, limit=7):
            seen += [record.native_id for record in batch.records]
            if len(seen) == 14:
                return seen, json.loads(json.dumps(batch.cursor))
        raise AssertionError("the pull ended early")

    seen, cursor = site.run(two_pages)
    site.server.stop()
    site.server.start()
    wanted += site.report(an_overflow(100))
    records, _ = site.drain(cursor, limit=7)
    assert seen + [record.native_id for record in records] == wanted


def test_a_server_that_started_again_refuses_the_token_and_gets_a_new_one(site: Site) -> None:
    first = site.report(an_overflow())

    async def across(connector: Connector) -> list[str]:
        records, cursor = await drained(connector, None, 10)
        site.server.stop()
        site.server.start()
        first.extend(site.report(an_overflow(1)))
        more, _ = await drained(connector, cursor, 10)
        return [record.native_id for record in [*records, *more]]

    assert site.run(across) == first


def test_an_engine_that_was_offline_is_heard(site: Site) -> None:
    site.report(an_overflow())
    _, cursor = site.drain()
    late = site.report(an_overflow(1, ago=3 * 86_400))
    assert [record.native_id for record in site.drain(cursor)[0]] == late


def test_a_number_that_may_still_be_written_is_waited_for(site: Site) -> None:
    wanted = site.report(*(an_overflow(number) for number in range(9)))
    site.delete(wanted[4])
    assert [record.native_id for record in site.drain()[0]] == wanted[:4]


def test_what_was_flushed_before_it_was_read_is_passed_over(site: Site) -> None:
    site.report(an_overflow())
    _, cursor = site.drain()
    wanted = site.report(*(an_overflow(number) for number in range(250)))
    site.server.cscli("alerts", "flush", "--max-items", "120")
    left = [record.native_id for record in site.drain(cursor, limit=50)[0]]
    assert left == wanted[-len(left) :]
    assert 100 < len(left) < 130


def test_a_database_made_anew_is_noticed(site: Site) -> None:
    site.report(an_overflow(), an_overflow(1))
    _, cursor = site.drain()
    site.server.stop()
    site.server.forget()
    site.enrol()
    site.server.start()
    site.wait_past(2)  # creation times are whole seconds
    site.report(*(an_overflow(number) for number in range(3)))
    with pytest.raises(CursorExpiredError, match="made anew"):
        site.drain(cursor)


def test_a_first_pull_begins_where_the_settings_say(site: Site) -> None:
    first = site.report(an_overflow(), an_overflow(1))
    site.wait_past(3)
    start = f"{utc_now() - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    second = site.report(an_overflow(2))
    assert [record.native_id for record in site.drain(start=start)[0]] == second
    assert [record.native_id for record in site.drain(start="2020-01-01T00:00:00Z")[0]] == first + second


def test_the_mapping_reads_all_that_the_server_sends(site: Site) -> None:
    site.report(an_overflow(76, remediation=True))
    ((record,), _) = site.drain()
    found = normalizer().normalize("crowdsec", record.payload, ACME)
    assert found.mapping is not None
    assert (found.loss.lost, found.loss.wrong) == ((), ())
    assert found.alert.native_id == record.native_id
    assert {"198.51.100.77", "root"} <= {entity.value for entity in found.alert.entities}


def test_one_alert_is_read_by_its_id(site: Site) -> None:
    (native_id,) = site.report(an_overflow())
    record = site.run(lambda connector: connector.read_one("alerts", native_id))
    assert json.loads(record.payload)["id"] == int(native_id)
    assert record.key == site.drain()[0][0].key
    with pytest.raises(NotFoundError, match="object not found"):
        site.run(lambda connector: connector.read_one("alerts", "4711"))


# Blocking


@pytest.mark.parametrize("address", ["203.0.113.7", "203.0.113.64/26", "2001:db8::7", "2001:db8:7::/48"])
def test_a_block_is_told_to_bouncers_once_and_lifted_again(site: Site, address: str) -> None:
    wish, undo = block(address), command("ip.unblock", address, "key-2")
    inside = address.partition("/")[0]
    before = site.read(wish)
    assert before.effect is Effect.NOT_IN_EFFECT
    assert site.act(wish).changed
    assert site.read(wish).effect is Effect.IN_EFFECT
    (told,) = site.told(inside)
    assert (told["type"], told["value"], told["origin"]) == ("ban", address, "nightdesk:acme")
    assert not site.act(wish).changed
    assert site.act(block(address, pre_state=before.state)).changed  # an earlier try's answer was lost
    assert len(site.told(inside)) == 1
    assert site.read(undo).effect is Effect.NOT_IN_EFFECT
    assert site.act(undo).changed
    assert site.read(undo).effect is Effect.IN_EFFECT
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    assert site.told(inside) == []
    assert not site.act(undo).changed


def test_our_own_blocks_do_not_come_back_as_alerts(site: Site) -> None:
    site.act(block("203.0.113.7"))
    wanted = site.report(an_overflow())
    assert [record.native_id for record in site.drain()[0]] == wanted


def test_a_block_ends_by_the_servers_clock(site: Site) -> None:
    site.behind = timedelta(hours=1)  # counted by our clock the ban would be over before it began
    wish = block("203.0.113.7", duration=3)
    begin = utc_now()
    site.act(wish)
    assert site.read(wish).effect is Effect.IN_EFFECT
    while site.told("203.0.113.7"):
        assert utc_now() - begin < timedelta(seconds=10), "the ban does not end"
        time.sleep(0.1)
    assert utc_now() - begin > timedelta(seconds=1.5), "the ban ended early"
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT


def test_a_ban_of_somebody_else_is_never_lifted(site: Site) -> None:
    address = site.banned_by_profile()
    wish, undo = block(address, duration=24 * 3600), command("ip.unblock", address, "key-2")
    before = site.read(wish)
    assert before.effect is Effect.NOT_IN_EFFECT  # four hours are not what was asked
    assert before.state["blocked"] is True
    site.act(wish)
    assert site.read(wish).effect is Effect.IN_EFFECT
    receipt = site.act(undo)
    assert any("crowdsec" in loss for loss in receipt.losses)
    (left,) = site.told(address)
    assert left["origin"] == "crowdsec"
    assert site.read(undo).effect is Effect.NOT_IN_EFFECT
    given_back = command("ip.unblock", address, "key-2", pre_state=before.state, undoes=True)
    assert site.read(given_back).effect is Effect.IN_EFFECT
    with pytest.raises(RejectedError, match="not banned by nightdesk"):
        site.act(undo)


def test_a_ban_that_lasts_as_long_as_wanted_is_enough(site: Site) -> None:
    address = site.banned_by_profile()
    receipt = site.act(block(address, duration=3600))
    assert not receipt.changed
    assert len(site.told(address)) == 1


# Credentials and health


def test_each_wrong_credential_is_named(site: Site) -> None:
    wrong = Secret.literal("wrong")
    with pytest.raises(AuthError, match="incorrect Username or Password"):
        site.drain(machine_password=wrong)
    with pytest.raises(AuthError, match="machine not found"):
        site.drain(machine_id="nobody")
    site.drain(bouncer_key=wrong)  # alerts need no bouncer
    with pytest.raises(AuthError, match="bouncer key is refused"):
        site.run(lambda connector: connector.read_back(block("203.0.113.7")), bouncer_key=wrong)


def test_a_machine_that_nobody_let_in_is_told_so(site: Site) -> None:
    asked = {"machine_id": "late", "password": "a-password-of-its-own"}
    assert httpx.post(f"{site.server.url}/v1/watchers", json=asked).status_code == 201
    changes: dict[str, Any] = {"machine_id": "late", "machine_password": Secret.literal(asked["password"])}
    with pytest.raises(AuthError, match="machine late not validated"):
        site.drain(**changes)
    site.server.cscli("machines", "validate", "late")
    assert site.drain(**changes)[0] == []


def test_the_health_check_tells_the_two_credentials_apart(site: Site) -> None:
    async def health(connector: Connector) -> tuple[bool, str]:
        found = await connector.check_health()
        return found.ok, "; ".join(found.problems)

    assert site.run(health) == (True, "")
    ok, said = site.run(health, bouncer_key=Secret.literal("wrong"))
    assert not ok
    assert "bouncer key" in said
    ok, said = site.run(health, machine_password=Secret.literal("wrong"))
    assert not ok
    assert "incorrect Username or Password" in said
    site.server.stop()
    ok, said = site.run(health)
    assert not ok
    assert "cannot connect" in said


# The simulator, held against the server


def _answers(url: str, password: str, key: str) -> list[tuple[int, Any]]:
    """What a server answers to everything in ``_ASKED``, one after the other."""
    with httpx.Client(base_url=f"{url}/v1", timeout=10) as client:
        login = client.post("/watchers/login", json={"machine_id": "nightdesk", "password": password, "scenarios": []})
        machine = {"Authorization": f"Bearer {login.json()['token']}"}
        headers = {"machine": machine, "bouncer": {"X-Api-Key": key}, "nobody": {}}
        answers = []
        for plane, method, path, body in _ASKED:
            content = body if isinstance(body, str | None) else json.dumps(body)
            answer = client.request(method, path, content=content, headers=headers[plane])
            answers.append((answer.status_code, _shape(answer.json()) if answer.content else ""))
        return answers


_FORMS = {
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "go time": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC",
    "duration": r"(\d+h)?(\d+m)?[\d.]+m?s",
    "ended": r"-(\d+h)?(\d+m)?[\d.]+[mµ]?s",
    "token": r"[\w.-]{60,}",
}


def _shape(value: Any) -> Any:
    """A document with the name of its form for each text that time or chance makes."""
    if isinstance(value, dict):
        return {key: _shape(part) for key, part in sorted(value.items())}
    if isinstance(value, list):
        return [_shape(part) for part in value]
    if isinstance(value, str):
        return next((f"<{name}>" for name, form in _FORMS.items() if re.fullmatch(form, value)), value)
    return value


def _posted(value: str, *decisions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    source = {"scope": "Range" if "/" in value else "Ip", "value": value}
    plain = {"origin": "cscli", "type": "ban", "duration": "1h", "scenario": "by hand", **source}
    alert = {**an_overflow(ago=0), "source": source, **changes}
    return {**alert, **({"decisions": [{**plain, **decision} for decision in decisions]} if decisions else {})}


_ASKED: tuple[tuple[str, str, str, Any], ...] = (
    ("nobody", "POST", "/watchers/login", {"machine_id": "nobody", "password": "x"}),
    ("nobody", "POST", "/watchers/login", {"machine_id": "nightdesk", "password": "x"}),
    ("machine", "GET", "/refresh_token", None),
    ("machine", "POST", "/refresh_token", None),
    ("machine", "GET", "/heartbeat", None),
    ("nobody", "GET", "/heartbeat", None),
    ("bouncer", "GET", "/alerts", None),
    ("machine", "GET", "/decisions", None),
    ("nobody", "GET", "/decisions?ip=203.0.113.1", None),
    ("bouncer", "HEAD", "/decisions?ip=203.0.113.1", None),
    ("machine", "GET", "/usage-metrics", None),
    ("machine", "PUT", "/alerts", None),
    ("machine", "GET", "/alerts", None),
    ("bouncer", "GET", "/decisions?ip=203.0.113.1", None),
    ("machine", "POST", "/alerts", [_posted("203.0.113.1", {})]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.2", remediation=True)]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.3")]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.4", {"duration": "-5s"})]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.5", {}, simulated=True)]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.6", {}, stop_at="2026-01-01T00:00:00Z")]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.7", {}, start_at="", stop_at="")]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.0/24", {"type": "captcha"})]),
    ("machine", "POST", "/alerts", [_posted("2001:db8::7", {"origin": "CAPI"}, meta=[{"key": "k", "value": "v"}])]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.8", {}), _posted("203.0.113.9", {"duration": "2d"})]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.999", {})]),
    ("machine", "POST", "/alerts", [{"scenario": "x"}]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.9", {"origin": None})]),
    ("machine", "POST", "/alerts", [_posted("203.0.113.9", capacity="x")]),
    ("machine", "POST", "/alerts", {}),
    ("machine", "POST", "/alerts", "{"),
    ("machine", "POST", "/alerts", []),
    ("machine", "GET", "/alerts", None),
    ("machine", "GET", "/alerts?limit=2", None),
    ("machine", "GET", "/alerts?limit=2&sort=ASC", None),
    ("machine", "GET", "/alerts?limit=0&sort=sideways", None),
    ("machine", "GET", "/alerts?limit=x", None),
    ("machine", "GET", "/alerts?limit=-1", None),
    ("machine", "GET", "/alerts?after=1", None),
    ("machine", "GET", "/alerts?since=2026-11-01T00:00:00Z", None),
    ("machine", "GET", "/alerts?since=1d&limit=1", None),
    ("machine", "GET", "/alerts?created_before=1h", None),
    ("machine", "GET", "/alerts?created_before=0s&limit=1", None),
    ("machine", "GET", "/alerts?include_capi=false", None),
    ("machine", "GET", "/alerts?origin=CAPI", None),
    ("machine", "GET", "/alerts?decision_type=captcha", None),
    ("machine", "GET", "/alerts?scenario=crowdsecurity/ssh-bf", None),
    ("machine", "GET", "/alerts?has_active_decision=false", None),
    ("machine", "GET", "/alerts?simulated=false&limit=4", None),
    ("machine", "GET", "/alerts?ip=203.0.113.3", None),
    ("machine", "GET", "/alerts?scope=range", None),
    ("machine", "GET", "/alerts?value=203.0.113.3", None),
    ("machine", "GET", "/alerts/1", None),
    ("machine", "GET", "/alerts/0", None),
    ("machine", "GET", "/alerts/x", None),
    *(("bouncer", "GET", f"/decisions?ip=203.0.113.{last}", None) for last in range(1, 10)),
    ("bouncer", "GET", "/decisions?ip=203.0.113.1&type=ban", None),
    ("bouncer", "GET", "/decisions?ip=203.0.113.1&origins=crowdsec,cscli&type=ban", None),
    ("bouncer", "GET", "/decisions?ip=203.0.113.2&scenarios_containing=bf", None),
    ("bouncer", "GET", "/decisions?ip=203.0.113.2&scenarios_not_containing=bf", None),
    ("bouncer", "GET", "/decisions?range=203.0.113.0/24", None),
    ("bouncer", "GET", "/decisions?range=203.0.113.64/26", None),
    ("bouncer", "GET", "/decisions?range=203.0.0.0/16", None),
    ("bouncer", "GET", "/decisions?scope=ip&value=2001:db8::7", None),
    ("bouncer", "GET", "/decisions?ip=nowhere", None),
    ("bouncer", "GET", "/decisions?ip=203.0.113.2&type=ban&bogus=1&limit=0", None),
    ("bouncer", "DELETE", "/decisions/1", None),
    ("machine", "DELETE", "/decisions/1", None),
    ("machine", "DELETE", "/decisions/1", None),
    ("machine", "DELETE", "/decisions/999", None),
    ("machine", "DELETE", "/decisions/x", None),
    ("machine", "GET", "/alerts/1", None),
    ("bouncer", "GET", "/decisions?ip=203.0.113.1&type=ban", None),
    ("machine", "DELETE", "/decisions?origins=cscli", None),
    ("machine", "DELETE", "/decisions?ip=203.0.113.200&type=ban", None),
    ("machine", "DELETE", "/decisions?ip=203.0.113.2&type=ban", None),
    ("machine", "DELETE", "/alerts/3", None),
    ("machine", "GET", "/alerts/3", None),
)


def test_the_simulator_answers_as_the_server_does(site: Site) -> None:
    simulator = Simulator(secret="a-password-of-its-own")
    with serve(simulator) as served:
        said = _answers(served.base_url, simulator.secret, simulator.bouncer_key)
    password, key = (site.settings[name].reveal() for name in ("machine_password", "bouncer_key"))
    told = _answers(site.server.url, password, key)
    rows = zip(_ASKED, told, said, strict=True)
    differences = [f"{asked[:3]}\n  server    {one}\n  simulator {two}" for asked, one, two in rows if one != two]
    assert not differences, "\n".join(differences)
