"""Which pairs of action and target stand for which verb; of verbs that share one, an argument tells which."""

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

from nightdesk.autonomy.openc2.targets import NSID
from nightdesk.sdk.errors import MappingError, UnsupportedError
from nightdesk.sdk.verbs import VERBS, TargetKind, Verb, verb

__all__ = ["DEFAULTS", "META", "PAIRS", "choose", "pairs_of"]

_ALSO: Mapping[TargetKind, tuple[str, ...]] = {
    TargetKind.ADDRESS: ("ipv6_net",),
    TargetKind.DOMAIN: ("idn_domain_name", f"{NSID}:domain"),
    TargetKind.URL: ("iri", f"{NSID}:url"),
    TargetKind.SENDER: ("idn_email_addr", f"{NSID}:sender"),
    TargetKind.ARTIFACT: ("uri", "iri", "file", f"{NSID}:artifact"),
}
"""Further target types of the same thing; ours carry what the language's own type has no room for."""

META = (("query", "features"), ("query", "command"), ("cancel", "command"))
"""Pairs that are about commands and not about a verb."""


def pairs_of(wanted: Verb) -> tuple[tuple[str, str], ...]:
    """Every pair that means this verb, its own first."""
    action, target = wanted.openc2
    also = _ALSO.get(wanted.target, ())
    if target == "device":
        also = (f"{NSID}:device",)
    return ((action, target), *((action, name) for name in also))


def _all() -> Mapping[tuple[str, str], tuple[Verb, ...]]:
    found: dict[tuple[str, str], list[Verb]] = defaultdict(list)
    for one in VERBS.values():
        for pair in pairs_of(one):
            found[pair].append(one)
    return MappingProxyType({pair: tuple(verbs) for pair, verbs in found.items()})


PAIRS = _all()
"""Every pair and its verbs."""

DEFAULTS: Mapping[tuple[str, str], str] = {("stop", "process"): "process.terminate"}
"""What a shared pair means when nothing tells: the language's own meaning of the action."""


def choose(action: str, target: str, named: str) -> Verb:
    """The verb of that pair. Raises UnsupportedError when there is none, MappingError when it is not told which."""
    there = PAIRS.get((action, target), ())
    if not there:
        fitting = sorted({other for one, other in PAIRS if one == action})
        hint = f"{action} is done to {', '.join(fitting)}" if fitting else f"nothing here is done by {action}"
        raise UnsupportedError(f"no verb is {action}:{target}; {hint}")
    names = [one.name for one in there]
    if named:
        if named not in names:
            raise _untold(f"{action}:{target} is {' or '.join(names)}, not {named[:64]!r}")
        return verb(named)
    if len(there) == 1:
        return there[0]
    if (action, target) in DEFAULTS:
        return verb(DEFAULTS[(action, target)])
    raise _untold(f"{action}:{target} may be {', '.join(names)}: say which")


def _untold(message: str) -> MappingError:
    return MappingError(message, pointer=f"/args/{NSID}/verb", source="OpenC2 command")
