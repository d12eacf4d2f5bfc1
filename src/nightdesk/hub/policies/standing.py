"""Which policy decides in a tenant now: the configured one, or one that is being rolled out and verified there."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import structlog
from sqlalchemy import Connection

from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.rollout import Rollout
from nightdesk.autonomy.signing import SignedPolicy, verify
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.store import Store, rollouts
from nightdesk.sdk.errors import ConfigError

__all__ = ["Standing", "plain"]

_log = structlog.get_logger(__name__)


def plain(policy: SignedPolicy | Policy) -> Policy:
    """The policy without its signatures."""
    return policy.policy if isinstance(policy, SignedPolicy) else policy


class Standing(Mapping[str, Policy]):
    """Every tenant's. As a mapping it is what the guards ask: what either policy keeps hands off counts there."""

    def __init__(self, tenants: Mapping[str, TenantSettings], store: Store) -> None:
        self._tenants = tenants
        self._store = store
        self._verified: dict[tuple[str, str], SignedPolicy | str] = {}
        self._rolled: dict[str, Policy] = {}

    def of(self, conn: Connection, tenant: TenantSettings) -> SignedPolicy | Policy:
        """What decides there, read in the transaction of the decision."""
        slug = tenant.scope.slug
        rollout = rollouts.current(conn)
        if rollout is None or not rollout.decides(slug, plain(tenant.policy).sha256):
            self._rolled.pop(slug, None)
            return tenant.policy
        found = self.verified(conn, rollout, tenant)
        if isinstance(found, str):
            # The policy of before is what a person signed for this tenant; the watch stops the rollout.
            _log.error("rollout not verified", tenant=slug, problem=found)
            return tenant.policy
        self._rolled[slug] = found.policy
        return found

    def verified(self, conn: Connection, rollout: Rollout, tenant: TenantSettings) -> SignedPolicy | str:
        """The policy of a rollout as this tenant's signers signed it, or why it is not."""
        key = (tenant.scope.slug, rollout.sha256)
        if key not in self._verified:
            found = rollouts.text(conn, rollout.sha256)
            try:
                if found is None:
                    raise ConfigError([])  # noqa: TRY301  # told below, with the others
                made = verify(found.policy, found.sidecar, tenant.signers, file=rollout.policy_id)
            except ConfigError as error:
                self._verified[key] = str(error) or "its text is not in the store"
            else:
                same = made.policy.sha256 == rollout.sha256
                self._verified[key] = made if same else "its text is not the one that was rolled out"
        return self._verified[key]

    def refresh(self) -> None:
        """Learns what is being rolled out, for the guards of a process that has decided nothing yet."""
        with self._store.read() as conn:
            for tenant in self._tenants.values():
                self.of(conn, tenant)

    def rules(self) -> frozenset[str]:
        """The rules of what is being rolled out: they can be stopped like any."""
        return frozenset(rule.id for policy in self._rolled.values() for rule in policy.rules)

    def __getitem__(self, tenant: str) -> Policy:
        configured = plain(self._tenants[tenant].policy)
        rolled = self._rolled.get(tenant)
        if rolled is None:
            return configured
        more = tuple(rule for rule in rolled.rules if rule.then.never_touch is not None)
        return replace(configured, rules=(*configured.rules, *more))

    def __iter__(self) -> Iterator[str]:
        return iter(self._tenants)

    def __len__(self) -> int:
        return len(self._tenants)
