"""The SMTP connector against aiosmtpd, a server that others wrote, and the simulated relay held against its answers."""

import asyncio
import smtplib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.hubs import REGISTRY, bind, opened
from tests.servers.smtp import ACCOUNT, Inbox, smtp

import nightdesk.connectors.smtp as package
from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.engine import Approval
from nightdesk.connectors.smtp import Connector
from nightdesk.connectors.smtp.simulated_certificate import certificate, server_side
from nightdesk.connectors.smtp.simulator import Simulator
from nightdesk.hub.hub import Hub
from nightdesk.sdk.context import Context, Network, Settings, utc_now
from nightdesk.sdk.errors import (
    AuthError,
    NightdeskError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    UnavailableError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Health, Receipt
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.triage import marker

pytestmark = pytest.mark.slow
T = TypeVar("T")
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
SOC, ONCALL = "soc@example.com", "oncall@example.com"
USER, PASSWORD = ACCOUNT


@dataclass
class Site:
    """A running aiosmtpd, and connectors to it."""

    inbox: Inbox
    port: int
    authority: Path

    def run(self, work: Callable[[Connector], Awaitable[T]], **changes: Any) -> T:
        async def once() -> T:
            given = {
                "host": "127.0.0.1",
                "port": self.port,
                "username": USER,
                "password": Secret.literal(PASSWORD),
                "sender": USER,
                "recipients": f"soc-alerts={SOC} {ONCALL}",
                "hello": "hub.example.com",
                **changes,
            }
            given = {name: value for name, value in given.items() if value is not None}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="mail")
            network = Network(timeout=10, ca_file=str(self.authority))
            connector = Connector(Context("acme", "mail", Settings(values), network))
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def act(self, command: Command, **changes: Any) -> Receipt:
        return self.run(lambda connector: connector.act(command), **changes)

    def health(self, **changes: Any) -> Health:
        return self.run(lambda connector: connector.check_health(), **changes)

    def error(self, command: Command, **changes: Any) -> NightdeskError:
        with pytest.raises(NightdeskError) as caught:
            self.act(command, **changes)
        return caught.value

    def mail(self, number: int = -1) -> EmailMessage:
        """One of those that were kept, read as a mail program does."""
        content = self.inbox.taken[number][0].content
        assert isinstance(content, bytes)
        found = message_from_bytes(content, policy=SMTP)
        assert isinstance(found, EmailMessage)
        return found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("relay"))


@pytest.fixture
def site(authority: Path) -> Iterator[Site]:
    with smtp(server_side(authority)) as (inbox, port):
        yield Site(inbox, port, authority)


def notify(verb: str = "notify.send", **parameters: Any) -> Command:
    given = {"title": "Überfällig: WS-0042", "text": "It beacons\n.\n..and again", **parameters}
    target = Target.parse("person:soc-alerts")
    return Command("acme", "action-1", verb, target, "key-1", utc_now(), "", given, case_id="case-7")


def test_a_mail_arrives_as_it_was_meant(site: Site) -> None:
    receipt = site.act(notify(severity="high", link="https://nightdesk.example.com/cases/7"))
    envelope, session = site.inbox.taken[0]
    assert (envelope.mail_from, envelope.rcpt_tos) == (USER, [SOC, ONCALL])
    assert (session.host_name, session.authenticated, session.ssl is not None) == ("hub.example.com", True, True)
    mail = site.mail()
    assert (mail["Subject"], mail["Message-ID"]) == ("[high] Überfällig: WS-0042", receipt.native_action_id)
    text = mail.get_content().replace("\r\n", "\n")
    assert "It beacons\n.\n..and again\n" in text
    assert "<https://nightdesk.example.com/cases/7>" in text
    assert text.rstrip().endswith(marker(notify()))
    assert receipt.evidence["said"] == "250 2.0.0 OK, kept"


def test_a_request_for_approval_arrives_with_its_options(site: Site) -> None:
    receipt = site.act(notify("approval.request", options=["approve", "reject"]))
    assert "- approve" in site.mail().get_content()
    assert [loss.partition(":")[0] for loss in receipt.losses] == ["options"]


def test_tls_from_the_first_byte(authority: Path) -> None:
    with smtp(server_side(authority), implicit=True) as (inbox, port):
        Site(inbox, port, authority).act(notify(), security="tls", username=None, password=None)
        assert len(inbox.taken) == 1


def test_plain_text_on_this_host(authority: Path) -> None:
    with smtp(None) as (inbox, port):
        site = Site(inbox, port, authority)
        site.act(notify(), security="none", username=None, password=None)
        error = site.error(notify(), security="starttls")
    assert isinstance(error, RejectedError)
    assert "offers no STARTTLS" in str(error)
    assert (len(inbox.taken), inbox.logins) == (1, 0)


def test_a_wrong_password_is_tried_once(site: Site) -> None:
    error = site.error(notify(), password=Secret.literal("wrong"))
    assert isinstance(error, AuthError)
    assert "535" in str(error)
    assert (site.inbox.logins, site.inbox.taken) == (1, [])


def test_no_password_where_one_is_wanted(site: Site) -> None:
    error = site.error(notify(), username=None, password=None)
    assert isinstance(error, AuthError)
    assert "530" in str(error)


def test_a_recipient_that_is_refused_is_a_loss_and_all_are_an_error(site: Site) -> None:
    site.inbox.gone = {ONCALL}
    assert site.act(notify()).losses == (f"recipient {ONCALL}: refused (550 5.1.1 No such user here)",)
    site.inbox.gone = {SOC, ONCALL}
    assert isinstance(site.error(notify()), NotFoundError)
    site.inbox.busy, site.inbox.gone = {SOC, ONCALL}, set()
    assert isinstance(site.error(notify()), RateLimitError)
    assert len(site.inbox.taken) == 1


@pytest.mark.parametrize(("when", "kept"), [("before", 0), ("after", 1)])
def test_a_server_that_vanishes_at_the_end_leaves_the_fate_unknown(site: Site, when: str, kept: int) -> None:
    site.inbox.vanishes = when
    error = site.error(notify())
    assert isinstance(error, UnavailableError)
    assert "whether it was accepted is unknown" in str(error)
    assert len(site.inbox.taken) == kept
    site.inbox.vanishes = ""
    receipt = site.act(notify())
    assert {site.mail()["Message-ID"]} == {receipt.native_action_id}
    assert receipt.native_action_id in str(site.inbox.taken[0][0].content)


def test_a_message_that_is_too_large_is_refused(authority: Path) -> None:
    with smtp(None, data_size_limit=2000) as (inbox, port):
        plain = {"security": "none", "username": None, "password": None}
        error = Site(inbox, port, authority).error(notify(text="x" * 5000), **plain)
    assert isinstance(error, RejectedError)
    assert "552" in str(error)


def test_a_certificate_of_nobody_we_know(site: Site, tmp_path: Path) -> None:
    stranger = Site(site.inbox, site.port, certificate(tmp_path))
    assert "is not trusted" in str(stranger.error(notify()))
    assert site.inbox.logins == 0


def test_the_check_sends_nothing_and_sees_what_is_wrong(site: Site) -> None:
    assert site.health().problems == ()
    assert "credentials" in site.health(password=Secret.literal("wrong")).problems[0]
    assert "security" in site.health(security="tls").problems[0]
    assert site.inbox.taken == []


class Reached(Simulator):
    """What the configuration of a hub says of the real server."""

    def __init__(self, site: Site) -> None:
        super().__init__(secret=PASSWORD)
        self.site = site

    def settings(self, base_url: str) -> dict[str, Any]:
        return {**super().settings(base_url), "port": self.site.port, "ca_file": str(self.site.authority)}


def test_the_hub_calls_a_mail_accepted_and_never_in_effect_and_repeats_one_of_unknown_fate(
    site: Site, tmp_path: Path
) -> None:
    site.inbox.vanishes = "after"
    time = FakeTime()
    with opened(bind(tmp_path, "acme", {"mail": (Reached(site), "")})) as made:
        hub = Hub(made.settings, REGISTRY, made.store, clock=time.clock, sleep=time.sleep)

        async def rounds() -> list[str]:
            states = []
            try:
                hub.engine.propose(
                    "acme", "notify.send", Target.parse("person:soc-alerts"), requested_by="ann",
                    approval=Approval.DIRECT, parameters={"title": "WS-0042"},
                )  # fmt: skip
                for _ in range(4):
                    await hub.once()
                    states += [str(one.state) for one in hub.journal.in_state(list(ActionState), tenant="acme")]
                    site.inbox.vanishes = ""
                    time.advance(61)
            finally:
                await hub.bindings.aclose()
            return states

        states = asyncio.run(rounds())
    assert states[0] == "requested", "an answer that got lost is no receipt"
    assert states[-2:] == ["accepted", "accepted"]
    assert len(site.inbox.taken) == 2
    assert len({site.mail(number)["Message-ID"] for number in range(2)}) == 1


FROM, TO = f"MAIL FROM:<{USER}>", f"RCPT TO:<{SOC}>"


@pytest.mark.parametrize(
    "lines",
    [
        [TO],
        ["DATA"],
        [FROM, "DATA"],
        [FROM, FROM],
        [FROM, "RSET", TO],
        [FROM, TO, "DATA x"],
        [FROM, TO, TO, "RSET", FROM],
        ["MAIL FROMM:<a@example.com>"],
        [f"{FROM} SIZE=999999999"],
        [f"{FROM} FROBNICATE=1"],
        ["AUTH PLAIN AAA="],
        ["AUTH FROBNICATE"],
        ["EHLO"],
        ["FROBNICATE"],
        ["NOOP"],
        [f"VRFY <{SOC}>"],
        ["QUIT"],
    ],
)
def test_the_simulated_relay_answers_as_the_real_one(site: Site, lines: list[str]) -> None:
    simulator = Simulator(secret=PASSWORD)
    real = codes(site.port, site.authority, lines)
    assert codes(simulator.relay.port, simulator.certificate, lines) == real


@pytest.mark.parametrize("lines", [[FROM], ["AUTH PLAIN AAA="], ["STARTTLS x"]])
def test_before_tls_the_simulated_relay_is_as_strict_as_the_real_one(site: Site, lines: list[str]) -> None:
    simulator = Simulator(secret=PASSWORD)
    real = codes(site.port, None, lines)
    assert real[-1] >= 500
    assert codes(simulator.relay.port, None, lines) == real


def codes(port: int, authority: Path | None, lines: list[str]) -> list[int]:
    with closing(smtplib.SMTP("127.0.0.1", port, "client.example.com", timeout=10)) as client:
        client.ehlo()
        if authority is not None:
            client.starttls(context=ssl.create_default_context(cafile=str(authority)))
            client.login(USER, PASSWORD)
        return [client.docmd(line)[0] for line in lines]
