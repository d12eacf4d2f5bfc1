"""One conversation with a relay at a time, step by step, so that whoever it breaks for knows how far it had come.

The standard library's smtplib does it, called command by command in a worker thread: TLS, timeouts and replies are its
own, and no dependency comes in. Its ready-made steps are not used: ``login`` tries one wrong password with every
mechanism, which locks accounts, and ``data`` does not say whether the final dot had left.
Sources: RFC 5321; RFC 3207 (STARTTLS); RFC 4954 and RFC 4616 (AUTH, PLAIN).
"""

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from smtplib import SMTP, SMTP_SSL, SMTPException, SMTPResponseException

from nightdesk.connectors.smtp.faults import VENDOR, Reply, Step, broken, refused
from nightdesk.connectors.smtp.messages import Mail
from nightdesk.connectors.smtp.site import Site
from nightdesk.sdk.errors import AuthError, RejectedError, ResponseError, UnavailableError
from nightdesk.sdk.redaction import Redactor

__all__ = ["Delivery", "Relay"]

_PATIENCE = 4  # times the timeout, for the answer to a whole message: relays look into it first (RFC 5321, 4.5.3.2.6)
_BYTES = ("utf-8", "surrogateescape")  # an environment variable that is no UTF-8 goes out as it is
_DOT = re.compile(rb"^\.", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the relay took: its words, and by address why some recipients were refused."""

    said: str
    refused: dict[str, str] = field(default_factory=dict)


class Relay:
    """The relay of one instance. Every method blocks, opens a connection of its own and raises VendorError."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def deliver(self, mail: Mail, operation: str) -> Delivery:
        """Hands one message over, to those recipients that the relay takes; raises when it takes none."""
        with self._open(operation) as talk:
            talk.sender(self._site.sender, size=len(mail.content))
            outside = {}
            for address in mail.recipients:
                reply = talk.ask(f"RCPT TO:<{address}>", Step.RECIPIENT)
                if reply.code == 421:
                    raise refused(reply, Step.RECIPIENT, operation, about=address, host=self._site.host)
                if not reply.taken:
                    outside[address] = reply
            if len(outside) == len(mail.recipients):
                # Of several reasons the one that may pass is told: then asking again may help.
                address, reply = min(outside.items(), key=lambda pair: not pair[1].passing)
                raise refused(reply, Step.RECIPIENT, operation, about=address, host=self._site.host)
            said = talk.message(mail.content)
            return Delivery(said, {address: str(reply) for address, reply in outside.items()})

    def probe(self, operation: str) -> None:
        """Everything up to the sender, which is then taken back: nothing is sent."""
        with self._open(operation) as talk:
            talk.sender(self._site.sender)
            talk.expect("RSET", Step.SENDER)

    @contextmanager
    def _open(self, operation: str) -> Iterator["_Talk"]:
        site = self._site
        talk = _Talk(site, operation)
        try:
            talk.hello()
            if site.security == "starttls":
                talk.encrypt()
            if site.username:
                talk.login()
            yield talk
        finally:
            with suppress(OSError):  # every error of smtplib is one; what was said stays said whatever QUIT gives
                talk.client.quit()
            talk.client.close()


class _Talk:
    """One open conversation."""

    def __init__(self, site: Site, operation: str) -> None:
        self._site, self._operation = site, operation
        self._redactor = Redactor()
        try:
            if site.security == "tls":
                self.client: SMTP = SMTP_SSL(site.host, site.port, site.hello, timeout=site.timeout, context=site.trust)
            else:
                self.client = SMTP(site.host, site.port, site.hello, timeout=site.timeout)
        except SMTPResponseException as error:
            raise self._refusal(self._reply(error.smtp_code, error.smtp_error), Step.CONNECT) from None
        except OSError as error:
            raise self._broken(error, Step.CONNECT) from error

    def hello(self) -> None:
        """Says who we are, and learns what the relay can."""
        reply = self._tried(Step.HELLO, self.client.ehlo)
        if not reply.taken:
            raise self._refusal(reply, Step.HELLO)

    def encrypt(self) -> None:
        """TLS or nothing: what the relay said before is forgotten, as RFC 3207 wants."""
        if not self.client.has_extn("starttls"):
            raise RejectedError(
                f"{self._site.peer} offers no STARTTLS, so nothing is sent; set security to tls with its port, or have"
                " it offered",
                vendor=VENDOR,
                operation=self._operation,
            )
        try:
            self.client.starttls(context=self._site.trust)
        except SMTPResponseException as error:
            raise self._refusal(self._reply(error.smtp_code, error.smtp_error), Step.TLS) from None
        except (OSError, ValueError) as error:  # ValueError: a host that can be in no certificate
            raise self._broken(error, Step.TLS) from error
        self.hello()

    def login(self) -> None:
        """One try with one mechanism. Raises AuthError."""
        username, password = self._site.username, self._site.secret()
        blob = base64.b64encode(f"\0{username}\0{password}".encode(*_BYTES)).decode()
        user, word = (base64.b64encode(text.encode(*_BYTES)).decode() for text in (username, password))
        self._redactor.learn(password, blob, word)
        offered = str(self.client.esmtp_features.get("auth", "")).upper().split()
        if "PLAIN" in offered:
            reply = self.ask(f"AUTH PLAIN {blob}", Step.LOGIN)
        elif "LOGIN" in offered:
            reply = self.ask("AUTH LOGIN", Step.LOGIN)
            for answer in (user, word):
                if reply.code == 334:
                    reply = self.ask(answer, Step.LOGIN)
        else:
            raise AuthError(
                f"{self._site.peer} offers {', '.join(offered) or 'no login'}; this connector can PLAIN and LOGIN",
                vendor=VENDOR,
                operation=self._operation,
            )
        if reply.code != 235:
            raise self._refusal(reply, Step.LOGIN)

    def sender(self, address: str, size: int = 0) -> None:
        """Begins a mail."""
        told = f" SIZE={size}" if size and self.client.has_extn("size") else ""
        self.expect(f"MAIL FROM:<{address}>{told}", Step.SENDER, about=address)

    def message(self, content: bytes) -> str:
        """The message; what the relay said when it took it.

        Raises UnavailableError that says whether it was not accepted, or whether that is unknown.
        """
        reply = self.ask("DATA", Step.DATA)
        if reply.code != 354:
            raise self._refusal(reply, Step.DATA)
        try:
            self.client.send(_DOT.sub(b"..", content) + b".\r\n")
        except OSError as error:  # its last bytes never left, and they are what ends a message
            raise self._unsure(f"the connection to {self._site.peer} broke before the message was complete: it was"
                               " not accepted") from error  # fmt: skip
        if self.client.sock is not None:
            self.client.sock.settimeout(self._site.timeout * _PATIENCE)
        try:
            reply = self._reply(*self.client.getreply())
        except OSError as error:
            raise self._unsure(
                f"{self._site.peer} had the whole message and did not answer: whether it was accepted is unknown;"
                " asked again it has the same Message-ID"
            ) from error
        if not (reply.taken or 400 <= reply.code < 600):
            raise ResponseError(
                f"{self._site.peer} had the whole message and its answer is no SMTP: whether it was accepted is"
                " unknown",
                vendor=VENDOR,
                operation=self._operation,
            )
        if not reply.taken:
            raise self._refusal(reply, Step.MESSAGE)
        return str(reply)

    def expect(self, line: str, step: Step, *, about: str = "") -> None:
        """One command that must be taken."""
        reply = self.ask(line, step)
        if not reply.taken:
            raise refused(reply, step, self._operation, about=about, host=self._site.peer)

    def ask(self, line: str, step: Step) -> Reply:
        """One command and its answer, whatever it is."""
        return self._tried(step, lambda: self.client.docmd(line))

    def _tried(self, step: Step, call: Callable[[], tuple[int, bytes]]) -> Reply:
        try:
            return self._reply(*call())
        except SMTPResponseException as error:  # a line of no end
            raise self._refusal(self._reply(-1, error.smtp_error), step) from None
        except (SMTPException, OSError) as error:
            raise self._broken(error, step) from error

    def _reply(self, code: int, said: bytes | str) -> Reply:
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        return Reply(code, self._redactor.clean(text))

    def _refusal(self, reply: Reply, step: Step) -> Exception:
        return refused(reply, step, self._operation, host=self._site.peer)

    def _broken(self, error: BaseException, step: Step) -> Exception:
        return broken(error, step, self._operation, self._site.peer)

    def _unsure(self, message: str) -> UnavailableError:
        return UnavailableError(message, vendor=VENDOR, operation=self._operation)
