"""One client of the simulated relay, from its greeting to its end: commands in order, lines as the standard has them.

Sources: RFC 5321, sections 4.1 to 4.5; RFC 3207; RFC 4954; RFC 6152 (8BITMIME); RFC 1870 (SIZE); RFC 2034 and 3463.
"""

import base64
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nightdesk.connectors.smtp.simulated_wire import COMMAND, CREDENTIALS, EndError, Wire
from nightdesk.sdk.testing.faults import Fault, FaultKind

if TYPE_CHECKING:
    from nightdesk.connectors.smtp.simulated_relay import SimulatedRelay

__all__ = ["Dialogue", "Taken"]

_MOST = 100
_TLS_FIRST = "530 5.7.0 Must issue a STARTTLS command first"  # RFC 3207, section 4
_PATH = re.compile(r"(FROM|TO):<([^<>\s]*)>((?: [A-Za-z0-9-]+(?:=[!-<>-~]+)?)*)", re.IGNORECASE)
_FAULTS: dict[str, tuple[FaultKind, ...]] = {
    "CONNECT": ("not_json", "server_error", "slow"),
    "EHLO": ("server_error", "slow"),
    "STARTTLS": ("server_error", "slow"),
    "AUTH": ("expired_token", "server_error", "slow"),
    "MAIL": ("missing_scope", "rate_limited", "server_error", "slow"),
    "RCPT": ("missing_scope", "redirect", "rate_limited", "server_error", "partial_answer", "slow"),
    "DATA": ("truncated_body", "rate_limited", "server_error", "slow"),
    "MESSAGE": ("lost_reply", "accepted_then_failed", "rate_limited", "server_error", "slow"),
}
_SAYS: dict[tuple[str, FaultKind], str] = {
    ("AUTH", "expired_token"): "535 5.7.8 Authentication credentials invalid",
    ("MAIL", "missing_scope"): "553 5.7.1 Sender address rejected: not owned by user",
    ("RCPT", "missing_scope"): "550 5.7.1 Relaying denied",
    ("RCPT", "redirect"): "551 5.1.6 User not local; please try <elsewhere@example.net>",
    ("RCPT", "partial_answer"): "550 5.1.1 No such user here",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """One mail as it arrived: envelope, text without the doubled dots, and how it came."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    encrypted: bool
    username: str


class Dialogue:
    """What one connection has said so far."""

    def __init__(self, relay: "SimulatedRelay", wire: Wire) -> None:
        self._relay = relay
        self._wire = wire
        self._greeted = self._eight = False
        self._username = ""
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._commands: dict[str, Callable[[str], str]] = {
            "EHLO": self._hello, "HELO": self._hello, "STARTTLS": self._starttls, "AUTH": self._auth,
            "MAIL": self._mail, "RCPT": self._rcpt, "DATA": self._data, "RSET": self._rset,
            "NOOP": lambda _: "250 2.0.0 OK", "VRFY": lambda _: "252 2.5.2 Cannot VRFY, send some mail",
        }  # fmt: skip

    def run(self) -> None:
        """Talks until one side ends it."""
        try:
            if self._relay.rules.security == "tls":
                self._wire.encrypt(self._relay.trust)
            self._wire.say(self._strange("CONNECT", "") or "220 relay.example.com ESMTP")
            while True:
                said = self._answer(self._wire.line(COMMAND))
                if said:
                    self._wire.say(said)
        except (EndError, OSError):
            return  # a client that hangs up is no event
        finally:
            self._wire.close()

    def _answer(self, raw: bytes) -> str:
        try:
            line = raw.decode("ascii")
        except UnicodeDecodeError:
            return "500 5.5.2 Commands are ASCII"
        verb, _, argument = line.partition(" ")
        verb = verb.upper()
        self._relay.note("HELO" if verb == "HELO" else verb, "" if verb == "AUTH" else argument)
        if verb == "QUIT":
            self._wire.say("221 2.0.0 Bye")
            raise EndError
        if verb not in self._commands:
            return "500 5.5.2 Command unrecognized"
        if not self._greeted and verb not in {"EHLO", "HELO", "NOOP", "RSET"}:
            return "503 5.5.1 Say EHLO first"
        return self._strange(verb, argument) or self._commands[verb](argument)

    def _strange(self, verb: str, argument: str) -> str:
        """The answer that a fault wants; empty when all is well."""
        fault = self._relay.fault(_FAULTS.get(verb, ()), verb, argument)
        if fault is None:
            return ""
        if fault.kind == "slow":
            time.sleep(float(fault.options.get("seconds", 0.1)))
            return ""
        return self._carried_out(fault, verb)

    def _carried_out(self, fault: Fault, verb: str) -> str:
        if fault.kind == "not_json":
            self._wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n<html><body>sign in</body></html>\r\n")
            raise EndError
        if fault.kind == "server_error":
            self._wire.say(f"{fault.options.get('status', 421)} 4.3.2 relay.example.com Service not available")
            raise EndError
        if fault.kind == "truncated_body":
            self._wire.say("354 Go on")
            self._wire.line(COMMAND)
            raise EndError
        if fault.kind == "lost_reply":
            self._wire.mute = True
            return ""
        if fault.kind == "accepted_then_failed":
            return "250 2.0.0 OK, queued"
        return str(fault.options.get("says", _SAYS.get((verb, fault.kind), "451 4.7.1 Greylisted, come again later")))

    def _hello(self, argument: str) -> str:
        if not argument.strip():
            return "501 5.5.4 Say who you are"
        self._greeted = True
        self._reset()
        rules = self._relay.rules
        lines = [f"relay.example.com greets {argument[:200]}", f"SIZE {rules.size}", "ENHANCEDSTATUSCODES"]
        lines += ["8BITMIME"] if rules.eight_bit else []
        lines += ["STARTTLS"] if rules.security == "starttls" and not self._wire.encrypted else []
        lines += [f"AUTH {' '.join(rules.mechanisms)}"] if rules.accounts and self._wire.encrypted else []
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    def _starttls(self, argument: str) -> str:
        if argument:
            return "501 5.5.4 STARTTLS has no parameters"
        if self._wire.encrypted or self._relay.rules.security != "starttls":
            return "503 5.5.1 No STARTTLS here"
        self._wire.say("220 2.0.0 Ready to start TLS")
        self._wire.encrypt(self._relay.trust)
        self._greeted, self._username = False, ""
        self._reset()
        return ""

    def _auth(self, argument: str) -> str:
        mechanism, _, first = argument.partition(" ")
        if not self._wire.encrypted and self._relay.rules.security == "starttls":
            return _TLS_FIRST
        if not self._wire.encrypted:
            return "538 5.7.11 Encryption required for requested authentication mechanism"
        if self._username or self._sender is not None:
            return "503 5.5.1 Not now"
        if mechanism.upper() not in self._relay.rules.mechanisms:
            return "504 5.5.4 No such mechanism"
        try:
            if mechanism.upper() == "PLAIN":
                parts = (_unwrapped(first) if first else self._challenge("")).split(b"\0")
                if len(parts) != 3:
                    return "501 5.5.2 Cannot decode"
                user, word = parts[1], parts[2]
            else:
                user = _unwrapped(first) if first else self._challenge("VXNlcm5hbWU6")
                word = self._challenge("UGFzc3dvcmQ6")
        except ValueError as error:
            return f"501 5.5.2 {error}"
        known = self._relay.rules.accounts.get(user.decode(errors="replace"), "")
        if not known or not hmac.compare_digest(known.encode(), word):
            return "535 5.7.8 Authentication credentials invalid"
        self._username = user.decode()
        return "235 2.7.0 Authentication successful"

    def _challenge(self, text: str) -> bytes:
        self._wire.say(f"334 {text}")
        answer = self._wire.line(CREDENTIALS)
        if answer == b"*":
            raise ValueError("Authentication cancelled")
        return _unwrapped(answer.decode("ascii", "replace"))

    def _mail(self, argument: str) -> str:
        rules, found = self._relay.rules, _PATH.fullmatch(argument)
        if rules.accounts and not self._username:
            return "530 5.7.0 Authentication required" if self._wire.encrypted else _TLS_FIRST
        if self._sender is not None:
            return "503 5.5.1 Nested MAIL"
        if found is None or found[1].upper() != "FROM":
            return "501 5.5.4 Write MAIL FROM:<address>"
        if rules.senders and found[2] not in rules.senders:
            return "553 5.7.1 Sender address rejected: not owned by user"
        options = dict(one.upper().partition("=")[::2] for one in found[3].split())
        if set(options) - {"SIZE", "BODY"} or not options.get("SIZE", "0").isdigit():
            return "555 5.5.4 Parameters not recognized"
        if int(options.get("SIZE", "0")) > rules.size:
            return "552 5.3.4 Message size exceeds fixed maximum message size"
        self._eight = rules.eight_bit and options.get("BODY") == "8BITMIME"
        self._sender = found[2]
        return "250 2.1.0 OK"

    def _rcpt(self, argument: str) -> str:
        rules, found = self._relay.rules, _PATH.fullmatch(argument)
        if self._sender is None:
            return "503 5.5.1 MAIL first"
        if found is None or found[1].upper() != "TO" or found[3] or "@" not in found[2]:
            return "501 5.1.3 Write RCPT TO:<address>"
        if found[2].rpartition("@")[2].lower() in rules.refused_domains:
            return "550 5.7.1 Relaying denied"
        if found[2] in rules.gone:
            return "550 5.1.1 No such user here"
        if found[2] in rules.busy:
            return "450 4.2.0 Greylisted, come again later"
        if len(self._recipients) >= _MOST:
            return "452 4.5.3 Too many recipients"
        self._recipients.append(found[2])
        return "250 2.1.5 OK"

    def _data(self, argument: str) -> str:
        if argument:
            return "501 5.5.4 DATA has no parameters"
        if not self._recipients:
            return "503 5.5.1 RCPT first" if self._sender is not None else "503 5.5.1 MAIL first"
        self._wire.say("354 End data with <CR><LF>.<CR><LF>")
        sender, recipients = self._sender or "", tuple(self._recipients)
        content, trouble = self._wire.content(eight_bit=self._eight, size=self._relay.rules.size)
        self._reset()
        said = trouble or self._strange("MESSAGE", "")
        if said:
            return said
        taken = Taken(sender, recipients, content, self._wire.encrypted, self._username)
        return self._relay.accept(taken)

    def _rset(self, argument: str) -> str:
        self._reset()
        return "501 5.5.4 RSET has no parameters" if argument else "250 2.0.0 OK"

    def _reset(self) -> None:
        self._sender, self._recipients, self._eight = None, [], False


def _unwrapped(text: str) -> bytes:
    """What stands in base64; ``=`` is nothing. Raises ValueError."""
    return b"" if text == "=" else base64.b64decode(text, validate=True)
