"""Which relay, and how safely: settings that are checked before anything is said, and what TLS trusts."""

import ipaddress
import re
import ssl
from dataclasses import dataclass

from nightdesk.connectors.smtp.recipients import is_address
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem
from nightdesk.sdk.secrets import Secret

__all__ = ["Site"]

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")


@dataclass(frozen=True, slots=True)
class Site:
    """One relay. ``timeout`` is in seconds, for each answer."""

    host: str
    port: int
    security: str
    sender: str
    username: str
    password: Secret | None
    hello: str | None
    timeout: float
    trust: ssl.SSLContext

    @classmethod
    def of(cls, context: Context) -> "Site":
        """Reads the settings. Raises ConfigError with all problems."""
        settings = context.settings
        host, security = settings.text("host"), settings.text("security", "starttls")
        port = settings.integer("port", _PORTS[security])
        sender, hello = settings.text("sender"), settings.text("hello")
        username, has_password = settings.text("username"), settings.has("password")
        problems = []
        if not _HOST.fullmatch(host):
            problems.append(("host", "is no host name or address; write the name alone, the port has its own setting"))
        if not 0 < port < 65536:
            problems.append(("port", "is no port; write 1 to 65535"))
        if not is_address(sender):
            problems.append(("sender", "is no mail address; write local@domain in ASCII, without a name"))
        if hello and not _HOST.fullmatch(hello):
            problems.append(("hello", "is no host name"))
        if bool(username) != has_password:
            problems.append(("username", "goes together with password: give both or none"))
        if security == "none" and (username or has_password):
            problems.append(("security", "none would show the password to the network; use starttls or tls"))
        elif security == "none" and not (_is_here(host) or settings.flag("allow_plaintext")):
            problems.append(("security", "none is for a relay on this host; use starttls or tls, or allow_plaintext"))
        if problems:
            raise ConfigError([Problem(context.instance, key, message) for key, message in problems])
        password = settings.secret("password") if has_password else None
        return cls(
            host, port, security, sender, username, password, hello or None, context.network.timeout, _trust(context)
        )

    @property
    def peer(self) -> str:
        """What messages call it."""
        return f"{self.host}:{self.port}"

    def secret(self) -> str:
        """The password, read at the moment of use."""
        return self.password.reveal() if self.password is not None else ""


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _trust(context: Context) -> ssl.SSLContext:
    trust = ssl.create_default_context()
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    for key, path in (("network.ca_file", context.network.ca_file), ("ca_file", context.settings.text("ca_file"))):
        if path:
            try:
                trust.load_verify_locations(path)
            except (OSError, ssl.SSLError) as error:
                problem = f"{path} cannot be read as PEM certificates ({type(error).__name__})"
                raise ConfigError([Problem(context.instance, key, problem)]) from error
    return trust
