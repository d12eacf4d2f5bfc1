"""The protected set: what containment never touches, recognised in several ways because each one alone is forgotten."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.matching import forms, glob, in_network
from nightdesk.autonomy.policy import Policy
from nightdesk.sdk.case import Check
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["is_service_account", "is_shared_address", "protection_checks"]

_ROLES = frozenset(
    [
        "domain-controller",
        "dc",
        "dns",
        "dhcp",
        "idp",
        "identity-provider",
        "adfs",
        "pki",
        "certificate-authority",
        "hypervisor",
        "virtualization",
        "backup",
        "edr",
        "siem",
        "firewall",
        "gateway",
        "router",
        "switch",
        "jump-host",
        "jumphost",
        "bastion",
        "payment",
        "pci",
        "pos",
        "ot",
        "ics",
        "scada",
        "plc",
        "medical",
        "safety",
        "break-glass",
        "breakglass",
        "emergency-access",
        "service-account",
        "mssp",
        "crown-jewel",
        "vip",
    ]
)
"""Words in the tags of an inventory."""
_HOST_NAMES = frozenset(
    [
        "dc",
        "adc",
        "rodc",
        "pdc",
        "bdc",
        "dns",
        "dhcp",
        "adfs",
        "idp",
        "pki",
        "hypervisor",
        "vmhost",
        "backup",
        "bkp",
        "jump",
        "jumphost",
        "bastion",
        "siem",
        "edr",
        "fw",
        "firewall",
        "gw",
        "gateway",
        "router",
        "switch",
        "scada",
        "plc",
    ]
)
"""Parts of a host's short name between digits and separators (``dc01``, ``backup-2``)."""
_ASSET_TYPES = frozenset({"network-device", "identity-provider", "cloud-account", "iot"})
_SERVICE_ACCOUNTS = frozenset(
    [
        "system",
        "root",
        "localsystem",
        "local-service",
        "localservice",
        "network-service",
        "networkservice",
        "anonymous-logon",
        "anonymous",
        "krbtgt",
        "guest",
        "defaultaccount",
        "wdagutilityaccount",
        "nobody",
        "daemon",
        "www-data",
        "iusr",
        "trustedinstaller",
        "administrator",
        "s-1-5-18",
        "s-1-5-19",
        "s-1-5-20",
        "breakglass",
        "break-glass",
        "emergency",
    ]
)
_SERVICE_PREFIXES = (
    "svc_",
    "svc-",
    "svc.",
    "sa_",
    "gmsa_",
    "dwm-",
    "umfd-",
    "msol_",
    "aad_",
    "breakglass",
    "break-glass",
)


def protection_checks(target: Target, policy: Policy, facts: AssetFacts | None) -> tuple[Check, ...]:
    """The checks that must pass before a containment of this target may even be proposed."""
    touched = (target, *_owners(target))
    rules = list(dict.fromkeys(rule for one in touched for rule, text in _forbidden(one, policy) if text))
    told = f"{target.key}: rule {', '.join(rules)}" if rules else target.key
    why = next((text for one in touched for text in _protected(one, facts)), "")
    sane = next(_senseless(target), "")
    return (
        Check("never-touch", not rules, told, "no never_touch rule names it"),
        Check("protected", not why, f"{target.key}: {why}" if why else target.key, "not in the protected set"),
        Check("selector", not sane, f"{target.key}: {sane}" if sane else target.key, "means exactly one thing"),
    )


def _owners(target: Target) -> Iterator[Target]:
    """Whose it is: the account of a membership or key, the host that a process or file is on."""
    if target.kind in {TargetKind.MEMBERSHIP, TargetKind.CREDENTIAL} and target.account:
        yield Target(TargetKind.ACCOUNT, target.account, target.facts)
    host = target.facts.get("hostname", "")
    if host and target.kind in {TargetKind.PROCESS, TargetKind.FILE}:
        yield Target(TargetKind.HOST, host, target.facts)


def is_service_account(value: str) -> bool:
    """Whether this account name is a machine's, a service's or one that everybody has."""
    folded = re.split(r"[\\/]", value.strip().lower())[-1].partition("@")[0]
    return (
        folded.endswith("$")
        or re.sub(r"[\s_]+", "-", folded) in _SERVICE_ACCOUNTS
        or folded.startswith(_SERVICE_PREFIXES)
    )


@lru_cache(maxsize=16384)
def is_shared_address(value: str) -> bool:
    """Whether an address says nothing about who: loopback, link-local, multicast, or the usual place of a gateway."""
    try:
        parsed = ipaddress.ip_address(value)
    except ValueError:
        return True
    if parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        return True
    if parsed.version == 4 and parsed == ipaddress.IPv4Address("255.255.255.255"):
        return True
    # Carrier-grade NAT (RFC 6598) stands for many; .1 and .254 of a private network are where gateways live.
    if parsed.version == 4 and in_network("100.64.0.0/10", value):
        return True
    return parsed.version == 4 and _internal(value) and value.rpartition(".")[2] in {"0", "1", "254", "255"}


def _internal(text: str) -> bool:
    networks = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
    return any(in_network(network, text) for network in networks)


def _forbidden(target: Target, policy: Policy) -> Iterator[tuple[str, str]]:
    names = forms(target.kind, target.value, target.facts)
    for rule, protected in policy.never_touch:
        lists: dict[TargetKind, Iterable[str]] = {
            TargetKind.HOST: protected.assets,
            TargetKind.PROCESS: protected.assets,
            TargetKind.ACCOUNT: protected.accounts,
            TargetKind.SENDER: (*protected.accounts, *protected.domains),
            TargetKind.DOMAIN: protected.domains,
            TargetKind.URL: protected.domains,
        }
        texts = [*names, *_hosts_in(target)]
        hits = [text for text in texts for pattern in lists.get(target.kind, ()) if glob(pattern, text)]
        hits += [text for text in texts for network in protected.addresses if _overlaps(network, text)]
        if hits:
            yield rule, hits[0]


def _hosts_in(target: Target) -> Iterator[str]:
    """The domain inside a URL or mail address, and the domains above it."""
    host = ""
    if target.kind is TargetKind.URL:
        host = re.sub(r"^[a-z][a-z0-9+.-]*://(?:[^/@]*@)?", "", target.value.lower())
        host = re.split(r"[/:?#]", host)[0]
    elif target.kind is TargetKind.SENDER:
        host = target.value.rpartition("@")[2].lower()
    elif target.kind is TargetKind.DOMAIN:
        host = target.value
    while "." in host:
        yield host
        host = host.partition(".")[2]


def _overlaps(network: str, text: str) -> bool:
    return in_network(network, text) or in_network(text, network)


def _protected(target: Target, facts: AssetFacts | None) -> Iterator[str]:
    for tag in facts.tags if facts else ():
        words = f"-{re.sub(r'[^a-z0-9]+', '-', tag.lower())}-"
        if any(f"-{role}-" in words for role in _ROLES):
            yield f"tag {tag}"
    if target.kind is TargetKind.HOST:
        types = {facts.asset_type if facts else "", target.facts.get("asset_type", "")}
        yield from (f"asset type {text}" for text in sorted(types & _ASSET_TYPES))
        # Only its names: a device id may hold any word.
        for name in (target.value, target.facts.get("hostname", ""), target.facts.get("fqdn", "")):
            parts = set(re.split(r"[^a-z]+", name.partition(".")[0].lower()))
            yield from (f"its name says {text}" for text in sorted(parts & _HOST_NAMES))
    if target.kind is TargetKind.ACCOUNT:
        texts = (target.value, *(target.facts[key] for key in ("login", "uid") if key in target.facts))
        if any(is_service_account(text) for text in texts):
            yield "a service, machine or emergency account"
    if target.kind is TargetKind.ADDRESS and _internal(target.value):
        yield "an internal address"


def _senseless(target: Target) -> Iterator[str]:
    if target.kind is TargetKind.ADDRESS and is_shared_address(target.value):
        yield "no single outside address"
    if target.kind is TargetKind.URL and "." not in next(_hosts_in(target), ""):
        yield "a URL without a host"
