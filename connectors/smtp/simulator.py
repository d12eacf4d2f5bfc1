"""A mail relay with STARTTLS and a login on loopback, written from the standards: it speaks SMTP itself, not HTTP.

Faults are those of its dialogue (``method`` is a verb, CONNECT or MESSAGE, ``path`` its argument); what a relay may
refuse on its own account is in ``relay.rules``.
"""

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from nightdesk.connectors.smtp.simulated_certificate import certificate, server_side
from nightdesk.connectors.smtp.simulated_relay import Rules, SimulatedRelay
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import Simulator as _Simulator

__all__ = ["Simulator"]


class Simulator(_Simulator):
    """One relay, and one account that sends as its own address."""

    vendor: ClassVar[str] = "smtp"
    mutating: ClassVar[frozenset[str]] = frozenset({"MESSAGE"})
    sender: ClassVar[str] = "nightdesk@example.com"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.folder = Path(tempfile.mkdtemp(prefix="nightdesk-smtp-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.certificate = certificate(self.folder)
        rules = Rules(accounts={self.sender: self.secret}, senders=frozenset({self.sender}))
        self.relay = SimulatedRelay(rules, server_side(self.certificate), self.faults, self.seen)
        # Not at the end of the process: then no thread can be asked for anything any more.
        weakref.finalize(self, self.relay.stop).atexit = False

    def routes(self) -> list[BaseRoute]:
        """None: it speaks another protocol."""
        return []

    def settings(self, base_url: str) -> dict[str, Any]:
        """The relay's own address; the simulator's says nothing."""
        _ = base_url
        return {
            "host": "127.0.0.1",
            "port": self.relay.port,
            "security": self.relay.rules.security,
            "username": self.sender,
            "password": Secret.literal(self.secret),
            "sender": self.sender,
            "recipients": "soc-alerts=soc@example.com oncall@example.com, approvals=lead@example.com",
            "ca_file": str(self.certificate),
            "hello": "nightdesk.example.com",
        }

    def mails(self) -> Sequence[EmailMessage]:
        """What was taken, read as a mail program reads it."""
        found = [message_from_bytes(one.content, policy=SMTP) for one in self.relay.taken]
        return [one for one in found if isinstance(one, EmailMessage)]

    def messages(self) -> Sequence[Mapping[str, Any]]:
        """What was taken: the envelope's recipients, subject and text."""
        return [
            {"to": " ".join(taken.recipients), "text": f"{mail['Subject']}\n{mail.get_content()}"}
            for taken, mail in zip(self.relay.taken, self.mails(), strict=True)
        ]
