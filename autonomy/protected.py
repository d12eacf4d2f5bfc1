"""The protected set: what containment never touches, recognised in several ways because each one alone is forgotten."""

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.matching import in_network
from nightdesk.autonomy.never_touch import ACCOUNT_FACTS, forbidden
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.privilege import mighty_group, serving_port
from nightdesk.autonomy.selectors import fault
from nightdesk.autonomy.spelling import account_name, url_host, words
from nightdesk.sdk.case import Check
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = [
    "PLAIN_TYPES",
    "PROTECTED_TYPES",
    "bearer",
    "is_service_account",
    "is_shared_address",
    "protected",
    "protection_checks",
]

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
        "jump-server",
        "jumpserver",
        "jump-box",
        "domaincontroller",
        "crownjewel",
        "serviceaccount",
        "certificateauthority",
        "identityprovider",
        "emergencyaccess",
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
PROTECTED_TYPES = frozenset({"network-device", "identity-provider", "cloud-account", "iot"})
PLAIN_TYPES = frozenset({"workstation", "virtual-machine", "mobile"})
"""One person's device: what is none of these is no machine's to contain."""
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
_BUILT_IN = re.compile(r"^s-1-5-21-[\d-]+-(?:500|501|502|503|504)$")
"""Administrator, Guest, krbtgt, DefaultAccount, WDAGUtilityAccount of every domain (MS-DTYP 2.4.2.4)."""
_LETTERS = re.compile(r"[a-z]+")
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


def protection_checks(target: Target, policy: Policy, *known: AssetFacts | None, name: str = "") -> tuple[Check, ...]:
    """The checks that must pass before a containment of this target may even be proposed; ``name`` is its verb."""
    felt = bearer(name, target)
    why = protected(felt, *(facts for facts in known if facts is not None))
    sane = next(_senseless(target), "") or (fault(name, target) if name else "")
    return (
        forbidden(felt, policy),
        Check("protected", not why, f"{target.key}: {why}" if why else target.key, "not in the protected set"),
        Check("selector", not sane, f"{target.key}: {sane}" if sane else target.key, "means exactly one thing"),
    )


def bearer(name: str, target: Target) -> Target:
    """Who feels it: a process's or a file's host, a key's owner, what an indicator is about; else the target itself."""
    kind, facts = target.kind, target.facts
    if kind is TargetKind.PROCESS or name.startswith("file."):
        host = facts.get("hostname", "")
        return Target(TargetKind.HOST, host, facts) if host else target
    if kind in {TargetKind.MEMBERSHIP, TargetKind.CREDENTIAL} and target.account:
        return Target(TargetKind.ACCOUNT, target.account, facts)
    return target.observable if kind is TargetKind.INDICATOR else target


def protected(target: Target, *known: AssetFacts) -> str:
    """Why the target belongs to the protected set, by what each source says of it; or nothing."""
    return next(_protected(target, known), "")


def is_service_account(value: str) -> bool:
    """Whether this account name is a machine's, a service's or one that everybody has."""
    folded = account_name(value)
    return (
        folded.endswith("$")
        or _BUILT_IN.match(folded) is not None
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


def _protected(target: Target, known: tuple[AssetFacts, ...]) -> Iterator[str]:
    yield from (f"tag {tag}" for facts in known for tag in facts.tags if _says_role(tag))
    if target.kind is TargetKind.HOST:
        yield from _protected_host(target, known)
    if target.kind is TargetKind.ACCOUNT:
        texts = [target.value, *(target.facts.get(key, "") for key in ACCOUNT_FACTS)]
        texts += [text for facts in known for text in facts.names]
        if any(is_service_account(text) for text in texts):
            yield "a service, machine or emergency account"
        for facts in known:
            if facts.privileged:
                yield "a privileged account"
            group = mighty_group(facts.groups)
            if group:
                yield f"member of {group}"
    if target.kind is TargetKind.ADDRESS and _internal(target.value):
        yield "an internal address"


def _protected_host(target: Target, known: tuple[AssetFacts, ...]) -> Iterator[str]:
    types = {target.facts.get("asset_type", ""), *(facts.asset_type for facts in known)}
    yield from (f"asset type {text}" for text in sorted(types & PROTECTED_TYPES))
    # Only its names: a device id may hold any word.
    names = (target.value, target.facts.get("hostname", ""), target.facts.get("fqdn", ""))
    for name in dict.fromkeys((*names, *(text for facts in known for text in facts.names))):
        parts = set(_LETTERS.findall(name.partition(".")[0].lower()))
        yield from (f"its name says {text}" for text in sorted(parts & _HOST_NAMES))
    yield from filter(None, (serving_port(facts.ports) for facts in known))


@lru_cache(maxsize=4096)
def _says_role(tag: str) -> bool:
    return not _ROLES.isdisjoint(words(tag))


def _senseless(target: Target) -> Iterator[str]:
    if target.kind is TargetKind.ADDRESS and is_shared_address(target.value):
        yield "no single outside address"
    if target.kind is TargetKind.URL and not url_host(target.value):
        yield "a URL without a host"
