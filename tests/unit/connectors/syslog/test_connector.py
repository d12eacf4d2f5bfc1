"""Syslog over real sockets: nothing is lost between a sender and the cursor, and what is dropped is counted."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import nightdesk.connectors.syslog as package
from nightdesk.connectors.syslog import Connector
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import ConfigError, UnavailableError, UnsupportedError
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Health
from nightdesk.sdk.records import Cursor, RawRecord

MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")


class Site:
    """A connector as the hub has it; ``restart`` is a new process with the cursor that was stored."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = {"spool": str(folder / "spool"), "sync": False, **settings}
        self.cursor: Cursor | None = None
        self.connector = self._made()

    def _made(self) -> Connector:
        values = validate_settings(MANIFEST, self.settings, file="nightdesk.yaml", key="syslog")
        return Connector(Context("acme", "syslog", Settings(values)))

    def restart(self) -> None:
        self.stop()
        self.connector = self._made()

    def stop(self) -> None:
        asyncio.run(self.connector.aclose())

    def records(self, limit: int = 100) -> list[RawRecord]:
        async def drained() -> list[RawRecord]:
            found: list[RawRecord] = []
            async for batch in self.connector.pull("messages", self.cursor, limit=limit):
                found += batch.records
                self.cursor = json.loads(json.dumps(batch.cursor))
            return found

        return asyncio.run(drained())

    def poll(self, limit: int = 100) -> list[bytes]:
        return [record.payload for record in self.records(limit)]

    def wait_for(self, count: int) -> list[bytes]:
        found: list[bytes] = []
        until(lambda: len(found.__iadd__(self.poll())) >= count)
        return found

    def health(self) -> Health:
        return asyncio.run(self.connector.check_health())

    @property
    def counts(self) -> Any:
        assert self.connector._listener is not None
        return self.connector._listener.counts

    def port(self, protocol: str) -> int:
        if self.connector._listener is None:
            self.poll()
        assert self.connector._listener is not None
        return self.connector._listener.bound[protocol][1]

    def tcp(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port("tcp")), timeout=10)


def until(holds: Callable[[], bool]) -> None:
    """The network takes its time; ten seconds are more than it ever needs."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


@contextmanager
def listening(folder: Path, **settings: Any) -> Iterator[Site]:
    site = Site(folder, **settings)
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with listening(tmp_path, tcp="127.0.0.1:0", udp="127.0.0.1:0") as made:
        yield made


# Arriving


def test_counted_frames_and_lines_of_several_senders_arrive_each_in_order(site: Site) -> None:
    with ExitStack() as stack:
        senders = [stack.enter_context(site.tcp()) for _ in range(5)]
        for number in range(200):
            for name, sender in enumerate(senders):
                message = b"<13>%d:%d" % (name, number)
                sender.sendall(b"%d %s" % (len(message), message) if name % 2 else message + b"\n")
        found = site.wait_for(1000)
    for name in range(5):
        assert [one for one in found if one.startswith(b"<13>%d:" % name)] == [
            b"<13>%d:%d" % (name, n) for n in range(200)
        ]
    assert site.poll() == []


def test_a_line_without_its_end_is_taken_when_the_sender_hangs_up(site: Site) -> None:
    with site.tcp() as sender:
        sender.sendall(b"<13>no end")
    assert site.wait_for(1) == [b"<13>no end"]


def test_datagrams_arrive_whole_with_the_breaks_inside_them(site: Site) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in (b"<13>one\n", b"", b"<13>two\nlines", b"9 <13>three"):
            sender.sendto(data, ("127.0.0.1", site.port("udp")))
    assert site.wait_for(3) == [b"<13>one", b"<13>two\nlines", b"9 <13>three"]


def test_records_say_their_product_and_what_kind_of_text_they_are(tmp_path: Path) -> None:
    with listening(tmp_path, tcp="127.0.0.1:0", product="suricata") as site, site.tcp() as sender:
        sender.sendall(b'{"a":1}\n<13>b\n')
        until(lambda: site.counts.stored == 2)
        first, second = site.records()
    assert (first.product, first.media_type, second.media_type) == ("suricata", "application/json", "text/plain")
    assert (first.native_id, first.key != second.key) == ("", True)


# Nothing is lost


def test_what_arrived_and_was_not_pulled_outlives_a_restart(site: Site) -> None:
    with site.tcp() as sender:
        sender.sendall(b"<13>one\n<13>two\n")
        until(lambda: site.counts.stored == 2)
    site.restart()
    assert site.poll(limit=1) == [b"<13>one", b"<13>two"]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_page_whose_cursor_was_not_stored_comes_again_with_the_same_keys(site: Site, limit: int) -> None:
    with site.tcp() as sender:
        sender.sendall(b"".join(b"<13>%d\n" % number for number in range(5)))
        until(lambda: site.counts.stored == 5)
    first = site.records(limit)
    site.cursor = None  # the hub died before the commit
    site.restart()
    again = site.records(limit)
    assert [one.key for one in again] == [one.key for one in first]
    assert len({one.key for one in first}) == 5
    site.restart()
    assert site.poll() == []


def test_stopping_keeps_what_was_read(site: Site) -> None:
    with site.tcp() as sender:
        sender.sendall(b"<13>whole\n<13>half")
        until(lambda: site.counts.stored == 1)
        site.restart()
    assert site.poll() == [b"<13>whole", b"<13>half"]


# A full spool


def flood(sender: socket.socket, line: bytes, *, most: int) -> tuple[int, bytes]:
    """Sends lines until nobody takes them: how many went whole, and what is left of the last."""
    sender.settimeout(0.5)
    for sent in range(most):
        rest = line
        while rest:
            try:
                rest = rest[sender.send(rest) :]
            except TimeoutError:
                return sent, rest
    return most, b""


def test_a_full_spool_holds_tcp_back_until_the_hub_has_stored_some(tmp_path: Path) -> None:
    line = b"<13>" + b"x" * 65_000
    with listening(tmp_path, tcp="127.0.0.1:0", spool_mb=8) as site, site.tcp() as sender:
        sent, rest = flood(sender, line + b"\n", most=2000)
        assert rest, "nobody held the sender back"
        assert site.counts.stored < sent
        assert not site.health().ok
        assert any("nearly full" in problem for problem in site.health().problems)
        found = len(site.poll())
        sender.settimeout(0.2)
        while rest:  # the next pulls store the cursor, and so make room
            found += len(site.poll())
            with suppress(TimeoutError):
                rest = rest[sender.send(rest) :]
        sender.shutdown(socket.SHUT_WR)
        while found < sent + 1:
            found += len(site.poll())
        assert (found, site.poll(), site.counts.dropped) == (sent + 1, [], 0)
        assert site.health() == Health(True)


def test_a_full_spool_drops_datagrams_and_says_how_many(tmp_path: Path) -> None:
    with listening(tmp_path, udp="127.0.0.1:0", spool_mb=8) as site:
        port = site.port("udp")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(200):
                sender.sendto(b"<13>" + b"x" * 60_000, ("127.0.0.1", port))
                until(lambda wanted=number + 1: site.counts.stored + site.counts.dropped >= wanted)  # type: ignore[misc]
        assert site.counts.dropped > 50
        assert site.counts.stored == len(site.poll())
        until(lambda: any(f"{site.counts.dropped} datagrams were dropped" in said for said in site.health().problems))


def test_a_disk_that_fails_holds_senders_back_and_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.poll()
    assert site.connector._listener is not None
    spool = site.connector._listener.spool

    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    with site.tcp() as sender, monkeypatch.context() as patch:
        patch.setattr(type(spool), "append", lambda self, messages: full(messages))
        sender.sendall(b"<13>one\n")
        until(lambda: any("No space left" in problem for problem in site.health().problems))
        patch.undo()
        assert site.wait_for(1) == [b"<13>one"]
    until(lambda: site.health().ok)


# Who may send


def test_only_allowed_networks_may_send(tmp_path: Path) -> None:
    with listening(tmp_path, tcp="127.0.0.1:0", udp="127.0.0.1:0", allow="192.0.2.0/24, 2001:db8::/32") as site:
        with site.tcp() as sender:
            sender.sendall(b"<13>one\n")
            with suppress(ConnectionResetError):
                assert sender.recv(1) == b""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(b"<13>two", ("127.0.0.1", site.port("udp")))
            until(lambda: site.counts.refused == 2)
        assert site.poll() == []
        allows = site.connector._endpoints.allows  # type: ignore[union-attr]
        assert [allows(one) for one in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::1%eth0", "192.0.3.1", "", "x")] == [
            True, True, True, False, False, False,
        ]  # fmt: skip


def certificate(
    folder: Path, name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None
) -> Any:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return made, key


def test_over_tls_only_a_sender_with_a_certificate_is_heard(tmp_path: Path) -> None:
    ours = certificate(tmp_path, "authority")
    for name in ("server", "sender"):
        certificate(tmp_path, name, ours)
    tls = {
        "tls": "127.0.0.1:0",
        "tls_certificate": str(tmp_path / "server.pem"),
        "tls_key": str(tmp_path / "server.key"),
        "tls_client_ca": str(tmp_path / "authority.pem"),
    }
    with listening(tmp_path, **tls) as site:
        for known in (False, True):
            context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
            if known:
                context.load_cert_chain(tmp_path / "sender.pem", tmp_path / "sender.key")
            with socket.create_connection(("127.0.0.1", site.port("tls")), timeout=10) as plain:
                try:
                    with context.wrap_socket(plain, server_hostname="127.0.0.1") as sender:
                        sender.sendall(b"5 <1>%d\n" % known)
                        if not known:
                            sender.recv(1)
                except OSError:
                    assert not known
        assert site.wait_for(1) == [b"<1>1"]


def test_a_certificate_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    files = {"tls_certificate": str(tmp_path / "empty"), "tls_key": str(tmp_path / "none")}
    with listening(tmp_path, tls="127.0.0.1:0", **files) as site, pytest.raises(ConfigError, match="tls_certificate"):
        site.poll()


# What may be wrong


def test_an_address_that_is_taken_is_said_and_costs_nothing(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with listening(tmp_path, udp="127.0.0.1:0", tcp=f"127.0.0.1:{other.getsockname()[1]}") as site:
            with pytest.raises(UnavailableError, match="cannot listen"):
                site.poll()
            assert not site.health().ok
            other.close()
            assert site.poll() == []


def test_a_check_from_outside_leaves_the_running_listener_alone(site: Site, tmp_path: Path) -> None:
    site.poll()
    with listening(tmp_path, tcp=f"127.0.0.1:{site.port('tcp')}") as outside:
        assert outside.health() == Health(True)
        with pytest.raises(UnavailableError, match="another process or instance"):
            outside.poll()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "at least one"),
        ({"tcp": "5514"}, "no address and port"),
        ({"tcp": "0.0.0.0:99999"}, "no address and port"),
        ({"udp": "sensor.example.com:514"}, "no address and port"),
        ({"tls": "0.0.0.0:6514"}, "needs tls_certificate"),
        ({"tcp": "[::]:5514", "allow": "192.0.2.1/24"}, "host bits"),
        ({"tcp": "0.0.0.0:5514", "spool_mb": 7}, "at least 8"),
        ({"tcp": "0.0.0.0:5514", "longest_kb": 64 * 1024}, "8 times"),
    ],
)
def test_wrong_settings_are_said_before_anything_is_bound(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Site(tmp_path, **settings)


def test_another_stream_is_not_there(site: Site) -> None:
    async def other() -> None:
        async for _ in site.connector.pull("alerts", None, limit=1):
            pass

    with pytest.raises(UnsupportedError):
        asyncio.run(other())
