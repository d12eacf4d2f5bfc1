"""What a second source's telemetry says of an effect: contradicted, confirmed, silent, blind; pure, per verb.

V1 is the vendor's *accepted*, V2 its own state read back, V3 what somebody else saw. Telemetry can be written by an
attacker, so it only ever adds caution (law 7): it contradicts, and a confirmation raises no autonomy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.verbs import TargetKind

__all__ = [
    "RULES",
    "UNWITNESSED",
    "Finding",
    "Level",
    "Rule",
    "Source",
    "Verdict",
    "counts_as_verified",
    "is_own_sensor",
    "judge",
    "overall",
    "verification_text",
    "verified_level",
    "witness_of",
]

_K, _S = SightingKind, ActionState


class Verdict(StrEnum):
    """What one witness says, the most cautious first."""

    CONTRADICTED = "contradicted"
    """It saw what cannot be if the effect were there."""
    DOUBTFUL = "doubtful"
    """It saw what may mean that; a person has to judge."""
    CONFIRMED = "confirmed"
    """It saw the effect at work."""
    SILENT = "silent"
    """It saw nothing, of a target that it saw before: weaker than a confirmation."""
    BLIND = "blind"
    """It saw nothing, and nothing before either: its silence means nothing."""
    DOWN = "down"
    """It could not be asked: nothing is assumed."""


class Level(StrEnum):
    """How far an effect is verified."""

    NONE = ""
    V1 = "V1"
    V2 = "V2"
    V3 = "V3"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a verb's effect shows in telemetry.

    ``grace``: how long after the read-back things may still trickle through. ``look_back``: how long before the effect
    a witness must have seen the target for its silence to mean anything. ``silence_tells``: what the effect looks like
    from outside is silence, so that a witness that saw the target and now does not has seen it.
    """

    contradicts: frozenset[SightingKind]
    confirms: frozenset[SightingKind]
    doubts: frozenset[SightingKind] = frozenset()
    grace: timedelta = timedelta(minutes=2)
    look_back: timedelta = timedelta(hours=24)
    silence_tells: bool = False


_FLOWS = Rule(frozenset({_K.NETWORK_FLOW}), frozenset({_K.BLOCKED_FLOW}))

RULES: Mapping[str, Rule] = {
    "host.isolate": Rule(
        frozenset({_K.NETWORK_FLOW}),
        # A drop on the way proves that the packet left the host: neither a confirmation nor a lie.
        frozenset(),
        grace=timedelta(minutes=1),
        look_back=timedelta(hours=1),
        silence_tells=True,
    ),
    # Directories are replicated, and a token lives some minutes.
    "account.disable": Rule(
        frozenset({_K.SIGN_IN}),
        frozenset({_K.SIGN_IN_REFUSED, _K.LOGON_REFUSED}),
        # A host lets people in from its cache without asking anybody.
        frozenset({_K.LOGON}),
        grace=timedelta(minutes=5),
    ),
    "ip.block": _FLOWS,
    "domain.block": _FLOWS,
    "url.block": _FLOWS,
    "file.quarantine": Rule(frozenset({_K.PROCESS_START}), frozenset({_K.PROCESS_BLOCKED}), grace=timedelta(minutes=1)),
    # Hosts obey a block list once they have fetched it.
    "hash.block": Rule(frozenset({_K.PROCESS_START}), frozenset({_K.PROCESS_BLOCKED}), grace=timedelta(minutes=15)),
}
"""The verbs whose effect a second source can see."""

_ENDS = "it takes back: what was allowed before may go on or not"
UNWITNESSED: Mapping[str, str] = {
    "host.release": _ENDS,
    "host.lift_restriction": _ENDS,
    "process.resume": _ENDS,
    "file.restore": _ENDS,
    "hash.unblock": _ENDS,
    "ip.unblock": _ENDS,
    "domain.unblock": _ENDS,
    "url.unblock": _ENDS,
    "account.enable": _ENDS,
    "account.add_to_group": _ENDS,
    "credential.restore": _ENDS,
    "email.restore": _ENDS,
    "sender.unblock": _ENDS,
    "indicator.withdraw": _ENDS,
    "host.restrict_execution": "telemetry does not tell which programs the restriction still allows",
    "host.run_script": "what a script is to do is not known",
    "process.terminate": "the program may start anew under another process id",
    "process.suspend": "a suspended process looks like an idle one",
    "account.revoke_sessions": "a new sign-in is allowed and looks the same",
    "account.reset_password": "a sign-in with the new password looks the same",
    "account.require_reauth_factors": "a sign-in with the new factor looks the same",
    "account.remove_from_group": "telemetry does not tell by which group something was allowed",
    "credential.revoke": "sign-ins do not tell which key was used",
    "email.quarantine": "no telemetry of mailboxes is asked for",
    "sender.block": "no telemetry of mailboxes is asked for",
    "indicator.publish": "what consumers do with an indicator is their own",
}
"""The other verbs from R2 up, and why no second source can see them."""

_ON_ONE_HOST = frozenset({"host.isolate", "file.quarantine"})
_ADVICE = "; it may be its own management: name that (management_peers)"
_LEFT_OPEN = frozenset({"53", "67", "68", "546", "547"})
"""Ports that isolation leaves open at the vendors: names and addresses (DNS, DHCP)."""


@dataclass(frozen=True, slots=True)
class Source:
    """What must be known of the parties to weigh what a witness saw.

    ``peers``: what an isolated host still talks to by design (addresses, networks, domains). ``acting``: what
    telemetry calls the product that acted. ``skew``: seconds that the witness's clock is ahead; beyond ``tolerated``
    its times prove nothing. ``sighted``: it saw the target before. ``grace`` replaces the rule's.
    """

    name: str
    peers: Sequence[str] = ()
    acting: Sequence[str] = ()
    skew: float = 0.0
    tolerated: float = 120.0
    sighted: bool = False
    grace: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one witness says, and a sentence with the evidence; ``sightings`` are what it rests on."""

    verdict: Verdict
    text: str
    sightings: tuple[Sighting, ...] = field(default=())


def judge(action: Action, seen: Iterable[Sighting], source: Source) -> Finding:
    """Weighs what a witness saw from the effect on. Raises KeyError for a verb without a rule."""
    rule = RULES[action.verb]
    if action.effective_at is None:
        return Finding(Verdict.BLIND, f"{source.name}: there is no effect yet")
    start = action.effective_at + (rule.grace if source.grace is None else source.grace)
    skew = timedelta(seconds=source.skew)
    later = [one for one in seen if (one.began or one.at) - skew >= start and _is_about(action, one)]
    trusted = abs(source.skew) <= source.tolerated
    against = [(one, _weight(action, one, rule, source)) for one in later]
    for verdict in (Verdict.CONTRADICTED, Verdict.DOUBTFUL):
        told = tuple(one for one, weight in against if weight is verdict)
        if told and (trusted or verdict is Verdict.DOUBTFUL):
            advice = (
                _ADVICE if verdict is Verdict.DOUBTFUL and action.verb == "host.isolate" and not source.peers else ""
            )
            return Finding(verdict, _sentence(source, action, told) + advice, told)
        if told:
            wrong = f"; its clock is {source.skew:+.0f} s off ours, so its times prove nothing"
            return Finding(Verdict.DOUBTFUL, _sentence(source, action, told) + wrong, told)
    confirming = tuple(one for one in later if one.kind in rule.confirms)
    if not trusted:
        return Finding(Verdict.BLIND, f"{source.name}: its clock is {source.skew:+.0f} s off ours")
    if confirming:
        return Finding(Verdict.CONFIRMED, _sentence(source, action, confirming), confirming)
    if source.sighted:
        return Finding(Verdict.SILENT, f"{source.name} saw {action.target.key} before, and nothing of it since")
    return Finding(Verdict.BLIND, f"{source.name} saw nothing of {action.target.key}, neither before nor since")


def is_own_sensor(one: Sighting, source: Source) -> bool:
    """True when the record is the acting product's own: what it no longer says is no second source's silence.

    What happened is told by its log as well as by anybody's (a drop, a refused sign-in), so that may confirm.
    """
    return _named(one.facts.get("sensor", ""), source.acting)


def overall(verdicts: Iterable[str]) -> Verdict:
    """What several witnesses say together: the most cautious word that anybody has a reason for."""
    given = {Verdict(one) for one in verdicts}
    return next((one for one in Verdict if one in given), Verdict.BLIND)


def witness_of(action: Action) -> Mapping[str, Any]:
    """What is recorded of the witnesses so far; empty where no second source is bound."""
    found = action.result.get("witness")
    return found if isinstance(found, Mapping) else {}


def verified_level(action: Action) -> Level:
    """V1 accepted, V2 read back, V3 seen by a second source; a contradicted effect is back at V1."""
    witness = witness_of(action)
    if action.effective_at is None or action.state is _S.CONTRADICTED:
        asked = action.accepted_at is not None or action.effective_at is not None
        return Level.V1 if asked and action.state is not _S.FAILED else Level.NONE
    verdict = witness.get("verdict")
    rule = RULES.get(action.verb)
    silence = rule is not None and rule.silence_tells and bool(witness.get("over"))
    if verdict == Verdict.CONFIRMED or (verdict == Verdict.SILENT and silence):
        return Level.V3
    return Level.V1 if verdict == Verdict.CONTRADICTED else Level.V2


def counts_as_verified(action: Action) -> bool:
    """Whether the effect may be counted as verified for earning autonomy.

    V2 always; where a second source is bound, all its looks are over, one of them could see, and none speaks against.
    """
    if verified_level(action) not in {Level.V2, Level.V3}:
        return False
    witness = witness_of(action)
    if not witness:
        return True
    return bool(witness.get("over")) and witness.get("verdict") in {Verdict.CONFIRMED, Verdict.SILENT}


def verification_text(action: Action) -> str:
    """The level as people read it, with the word of the second source and whether it is still being asked."""
    level, witness = verified_level(action), witness_of(action)
    if not level or not witness:
        return level.value
    waiting = "" if witness.get("over") or witness.get("verdict") == Verdict.CONTRADICTED else ", so far"
    return f"{level.value}, second source {witness.get('verdict', 'not asked')}{waiting}"


def _is_about(action: Action, one: Sighting) -> bool:
    """An address that another host has by now, or a hash on another host, says nothing of this target."""
    seen_by = one.facts.get("hostname", "")
    if action.target.kind is TargetKind.HOST:
        return not seen_by or _short(seen_by) == _short(action.target.facts.get("hostname", action.target.value))
    if action.verb == "file.quarantine":
        wanted = action.target.facts.get("hostname", "")
        return not seen_by or not wanted or _short(seen_by) == _short(wanted)
    return True


def _weight(action: Action, one: Sighting, rule: Rule, source: Source) -> Verdict | None:
    if one.kind in rule.doubts:
        return Verdict.DOUBTFUL
    if one.kind not in rule.contradicts:
        return None
    if one.facts.get("passage") == "unknown" or _is_a_namesake(action, one):
        return Verdict.DOUBTFUL
    match action.verb:
        case "host.isolate":
            return _flow_of_isolated(action, one, source.peers)
        case "account.disable":
            provider = one.facts.get("provider", "")
            elsewhere = provider and not _named(provider, source.acting)
            return Verdict.DOUBTFUL if elsewhere else Verdict.CONTRADICTED
        case "file.quarantine":
            here = bool(one.facts.get("hostname")) and bool(action.target.facts.get("hostname"))
            paths = {one.facts.get("path", "").lower(), action.target.facts.get("path", "").lower()} - {""}
            return Verdict.CONTRADICTED if here and len(paths) < 2 else Verdict.DOUBTFUL
        case "ip.block" if {"direction", "scope"} & action.parameters.keys():
            return Verdict.DOUBTFUL  # it may have gone where nothing was blocked
    return Verdict.CONTRADICTED


def _flow_of_isolated(action: Action, one: Sighting, peers: Sequence[str]) -> Verdict | None:
    """What leaves the host to anybody but its own management; what only comes towards it says nothing."""
    if one.facts.get("direction") == "inbound" or one.facts.get("port") in _LEFT_OPEN or _is_local(one.peer):
        return None
    name = one.facts.get("peer_name", "").lower().rstrip(".")
    networks = [peer for peer in peers if _is_network(peer)]
    domains = [peer.lower().strip(".") for peer in peers if not _is_network(peer)]
    if any(_within(one.peer, network) for network in networks):
        return None
    if any(name == domain or name.endswith(f".{domain}") for domain in domains if name):
        return None
    told_apart = bool(networks) or bool(domains and name)
    whole = action.parameters.get("mode", "full") == "full"
    outbound = one.facts.get("direction") == "outbound"
    return Verdict.CONTRADICTED if told_apart and whole and outbound else Verdict.DOUBTFUL


def _is_local(peer: str) -> bool:
    """Multicast, broadcast and link-local: never routed, and logged when merely tried; and no address at all."""
    address = _address(peer)
    if address is None:
        return False
    special = address.is_multicast or address.is_link_local or address.is_loopback or address.is_unspecified
    return special or str(address) == "255.255.255.255"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address; what a dual stack writes as IPv6 (``::ffff:192.0.2.1``, RFC 4291 2.5.5.2) is the IPv4 one."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _within(peer: str, network: str) -> bool:
    address = _address(peer)
    return address is not None and address in ip_network(network, strict=False)


def _named(text: str, names: Sequence[str]) -> bool:
    """The telemetry's word for a product begins with one of its names, as in ``acme_idp.system`` for ``acme_idp``."""
    plain = text.lower().replace(" ", "_")
    return bool(plain) and any(plain.startswith(name.lower().replace(" ", "_")) for name in names if name)


def _is_a_namesake(action: Action, one: Sighting) -> bool:
    """Both names are whole and differ: a host of that name in another domain, or the same one under two names."""
    if action.verb not in _ON_ONE_HOST:
        return False
    ours = action.target.facts.get("hostname", action.target.value if action.target.kind is TargetKind.HOST else "")
    theirs = one.facts.get("hostname", "")
    whole = [name.lower().rstrip(".") for name in (ours, theirs) if "." in name.rstrip(".") and not _is_network(name)]
    return len(set(whole)) > 1


def _short(host: str) -> str:
    return host.lower() if _is_network(host) else host.lower().split(".")[0]


def _sentence(source: Source, action: Action, told: Sequence[Sighting]) -> str:
    first = min(told, key=lambda one: one.at)
    after = ((first.began or first.at) - (action.effective_at or first.at)).total_seconds() - source.skew
    more = f", and {len(told) - 1} more" if len(told) > 1 else ""
    return f"{source.name} saw {first.text[:300]} at {first.at.isoformat()}, {after:.0f} s after the effect{more}"
