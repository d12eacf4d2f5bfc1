"""Devices and accounts that a bound product knows; asked in its ordinary lane, so that no action waits behind it."""

from collections.abc import Callable, Sequence
from typing import Any

from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.enrichment import AssetFact, Fact, IdentityFact
from nightdesk.sdk.manifest import Audience, Manifest
from nightdesk.sdk.ports import FindsAccounts, FindsAssets
from nightdesk.sdk.targets import Account, AccountQuery, Asset, AssetQuery, Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Inventory"]


class Inventory:
    """One bound instance."""

    def __init__(self, connector: Callable[[], Any], manifest: Manifest, shares: Audience | None) -> None:
        """``connector`` builds it at its first use."""
        self.audience: Audience = shares or manifest.shares
        kinds = {EntityKind.HOST} if manifest.finds_assets else set()
        self.kinds = frozenset(kinds | ({EntityKind.ACCOUNT} if manifest.finds_accounts else set()))
        self._connector = connector

    async def aclose(self) -> None:
        """The connector is the binding's to close."""

    async def look_up(self, entity: Entity) -> Sequence[Fact]:
        """Every device or account of that name; several are all told."""
        connector = self._connector()
        if entity.kind is EntityKind.HOST and isinstance(connector, FindsAssets):
            # A device id of another product means nothing here.
            target = Target(TargetKind.HOST, entity.value, {**entity.facts, "device_id": ""})
            return [_asset(one) for one in await connector.find_asset(AssetQuery.of(target))]
        if entity.kind is EntityKind.ACCOUNT and isinstance(connector, FindsAccounts):
            target = Target(TargetKind.ACCOUNT, entity.value, {**entity.facts, "account_id": ""})
            return [_identity(one) for one in await connector.find_account(AccountQuery.of(target))]
        return ()


def _asset(found: Asset) -> AssetFact:
    kind = "" if found.asset_type == "other" else found.asset_type
    return AssetFact(asset_type=kind, tags=found.tags, native_id=found.native_id)


def _identity(found: Account) -> IdentityFact:
    return IdentityFact(name=found.name, privileged=found.privileged, enabled=found.enabled, groups=tuple(found.groups))
