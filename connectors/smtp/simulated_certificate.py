"""A certificate for loopback, signed by itself: it is its own authority, and a client is told to trust it."""

import ipaddress
import ssl
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nightdesk.sdk.context import utc_now

__all__ = ["certificate", "server_side"]

_LIFE = timedelta(days=365)


def certificate(folder: Path, *, name: str = "localhost", address: str = "127.0.0.1") -> Path:
    """Writes ``relay.pem`` (certificate) and ``relay.key`` into the folder; returns the certificate's path."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = utc_now() - timedelta(days=1)  # TLS goes by the real time, whatever a test's clock says
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(address))])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begin, begin + _LIFE)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "relay.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    secret = path.with_suffix(".key")
    secret.touch(mode=0o600)
    secret.write_bytes(text)
    return path


def server_side(path: Path) -> ssl.SSLContext:
    """What a server shows that has the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path, path.with_suffix(".key"))
    return context
