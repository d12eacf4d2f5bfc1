"""What every part of the oversight needs: store, tenants with their people and secrets, the clock, the demands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from nightdesk.autonomy.approvals import Rules
from nightdesk.autonomy.levels.requirements import DEFAULTS, Demands
from nightdesk.autonomy.levels.units import Unit
from nightdesk.hub.api.view import Principal
from nightdesk.hub.approvals.settings import rules_of
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.oversight.facts import Knowledge, Surroundings, no_knowledge
from nightdesk.hub.store import Store
from nightdesk.hub.switching import person
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import PolicyError

__all__ = ["Office"]

_PURPOSE = "oversight"


@dataclass(frozen=True, slots=True)
class Office:
    """Every tenant's. It keeps nothing between two calls."""

    store: Store
    tenants: Mapping[str, TenantSettings]
    clock: Clock
    surroundings: Surroundings = field(default_factory=Surroundings)
    demands: Demands = DEFAULTS

    @classmethod
    def of(
        cls,
        store: Store,
        tenants: Mapping[str, TenantSettings],
        clock: Clock,
        *,
        knowledge: Callable[[Connection, Unit], Knowledge] = no_knowledge,
        demands: Demands = DEFAULTS,
    ) -> "Office":
        """One for these tenants. ``knowledge`` is what the model says of a unit."""
        return cls(store, tenants, clock, Surroundings(knowledge), demands)

    def key(self, tenant: str) -> bytes:
        """The secret that draws of that tenant depend on. Raises PolicyError for a tenant that is not configured."""
        return self._tenant(tenant).scope.key.secret(_PURPOSE)

    def rules(self, tenant: str) -> Rules:
        """The tenant's people."""
        return rules_of(self.tenants, tenant)

    def known(self, tenant: str, name: str) -> Principal | None:
        """The principal of that tenant and name as configured now."""
        return person(self.tenants)(tenant, name)

    def principal(self, tenant: str, name: str) -> Principal:
        """The same. Raises PolicyError for nobody."""
        found = self.known(tenant, name)
        if found is None:
            raise PolicyError(f"nobody is called {name!r} at {tenant}; write the name of a credential as configured")
        return found

    def is_same(self, tenant: str, one: str, other: str) -> bool:
        """Whether both names are one human."""
        return self.rules(tenant).is_same(one, other)

    def _tenant(self, tenant: str) -> TenantSettings:
        found = self.tenants.get(tenant)
        if found is None:
            raise PolicyError(f"there is no tenant {tenant!r}; there are {', '.join(self.tenants)}")
        return found
