"""What must never be sent to a third party: addresses and names of one's own networks, and credentials in URLs."""

from ipaddress import ip_address, ip_network

import httpx

__all__ = ["Privacy"]

# Special-purpose address registries of IANA, without those for documentation, which mean nothing to anybody.
_OWN = tuple(
    ip_network(text)
    for text in (
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
)
# RFC 6762, RFC 8375, RFC 6761, ICANN's reservation of .internal, and what companies use besides.
_SUFFIXES = ("local", "internal", "home.arpa", "localhost", "localdomain", "lan", "corp", "home", "intranet", "private")


class Privacy:
    """What may be sent. ``domains``: names that are one's own, comma-separated."""

    def __init__(self, domains: str) -> None:
        own = (part.strip().lower().strip(".") for part in domains.split(","))
        self._suffixes = (*_SUFFIXES, *(name for name in own if name))

    def allows_address(self, text: str) -> bool:
        """Whether an address belongs to the public."""
        address = ip_address(text)
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            address = mapped
        return not any(address.version == network.version and address in network for network in _OWN)

    def allows_name(self, name: str) -> bool:
        """Whether a name can belong to the public: it has a dot, and no ending of one's own."""
        text = name.lower().strip(".")
        return "." in text and not any(text == suffix or text.endswith(f".{suffix}") for suffix in self._suffixes)

    def allows_url(self, text: str) -> bool:
        """Whether a URL leads to a public host and carries no credentials."""
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError):
            return False
        if not url.host or url.userinfo:
            return False
        try:
            return self.allows_address(url.host)
        except ValueError:
            return self.allows_name(url.host)
