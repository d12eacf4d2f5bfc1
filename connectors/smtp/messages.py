"""One command as one mail: plain text that says what was asked and hides nothing, in 7 bits and short lines.

Every word of an alert is an attacker's. There is no HTML in a mail of ours, so none can be smuggled into it; a line
break in a title is a space; letters that nobody sees, or that turn the others round, are spelled out.

The Message-ID is made of the idempotency key: a mail that comes twice because an answer got lost says so itself.
Sources: RFC 5322; RFC 2045 and 2047 (what is not ASCII); RFC 3834 (Auto-Submitted keeps holiday notices away).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256

from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import marker

__all__ = ["Mail", "compose"]

_TITLE, _TEXT, _WORD, _OPTIONS = 200, 100_000, 80, 25
_LINE = 78  # letters of a header line that needs no folding; the library would encode a longer id
_BREAKS = re.compile("\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_HTTP = re.compile(r"\bhttp(s?)://", re.IGNORECASE)
_OTHER = re.compile(r"\b(?!hxxps?:)([a-z][a-z0-9+.-]{1,20})://", re.IGNORECASE)
_WWW = re.compile(r"\b(www)\.", re.IGNORECASE)
_LINK = re.compile(r"https?://[!-;=?-~]{1,800}")


@dataclass(frozen=True, slots=True)
class Mail:
    """What goes over the wire, CRLF line ends and all; ``losses`` is what of the command it could not say."""

    message_id: str
    recipients: tuple[str, ...]
    content: bytes
    losses: tuple[str, ...]


def compose(command: Command, sender: str, recipients: Sequence[str], now: datetime) -> Mail:
    """The mail. Raises RejectedError for options or a link that cannot be shown, and when there is nothing to say."""
    given = command.parameters
    title = _defanged(" ".join(_shown(str(given.get("title") or "")).split()))
    text = _defanged(_shown(str(given.get("text") or "")).strip())
    if not title and not text:
        raise RejectedError(f"{command.verb}: title and text are both empty")
    losses = [
        f"{name}: cut after {most - 1:,} letters"
        for name, value, most in (("title", title, _TITLE), ("text", text, _TEXT))
        if len(value) > most
    ]
    title, text = _cut(title, _TITLE), _cut(text, _TEXT)
    options, link = _options(command), _link(command)
    if options and not link:
        losses.append("options: a mail has no buttons, and without a link it says only what can be chosen")
    severity = _cut(_word(given.get("severity")), _WORD)
    about = _cut(_word(command.case_id), _WORD)
    parts = [
        title,
        text,
        "\n".join(filter(None, (severity and f"Severity: {severity}", about and f"Case: {about}"))),
        _choice(options, link) if command.verb == "approval.request" else link and f"Open in nightdesk:\n<{link}>",
        marker(command),
    ]
    domain = sender.rpartition("@")[2].lower()
    made = EmailMessage(policy=SMTP)
    made["From"] = Address("nightdesk", addr_spec=sender)
    made["To"] = [Address(addr_spec=address) for address in recipients]
    made["Subject"] = " ".join(filter(None, (severity and f"[{severity}]", title or _cut(text.split("\n")[0], _TITLE))))
    made["Date"] = now
    made["Message-ID"] = f"<{_digest(command.tenant, command.idempotency_key)}@{domain}>"
    made["Auto-Submitted"] = "auto-generated"
    if about:
        made["X-Nightdesk-Case"] = about
        thread = f"<case.{_digest(command.tenant, command.case_id)}@{domain}>"
        if len(f"References: {thread}") <= _LINE:
            made["References"] = thread  # mails of one case are one conversation
    body = "\n\n".join(filter(None, parts)) + "\n"
    made.set_content(body, charset="utf-8", cte="quoted-printable")
    return Mail(str(made["Message-ID"]), tuple(recipients), made.as_bytes(), tuple(losses))


def _digest(*parts: str) -> str:
    return sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()[:24]


def _choice(options: Sequence[str], link: str) -> str:
    words = "\n".join(f"- {option}" for option in options)
    how = f"Decide in nightdesk, an answer to this mail is not read:\n<{link}>" if link else (
        "Decide in nightdesk; an answer to this mail is not read."
    )  # fmt: skip
    return f"To choose from:\n{words}\n\n{how}"


def _options(command: Command) -> list[str]:
    if command.verb != "approval.request":
        return []
    raw = command.parameters.get("options") or ("approve", "reject")
    options = [_word(option) for option in raw] if isinstance(raw, Sequence) and not isinstance(raw, str) else []
    if not 0 < len(options) <= _OPTIONS or not all(0 < len(option) <= _WORD for option in options):
        raise RejectedError(f"options {raw!r:.200}: write 1 to {_OPTIONS} texts of at most {_WORD} letters")
    if len(set(options)) < len(options):
        raise RejectedError(f"options {raw!r:.200}: two are the same, so nobody could tell which was meant")
    return options


def _link(command: Command) -> str:
    link = str(command.parameters.get("link") or "")
    if link and not _LINK.fullmatch(link):
        raise RejectedError(f"link {link[:80]!r}: write an http or https address in ASCII without spaces, < or >")
    return link


def _word(value: object) -> str:
    return _defanged(" ".join(_shown(str(value or "")).split()))


def _shown(text: str) -> str:
    """The text with plain line ends, and every letter that would not be seen as its number."""
    lines = _BREAKS.sub("\n", text)
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) not in _HIDDEN else _spelled(letter)
        for letter in lines
    )


def _spelled(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def _defanged(text: str) -> str:
    """Addresses that nobody should follow by a slip of the finger."""
    text = _HTTP.sub(lambda found: f"hxxp{found[1].lower()}://", text)
    return _WWW.sub(r"\1[.]", _OTHER.sub(r"\1[:]//", text))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
