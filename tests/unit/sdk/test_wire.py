"""What can go wrong below HTTP: proxies, certificates, silence; each against a real socket, except for DNS."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import ConfigError, UnavailableError
from nightdesk.sdk.http import HttpClient
from nightdesk.sdk.testing.fake_time import FakeTime

OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\nConnection: close\r\n\r\n" + b'{"ok":1}'
)


@dataclass
class Peer:
    """A socket that answers every connection with the same bytes; None: never."""

    port: int
    heads: list[bytes] = field(default_factory=list)


@contextmanager
def peer(answer: bytes | None, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    listener = socket.create_server(("127.0.0.1", 0))
    end = threading.Event()
    found = Peer(listener.getsockname()[1])

    def converse(connection: socket.socket) -> None:
        with connection:
            try:
                talk = tls.wrap_socket(connection, server_side=True) if tls else connection
            except (ssl.SSLError, OSError):
                return
            with talk:
                head = b""
                while b"\r\n\r\n" not in head and not head.startswith(b"\x16\x03") and (data := talk.recv(65536)):
                    head += data
                found.heads.append(head)
                if answer is None:
                    end.wait()
                else:
                    talk.sendall(answer)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            if end.is_set():
                connection.close()
                return
            converse(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        socket.create_connection(("127.0.0.1", found.port)).close()
        thread.join()
        listener.close()


@dataclass(frozen=True)
class Authority:
    """A private CA and a server context for one address."""

    ca_file: Path
    serve: Callable[..., AbstractContextManager[Peer]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("ca")
    now = datetime.now(UTC)

    def issue(
        subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, *, address: str
    ) -> x509.Certificate:
        is_ca = subject == issuer
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))]), critical=False)
            .sign(signer, hashes.SHA256())
        )

    root_key = ec.generate_private_key(ec.SECP256R1())
    root = issue("Example Root", "Example Root", root_key, root_key, address="192.0.2.1")
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def serve(address: str = "127.0.0.1") -> AbstractContextManager[Peer]:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = issue("Example Server", "Example Root", key, root_key, address=address)
        pem = folder / f"{address}.pem"
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + leaf.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return peer(OK, context)

    return Authority(ca_file, serve)


def client(url: str, network: Network) -> HttpClient:
    time = FakeTime()
    context = Context("tenant-a", "acme-1", Settings({}), network, time.clock, time.sleep)
    return HttpClient(context, vendor="acme", base_url=url)


def ask(url: str, network: Network, **options: Any) -> Any:
    async def go() -> Any:
        async with client(url, network) as http:
            return await http.json("GET", "/alerts", operation="list alerts", **options)

    return asyncio.run(go())


def test_a_server_of_a_private_ca_is_trusted_once_it_is_configured(authority: Authority) -> None:
    with authority.serve() as found:
        url = f"https://127.0.0.1:{found.port}"
        with pytest.raises(
            UnavailableError, match=r"certificate of 127\.0\.0\.1 is not trusted .* set network\.ca_file"
        ):
            ask(url, Network())
        assert found.heads == []
        assert ask(url, Network(ca_file=str(authority.ca_file))) == {"ok": 1}


def test_a_private_ca_is_trusted_by_the_network_that_names_it_alone(authority: Authority) -> None:
    with authority.serve() as found:
        url = f"https://127.0.0.1:{found.port}"
        assert ask(url, Network(ca_file=str(authority.ca_file))) == {"ok": 1}
        with pytest.raises(UnavailableError, match="is not trusted"):
            ask(url, Network())


def test_a_certificate_for_another_name_is_not_blamed_on_the_ca(authority: Authority) -> None:
    with authority.serve("192.0.2.7") as found, pytest.raises(UnavailableError, match="correct the base URL") as caught:
        ask(f"https://127.0.0.1:{found.port}", Network(ca_file=str(authority.ca_file)))
    assert "ca_file" not in str(caught.value)


def test_https_to_a_port_without_tls_is_named() -> None:
    with peer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as found, pytest.raises(UnavailableError, match="TLS with"):
        ask(f"https://127.0.0.1:{found.port}", Network(timeout=5), repeatable=False)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_unusable_ca_file_is_a_configuration_error(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=r"ca\.pem: network\.ca_file: cannot be read as PEM"):
        client("https://vendor.example", Network(ca_file=str(file)))


def test_requests_go_through_the_configured_proxy() -> None:
    with peer(OK) as found:
        assert ask("http://vendor.example", Network(proxy=f"http://127.0.0.1:{found.port}")) == {"ok": 1}
    assert found.heads[0].startswith(b"GET http://vendor.example/alerts HTTP/1.1\r\n")


def test_the_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(b"HTTP/1.1 502 Wrong\r\n\r\n") as wrong, peer(OK) as right:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{wrong.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(f"http://127.0.0.1:{right.port}", Network()) == {"ok": 1}
        assert wrong.heads == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_named_without_its_password(scheme: str) -> None:
    with peer(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as found:
        proxy = f"http://ann:hush-hush@127.0.0.1:{found.port}"
        with pytest.raises(UnavailableError, match=r"proxy.*network\.proxy") as caught:
            ask(f"{scheme}://vendor.example", Network(proxy=proxy), repeatable=False)
    assert "hush-hush" not in str(caught.value)


def test_an_unreachable_proxy_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(UnavailableError, match=rf"vendor\.example through the proxy 127\.0\.0\.1:{port}"):
        ask("http://vendor.example", Network(proxy=f"http://127.0.0.1:{port}"), repeatable=False)


@pytest.mark.parametrize("proxy", ["proxy.example:3128", "http://", "http://proxy.example:x", "ftp://proxy.example"])
def test_an_unusable_proxy_is_a_configuration_error(proxy: str) -> None:
    with pytest.raises(ConfigError, match="network: proxy"):
        client("https://vendor.example", Network(proxy=proxy))


def test_silence_is_a_timeout() -> None:
    with peer(None) as found, pytest.raises(UnavailableError, match=r"did not answer in time; raise network\.timeout"):
        ask(f"http://127.0.0.1:{found.port}", Network(timeout=0.05), repeatable=False)


def test_an_answer_that_only_drips_is_cut_off() -> None:
    async def drip(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    network = Network(timeout=0.005, transport=httpx.ASGITransport(drip))
    with pytest.raises(UnavailableError, match="too slowly"):
        ask("http://vendor.example", network, repeatable=False)


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-Example\r\n", b"", OK[:-3], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"],
)
def test_an_answer_that_is_no_http_or_breaks_off_is_named_and_tried_again(answer: bytes) -> None:
    with peer(answer) as found:
        with pytest.raises(UnavailableError, match="broke off or is no HTTP"):
            ask(f"http://127.0.0.1:{found.port}", Network())
        assert len(found.heads) == 4


def test_a_name_that_does_not_resolve_is_named() -> None:
    def unknown(_: httpx.Request) -> httpx.Response:
        cause = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        raise httpx.ConnectError("All connection attempts failed") from cause

    with pytest.raises(UnavailableError, match=r"the name of vendor\.example does not resolve"):
        ask("http://vendor.example", Network(transport=httpx.MockTransport(unknown)))
