"""What a tenant can be commanded to do now: the verbs whose role is bound to a connector that declares them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from nightdesk.autonomy.openc2.pairs import META, pairs_of
from nightdesk.autonomy.openc2.targets import NSID
from nightdesk.autonomy.openc2.wishes import Wish
from nightdesk.hub.config import InstanceSettings, TenantSettings
from nightdesk.sdk import manifest
from nightdesk.sdk.errors import NotFoundError, UnsupportedError
from nightdesk.sdk.verbs import VERBS, Verb, verb

__all__ = ["VERSIONS", "check_possible", "features", "possible_verbs"]

VERSIONS = ("1.0",)


def possible_verbs(tenant: TenantSettings) -> Iterator[Verb]:
    """Every verb that some bound connector declares for its role."""
    for one in VERBS.values():
        if any(one.name in instance.manifest.verbs for instance in _candidates(tenant, one)):
            yield one


def features(tenant: TenantSettings, wanted: Sequence[str], *, commands: bool, rate_limit: int) -> dict[str, Any]:
    """The results of ``query features``; ``commands`` False: this caller may only ask."""
    pairs: dict[str, set[str]] = defaultdict(set)
    for action, target in META:
        if commands or action == "query":
            pairs[action].add(target)
    for one in possible_verbs(tenant) if commands else ():
        for action, target in pairs_of(one):
            pairs[action].add(target)
    all_of: dict[str, Any] = {
        "versions": list(VERSIONS),
        "profiles": [NSID],
        "pairs": {action: sorted(targets) for action, targets in sorted(pairs.items())},
        "rate_limit": rate_limit,
    }
    return {name: all_of[name] for name in all_of if name in wanted}


def check_possible(tenant: TenantSettings, wish: Wish) -> None:
    """Raises UnsupportedError for what the bound connector cannot do as asked, NotFoundError for an unknown one."""
    wanted = verb(wish.verb)
    if wanted.role == "source" and wish.connector not in tenant.instances:
        there = ", ".join(tenant.instances) or "none"
        raise NotFoundError(f"no connector {wish.connector[:64]!r} here; there are {there}")
    bound = tenant.instances.get(wish.connector if wanted.role == "source" else tenant.roles.get(wanted.role, ""))
    if bound is None:
        raise UnsupportedError(f"{wish.verb} needs the role {wanted.role}, which no connector has here: bind one")
    declared = bound.manifest.action(wish.verb)
    missing = sorted(set(wish.parameters) - set(declared.parameters) - set(wish.accept_losses))
    if missing:
        raise UnsupportedError(
            f"{bound.name} cannot honour {', '.join(missing)} of {wish.verb}: leave it out, or accept the loss"
        )
    if (wish.lease or wish.stop_at) and not _ends(declared):
        raise UnsupportedError(f"{bound.name} cannot end {wish.verb} by itself: leave stop_time and duration out")


def _ends(declared: manifest.Action) -> bool:
    return not declared.irreversible and not declared.accept_only


def _candidates(tenant: TenantSettings, wanted: Verb) -> list[InstanceSettings]:
    if wanted.role == "source":
        return list(tenant.instances.values())
    bound = tenant.instances.get(tenant.roles.get(wanted.role, ""))
    return [bound] if bound else []
