"""What a relay's refusal, and a connection that breaks, mean for the caller.

Sources: RFC 5321, section 4.2 (codes); RFC 3463 and RFC 4954, section 6 (enhanced codes of refused permissions).
"""

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from nightdesk.sdk.errors import (
    AuthError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)

__all__ = ["VENDOR", "WAIT", "Reply", "Step", "broken", "refused"]

VENDOR = "smtp"
WAIT = 60.0
"""Seconds after a temporary refusal; greylisting lets one in after a few minutes."""

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")
_RELAY = re.compile(r"\brelay", re.IGNORECASE)
_TLS = re.compile(r"\b(starttls|tls|encrypt)", re.IGNORECASE)


class Step(StrEnum):
    """How far a conversation has come."""

    CONNECT = "connect"
    HELLO = "EHLO"
    TLS = "STARTTLS"
    LOGIN = "AUTH"
    SENDER = "MAIL FROM"
    RECIPIENT = "RCPT TO"
    DATA = "DATA"
    MESSAGE = "the message"


_OPENING = frozenset({Step.CONNECT, Step.HELLO, Step.TLS, Step.LOGIN})


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; ``text`` is one clean line."""

    code: int
    text: str

    @property
    def taken(self) -> bool:
        """Whether it says yes."""
        return 200 <= self.code < 300

    @property
    def passing(self) -> bool:
        """Whether the same may be taken later."""
        return 400 <= self.code < 500

    @property
    def enhanced(self) -> str:
        """The code of RFC 3463; empty where there is none."""
        found = _ENHANCED.match(self.text)
        return found[1] if found else ""

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip()


def refused(reply: Reply, step: Step, operation: str, *, about: str = "", host: str = "") -> VendorError:
    """The error of an answer that is no yes. ``about`` is the address that it is about."""
    kind, advice = _meaning(reply, step, about, host)
    message = f"{advice} ({step}: {reply})"
    if kind is RateLimitError:
        return RateLimitError(message, retry_after=WAIT, vendor=VENDOR, operation=operation)
    return kind(message, vendor=VENDOR, operation=operation)


def broken(error: BaseException, step: Step, operation: str, peer: str) -> VendorError:
    """The error of a connection that could not be made, or that broke at this step."""
    return UnavailableError(_cause(error, step, peer), vendor=VENDOR, operation=operation)


def _meaning(reply: Reply, step: Step, about: str, host: str) -> tuple[type[VendorError], str]:
    text = reply.text
    if not 400 <= reply.code < 600:
        return ResponseError, f"the answer is not what SMTP has there; check that host and port are {host}'s for mail"
    if reply.code == 421 or (reply.passing and step in _OPENING):
        return UnavailableError, f"{host} does not serve now"
    if reply.passing:
        what = f"{about} " if about else ""
        return RateLimitError, f"{host} does not take {what}now, it says to come again"
    if reply.code == 530 and _TLS.search(text):
        return RejectedError, f"{host} wants TLS first; set security to starttls"
    if reply.code == 530:
        return AuthError, f"{host} wants a login; set username and password"
    return _PERMANENT[step](reply, about, host)


def _at_login(reply: Reply, _: str, host: str) -> tuple[type[VendorError], str]:
    hint = "; it wants another kind of login" if reply.code in {504, 534, 538} else ""
    return AuthError, f"{host} refuses the credentials{hint}; set username and password"


def _at_opening(_: Reply, __: str, host: str) -> tuple[type[VendorError], str]:
    return RejectedError, f"{host} does not talk to this host; let its administrator allow it"


def _at_sender(reply: Reply, about: str, host: str) -> tuple[type[VendorError], str]:
    if reply.enhanced.startswith("5.7.") or (not reply.enhanced and reply.code in {550, 553, 554}):
        return ScopeError, f"{host} does not let this account send as {about}; grant that, or set sender"
    return RejectedError, f"{host} refuses the sender {about}"


def _at_recipient(reply: Reply, about: str, host: str) -> tuple[type[VendorError], str]:
    if reply.enhanced.startswith("5.7.") or _RELAY.search(reply.text):
        return ScopeError, f"{host} does not relay to {about} for us; grant that to this account or address"
    if reply.code in {550, 551} or reply.enhanced.startswith("5.1."):
        return NotFoundError, f"there is no mailbox {about}"
    return RejectedError, f"{host} refuses the recipient {about}"


def _at_message(reply: Reply, _: str, host: str) -> tuple[type[VendorError], str]:
    large = reply.code == 552 or reply.enhanced in {"5.2.3", "5.3.4"}
    return RejectedError, f"{host} refuses the message" + (", it is too large" if large else "")


_PERMANENT = {
    **dict.fromkeys((Step.CONNECT, Step.HELLO, Step.TLS), _at_opening),
    Step.LOGIN: _at_login,
    Step.SENDER: _at_sender,
    Step.RECIPIENT: _at_recipient,
    **dict.fromkeys((Step.DATA, Step.MESSAGE), _at_message),
}


def _cause(error: BaseException, step: Step, peer: str) -> str:
    for link in _chain(error):
        if isinstance(link, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {peer} is not trusted ({link.verify_message}); if a private CA signed it, set"
                " ca_file, else correct host to the name that it has"
            )
        if isinstance(link, ssl.SSLError):
            return f"TLS with {peer} failed ({link.reason or 'no reason given'}); check security and port"
        if isinstance(link, socket.gaierror):
            return f"the name of {peer} does not resolve; check host and DNS"
        if isinstance(link, ConnectionRefusedError):
            return f"nobody listens at {peer}; check host, port and firewalls"
        if isinstance(link, TimeoutError):
            hint = "; check that security fits the port (tls: 465, starttls: 587)" if step is Step.CONNECT else ""
            return f"{peer} did not answer in time ({step}){hint}"
    return f"the connection to {peer} broke ({step})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
