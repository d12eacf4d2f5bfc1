"""Which addresses are a company's own, and which are somebody else's: only those can be an attacker's to block.

Addresses for documentation (RFC 5737, RFC 3849) count as somebody else's: an invented alert reads like a real one.
"""

import ipaddress
from functools import lru_cache
from typing import Final

from nightdesk.stix import values

__all__ = ["is_inside", "is_outside"]

_INSIDE: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        # Private use (RFC 1918, RFC 4193), carrier-grade NAT (RFC 6598), link-local, loopback.
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "100.64.0.0/10", "169.254.0.0/16", "fe80::/10",
        "127.0.0.0/8", "::1/128",
    )
)  # fmt: skip
_NOBODYS: Final = tuple(
    # Unspecified, multicast, limited broadcast (RFC 6890).
    ipaddress.ip_network(text)
    for text in ("0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32")
)


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
    found = ipaddress.ip_address(address)
    for place, networks in (("inside", _INSIDE), ("nobody", _NOBODYS)):
        if any(found in network for network in networks if network.version == found.version):
            return place
    return "outside"
