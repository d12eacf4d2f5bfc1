"""The target types of the language as models: what each may hold, and nothing else.

Source: OpenC2 Language Specification 1.0, section 3.4. Extended targets name the thing by ``uid``.
"""

import ipaddress
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from nightdesk.sdk.verbs import VERBS

__all__ = [
    "NSID",
    "STANDARD",
    "TARGETS",
    "Artifact",
    "CommandId",
    "Device",
    "File",
    "Hashes",
    "Payload",
    "Process",
    "Thing",
    "is_command_id",
    "is_email",
    "is_hostname",
    "is_uri",
]

NSID = "x-nightdesk"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f\x7f]+")
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+")
_COMMAND_ID = re.compile(r"[^\s\x00-\x1f\x7f]{1,36}")
_NAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,253}")


def is_hostname(text: str) -> bool:
    """An RFC 1123 name; the underscore is taken as well, because Windows has it."""
    return _HOSTNAME.fullmatch(text) is not None


def is_uri(text: str) -> bool:
    """A scheme and something behind it."""
    return _URI.fullmatch(text) is not None


def is_email(text: str) -> bool:
    """One address, of which the mail system says whether it exists."""
    return _EMAIL.fullmatch(text) is not None


def is_command_id(text: str) -> bool:
    """1 to 36 characters without white space."""
    return _COMMAND_ID.fullmatch(text) is not None


def _must(test: Any, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not test(value):
            raise ValueError(f"is no {what}")
        return value

    return AfterValidator(check)


def _ascii(test: Any) -> Any:
    return lambda text: text.isascii() and test(text)


def _is_net(version: int) -> Any:
    def test(text: str) -> bool:
        try:
            return ipaddress.ip_network(text, strict=False).version == version
        except ValueError:
            return False

    return test


Text = Annotated[str, StringConstraints(min_length=1, max_length=65536)]
Hostname = Annotated[Text, _must(is_hostname, "hostname (RFC 1123)")]
IdnHostname = Annotated[Text, _must(_NAME.fullmatch, "hostname (RFC 5890)")]
Uri = Annotated[Text, _must(_ascii(is_uri), "URI (RFC 3986): write scheme:…")]
Iri = Annotated[Text, _must(is_uri, "IRI (RFC 3987): write scheme:…")]
EmailAddr = Annotated[Text, _must(_ascii(is_email), "mail address (RFC 5322)")]
IdnEmailAddr = Annotated[Text, _must(is_email, "mail address (RFC 6531)")]
CommandId = Annotated[str, _must(is_command_id, "command id: 1 to 36 characters without white space")]
Feature = Literal["versions", "profiles", "pairs", "rate_limit"]


def _hex(digits: int) -> Any:
    return Annotated[str, StringConstraints(pattern=rf"^[0-9A-Fa-f]{{{digits}}}$")]


class _Map(BaseModel):
    """A structure with at least one of its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"holds nothing: give one of {', '.join(type(self).model_fields)}")
        return self


class Hashes(_Map):
    """Hashes of one content."""

    md5: _hex(32) | None = None  # type: ignore[valid-type]  # a constraint made for each length
    sha1: _hex(40) | None = None  # type: ignore[valid-type]  # see above
    sha256: _hex(64) | None = None  # type: ignore[valid-type]  # see above


class Device(_Map):
    """A device. ``device_id`` belongs to one inventory, so a name is needed as well."""

    hostname: Hostname | None = None
    idn_hostname: IdnHostname | None = None
    device_id: Text | None = None


class File(_Map):
    """A file by content, place or name."""

    name: Text | None = None
    path: Text | None = None
    hashes: Hashes | None = None


class Process(_Map):
    """A running program."""

    pid: Annotated[int, Field(ge=0, le=2**53)] | None = None
    name: Text | None = None
    cwd: Text | None = None
    executable: File | None = None
    parent: "Process | None" = None
    command_line: Text | None = None


class Payload(_Map):
    """An artifact's content, or where it lies."""

    bin: Text | None = None
    url: Uri | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.bin is not None and self.url is not None:
            raise ValueError("give bin or url, not both")
        return self


class Artifact(_Map):
    """A file-like object or a link to it."""

    mime_type: Text | None = None
    payload: Payload | None = None
    hashes: Hashes | None = None


class Thing(_Map):
    """An extended target of ours: ``uid`` is the value of the verb's target; a mail is in one mailbox or in all."""

    uid: Text
    mailbox: Text | None = None


_OWN = {f"{NSID}:{name}" for name in ("artifact", "device", "domain", "sender", "url")} | {
    one.openc2[1] for one in VERBS.values() if ":" in one.openc2[1]
}

TARGETS: Mapping[str, TypeAdapter[Any]] = MappingProxyType(
    {
        "artifact": TypeAdapter(Artifact),
        "command": TypeAdapter(CommandId),
        "device": TypeAdapter(Device),
        "domain_name": TypeAdapter(Hostname),
        "email_addr": TypeAdapter(EmailAddr),
        "features": TypeAdapter(Annotated[list[Feature], Field(max_length=10)]),
        "file": TypeAdapter(File),
        "idn_domain_name": TypeAdapter(IdnHostname),
        "idn_email_addr": TypeAdapter(IdnEmailAddr),
        "ipv4_net": TypeAdapter(Annotated[Text, _must(_is_net(4), "IPv4 address or network (RFC 4632)")]),
        "ipv6_net": TypeAdapter(Annotated[Text, _must(_is_net(6), "IPv6 address or network (RFC 4291)")]),
        "iri": TypeAdapter(Iri),
        "process": TypeAdapter(Process),
        "uri": TypeAdapter(Uri),
        **{name: TypeAdapter(Thing) for name in sorted(_OWN)},
    }
)
"""Every target that is understood, and how its value is checked."""

STANDARD = frozenset(
    {*(name for name in TARGETS if ":" not in name), "ipv4_connection", "ipv6_connection", "mac_addr", "properties"}
)
"""Every target of the language."""
