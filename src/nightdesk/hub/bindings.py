"""A tenant's binding at work: its connectors, built once each, and which of them carries an action out.

A role names one instance. A host verb goes there only when that instance itself knows exactly one such asset; the
connector that acted is found again by its name, whatever the roles say by then (law 6).
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from nightdesk.autonomy.routing import Route
from nightdesk.hub.config import HubSettings, InstanceSettings
from nightdesk.hub.registry import Registry
from nightdesk.sdk.context import Clock, Context, Sleep, utc_now
from nightdesk.sdk.errors import PolicyError, UnsupportedError
from nightdesk.sdk.ports import FindsAccounts, FindsAssets
from nightdesk.sdk.targets import Account, AccountQuery, Asset, AssetQuery, Target
from nightdesk.sdk.verbs import TargetKind, verb

__all__ = ["Bindings"]

_ON_HOSTS = frozenset({"file.quarantine", "file.restore", "file.fetch"})
"""Verbs on a file that is on one host; of the others a hash is its own id."""
_OF_ACCOUNTS = frozenset({TargetKind.ACCOUNT, TargetKind.MEMBERSHIP, TargetKind.CREDENTIAL})


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
        self._skews: dict[tuple[str, str], float] = {}

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
                tenant,
                name,
                instance.settings,
                self._settings.network,
                clock=self._clock,
                sleep=self._sleep,
                on_skew=partial(self._skews.__setitem__, (tenant, name)),
            )
            built = self._registry.connector(instance.manifest.vendor, context)
            self._built[(tenant, name)] = built
        return built

    def skew(self, tenant: str, name: str) -> float:
        """Seconds that an instance's vendor is ahead of our clock, by its last dated answer; 0 while it gave none."""
        settings = self._settings.tenants.get(tenant)
        instance = settings.instances.get(name) if settings else None
        owner = instance.shared if instance is not None else None
        return self._skews.get(owner or (tenant, name), 0.0)

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
        if wanted.target is TargetKind.PERSON and source_instance:
            return self._route(tenant, source_instance, name, target.value)  # people are told where they were named
        role = self._role(tenant, name, wanted.role)
        native_id, found = await self._native_id(tenant, role, name, target)
        return self._route(tenant, role, name, native_id, found)

    async def route_to(self, tenant: str, instance: str, name: str, target: Target, native_id: str) -> Route:
        """The instance that acted, and nobody else."""
        # A ticket has an id of its own; until it has one it is found by its case.
        itself = target.facts.get("ticket", "") if target.kind is TargetKind.CASE else target.value
        return self._route(tenant, instance, name, native_id or itself)

    def bound(self, tenant: str, name: str, role: str) -> str:
        """The instance in that role, which the verb needs. Raises UnsupportedError."""
        return self._role(tenant, name, role)

    def planned(self, tenant: str, name: str, instance: str) -> Route:
        """The way a verb would go there; nobody is asked, so the vendor's id of the target is missing."""
        return self._route(tenant, instance, name, "")

    def _role(self, tenant: str, name: str, role: str) -> str:
        settings = self._settings.tenants.get(tenant)
        bound = settings.roles.get(role) if settings else None
        if bound is None:
            raise UnsupportedError(f"tenant {tenant!r} binds no connector to the role {role!r}, which {name} needs")
        return bound

    def _route(
        self, tenant: str, instance: str, name: str, native_id: str, found: Asset | Account | None = None
    ) -> Route:
        bound = self.instance(tenant, instance)
        return Route(
            instance=instance,
            vendor=bound.manifest.vendor,
            native_id=native_id,
            action_manifest=bound.manifest.action(name),
            port=self.connector(tenant, instance),
            found=found,
            shares=bound.shares or bound.manifest.audience(name),
        )

    async def _native_id(
        self, tenant: str, instance: str, name: str, target: Target
    ) -> tuple[str, Asset | Account | None]:
        """The vendor's id of a host or an account with what it says of it, found and never guessed.

        Other targets are their own id.
        """
        connector = self.connector(tenant, instance)
        found: Sequence[Asset | Account]
        if target.kind is TargetKind.HOST or target.kind is TargetKind.PROCESS or name in _ON_HOSTS:
            found = await self._assets(connector, instance, target)
        elif target.kind in _OF_ACCOUNTS:
            found = await self._accounts(connector, instance, target)
        elif target.kind is TargetKind.CASE:
            return target.facts.get("ticket", ""), None
        else:
            return target.value, None
        if len(found) != 1:
            names = ", ".join(f"{_label(one)} ({one.native_id})" for one in found[:5]) or "none"
            things = "accounts" if target.kind in _OF_ACCOUNTS else "hosts"
            raise PolicyError(f"{target.key}: {instance} knows {len(found)} such {things} ({names}); one is needed")
        return found[0].native_id, found[0]

    async def _assets(self, connector: Any, instance: str, target: Target) -> Sequence[Asset]:
        if not isinstance(connector, FindsAssets):
            raise UnsupportedError(f"{instance}: cannot look up hosts, so {target.key} cannot be found there")
        host = target.value if target.kind is TargetKind.HOST else target.facts.get("hostname", "")
        if not host:
            raise PolicyError(f"{target.key}: nobody says on which host it is")
        # A device id of another product means nothing here: the name and address are what vendors share.
        query = AssetQuery.of(Target(TargetKind.HOST, host, {**target.facts, "device_id": ""}))
        return await connector.find_asset(query)

    async def _accounts(self, connector: Any, instance: str, target: Target) -> Sequence[Account]:
        if not isinstance(connector, FindsAccounts):
            raise UnsupportedError(f"{instance}: cannot look up accounts, so {target.key} cannot be found there")
        query = AccountQuery.of(Target(target.kind, target.value, {**target.facts, "account_id": ""}))
        return await connector.find_account(query)


def _label(one: Asset | Account) -> str:
    return one.hostname if isinstance(one, Asset) else one.name
