"""Targets that name more than one thing: refused here, in one place, before anything else is asked about an action.

``Target`` refuses what is empty or has a wildcard in a name when it is made. Here stands what takes knowledge: which
networks are wide or ours, which domains are public suffixes, which accounts are everybody's, which hashes every host
has. Public suffixes are the Mozilla list's, bundled with its library and never fetched.
"""

import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList

from nightdesk.autonomy.matching import in_network
from nightdesk.autonomy.spelling import a_labels, account_name, ends_in_number, has_unseen, url_host
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Risk, TargetKind, verb

__all__ = ["NOTHING_SHARED", "Shared", "fault", "stands_for_many"]

_K = TargetKind
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4 written as IPv6 (RFC 4291, 2.5.5.2); what is one site of it is a target by its IPv4."""
_WIDEST = {4: 24, 6: 48}
"""Of a network that is acted on as one thing: what one site is given (RFC 6177 for IPv6)."""
_OURS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
"""RFC 1918, RFC 6598, RFC 4193."""
_SENSELESS = {
    "this host": ("0.0.0.0/8", "::/128"),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "reserved or broadcast": ("240.0.0.0/4",),
    "an IPv4 address inside of an IPv6 one": ("::/96", "64:ff9b::/96", "64:ff9b:1::/48"),
}
"""RFC 6890; the last are RFC 4291 (2.5.5.1), RFC 6052 and RFC 8215, of which 32 bits are all of IPv4."""
_PATTERN = re.compile(r"[\^|()\[\]{}<>;,*?%]|\\[wdsbWDSB.]|\.\+|\$(?!$)")
"""What no name of a host, account or domain has, and what regular expressions and directory filters are made of."""
_ACCOUNT_PATTERN = re.compile(r"[\^|()\[\]{}<>;,*?%]|\\(?:[wdsbWDSB](?:\+|$)|\.|.*\\)|\.\+|\$(?!$)")
"""The same of an account, where one backslash parts the realm from the name: ``CORP\\bob`` is nobody's pattern."""
_WILD = re.compile(r"[*?%]")
"""Of a group: they are called nearly anything else."""
_ODD_ADDRESS = "an IPv4 address in a form that only some can read: write its four numbers"
_LOCAL_PART = re.compile(r"[()\[\]<>;,\\\s*?\"]")
"""Of a mail address: RFC 5322 allows the other signs, and senders use them."""
_EVERYBODY = frozenset(
    [
        "everyone",
        "everybody",
        "world",
        "users",
        "all users",
        "domain users",
        "domain computers",
        "domain guests",
        "authenticated users",
        "interactive",
        "all company",
        "all employees",
        "public",
        "s-1-1-0",
        "s-1-5-4",
        "s-1-5-11",
        "s-1-5-32-545",
    ]
)
_EVERYBODY_SID = re.compile(r"^s-1-5-21-[\d-]+-(?:513|514|515)$")
"""Domain users, guests and computers."""
_HASHES = ("md5", "sha1", "sha256")
_DIGEST = re.compile(r"^(?:(?:md5|sha1|sha256):)?(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$", re.IGNORECASE)
_EMPTY = {hashlib.new(name, b"", usedforsecurity=False).hexdigest() for name in _HASHES}


@dataclass(frozen=True, slots=True)
class Shared:
    """What many unrelated parties are behind: networks of content delivery, hosts where anybody may put a page."""

    networks: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()

    def network_of(self, address: str) -> str:
        """The shared network that an address or network touches, or nothing."""
        return next((one for one in self.networks if in_network(one, address) or in_network(address, one)), "")

    def host_of(self, name: str) -> str:
        """The shared host that a name is, or nothing. A name below one is its own."""
        host = a_labels(name).removeprefix("www.")
        return host if host in self.hosts else ""


NOTHING_SHARED = Shared()


def fault(name: str, target: Target, shared: Shared = NOTHING_SHARED) -> str:
    """Why this verb is not done to this target, or nothing. What takes back and what only reads is always allowed."""
    wanted = verb(name)
    if wanted.risk < Risk.R1 or (wanted.inverse and wanted.name != wanted.family):
        return ""
    try:
        why = next(_faults(target, shared), "") or _unseen(target)
    except NightdeskError as error:  # half a membership, credential or indicator
        return f"{name}: {error}"
    return f"{name} {target.key}: {why}" if why else ""


def stands_for_many(target: Target, shared: Shared) -> str:
    """The shared network or host that the target is: meant as one thing perhaps, felt by many."""
    if target.kind is _K.INDICATOR:
        return stands_for_many(target.observable, shared)
    if target.kind is _K.ADDRESS:
        return shared.network_of(target.value)
    if target.kind in {_K.DOMAIN, _K.SENDER}:
        return shared.host_of(target.value.rpartition("@")[2]) if "@" not in target.value else ""
    return ""


def _faults(target: Target, shared: Shared) -> Iterator[str]:
    match target.kind:
        case _K.INDICATOR if target.observable.kind is _K.INDICATOR:
            yield "an indicator is about a thing, not about another indicator"
        case _K.INDICATOR:
            yield from _faults(target.observable, shared)
        case _K.ARTIFACT:
            yield from _artifact(target.value, shared)
        case _K.HOST:
            yield from _host(target.value)
        case _K.ADDRESS:
            yield from _address(target.value)
        case _K.DOMAIN:
            yield from _domain(target.value)
        case _K.URL:
            yield from _url(target.value, shared)
        case _K.SENDER:
            yield from _sender(target.value)
        case _K.ACCOUNT | _K.CREDENTIAL:
            yield from _account(target.account, "account")
        case _K.MEMBERSHIP:
            yield from _account(target.account, "account")
            yield from _account(target.group, "group")
        case _K.FILE:
            yield from _hash(target.value)
        case _:
            return


def _artifact(value: str, shared: Shared) -> Iterator[str]:
    """A URL or the hash of a file that is given away to be run; anything else is a vendor's own id, one thing."""
    if "://" in value:
        yield from _url(value, shared)
    elif _DIGEST.match(value):
        yield from _hash(value.lower())


def _host(value: str) -> Iterator[str]:
    if "/" in value:
        yield "a network is no host: name one"
    elif _is_network(value):
        yield from _address(value, ours=False)
    elif _PATTERN.search(value):
        yield "a pattern could mean many hosts: write one name"
    elif value in {"localhost", "localhost.localdomain"}:
        yield "every host is called that: write its own name"
    elif "." in value and ends_in_number(value):
        yield _ODD_ADDRESS


def _address(value: str, *, ours: bool = True) -> Iterator[str]:
    network = ipaddress.ip_network(value, strict=False)
    widest = _WIDEST[network.version]
    if network.prefixlen < widest:
        yield f"{network.num_addresses} addresses: /{widest} is the widest network that is acted on"
    if isinstance(network, ipaddress.IPv6Network) and network.overlaps(_MAPPED) and network.prefixlen < 104:
        yield "as much as all of IPv4, written as IPv6: name one address"
    for what, blocks in _SENSELESS.items():
        if any(_touch(block, value) for block in blocks):
            yield f"{what}: it means no single outside address"
    if ours and any(_touch(block, value) for block in _OURS):
        yield "an address of the inside, which means another thing in every network: act on its host instead"


def _domain(value: str) -> Iterator[str]:
    if _PATTERN.search(value) or "/" in value:
        yield "a pattern could mean many domains: write one name"
    elif _is_network(value):
        yield "an address is no domain: write address:…"
    elif ends_in_number(value):
        yield _ODD_ADDRESS
    elif _is_suffix(value):
        yield "a public suffix: everybody's domains are below it; name one of them"


def _url(value: str, shared: Shared) -> Iterator[str]:
    try:
        parts = urlsplit(value if "://" in value else f"//{value}")
        host = url_host(value)
        rest = parts.path.strip("/") or parts.query
    except ValueError as error:
        yield f"cannot be read as a URL: {error}"
        return
    if "\\" in parts.netloc:
        yield "its host is another one for every reader: write it without a backslash"
    elif not host:
        yield "a URL without a host could mean every one"
    elif _is_network(host):
        yield from _address(host, ours=False)
    elif "." in host and ends_in_number(host):
        yield _ODD_ADDRESS
    elif "*" in host or "%" in host or "." not in host:
        yield "its host could mean many: write one full name"
    elif _is_suffix(host):
        yield "its host is a public suffix: everybody's sites are below it"
    elif shared.host_of(host) and not rest:
        yield f"{host} is where many put their pages: write the whole URL, with its path"


def _sender(value: str) -> Iterator[str]:
    local, at, domain = value.rpartition("@")
    if at and (not local or _LOCAL_PART.search(local)):
        yield "a pattern could mean many senders: write one address"
    yield from _domain(domain)
    if "." not in domain:
        yield "every sender of a top-level domain: name one domain below it"


def _account(value: str, what: str) -> Iterator[str]:
    name = account_name(value)
    spaced = re.sub(r"[\s_-]+", " ", name)
    if not name:
        yield f"an empty {what} could mean everybody"
    elif spaced in _EVERYBODY or name in _EVERYBODY or _EVERYBODY_SID.match(name):
        yield f"{value} is everybody: name one {what}"
    elif (_ACCOUNT_PATTERN if what == "account" else _WILD).search(value):
        yield f"a pattern could mean many {what}s: write one name"


def _unseen(target: Target) -> str:
    """Signs that nobody sees: the name that a person reads is not the one that the vendor would look for."""
    kinds = {_K.HOST, _K.DOMAIN, _K.SENDER, _K.ACCOUNT, _K.MEMBERSHIP, _K.CREDENTIAL}
    thing = target.observable if target.kind is _K.INDICATOR else target
    return (
        "signs in it that nobody sees: write the name anew" if thing.kind in kinds and has_unseen(thing.value) else ""
    )


def _hash(value: str) -> Iterator[str]:
    digest = value.rpartition(":")[2]
    if digest in _EMPTY:
        yield "the hash of the empty file, which every host has"
    elif not digest.strip("0"):
        yield "no hash of any file: nothing but zeros"


def _touch(block: str, value: str) -> bool:
    return in_network(block, value) or in_network(value, block)


def _is_network(value: str) -> bool:
    return in_network(value, value)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()  # 40 ms, so not before the first domain


def _is_suffix(value: str) -> bool:
    return _suffixes().privatesuffix(a_labels(value).strip(".")) is None
