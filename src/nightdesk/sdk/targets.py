"""What an action is done to, as typed values that no vendor shapes.

A target has one textual form, ``kind:value`` (``host:WS-0042``, ``file:sha256:ab…``, ``address:203.0.113.7``), which
the command line reads and the journal stores. ``key`` is the normalised identity used for one-change-in-flight.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Account", "AccountQuery", "Asset", "AssetQuery", "Target"]

_HASH_NAMES = {32: "md5", 40: "sha1", 64: "sha256"}
_EVERYTHING = re.compile(r"^[\s*%?.]*$|^(all|any|none|null|true|false)$", re.IGNORECASE)
_WILD = re.compile(r"[*?]")
_NAMES = frozenset({TargetKind.HOST, TargetKind.DOMAIN, TargetKind.ACCOUNT, TargetKind.SENDER})
_HEX = re.compile(r"^[0-9a-f]+$")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4 as it is written in IPv6 (RFC 4291, 2.5.5.2)."""
_SID = re.compile(r"^S-1-\d+(-\d+)+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """One target. ``value`` is normalised; ``facts`` are further names for the same thing (hostname, device id …)."""

    kind: TargetKind
    value: str
    facts: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _normalise(self.kind, self.value))

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Reads ``kind:value``. Raises RejectedError for an unknown kind or a value that could mean everything."""
        kind, _, value = text.partition(":")
        try:
            return cls(TargetKind(kind), value)
        except ValueError:
            kinds = ", ".join(sorted(TargetKind))
            raise RejectedError(f"target {text!r}: write kind:value, kind one of {kinds}") from None

    @property
    def key(self) -> str:
        """The textual form: equal for equal targets."""
        return f"{self.kind}:{self.value}"

    def __str__(self) -> str:
        return self.key

    @property
    def account(self) -> str:
        """Whose membership or credential it is: what stands before the first slash, else all of it."""
        return self.value.partition("/")[0]

    @property
    def group(self) -> str:
        """The group of a membership ``ACCOUNT/GROUP``. Raises RejectedError for another target."""
        return self._second(TargetKind.MEMBERSHIP, "membership:ACCOUNT/GROUP")

    @property
    def key_id(self) -> str:
        """The id of a credential ``OWNER/KEY``, never its secret. Raises RejectedError for another target."""
        return self._second(TargetKind.CREDENTIAL, "credential:OWNER/KEY")

    @property
    def observable(self) -> "Target":
        """What an indicator is about: ``indicator:domain:bad.example.com``. Raises RejectedError for another target."""
        if self.kind is not TargetKind.INDICATOR:
            raise RejectedError(f"target {self.key!r}: write indicator:KIND:VALUE")
        return Target.parse(self.value)

    def _second(self, kind: TargetKind, form: str) -> str:
        second = self.value.partition("/")[2].strip()
        if self.kind is not kind or not second:
            raise RejectedError(f"target {self.key!r}: write {form}")
        return second

    def openc2(self, name: str) -> dict[str, Any]:
        """The OpenC2 target object under its OpenC2 name (exactly one key)."""
        shapes: dict[str, Any] = {
            "device": {"hostname": self.facts.get("hostname", self.value)},
            "file": {"hashes": {self.value.partition(":")[0]: self.value.partition(":")[2]}},
            "ipv4_net": self.value,
            "domain_name": self.value,
            "uri": self.value,
            "process": {"pid": int(self.facts["pid"])} if self.facts.get("pid", "").isdigit() else {"name": self.value},
        }
        if name == "ipv4_net" and ":" in self.value:
            return {"ipv6_net": self.value}
        return {name: shapes.get(name, {"uid": self.value})}


@dataclass(frozen=True, slots=True)
class AssetQuery:
    """What is known of a host when its owner among the bound vendors is looked for."""

    hostname: str = ""
    fqdn: str = ""
    address: str = ""
    device_id: str = ""

    @classmethod
    def of(cls, target: Target) -> "AssetQuery":
        """The query a host target stands for."""
        if target.kind is not TargetKind.HOST:
            raise RejectedError(f"{target.key}: only a host has an asset")
        name = target.facts.get("hostname", target.value)
        if _is_address(name):  # its dots part no name from a domain
            return cls(address=name, device_id=target.facts.get("device_id", ""))
        return cls(
            hostname=name.split(".")[0],
            fqdn=name if "." in name else "",
            address=target.facts.get("address", ""),
            device_id=target.facts.get("device_id", ""),
        )


@dataclass(frozen=True, slots=True)
class Asset:
    """One device as one vendor knows it; ``native_id`` is the vendor's immutable device id."""

    native_id: str
    hostname: str
    addresses: tuple[str, ...] = ()
    asset_type: str = "other"
    tags: tuple[str, ...] = ()
    online: bool | None = None


@dataclass(frozen=True, slots=True)
class AccountQuery:
    """What is known of an account when an identity provider is asked for it."""

    name: str = ""
    domain: str = ""
    email: str = ""
    sid: str = ""
    native_id: str = ""

    @classmethod
    def of(cls, target: Target) -> "AccountQuery":
        r"""The query that an account, membership or credential stands for.

        Read are ``jdoe``, ``CORP\jdoe``, ``jdoe@corp.example.com`` and a SID; the target's facts say the rest.
        """
        if target.kind not in {TargetKind.ACCOUNT, TargetKind.MEMBERSHIP, TargetKind.CREDENTIAL}:
            raise RejectedError(f"{target.key}: only an account has an owner at an identity provider")
        text, facts = target.account, target.facts
        domain, slash, name = text.rpartition("\\")
        sid = text if _SID.match(text) else facts.get("sid", "")
        email = text if "@" in text and not slash else facts.get("email", "")
        return cls(
            name="" if text == sid else (name if slash else text.partition("@")[0]),
            domain=domain or facts.get("domain", ""),
            email=email,
            sid=sid,
            native_id=facts.get("account_id", ""),
        )


@dataclass(frozen=True, slots=True)
class Account:
    """One account as one vendor knows it; ``native_id`` is the vendor's immutable id. None: the vendor does not say."""

    native_id: str
    name: str
    domain: str = ""
    email: str = ""
    sid: str = ""
    enabled: bool | None = None
    privileged: bool | None = None
    groups: tuple[str, ...] = ()


def _normalise(kind: TargetKind, raw: str) -> str:
    value = raw.strip()
    if _EVERYTHING.match(value):
        raise RejectedError(f"{kind} target {raw!r}: an empty or wildcard selector could mean everything")
    if kind in _NAMES and _WILD.search(value):
        raise RejectedError(f"{kind} target {raw!r}: a name with wildcards could mean many; name one")
    if kind is TargetKind.ADDRESS:
        return _address(value)
    if kind is TargetKind.FILE:
        return _file_hash(value)
    if kind is TargetKind.DOMAIN and "." not in value.strip("."):
        raise RejectedError(f"domain target {raw!r}: a top-level domain could mean everything; name one below it")
    if kind in {TargetKind.DOMAIN, TargetKind.SENDER}:
        return value.lower().rstrip(".")
    if kind is TargetKind.HOST:
        return value.lower().rstrip(".")
    return value


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _address(value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise RejectedError(f"address target {value!r}: not an IP address or network") from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED) and network.prefixlen >= 104:
        # One thing has one key: a vendor would not know the other spelling, and a rule would not find it.
        first = ipaddress.IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        network = ipaddress.IPv4Network((first, network.prefixlen - _MAPPED.prefixlen))
    if network.prefixlen < (8 if network.version == 4 else 32):
        raise RejectedError(f"address target {value!r}: a network this wide could mean everything")
    if network.num_addresses == 1:
        return str(network.network_address)
    return str(network)


def _file_hash(value: str) -> str:
    name, _, digest = value.lower().rpartition(":")
    known = _HASH_NAMES.get(len(digest))
    if known is None or not _HEX.match(digest) or name not in {"", known}:
        raise RejectedError(f"file target {value!r}: write a hash, sha256:… (64 hex digits), sha1:… or md5:…")
    return f"{known}:{digest}"
