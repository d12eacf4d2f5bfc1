import asyncio
import base64
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

import nightdesk.connectors.smtp as package
from nightdesk.connectors.smtp import Connector
from nightdesk.connectors.smtp.client import Relay
from nightdesk.connectors.smtp.messages import Mail
from nightdesk.connectors.smtp.simulated_certificate import certificate
from nightdesk.connectors.smtp.simulator import Simulator
from nightdesk.connectors.smtp.site import Site as Where
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    NightdeskError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Health, Receipt
from nightdesk.sdk.retry import urgent
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.faults import FaultKind

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
VERBS = ("CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "MESSAGE")
SOC, ONCALL = "soc@example.com", "oncall@example.com"


@dataclass
class Site:
    """One simulated relay, and connectors to it."""

    simulator: Simulator
    settings: dict[str, Any] = field(default_factory=dict)
    timeout: float = 5.0
    time: FakeTime = field(default_factory=lambda: FakeTime(NOON))

    def context(self) -> Context:
        given = {**self.simulator.settings(""), **self.settings}
        given = {name: value for name, value in given.items() if value is not None}
        values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.mail")
        return Context(
            "acme", "mail", Settings(values), Network(timeout=self.timeout), self.time.clock, self.time.sleep
        )

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            connector = Connector(self.context())
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def health(self) -> Health:
        return self.run(lambda connector: connector.check_health())

    def error(self, command: Command) -> NightdeskError:
        with pytest.raises(NightdeskError) as caught:
            self.act(command)
        return caught.value

    def asked(self, verb: str) -> list[str]:
        return [one.path for one in self.simulator.seen if one.method == verb]


@pytest.fixture
def site() -> Site:
    return Site(Simulator())


def notify(to: str = "soc-alerts", key: str = "key-1", **parameters: Any) -> Command:
    given = {"title": "WS-0042", "text": "It beacons", **parameters}
    return Command(
        "acme", "action-1", "notify.send", Target.parse(f"person:{to}"), key, NOON, to, given, case_id="case-7"
    )


# Sent


def test_a_mail_goes_encrypted_and_logged_in_to_every_address_of_a_name(site: Site) -> None:
    receipt = site.act(notify())
    (taken,) = site.simulator.relay.taken
    (mail,) = site.simulator.mails()
    assert (taken.sender, taken.recipients) == (site.simulator.sender, (SOC, ONCALL))
    assert (taken.encrypted, taken.username) == (True, site.simulator.sender)
    assert (receipt.native_action_id, receipt.losses, receipt.changed) == (mail["Message-ID"], (), True)
    assert receipt.evidence["recipients"] == [SOC, ONCALL]
    assert receipt.evidence["said"].startswith("250 2.0.0 OK, queued as")


def test_a_line_that_begins_with_a_dot_ends_no_message(site: Site) -> None:
    site.act(notify(text="one\n.\n..two\n.three"))
    assert "one\r\n.\r\n..two\r\n.three\r\n" in site.simulator.messages()[0]["text"]


def test_an_address_is_its_own_name(site: Site) -> None:
    site.act(notify("jdoe@example.org"))
    assert site.simulator.relay.taken[0].recipients == ("jdoe@example.org",)


def test_tls_from_the_first_byte_needs_no_starttls(site: Site) -> None:
    site.simulator.relay.rules.security = "tls"
    site.act(notify())
    assert site.simulator.relay.taken[0].encrypted
    assert site.asked("STARTTLS") == []


def test_a_relay_that_knows_us_by_our_address_is_told_no_password(site: Site) -> None:
    site.simulator.relay.rules.accounts.clear()
    site.settings = {"username": None, "password": None}
    site.act(notify())
    assert (site.simulator.relay.taken[0].username, site.asked("AUTH")) == ("", [])


def test_a_relay_that_can_only_login_is_logged_in_to(site: Site) -> None:
    site.simulator.relay.rules.mechanisms = ("XOAUTH2", "LOGIN")
    site.act(notify())
    assert site.simulator.relay.taken[0].username == site.simulator.sender


def test_a_relay_on_this_host_may_be_spoken_to_in_plain(site: Site) -> None:
    site.simulator.relay.rules.security = "none"
    site.simulator.relay.rules.accounts.clear()
    site.settings = {"username": None, "password": None}
    site.act(notify())
    assert not site.simulator.relay.taken[0].encrypted


# Once, as far as SMTP lets one know


def test_what_was_taken_is_not_sent_again_while_the_connector_lives(site: Site) -> None:
    async def three_times(connector: Connector) -> list[Receipt]:
        both = await asyncio.gather(connector.act(notify()), connector.act(notify()))
        return [*both, await connector.act(notify())]

    first, *more = site.run(three_times)
    assert more == [first, first]
    assert len(site.simulator.messages()) == 1


def test_a_restarted_connector_sends_a_repeat_that_says_so_itself(site: Site) -> None:
    site.act(notify())
    site.act(notify())
    site.act(notify(key="key-2"))
    ids = [mail["Message-ID"] for mail in site.simulator.mails()]
    assert ids[0] == ids[1] != ids[2]


def test_who_stops_waiting_stops_no_mail_and_asks_again_for_the_same(site: Site) -> None:
    site.simulator.faults.add("slow", method="MESSAGE", times=1, options={"seconds": 0.4})

    async def impatient(connector: Connector) -> Receipt:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connector.act(notify())
        return await connector.act(notify())

    receipt = site.run(impatient)
    assert [mail["Message-ID"] for mail in site.simulator.mails()] == [receipt.native_action_id]


def test_more_than_the_relay_should_get_in_a_minute_waits(site: Site) -> None:
    async def seven(connector: Connector) -> None:
        with urgent():  # as the hub calls it
            for number in range(7):
                await connector.act(notify(key=f"key-{number}"))

    site.run(seven)
    assert (len(site.time.slept), len(site.simulator.messages())) == (1, 7)


# Of unknown fate


def test_an_answer_that_got_lost_after_the_final_dot_is_unknown_and_not_failed(site: Site) -> None:
    site.simulator.faults.add("lost_reply", times=1)
    error = site.error(notify())
    assert isinstance(error, UnavailableError)
    assert "whether it was accepted is unknown" in str(error)
    assert len(site.simulator.messages()) == 1, "it was accepted indeed"


def test_a_relay_that_falls_silent_after_the_final_dot_is_unknown_too(site: Site) -> None:
    site.timeout = 0.2
    site.simulator.faults.add("slow", method="MESSAGE", options={"seconds": 1.5})
    assert "whether it was accepted is unknown" in str(site.error(notify()))


def test_a_relay_that_thinks_longer_than_one_timeout_about_a_message_is_waited_for(site: Site) -> None:
    site.timeout = 0.4
    site.simulator.faults.add("slow", method="MESSAGE", options={"seconds": 0.6})
    assert site.act(notify()).changed


@pytest.mark.parametrize("says", ["HTTP/1.1 200 OK", "354 Go on", "999 What"])
def test_an_answer_to_a_whole_message_that_is_no_yes_and_no_no_is_unknown(site: Site, says: str) -> None:
    site.simulator.faults.add("rate_limited", method="MESSAGE", options={"says": says})
    error = site.error(notify())
    assert isinstance(error, ResponseError)
    assert "whether it was accepted is unknown" in str(error)


def test_a_short_message_that_broke_off_at_the_relay_is_unknown_to_us(site: Site) -> None:
    site.simulator.faults.add("truncated_body")
    assert "unknown" in str(site.error(notify()))
    assert site.simulator.messages() == []


def test_a_connection_that_breaks_before_the_message_was_complete_took_nothing(site: Site) -> None:
    site.simulator.relay.rules.size = 1 << 30
    site.simulator.faults.add("truncated_body")
    large = Mail("<1@example.com>", (SOC,), b"From: a@example.com\r\n\r\n" + b"x\r\n" * (10 << 20), ())
    with pytest.raises(UnavailableError, match="before the message was complete: it was not accepted"):
        Relay(Where.of(site.context())).deliver(large, "notify.send")


def test_taken_is_no_delivery_and_the_receipt_does_not_say_that_it_is(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    assert site.act(notify()).evidence["said"] == "250 2.0.0 OK, queued"
    assert site.simulator.messages() == []
    assert not hasattr(Connector, "read_back")


# Refused


@pytest.mark.parametrize(
    ("kind", "method", "error", "says"),
    [
        ("rate_limited", "RCPT", RateLimitError, f"does not take {SOC} now"),
        ("rate_limited", "MAIL", RateLimitError, "come again"),
        ("rate_limited", "MESSAGE", RateLimitError, "the message: 451 4.7.1"),
        *(
            (("server_error", verb, UnavailableError, "421"))
            for verb in ("CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL")
        ),
        *((("server_error", verb, UnavailableError, "421")) for verb in ("RCPT", "DATA", "MESSAGE")),
        ("expired_token", "AUTH", AuthError, "set username and password"),
        ("missing_scope", "MAIL", ScopeError, "does not let this account send as nightdesk@example.com"),
        ("missing_scope", "RCPT", ScopeError, f"does not relay to {SOC}"),
        ("redirect", "RCPT", NotFoundError, f"there is no mailbox {SOC}"),
        ("not_json", "CONNECT", ResponseError, "check that host and port"),
    ],
)
def test_a_refusal_is_the_error_that_says_what_to_do(
    site: Site, kind: FaultKind, method: str, error: type[NightdeskError], says: str
) -> None:
    site.simulator.faults.add(kind, method=method)
    found = site.error(notify())
    assert type(found) is error
    assert says in str(found)
    assert str(found).startswith("smtp: notify.send: ")
    assert site.simulator.messages() == []
    site.simulator.faults.clear()
    assert site.act(notify()).changed


def test_a_temporary_refusal_says_when_to_come_again(site: Site) -> None:
    site.simulator.relay.rules.busy = {SOC, ONCALL}
    error = site.error(notify())
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 60
    assert [one.method for one in site.simulator.seen][-3:] == ["RCPT", "RCPT", "QUIT"]


@pytest.mark.parametrize(
    ("says", "error", "hint"),
    [
        ("550 5.1.1 No such user", NotFoundError, "no mailbox"),
        ("550 Mailbox unavailable", NotFoundError, "no mailbox"),
        ("554 Relay access denied", ScopeError, "does not relay"),
        ("552 5.2.2 Mailbox full", RejectedError, "refuses the recipient"),
        ("530 5.7.0 Must issue a STARTTLS command first", RejectedError, "set security to starttls"),
        ("530 5.7.57 Client not authenticated", AuthError, "set username and password"),
        ("999 What", ResponseError, "not what SMTP has"),
        ("HTTP/1.1 200 OK", ResponseError, "not what SMTP has"),
        (f"550 {'x' * 9000}", ResponseError, "not what SMTP has"),
    ],
)
def test_codes_are_read_with_their_enhanced_codes(
    site: Site, says: str, error: type[NightdeskError], hint: str
) -> None:
    site.simulator.faults.add("missing_scope", method="RCPT", options={"says": says})
    found = site.error(notify())
    assert type(found) is error
    assert hint in str(found)


def test_a_recipient_that_is_refused_beside_others_is_a_loss_by_name(site: Site) -> None:
    site.simulator.relay.rules.gone = {ONCALL}
    receipt = site.act(notify())
    assert receipt.losses == (f"recipient {ONCALL}: refused (550 5.1.1 No such user here)",)
    assert receipt.evidence["recipients"] == [SOC]
    assert site.simulator.relay.taken[0].recipients == (SOC,)


def test_of_several_reasons_the_one_that_may_pass_is_told(site: Site) -> None:
    site.simulator.relay.rules.gone, site.simulator.relay.rules.busy = {SOC}, {ONCALL}
    assert isinstance(site.error(notify()), RateLimitError)
    assert site.asked("DATA") == []


def test_a_relay_that_does_not_talk_to_us_says_whom_to_ask(site: Site) -> None:
    site.simulator.faults.add("server_error", method="CONNECT", options={"status": 554})
    error = site.error(notify())
    assert isinstance(error, RejectedError)
    assert "let its administrator allow it" in str(error)


def test_a_message_that_is_too_large_is_refused_before_it_is_sent(site: Site) -> None:
    site.simulator.relay.rules.size = 2000
    error = site.error(notify(text="x" * 5000))
    assert isinstance(error, RejectedError)
    assert (site.asked("RCPT"), site.asked("DATA")) == ([], [])


def test_a_message_that_is_refused_for_its_size_alone_says_so(site: Site) -> None:
    site.simulator.faults.add("rate_limited", method="MESSAGE", options={"says": "552 5.3.4 Too big"})
    assert "it is too large" in str(site.error(notify()))


# Credentials


def test_a_wrong_password_is_tried_once_and_with_one_mechanism(site: Site) -> None:
    site.settings = {"password": Secret.literal("not-the-password")}
    assert isinstance(site.error(notify()), AuthError)
    assert len(site.asked("AUTH")) == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_password_of_any_bytes_goes_out_as_it_is(site: Site, mechanism: str) -> None:
    site.simulator.relay.rules.mechanisms = (mechanism,)
    site.simulator.relay.rules.accounts[site.simulator.sender] = "pässword"
    site.settings = {"password": Secret.literal("p\udcc3\udca4ssword")}
    assert site.act(notify()).changed


def test_a_relay_without_a_mechanism_of_ours_gets_no_password(site: Site) -> None:
    site.simulator.relay.rules.mechanisms = ("XOAUTH2", "CRAM-MD5")
    assert "XOAUTH2, CRAM-MD5" in str(site.error(notify()))
    assert site.asked("AUTH") == []


def test_a_relay_that_offers_no_starttls_gets_nothing(site: Site) -> None:
    site.simulator.relay.rules.security = "none"
    site.settings = {"security": "starttls"}
    error = site.error(notify())
    assert isinstance(error, RejectedError)
    assert "offers no STARTTLS" in str(error)
    assert (site.asked("AUTH"), site.asked("MAIL")) == ([], [])


@pytest.mark.parametrize("form", ["plain", "blob", "word"])
def test_a_relay_that_repeats_the_password_does_not_get_it_into_an_error(site: Site, form: str) -> None:
    secret = site.simulator.secret
    blob = base64.b64encode(f"\0{site.simulator.sender}\0{secret}".encode()).decode()
    shown = {"plain": secret, "blob": blob, "word": base64.b64encode(secret.encode()).decode()}[form]
    site.simulator.faults.add("expired_token", options={"says": f"535 5.7.8 wrong: {shown}"})
    error = site.error(notify())
    link: BaseException | None = error
    while link is not None:
        assert shown not in f"{link} {link!r} {link.args}"
        link = link.__cause__ or link.__context__
    assert "535 5.7.8 wrong: ***" in str(error)
    assert shown not in repr(site.health())


# TLS and the network


def test_a_certificate_of_nobody_we_know_is_refused(site: Site) -> None:
    site.settings = {"ca_file": None}
    error = site.error(notify())
    assert isinstance(error, UnavailableError)
    assert "is not trusted" in str(error)
    assert site.asked("AUTH") == []


def test_a_certificate_for_another_host_is_refused(site: Site, tmp_path: Path) -> None:
    other = certificate(tmp_path, name="other.example.com", address="192.0.2.9")
    site.simulator.relay.trust.load_cert_chain(other, other.with_suffix(".key"))
    site.settings = {"ca_file": str(other)}
    assert "is not trusted" in str(site.error(notify()))


def test_the_networks_own_authority_counts_too(site: Site) -> None:
    site.settings = {"ca_file": None}
    context = site.context()
    trusted = Context("acme", "mail", context.settings, Network(ca_file=str(site.simulator.certificate), timeout=5))
    Relay(Where.of(trusted)).probe("check health")
    assert site.asked("AUTH") == [""]


def test_tls_with_a_relay_that_speaks_plain_says_that_the_port_is_wrong(site: Site) -> None:
    site.settings = {"security": "tls"}
    assert "check security and port" in str(site.error(notify()))


def test_a_plain_greeting_that_never_comes_says_that_the_port_may_be_wrong(site: Site) -> None:
    site.simulator.relay.rules.security = "tls"
    site.settings, site.timeout = {"security": "starttls"}, 0.2
    error = site.error(notify())
    assert isinstance(error, UnavailableError)
    assert "check that security fits the port" in str(error)


def test_nobody_listens(site: Site) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    site.settings = {"port": port}
    assert f"nobody listens at 127.0.0.1:{port}" in str(site.error(notify()))


def test_a_name_that_nobody_has(site: Site) -> None:
    site.settings = {"host": "relay.invalid"}
    assert "does not resolve" in str(site.error(notify()))


def test_words_in_plain_before_the_handshake_are_not_believed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine in the middle appends an answer to the one that begins TLS (the injection of CVE-2021-38371's kind)."""
    from nightdesk.connectors.smtp.simulated_wire import Wire

    say = Wire.say

    def and_more(wire: Wire, text: str) -> None:
        more = "\r\n250-relay\r\n250 AUTH NOTHING" if text.startswith("220 2.0.0") else ""
        say(wire, text + more)

    monkeypatch.setattr(Wire, "say", and_more)
    assert site.act(notify()).changed


# Recipients and settings


@pytest.mark.parametrize(
    ("to", "error", "says"),
    [
        ("nobody", NotFoundError, "there are: soc-alerts, approvals"),
        ("soc@example.com>\r\nRCPT TO:<x@example.net", RejectedError, "is no mail address"),
        ("soc@example.com,x@example.com", RejectedError, "is no mail address"),
        ('"a b"@example.com', RejectedError, "is no mail address"),
        ("jörg@example.com", RejectedError, "ASCII"),
        (f"{'a' * 65}@example.com", RejectedError, "is no mail address"),
        ("jdoe@sub.example.com", RejectedError, "outside allowed_domains"),
    ],
)
def test_nothing_but_one_permitted_address_gets_into_an_envelope(
    site: Site, to: str, error: type[NightdeskError], says: str
) -> None:
    site.settings = {"allowed_domains": "example.com, example.org"}
    found = site.error(notify(to))
    assert type(found) is error
    assert says in str(found)
    assert site.simulator.seen == []


@pytest.mark.parametrize(
    ("settings", "key", "says"),
    [
        ({"security": "none"}, "security", "would show the password"),
        ({"security": "none", "allow_plaintext": True}, "security", "would show the password"),
        ({"security": "none", "host": "smtp.example.com", "username": None, "password": None}, "security", "this host"),
        ({"password": None}, "username", "give both or none"),
        ({"username": None}, "username", "give both or none"),
        ({"host": "smtp://example.com"}, "host", "no host name"),
        ({"port": 70000}, "port", "no port"),
        ({"sender": "nightdesk <nightdesk@example.com>"}, "sender", "without a name"),
        ({"hello": "a b"}, "hello", "no host name"),
        ({"recipients": "soc-alerts=soc@"}, "recipients", "no mail address"),
        ({"recipients": "soc-alerts"}, "recipients", "names nobody"),
        ({"recipients": "a=x@example.com,a=y@example.com"}, "recipients", "there twice"),
        ({"recipients": "a=" + " ".join(f"u{n}@example.com" for n in range(101))}, "recipients", "100 are the most"),
        ({"allowed_domains": "example.net"}, "recipients", "outside allowed_domains"),
        ({"ca_file": "/nowhere.pem"}, "ca_file", "cannot be read"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said_before_anything_is_sent(
    site: Site, settings: dict[str, Any], key: str, says: str
) -> None:
    site.settings = settings
    with pytest.raises(ConfigError, match=says) as caught:
        site.act(notify())
    assert {problem.key for problem in caught.value.problems} == {key}
    assert site.simulator.seen == []


def test_plain_text_to_another_host_needs_to_be_asked_for(site: Site) -> None:
    site.settings = {"security": "none", "allow_plaintext": True, "host": "smtp.example.com"}
    site.settings |= {"username": None, "password": None, "port": None}
    assert Where.of(site.context()).port == 25


def test_a_parameter_of_another_verb_is_refused(site: Site) -> None:
    with pytest.raises(UnsupportedError, match="options"):
        site.act(notify(options=["a"]))


def test_a_verb_that_is_not_declared_is_refused(site: Site) -> None:
    with pytest.raises(UnsupportedError, match=r"case\.comment is not declared"):
        site.act(replace(notify(), verb="case.comment"))


def test_only_so_many_receipts_are_remembered(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightdesk.connectors.smtp.connector._REMEMBERED", 1)

    async def in_turns(connector: Connector) -> None:
        for key in ("one", "two", "two", "one"):
            await connector.act(notify(key=key))

    site.run(in_turns)
    assert len(site.simulator.messages()) == 3


# Health


def test_a_check_goes_as_far_as_the_sender_and_sends_nothing(site: Site) -> None:
    assert site.health().ok
    assert [one.method for one in site.simulator.seen] == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RSET", "QUIT"]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("not_json", "check that host and port"),
        ("server_error", "does not serve now"),
        ("expired_token", "set username and password"),
        ("missing_scope", "send as nightdesk@example.com"),
        ("rate_limited", "come again"),
    ],
)
def test_a_check_says_what_is_wrong_and_never_raises(site: Site, kind: FaultKind, says: str) -> None:
    site.simulator.faults.add(kind)
    found = site.health()
    assert not found.ok
    assert says in found.problems[0]
    site.simulator.faults.clear()
    assert site.health().ok


def test_a_check_without_its_password_names_the_variable(site: Site) -> None:
    site.settings = {"password": Secret("env:NIGHTDESK_TEST_NOT_SET")}
    assert "NIGHTDESK_TEST_NOT_SET" in site.health().problems[0]
