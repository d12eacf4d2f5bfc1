"""The last guard before a request leaves: what a signed rule says must never be touched is not touched by anybody.

The decision already proposes nothing against the protected set; this holds for a person's own command as well, which
did not pass through a decision. Taking something back is always allowed.
"""

from collections.abc import Callable, Mapping

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.protected import protection_checks
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.hub.config import TenantSettings
from nightdesk.sdk.case import Check
from nightdesk.sdk.verbs import Risk, verb

__all__ = ["never_touch"]


def never_touch(tenants: Mapping[str, TenantSettings]) -> Callable[[Action], Check]:
    """The guard over every tenant's policy."""

    def guard(action: Action) -> Check:
        wanted = verb(action.verb)
        settings = tenants.get(action.tenant)
        if settings is None or wanted.risk < Risk.R2 or wanted.name != wanted.family:
            return Check("never-touch", passed=True, value=action.target.key, limit="a containment")
        signed = settings.policy
        policy: Policy = signed.policy if isinstance(signed, SignedPolicy) else signed
        checks = protection_checks(action.target, policy, settings.assets.get(action.target.key))
        return next(check for check in checks if check.name == "never-touch")

    return guard
