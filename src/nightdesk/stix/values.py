"""Values brought to the one form from which ids are made: addresses, names, hashes, times.

Each function returns None for what is not such a value; none raises. Caches are bounded and hold no tenant's data that
another tenant could read back (law 3): they map a text to its own normal form.
"""

import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache, wraps
from typing import TypeVar

import idna
import orjson

__all__ = [
    "address",
    "clock_text",
    "created_text",
    "domain",
    "email",
    "epoch",
    "hash_name",
    "mac",
    "moment",
    "parse_time",
    "protocol",
    "split_path",
    "url",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_T = TypeVar("_T")
_LONGEST_REMEMBERED = 256
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
# What IDNA 2008 takes (STIX 2.1 section 6.4): no underscore, no two hyphens third and fourth but in an A-label.
_DOMAIN = re.compile(
    r"^(?=.{1,253}$)((?:xn--|(?!..--))[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:xn--|(?!..--))[a-z][a-z0-9-]{0,61}[a-z0-9]$"
)
# The local parts that stix2-validator takes; RFC 5321 has more (an apostrophe), and consumers refuse them.
_LOCAL_PART = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
_HEX = re.compile(r"^[0-9a-f]+$")
_HASH_BY_LENGTH = {32: "MD5", 40: "SHA-1", 64: "SHA-256", 128: "SHA-512"}
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]")
_AUTHORITY = re.compile(r"^([^@]*@)?(\[[0-9A-Fa-f:.]+\]|[^:@\[\]]+)(:[0-9]*)?$")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What stands in its one form already, which is nearly everything: nothing is taken apart to be put together again.
_PLAIN_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?=[0-9])|$)){4}")
# Possessive throughout: what does not fit is given up at once, however it is written.
_PLAIN_URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*+://[A-Za-z0-9._~-]++(?::[0-9]*+)?+"
    r"(?:[/?](?:[A-Za-z0-9/?:@!$&'()*+,;=~._-]|%[0-9A-Fa-f]{2})*+)?+"
    r"(?:#(?:[A-Za-z0-9/?:@!$&'()*+,;=~._-]|%[0-9A-Fa-f]{2})*+)?+"
)
_PLAIN_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z")
_COUNT = re.compile(r"\d{9,19}(\.\d+)?")
_TIME = re.compile(r"^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d+))?\s*(Z|[+-]\d\d:?\d\d)?$")
# IANA service and protocol names that alerts really carry; stix2-validator refuses any other (272).
_PROTOCOLS = {
    "tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "icmp": "icmp", "1": "icmp", "ipv6-icmp": "ipv6-icmp",
    "58": "ipv6-icmp", "sctp": "sctp", "igmp": "igmp", "http": "http", "https": "https", "ssh": "ssh", "smtp": "smtp",
    "ftp": "ftp", "telnet": "telnet", "ldap": "ldap", "ldaps": "ldaps", "kerberos": "kerberos", "ntp": "ntp",
    "dns": "domain", "rdp": "ms-wbt-server", "smb": "microsoft-ds", "imap": "imap", "pop3": "pop3", "snmp": "snmp",
}  # fmt: skip


def _remembered(most: int) -> Callable[[Callable[[str], _T]], Callable[[str], _T]]:
    """Remembers results, but those of long texts: a text of a megabyte in each place would fill the memory."""

    def remembering(function: Callable[[str], _T]) -> Callable[[str], _T]:
        known = lru_cache(maxsize=most)(function)

        @wraps(function)
        def result(text: str) -> _T:
            return known(text) if len(text) <= _LONGEST_REMEMBERED else function(text)

        return result

    return remembering


@_remembered(65536)
def address(text: str) -> tuple[str, str] | None:
    """(``ipv4-addr`` | ``ipv6-addr``, RFC 5952 form); a zone index is dropped, an IPv4-mapped address is IPv4."""
    if _PLAIN_IPV4.fullmatch(text):
        return "ipv4-addr", text
    bare = text.strip().strip("[]").partition("%")[0]
    if ":" not in bare:
        return ("ipv4-addr", bare) if _PLAIN_IPV4.fullmatch(bare) else None
    try:
        parsed = ipaddress.IPv6Address(bare)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped
    return ("ipv6-addr", str(parsed)) if mapped is None else ("ipv4-addr", str(mapped))


@_remembered(65536)
def domain(text: str) -> str | None:
    """Lower case, A-label, no final dot."""
    value = text.strip().lower().removesuffix(".")
    if not value.isascii() or "xn--" in value:
        try:
            value = idna.encode(value, uts46=True).decode("ascii")
        except UnicodeError:
            return None
    return value if _DOMAIN.match(value) else None


@_remembered(16384)
def mac(text: str) -> str | None:
    """Lower case with colons."""
    digits = re.sub(r"[.:\-\s]", "", text).lower()
    if len(digits) != 12 or not _HEX.match(digits) or digits == "0" * 12:
        return None
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def email(text: str) -> str | None:
    """An address with its domain in lower case as A-labels."""
    local, _, host = text.strip().rpartition("@")
    known = domain(host) if _LOCAL_PART.fullmatch(local) else None
    return f"{local}@{known}" if known else None


def url(text: str) -> str | None:
    """An absolute URL; what no URI may hold is percent-encoded."""
    value = text.strip()
    if _PLAIN_URL.fullmatch(value):
        return value
    if not _URL.match(value):
        return None
    scheme, _, rest = value.partition("://")
    cut = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    authority = _AUTHORITY.match(_LONE_PERCENT.sub("%25", rest[:cut]))
    if authority is None:
        return None
    user, host, port = (part or "" for part in authority.groups())
    if host.startswith("["):
        known = address(host)
        if known is None or known[0] != "ipv6-addr":
            return None
    else:
        host = urllib.parse.quote(host, safe="%!$&'()*+,;=~-._")
    path, mark, fragment = _LONE_PERCENT.sub("%25", rest[cut:]).partition("#")
    path, fragment, user = (urllib.parse.quote(part, safe="%:/?@!$&'()*+,;=~-._") for part in (path, fragment, user))
    return f"{scheme}://{user}{host}{port}{path}{mark}{fragment}"


def hash_name(text: str) -> tuple[str, str] | None:
    """(name in the STIX vocabulary, lower-case digits); all zeros is how vendors write *none*."""
    value = text.strip().lower()
    name = _HASH_BY_LENGTH.get(len(value))
    if name is None or not _HEX.match(value) or not value.strip("0"):
        return None
    return name, value


def protocol(text: str) -> str | None:
    """The IANA name of a protocol name or number, if it is one that STIX consumers know."""
    return _PROTOCOLS.get(text.strip().lower())


@_remembered(65536)
def split_path(path: str) -> tuple[str, str]:
    """(directory without a trailing separator, file name); either may be empty."""
    cut = max(path.rfind("\\"), path.rfind("/"))
    if cut < 0:
        return "", path
    directory = path[:cut]
    if not directory or directory.endswith(":"):
        directory = path[: cut + 1]
    return directory, path[cut + 1 :]


def moment(text: str) -> datetime | None:
    """An ISO 8601 time with a zone, cut to microseconds, between 2000 and 2100; None otherwise."""
    try:
        if _PLAIN_TIME.fullmatch(text):
            value = datetime.fromisoformat(text)
        else:
            match = _TIME.match(text.strip())
            if match is None or match[3] is None:
                return None
            fraction = (match[2] or "")[:6].ljust(6, "0")
            zone = "+00:00" if match[3] == "Z" else match[3]
            value = datetime.fromisoformat(f"{match[1].replace(' ', 'T')}.{fraction}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return value if _EARLIEST <= value < _LATEST else None


def epoch(number: float | str) -> datetime | None:
    """A count since 1970 in seconds, ms, µs or ns (told apart by its size: the years 2000 to 2100 do not overlap)."""
    text = str(number).strip()
    try:
        if text.isdecimal():
            whole = int(text)
            scale = 10**9 if whole > 10**17 else 10**6 if whole > 10**14 else 10**3 if whole > 10**11 else 1
            seconds, rest = divmod(whole, scale)
            value = _EPOCH + timedelta(seconds=seconds, microseconds=rest * 10**6 // scale)
        else:
            whole_text, _, fraction = text.partition(".")
            value = datetime.fromtimestamp(int(whole_text), UTC).replace(microsecond=int(fraction[:6].ljust(6, "0")))
    except (ValueError, OverflowError, OSError):
        return None
    return value if _EARLIEST <= value < _LATEST else None


@_remembered(65536)
def parse_time(text: str) -> datetime | None:
    """Either of the two: an ISO time with a zone, or a count since 1970."""
    found = moment(text)
    if found is None and text[:1].isdigit() and _COUNT.fullmatch(text.strip()):
        found = epoch(text)
    return found


def clock_text(value: datetime) -> str:
    """The shortest form: no trailing zeros, no point when zero (what python-stix2 writes)."""
    # orjson writes a time five times as fast as ``isoformat`` does.
    text = orjson.dumps(value)
    return f"{text[1:27].decode().rstrip('0')}Z" if value.microsecond else f"{text[1:20].decode()}Z"


def created_text(value: datetime) -> str:
    """``created`` and ``modified``: exactly three fractional digits."""
    text = orjson.dumps(value)
    return f"{text[1:24].decode()}Z" if value.microsecond else f"{text[1:20].decode()}.000Z"
