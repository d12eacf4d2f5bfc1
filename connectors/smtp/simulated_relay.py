"""A relay that takes mail on loopback: its rules, what it has taken, and the threads that it serves its clients in."""

import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import SMTP

from nightdesk.connectors.smtp.simulated_dialogue import Dialogue, Taken
from nightdesk.connectors.smtp.simulated_wire import Wire
from nightdesk.sdk.testing import FaultPlan, SeenRequest
from nightdesk.sdk.testing.faults import Fault, FaultKind

__all__ = ["Rules", "SimulatedRelay"]

_ONCE = ("from", "date", "message-id", "to", "subject")
_NEEDED = frozenset({"from", "date"})


@dataclass(slots=True)
class Rules:
    """What this relay allows. ``accounts`` are passwords by name; without any nobody needs to log in."""

    accounts: dict[str, str] = field(default_factory=dict)
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    senders: frozenset[str] = frozenset()
    """Addresses that may send; empty: any."""
    gone: set[str] = field(default_factory=set)
    """Mailboxes that are not there."""
    busy: set[str] = field(default_factory=set)
    """Mailboxes that are greylisted."""
    refused_domains: set[str] = field(default_factory=set)
    """Domains that it does not relay to."""
    size: int = 1024 * 1024
    security: str = "starttls"
    eight_bit: bool = True


class SimulatedRelay:
    """A listening socket and a thread a client."""

    def __init__(self, rules: Rules, trust: ssl.SSLContext, faults: FaultPlan, seen: list[SeenRequest]) -> None:
        self.rules, self.trust, self.faults, self.seen = rules, trust, faults, seen
        self.taken: list[Taken] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, name="smtp", daemon=True).start()

    def stop(self) -> None:
        """Takes no more clients. Waits for no thread, for it may be called in any, by the garbage collector."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # stopped
            dialogue = Dialogue(self, Wire(connection))
            threading.Thread(target=dialogue.run, name="smtp client", daemon=True).start()

    def fault(self, kinds: Sequence[FaultKind], verb: str, argument: str) -> Fault | None:
        """What is to go wrong at this command."""
        with self._lock:
            return self.faults.take(kinds, method=verb, path=argument)

    def note(self, verb: str, argument: str) -> None:
        """A command as it came; credentials are not noted."""
        with self._lock:
            self.seen.append(SeenRequest(verb, argument, ""))

    def accept(self, taken: Taken) -> str:
        """Keeps a mail that is one; the reply."""
        wrong = _flaw(taken.content)
        if wrong:
            return f"550 5.6.0 Message refused, {wrong}"
        with self._lock:
            self.taken.append(taken)
            self.seen.append(SeenRequest("MESSAGE", " ".join(taken.recipients), ""))
            return f"250 2.0.0 OK, queued as {len(self.taken):06X}"


def _flaw(content: bytes) -> str:
    """What is wrong with a message by RFC 5322, section 3.6; empty when nothing is."""
    found = message_from_bytes(content, policy=SMTP)
    for name in _ONCE:
        count = len(found.get_all(name, []))
        if count > 1 or (count == 0 and name in _NEEDED):
            return f"{count} fields {name}"
    return "its head is broken" if found.defects else ""
