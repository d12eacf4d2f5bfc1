"""Which addresses are a company's own, and which are somebody else's: only those can be an attacker's to block.

Addresses for documentation (RFC 5737, RFC 3849) count as somebody else's: an invented alert reads like a real one.
"""

import ipaddress
from functools import lru_cache
from typing import Final

from nightdesk.stix import values

__all__ = ["is_inside", "is_outside"]

_NETWORKS: Final = {
    # Private use (RFC 1918, RFC 4193), carrier-grade NAT (RFC 6598), link-local, loopback.
    "10.0.0.0/8": "inside", "172.16.0.0/12": "inside", "192.168.0.0/16": "inside", "fc00::/7": "inside",
    "100.64.0.0/10": "inside", "169.254.0.0/16": "inside", "fe80::/10": "inside", "127.0.0.0/8": "inside",
    "::1/128": "inside",
    # Unspecified, multicast, limited broadcast (RFC 6890).
    "0.0.0.0/8": "nobody", "::/128": "nobody", "224.0.0.0/4": "nobody", "ff00::/8": "nobody",
    "255.255.255.255/32": "nobody",
}  # fmt: skip


def _ranges(version: int) -> tuple[tuple[int, int, str], ...]:
    """First and last address of each network of a version, as numbers, and whose they are."""
    networks = [(ipaddress.ip_network(text), place) for text, place in _NETWORKS.items()]
    of_version = [(found, place) for found, place in networks if found.version == version]
    return tuple((int(found[0]), int(found[-1]), place) for found, place in of_version)


_RANGES_4: Final = _ranges(4)
_RANGES_6: Final = _ranges(6)


def is_inside(text: str | None) -> bool:
    """True for an address that a company gives to its own machines; False for what is no address."""
    return _place(text) == "inside"


def is_outside(text: str | None) -> bool:
    """True for an address that is one other machine's on the Internet; False for what is no address."""
    return _place(text) == "outside"


def _place(text: str | None) -> str:
    known = values.address(text) if text is not None else None
    return _place_of(known[1]) if known is not None else ""


@lru_cache(maxsize=65536)
def _place_of(address: str) -> str:
    if ":" in address:
        number, ranges = int(ipaddress.IPv6Address(address)), _RANGES_6
    else:
        number, ranges = int.from_bytes(map(int, address.split(".")), "big"), _RANGES_4
    for first, last, place in ranges:
        if first <= number <= last:
            return place
    return "outside"
