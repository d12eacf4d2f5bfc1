"""A tenant's binding at work: its connectors, built once each, and which of them carries an action out.

A role names one instance. A host verb goes there only when that instance itself knows exactly one such asset; the
connector that acted is found again by its name, whatever the roles say by then (law 6).
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from nightdesk.autonomy.routing import Route
from nightdesk.hub.config import HubSettings, InstanceSettings
from nightdesk.hub.registry import Registry
from nightdesk.sdk.context import Clock, Context, Sleep, utc_now
from nightdesk.sdk.errors import PolicyError, UnsupportedError
from nightdesk.sdk.ports import FindsAssets
from nightdesk.sdk.targets import AssetQuery, Target
from nightdesk.sdk.verbs import TargetKind, verb

__all__ = ["Bindings"]


class Bindings:
    """Every connector of every tenant; implements the engine's ``Router``."""

    def __init__(
        self, settings: HubSettings, registry: Registry, *, clock: Clock = utc_now, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._clock = clock
        self._sleep = sleep
        self._built: dict[tuple[str, str], Any] = {}

    def instance(self, tenant: str, name: str) -> InstanceSettings:
        """One bound instance. Raises UnsupportedError that lists what the tenant has."""
        there: Mapping[str, InstanceSettings] = (
            self._settings.tenants[tenant].instances if tenant in self._settings.tenants else {}
        )
        try:
            return there[name]
        except KeyError:
            raise UnsupportedError(
                f"tenant {tenant!r} has no connector {name!r}; it has {', '.join(there) or 'none'}"
            ) from None

    def connector(self, tenant: str, name: str) -> Any:
        """The connector of that instance, built at its first use."""
        instance = self.instance(tenant, name)
        built = self._built.get((tenant, name))
        if built is None:
            context = Context(
                tenant, name, instance.settings, self._settings.network, clock=self._clock, sleep=self._sleep
            )
            built = self._registry.connector(instance.manifest.vendor, context)
            self._built[(tenant, name)] = built
        return built

    async def aclose(self) -> None:
        """Closes every connector."""
        for built in self._built.values():
            await built.aclose()
        self._built.clear()

    async def route(self, tenant: str, name: str, target: Target, source_instance: str | None) -> Route:
        """The one instance for that verb and target."""
        wanted = verb(name)
        if wanted.role == "source":
            if not source_instance:
                raise PolicyError(f"{name} of {target.key}: nobody says which connector the alert came from")
            return self._route(tenant, source_instance, name, target.value)
        role = self._role(tenant, name, wanted.role)
        native_id = await self._native_id(tenant, role, target)
        return self._route(tenant, role, name, native_id)

    async def route_to(self, tenant: str, instance: str, name: str, target: Target, native_id: str) -> Route:
        """The instance that acted, and nobody else."""
        return self._route(tenant, instance, name, native_id or target.value)

    def _role(self, tenant: str, name: str, role: str) -> str:
        settings = self._settings.tenants.get(tenant)
        bound = settings.roles.get(role) if settings else None
        if bound is None:
            raise UnsupportedError(f"tenant {tenant!r} binds no connector to the role {role!r}, which {name} needs")
        return bound

    def _route(self, tenant: str, instance: str, name: str, native_id: str) -> Route:
        found = self.instance(tenant, instance)
        return Route(
            instance=instance,
            vendor=found.manifest.vendor,
            native_id=native_id,
            action_manifest=found.manifest.action(name),
            port=self.connector(tenant, instance),
        )

    async def _native_id(self, tenant: str, instance: str, target: Target) -> str:
        """The vendor's id of a host, found and never guessed; other targets are their own id."""
        owner = target if target.kind is TargetKind.HOST else None
        if owner is None:
            device = target.facts.get("device_id", "")
            return device if target.kind is TargetKind.PROCESS else target.value
        connector = self.connector(tenant, instance)
        if not isinstance(connector, FindsAssets):
            raise UnsupportedError(f"{instance}: cannot look up hosts, so {target.key} cannot be found there")
        # A device id of another product means nothing here: the name and address are what vendors share.
        query = AssetQuery.of(Target(target.kind, target.value, {**target.facts, "device_id": ""}))
        found = list(await connector.find_asset(query))
        if len(found) != 1:
            names = ", ".join(f"{asset.hostname} ({asset.native_id})" for asset in found[:5]) or "none"
            raise PolicyError(f"{target.key}: {instance} knows {len(found)} such hosts ({names}); one is needed")
        return found[0].native_id
