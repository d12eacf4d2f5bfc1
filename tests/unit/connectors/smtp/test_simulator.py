"""The simulated relay refuses what a relay must refuse, whoever asks: the client here is the standard library's."""

import base64
import gc
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from nightdesk.connectors.smtp.simulator import Simulator

HEAD = b"From: a@example.com\r\nDate: Sun, 01 Nov 2026 12:00:00 +0000\r\n\r\n"


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator()


@contextmanager
def talking(simulator: Simulator, *, encrypted: bool = True, login: bool = True) -> Iterator[smtplib.SMTP]:
    trust = ssl.create_default_context(cafile=str(simulator.certificate))
    with closing(smtplib.SMTP("127.0.0.1", simulator.relay.port, "client.example.com", timeout=5)) as client:
        if encrypted:
            client.starttls(context=trust)
            client.ehlo()
        if encrypted and login:
            client.login(simulator.sender, simulator.secret)
        yield client


def plain(user: str, password: str) -> str:
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def test_what_the_standard_librarys_client_sends_arrives(simulator: Simulator) -> None:
    text = "From: nightdesk@example.com\r\nDate: Sun, 01 Nov 2026 12:00:00 +0000\r\n\r\n.\r\n..two\r\nend"
    with talking(simulator) as client:
        client.sendmail(simulator.sender, ["soc@example.com"], text)
    assert simulator.relay.taken[-1].content == f"{text}\r\n".encode()
    assert simulator.mutations()[-1].path == "soc@example.com"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_both_logins_work(simulator: Simulator, mechanism: str) -> None:
    with talking(simulator, login=False) as client:
        client.user, client.password = simulator.sender, simulator.secret  # as login does
        authenticate = client.auth_plain if mechanism == "PLAIN" else client.auth_login
        assert client.auth(mechanism, authenticate)[0] == 235


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["RCPT TO:<a@example.com>"], 503),
        (["DATA"], 503),
        (["MAIL FROM:<nightdesk@example.com>", "DATA"], 503),
        (["MAIL FROM:<nightdesk@example.com>", "MAIL FROM:<nightdesk@example.com>"], 503),
        (["MAIL FROM:<nightdesk@example.com>", "RSET", "RCPT TO:<a@example.com>"], 503),
        (["MAIL FROM:<nightdesk@example.com>", "RCPT TO:<a@example.com>", "DATA x"], 501),
        (["MAIL FROM:<stranger@example.com>"], 553),
        (["MAIL FROM: nightdesk@example.com"], 501),
        (["MAIL FROM:<nightdesk@example.com> SIZE=9999999"], 552),
        (["MAIL FROM:<nightdesk@example.com> SMTPUTF8"], 555),
        (["MAIL FROM:<nightdesk@example.com>", "RCPT TO:<nobody>"], 501),
        (["MAIL FROM:<nightdesk@example.com>", "RCPT TO:<a@example.com> NOTIFY=NEVER"], 501),
        (["AUTH PLAIN AAA="], 503),
        (["STARTTLS"], 503),
        (["EHLO"], 501),
        (["FROBNICATE"], 500),
        (["NOOP"], 250),
        (["VRFY a"], 252),
    ],
)
def test_commands_have_an_order_and_a_form(simulator: Simulator, lines: list[str], code: int) -> None:
    with talking(simulator) as client:
        *before, last = lines
        assert all(client.docmd(line)[0] == 250 for line in before)
        assert client.docmd(last)[0] == code


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("MAIL FROM:<nightdesk@example.com>", 530),
        ("AUTH PLAIN %s", 235),
        (f"AUTH PLAIN {plain('nightdesk@example.com', 'wrong')}", 535),
        (f"AUTH PLAIN {plain('stranger@example.com', '')}", 535),
        (f"AUTH PLAIN {base64.b64encode(b'no zeros').decode()}", 501),
        ("AUTH PLAIN *not base64*", 501),
        ("AUTH CRAM-MD5", 504),
    ],
)
def test_a_login_is_right_or_none(simulator: Simulator, line: str, code: int) -> None:
    with talking(simulator, login=False) as client:
        line = line.replace("%s", plain(simulator.sender, simulator.secret))
        assert client.docmd(line)[0] == code
    shown = [one.path for one in simulator.seen if one.method == "AUTH"]
    assert set(shown) <= {""}


def test_a_login_can_be_cancelled(simulator: Simulator) -> None:
    with talking(simulator, login=False) as client:
        assert client.docmd("AUTH LOGIN")[0] == 334
        assert client.docmd("*")[0] == 501


def test_nobody_logs_in_or_sends_before_tls(simulator: Simulator) -> None:
    with talking(simulator, encrypted=False) as client:
        assert client.docmd("MAIL FROM:<nightdesk@example.com>")[0] == 503
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd(f"AUTH PLAIN {plain(simulator.sender, simulator.secret)}")[0] == 530
        assert client.docmd("MAIL FROM:<nightdesk@example.com>") == (530, b"5.7.0 Must issue a STARTTLS command first")
        assert client.docmd("STARTTLS now")[0] == 501


def test_a_relay_without_tls_takes_no_password() -> None:
    plain_one = Simulator()
    plain_one.relay.rules.security = "none"
    with talking(plain_one, encrypted=False) as client:
        client.ehlo()
        assert client.docmd("STARTTLS")[0] == 503
        assert client.docmd(f"AUTH PLAIN {plain(plain_one.sender, plain_one.secret)}")[0] == 538


def test_two_relays_do_not_take_each_others_passwords(simulator: Simulator) -> None:
    other = Simulator(secret="another-one")
    with talking(other, login=False) as client:
        assert client.docmd(f"AUTH PLAIN {plain(simulator.sender, simulator.secret)}")[0] == 535


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (HEAD + b"x\r\n", 250),
        (HEAD + b"x" * 998 + b"\r\n", 250),
        (HEAD + b"x" * 999 + b"\r\n", 554),
        (HEAD + b"." + b"x" * 997 + b"\r\n", 250),
        (HEAD + b"one\ntwo\r\n", 554),
        (HEAD + b"one\n.\ntwo\r\n", 554),
        (HEAD + b"one\rtwo\r\n", 554),
        (HEAD + b"a\0b\r\n", 554),
        (HEAD + "é\r\n".encode(), 554),
        (HEAD.replace(b"From", b"X-From") + b"x\r\n", 550),
        (b"Date: Sun, 01 Nov 2026 12:00:00 +0000\r\n" + HEAD + b"x\r\n", 550),
        (HEAD + b"x\r\n" * 400_000, 552),
    ],
)
def test_a_message_is_lines_of_seven_bits_with_one_head(simulator: Simulator, content: bytes, code: int) -> None:
    with talking(simulator) as client:
        client.mail(simulator.sender)
        client.rcpt("soc@example.com")
        assert client.docmd("DATA")[0] == 354
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        client.send(stuffed + b".\r\n")
        assert client.getreply()[0] == code
        assert client.noop()[0] == 250, "and the conversation goes on"


def test_eight_bits_are_taken_when_they_were_announced(simulator: Simulator) -> None:
    with talking(simulator) as client:
        client.sendmail(simulator.sender, ["soc@example.com"], HEAD + "é\r\n".encode(), ["BODY=8BITMIME"])
    assert simulator.relay.taken[-1].content.endswith("é\r\n".encode())


@pytest.mark.parametrize("line", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP " + b"x" * 506 + b"\r\n", "NÖÖP\r\n".encode()])
def test_a_line_is_short_ascii_and_ended_by_both_letters(simulator: Simulator, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", simulator.relay.port), timeout=5) as raw:
        assert raw.recv(100).startswith(b"220 ")
        raw.sendall(line)
        assert raw.recv(100).startswith(b"500 5.5.2")


def test_a_hundred_recipients_are_the_most(simulator: Simulator) -> None:
    with talking(simulator) as client:
        client.mail(simulator.sender)
        codes = [client.rcpt(f"user{number}@example.com")[0] for number in range(101)]
    assert (set(codes[:100]), codes[100]) == ({250}, 452)


def test_what_is_told_to_be_missing_busy_or_outside_is(simulator: Simulator) -> None:
    rules = simulator.relay.rules
    rules.gone, rules.busy, rules.refused_domains = {"gone@example.com"}, {"busy@example.com"}, {"example.net"}
    with talking(simulator) as client:
        client.mail(simulator.sender)
        codes = [client.rcpt(f"{name}")[0] for name in ("gone@example.com", "busy@example.com", "a@EXAMPLE.net")]
    assert codes == [550, 450, 550]


def test_a_simulator_that_nobody_holds_stops_listening() -> None:
    gone = Simulator()
    port = gone.relay.port
    del gone
    gc.collect()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
