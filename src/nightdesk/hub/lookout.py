"""The facts around an action, from the tenant's configuration, the journal and what the connector just said.

What has to be asked of a vendor was asked on the way to the route; here nothing waits, so that what is counted is still
so when the request is journalled.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from nightdesk.autonomy.actions import Action, ActionState, Journal
from nightdesk.autonomy.admission import contains
from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.protected import bearer
from nightdesk.autonomy.radius import FAMILIES, bucket
from nightdesk.autonomy.routing import Route
from nightdesk.autonomy.selectors import Shared, stands_for_many
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.autonomy.surroundings import Surroundings
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.store import Store
from nightdesk.hub.store.contained import Contained, contained
from nightdesk.sdk.targets import Account, Asset, Target
from nightdesk.sdk.verbs import Risk, TargetKind, verb

__all__ = ["HubLookout", "plain_policy"]

_NOBODY = Contained(0, 0)
_Rate = Callable[[str, datetime], tuple[int, float]]
"""Alerts of a tenant in the last hour, and the median of its hours."""


class HubLookout:
    """Every tenant's; implements the engine's ``Lookout``."""

    def __init__(
        self, tenants: Mapping[str, TenantSettings], store: Store, journal: Journal, shared: Shared, rate: _Rate
    ) -> None:
        self._tenants = tenants
        self._store = store
        self._journal = journal
        self._shared = shared
        self._rate = rate

    def survey(self, action: Action, route: Route, now: datetime) -> Surroundings:
        """The facts now; of what only reads or tells, those that the gates need."""
        tenant = self._tenants.get(action.tenant)
        if tenant is None:
            return Surroundings()
        last_hour, median = self._rate(action.tenant, now)
        plain = Surroundings(
            alerts_last_hour=last_hour,
            alerts_hour_median=median,
            tlp=tenant.scope.tlp,
            pap=tenant.pap,
            shared_with=route.shares,
            limits=tenant.limits,
        )
        if verb(action.verb).risk < Risk.R2:
            return plain
        felt = bearer(action.verb, action.target)
        sent = self._contained(action, now)
        return replace(
            plain,
            inventory=tenant.assets.get(felt.key) or tenant.assets.get(felt.key.lower()),
            vendor=tenant.namesakes.warned(felt, _told(route.found)),
            shared_as=stands_for_many(action.target, self._shared),
            sent_last_hour=sent.hour,
            sent_last_day=sent.day,
            fleet_size=tenant.namesakes.hosts,
            approved_at=self._approved_at(action),
            change_windows=_open(tenant, felt, now),
            tells_tlp="tlp" in route.action_manifest.parameters,
            policy_sha256=plain_policy(tenant.policy).sha256,
        )

    def _contained(self, action: Action, now: datetime) -> Contained:
        if not contains(action):
            return _NOBODY
        with self._store.read() as conn:
            return contained(conn, action, FAMILIES[bucket(action.verb)], now)

    def _approved_at(self, action: Action) -> datetime | None:
        """When it was let go the last time."""
        found, before = None, None
        for line in self._journal.history(action.tenant, action.action_id):
            if line.state is ActionState.APPROVED and before is not ActionState.APPROVED:
                found = line.at
            before = line.state
        return found


def plain_policy(policy: SignedPolicy | Policy) -> Policy:
    """The policy without its signatures: what it forbids holds unsigned as well."""
    return policy.policy if isinstance(policy, SignedPolicy) else policy


def _told(found: Asset | Account | None) -> AssetFacts | None:
    """What the connector said of who feels it."""
    if isinstance(found, Asset):
        names = (found.hostname, *found.addresses)
        return AssetFacts(asset_type=found.asset_type, tags=found.tags, names=tuple(filter(None, names)))
    if isinstance(found, Account):
        names = (found.name, found.email)
        return AssetFacts(
            privileged=bool(found.privileged),
            groups=found.groups,
            names=tuple(filter(None, names)),
            asked=found.privileged is not None,
        )
    return None


def _open(tenant: TenantSettings, felt: Target, now: datetime) -> tuple[str, ...]:
    windows = [window.name for window in tenant.change_windows if window.open_at(now)]
    if felt.kind is TargetKind.HOST:
        windows += [work.window.name for work in tenant.maintenance if work.touches(felt, now)]
    return tuple(windows)
