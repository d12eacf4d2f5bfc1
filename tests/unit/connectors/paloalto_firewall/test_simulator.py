import asyncio
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

import httpx
import pytest

from nightdesk.connectors.paloalto_firewall.documents import read
from nightdesk.connectors.paloalto_firewall.simulator import Simulator
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ENTRY = '<entry ip="{ip}"{persistent}><tag><member{timeout}>{tag}</member></tag></entry>'
SHOW = "<show><object><registered-ip>{}</registered-ip></object></show>"
TEST = "<test><security-policy-match>{}</security-policy-match></test>"


class Client:
    """An administrator with a key."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.headers = {"X-PAN-KEY": simulator.secret}

    def post(self, **form: str) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://fw.example.com") as client:
                return await client.post("/api/", data=form, headers=self.headers)

        return asyncio.run(once())

    def op(self, cmd: str, **form: str) -> Element:
        return read(self.post(type="op", cmd=cmd, **form).content)

    def tell(self, kind: str, tag: str = "bad", ip: str = "192.0.2.9", timeout: str = "", persistent: str = "") -> str:
        """The refusal, or nothing."""
        entry = ENTRY.format(
            ip=ip, tag=tag, timeout=timeout and f' timeout="{timeout}"', persistent=persistent and ' persistent="0"'
        )
        payload = f"<payload><{kind}>{entry}</{kind}></payload>"
        cmd = f"<uid-message><version>1.0</version><type>update</type>{payload}</uid-message>"
        root = read(self.post(type="user-id", cmd=cmd).content)
        return "" if root.get("status") == "success" else root.find("msg/line//entry").get("message", "")  # type: ignore[union-attr]  # a refusal has one

    def addresses(self, limits: str = "<all/>") -> list[str]:
        return [entry.get("ip", "") for entry in self.op(SHOW.format(limits)).iterfind("result/entry")]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def client(time: FakeTime) -> Client:
    return Client(Simulator(clock=time.clock, secret="s3cret"))


def test_a_wrong_key_is_refused_by_status_and_document(client: Client) -> None:
    client.headers = {"X-PAN-KEY": "wrong"}
    response = client.post(type="version")
    assert (response.status_code, read(response.content).get("code")) == (403, "403")


def test_a_key_is_made_for_the_right_password_alone(client: Client) -> None:
    made = read(client.post(type="keygen", user="nightdesk", password="s3cret-password").content)
    assert made.findtext("result/key") == "s3cret"
    assert client.post(type="keygen", user="nightdesk", password="guess").status_code == 403


@pytest.mark.parametrize("kind", ["config", "commit", "log", "user-id"])
def test_a_right_that_is_off_is_refused_with_status_200(client: Client, kind: str) -> None:
    client.simulator.rights = {"Operational Requests"}
    response = client.post(type=kind, cmd="<commit/>")
    assert (response.status_code, read(response.content).get("code")) == (200, "16")


def test_the_same_tag_twice_is_an_error_and_so_is_a_missing_one(client: Client) -> None:
    assert client.tell("register") == ""
    assert client.tell("register").endswith("already exists, ignore")
    assert client.tell("unregister") == ""
    assert client.tell("unregister").endswith("does not exist, ignore unreg")


def test_a_second_registration_does_not_move_the_end(client: Client, time: FakeTime) -> None:
    client.tell("register", timeout="60")
    time.advance(59)
    client.tell("register", timeout="600")
    time.advance(1)
    assert client.addresses() == []


@pytest.mark.parametrize(("tag", "ip", "timeout"), [("it's", "192.0.2.9", ""), ("NOT", "192.0.2.9", ""),
    ("x" * 128, "192.0.2.9", ""), ("bad", "192.0.2.999", ""), ("bad", "192.0.2.9", "2592001"),
    ("bad", "192.0.2.9", "-1")])  # fmt: skip
def test_what_no_table_takes_is_refused(client: Client, tag: str, ip: str, timeout: str) -> None:
    assert client.tell("register", tag, ip, timeout)
    assert client.addresses() == []


def test_a_reboot_forgets_what_is_not_persistent_and_counts_anew(client: Client, time: FakeTime) -> None:
    client.tell("register", ip="192.0.2.1", persistent="0")
    client.tell("register", ip="192.0.2.2", timeout="60")
    time.advance(50)
    client.simulator.tags.reboot()
    time.advance(50)
    assert client.addresses() == ["192.0.2.2"]


def test_the_table_is_shown_in_pages(client: Client) -> None:
    for number in range(5):
        client.tell("register", ip=f"192.0.2.{number}")
    pages = [client.addresses(f"<limit>2</limit><start-point>{start}</start-point>") for start in (1, 3, 5, 7)]
    assert pages == [["192.0.2.0", "192.0.2.1"], ["192.0.2.2", "192.0.2.3"], ["192.0.2.4"], []]
    assert client.op(SHOW.format("<limit>501</limit>")).get("code") == "17"


def test_the_table_is_shown_by_tag_as_it_is_written(client: Client) -> None:
    client.tell("register")
    assert client.addresses('<tag><entry name="bad"/></tag>') == ["192.0.2.9"]
    assert client.addresses('<tag><entry name="BAD"/></tag>') == []


@pytest.mark.parametrize("asked", ["<source>192.0.2.1</source><protocol>6</protocol>",
                                   "<source>192.0.2.1</source><destination>2001:db8::1</destination><protocol>6</protocol>",
                                   "<source>x</source><destination>192.0.2.1</destination><protocol>6</protocol>",
                                   "<colour>red</colour>"])  # fmt: skip
def test_a_policy_test_needs_two_addresses_of_one_version_and_a_protocol(client: Client, asked: str) -> None:
    assert client.op(TEST.format(asked)).get("code") == "17"


def test_an_unknown_command_is_unexpected_and_broken_xml_malformed(client: Client) -> None:
    assert client.op("<show><clock/></show>").get("code") == "17"
    assert client.op("<show>").get("code") == "18"
    assert client.op("<clear><session><all><filter/></all></session></clear>").get("code") == "17"


def test_another_virtual_system_is_not_there(client: Client) -> None:
    assert client.post(type="op", cmd="<show/>", vsys="vsys2").status_code == 400
