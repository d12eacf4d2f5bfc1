"""Before a look-up leaves the house: who would learn of what is asked, against what its marking allows."""

import ipaddress
from urllib.parse import urlsplit

from nightdesk.autonomy.matching import in_network
from nightdesk.autonomy.sharing import PAP, TLP, strictest, too_wide
from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.manifest import Audience

__all__ = ["inside", "refusal"]

_INSIDE = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "::/127",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)
"""RFC 6890 without the networks of examples, which mean nothing to anybody."""
_OWN_NAMES = (
    "local",
    "internal",
    "home.arpa",
    "localhost",
    "localdomain",
    "lan",
    "corp",
    "home",
    "intranet",
    "private",
)
"""RFC 6762, RFC 8375, RFC 6761, ICANN's reservation of .internal, and what companies use besides."""


def inside(entity: Entity) -> bool:
    """Whether it means something only within the tenant's own network, so that no outsider could know it.

    Told to a source of intelligence it would give away how the network is built, or the credentials in a URL.
    """
    if entity.kind is EntityKind.ADDRESS:
        return _own_address(entity.value)
    if entity.kind is EntityKind.DOMAIN:
        return _own_name(entity.value)
    if entity.kind is not EntityKind.URL:
        return False
    try:
        parts = urlsplit(entity.value)
        host = parts.hostname or ""
    except ValueError:
        return True
    return "@" in parts.netloc or _own_address(host) or (not _is_address(host) and _own_name(host))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _own_address(text: str) -> bool:
    return any(in_network(network, text) for network in _INSIDE)


def _own_name(text: str) -> bool:
    name = text.lower().strip(".")
    return "." not in name or any(name == end or name.endswith(f".{end}") for end in _OWN_NAMES)


def refusal(entity: Entity, audience: Audience, tlp: str, pap: str, *, own_product: bool = False) -> str:
    """Why it may not be asked there, or nothing. ``tlp`` and ``pap`` are the tenant's; an entity's own count too.

    ``own_product``: the tenant's own console is asked about what it watches itself, which tells nobody anything new.
    Anybody else is a third party: PAP has to let third parties be asked, and TLP:AMBER+STRICT, which stays inside the
    organisation, takes a person's word; no machine gives it, so such a source is asked only where an operator
    wrote ``shares: none`` for it.
    """
    if audience == "none":
        return ""
    marking = strictest(TLP, tlp, entity.facts.get("tlp", ""))
    if too_wide(audience, marking) or (marking == "amber+strict" and not own_product):
        return f"TLP:{marking.upper()}, and it would be learnt of by: {audience}"
    permitted = strictest(PAP, pap, entity.facts.get("pap", ""))
    if not own_product and PAP.index(permitted) > PAP.index("amber"):
        return f"PAP:{permitted.upper()} lets nobody outside be asked"
    return ""
