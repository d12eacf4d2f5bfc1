"""A real SMTP server on loopback: aiosmtpd, in a thread of this process, with a mailbox that a test looks into."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

__all__ = ["ACCOUNT", "Inbox", "smtp"]

ACCOUNT = ("nightdesk@example.com", "the-accounts-password")
_PATIENCE = 30.0


@dataclass
class Inbox:
    """What the server is told to do (aiosmtpd calls these by name), and what it was given."""

    taken: list[tuple[Envelope, Session]] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    logins: int = 0
    vanishes: str = ""
    """``before`` or ``after`` it kept a message: when it drops the connection instead of answering."""

    async def handle_RCPT(  # noqa: N802  # the name that aiosmtpd looks for
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        _ = server, session
        if address in self.gone:
            return "550 5.1.1 No such user here"
        if address in self.busy:
            return "451 4.7.1 Greylisted, please try again later"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802  # the name that aiosmtpd looks for
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.vanishes != "before":
            self.taken.append((envelope, session))
        if self.vanishes:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 2.0.0 OK, kept"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        _ = server, session, envelope, mechanism
        self.logins += 1
        user, password = (text.encode() for text in ACCOUNT)
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (user, password)
        return AuthResult(success=right, handled=False, auth_data=data)


@contextmanager
def smtp(trust: ssl.SSLContext | None, *, implicit: bool = False, **options: Any) -> Iterator[tuple[Inbox, int]]:
    """A running server and its port. With ``trust`` it wants STARTTLS and a login, or TLS alone when ``implicit``."""
    inbox = Inbox()
    if trust is not None and not implicit:
        options |= {"tls_context": trust, "require_starttls": True}
        options |= {"auth_required": True, "authenticator": inbox.authenticate}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    server = Controller(
        inbox, hostname="127.0.0.1", port=port, server_hostname="relay.example.com", ready_timeout=_PATIENCE,
        ssl_context=trust if implicit else None, **options,
    )  # fmt: skip
    server.start()
    try:
        yield inbox, port
    finally:
        server.stop()
