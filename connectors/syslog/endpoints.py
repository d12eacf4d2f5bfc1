"""Where to listen and to whom, read from the settings: every problem is said at once, before anything is bound."""

import ssl
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from nightdesk.sdk.context import Settings
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["Address", "Endpoints"]

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Each address may be None; ``allowed`` empty lets everybody send."""

    udp: Address | None
    tcp: Address | None
    tls: Address | None
    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    allowed: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, settings: Settings, instance: str) -> "Endpoints":
        """Raises ConfigError with every problem."""
        problems: list[Problem] = []
        found = {name: _address(settings.text(name), name, instance, problems) for name in ("udp", "tcp", "tls")}
        if not any(settings.has(name) for name in found):
            problems.append(Problem(instance, "tcp", "give at least one of udp, tcp and tls, such as 0.0.0.0:5514"))
        if found["tls"] and not (settings.text("tls_certificate") and settings.text("tls_key")):
            problems.append(Problem(instance, "tls", "needs tls_certificate and tls_key"))
        allowed: list[IPv4Network | IPv6Network] = []
        for text in filter(None, (part.strip() for part in settings.text("allow").split(","))):
            try:
                allowed.append(ip_network(text))
            except ValueError as error:
                problems.append(Problem(instance, "allow", str(error)))
        if problems:
            raise ConfigError(problems)
        certificate, key, client_ca = map(settings.text, ("tls_certificate", "tls_key", "tls_client_ca"))
        return cls(found["udp"], found["tcp"], found["tls"], certificate, key, client_ca, tuple(allowed))

    def allows(self, peer: str) -> bool:
        """Whether that address may send. An IPv4 sender at an IPv6 socket counts by its IPv4 address."""
        if not self.allowed:
            return True
        try:
            address = ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.allowed)

    def context(self) -> ssl.SSLContext:
        """What TLS connections are taken with. Raises ConfigError for files that cannot be used."""
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            made.load_cert_chain(self.certificate, self.key)
            if self.client_ca:
                made.load_verify_locations(self.client_ca)
                made.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            raise ConfigError([Problem("settings", "tls_certificate", f"cannot be used: {reason}")]) from error
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        return made


def _address(text: str, name: str, instance: str, problems: list[Problem]) -> Address | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(host)
        number = int(port)
    except ValueError:
        number = -1
    if 0 <= number <= 65_535:
        return host, number
    problems.append(Problem(instance, name, f"{text!r} is no address and port, such as 0.0.0.0:5514 or [::]:5514"))
    return None
