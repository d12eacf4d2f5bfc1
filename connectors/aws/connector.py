"""The AWS connector: findings in, triage and containment out, each effect read from AWS's own state."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from nightdesk.connectors.aws import health, sweep
from nightdesk.connectors.aws.accounts import Accounts
from nightdesk.connectors.aws.addresses import Addresses, Wall
from nightdesk.connectors.aws.client import VENDOR, Aws, words
from nightdesk.connectors.aws.guardduty import Found, GuardDuty
from nightdesk.connectors.aws.hosts import Hosts
from nightdesk.connectors.aws.instances import Instances
from nightdesk.connectors.aws.ip_sets import ARN, IpSet
from nightdesk.connectors.aws.network_acls import NetworkAcl
from nightdesk.connectors.aws.security_hub import SecurityHub
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, NotFoundError, Problem, RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import start_of
from nightdesk.sdk.targets import Account, AccountQuery, Asset, AssetQuery
from nightdesk.sdk.triage import Wish

__all__ = ["Connector"]

_GUARDDUTY, _HUB = "guardduty", "security_hub"
_GROUP = re.compile(r"sg-[0-9a-f]{8,17}")
_ACL = re.compile(r"acl-[0-9a-f]{8,17}")
_MOST_OVERLAP = 7 * 24 * 60  # minutes


class Connector:
    """One AWS account in its regions."""

    def __init__(self, context: Context) -> None:
        self._context = context
        settings = context.settings
        groups = {mode: words(settings.text(name)) for mode, name in _GROUP_SETTINGS.items()}
        acls, sets = words(settings.text("network_acls")), words(settings.text("waf_ip_sets"))
        minutes = settings.integer("overlap_minutes", 30)
        problems = [
            *(("isolation_groups", name) for names in groups.values() for name in names if not _GROUP.fullmatch(name)),
            *(("network_acls", name) for name in acls if not _ACL.fullmatch(name)),
            *(("waf_ip_sets", name) for name in sets if not ARN.fullmatch(name)),
            *([] if 1 <= minutes <= _MOST_OVERLAP else [("overlap_minutes", str(minutes))]),
        ]
        if problems:
            raise ConfigError([Problem(context.instance, key, f"{text!r}: {_FORMS[key]}") for key, text in problems])
        start_of(context)
        self._overlap = timedelta(minutes=minutes)
        self._aws = Aws(context)
        minimum = settings.text("minimum_severity", "informational")
        self._desks: dict[str, GuardDuty | SecurityHub] = {}
        if settings.flag(_GUARDDUTY, default=True):
            self._desks[_GUARDDUTY] = GuardDuty(self._aws, minimum)
        if settings.flag(_HUB, default=True):
            self._desks[_HUB] = SecurityHub(self._aws, minimum)
        self._instances = Instances(self._aws)
        self._hosts = Hosts(self._aws, self._instances, groups)
        self._accounts = Accounts(self._aws, passwords=settings.flag("delete_login_profile"))
        walls: list[Wall] = [*(NetworkAcl(self._aws, name) for name in acls), *(IpSet(self._aws, arn) for arn in sets)]
        self._addresses = Addresses(walls)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._aws.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Findings by their updates, region after region; nothing of a service that is not in use here."""
        desk = self._desk(stream)
        if desk is None:
            yield Batch((), cursor)
            return
        regions, start = self._aws.regions, start_of(self._context)
        position = sweep.position_of(cursor, start=start, regions=regions, overlap=self._overlap)
        async for batch in sweep.read(desk.shape, desk.page, regions, position, limit):
            yield batch

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The finding as it is now."""
        desk = self._desk(stream)
        if desk is None:
            raise UnsupportedError(f"{VENDOR}: {stream} is switched off in the settings")
        found = await desk.find(native_id)
        return desk.shape.record(found.document, found.raw)

    async def write_back(self, command: Command) -> Receipt:
        """Archives, resolves, judges or notes a finding, where it is not so yet."""
        wish = Wish.of(_written(command))
        desk, found = await self._finding(command.native_id)
        return await desk.write(found, command, wish)

    async def act(self, command: Command) -> Receipt:
        """Changes an instance's groups, a user or a key, or the rules for an address."""
        match command.verb:
            case "host.isolate":
                return await self._hosts.isolate(command)
            case "host.release":
                return await self._hosts.release(command)
            case "account.disable":
                return await self._accounts.disable(command)
            case "account.enable":
                return await self._accounts.enable(command)
            case "credential.revoke" | "credential.restore":
                return await self._accounts.set_key(command)
            case "ip.block":
                return await self._addresses.block(command)
            case "ip.unblock":
                return await self._addresses.unblock(command)
        raise _undeclared(command)

    async def read_back(self, command: Command) -> Reading:
        """The instance's groups, the user's policy and keys, the rules, or the finding, as AWS shows them now."""
        state: Mapping[str, Any]
        match command.verb.partition(".")[0]:
            case "host":
                effect, state, native = await self._hosts.effect(command)
            case "account" | "credential":
                effect, state, native = await self._accounts.effect(command)
            case "ip":
                effect, state, native = await self._addresses.effect(command)
            case "alert":
                wish = Wish.of(_written(command))
                desk, found = await self._finding(command.native_id)
                effect = Effect.NOT_IN_EFFECT if desk.missing(found, wish) else Effect.IN_EFFECT
                state, native = desk.state(found), desk.native(found)
            case _:
                raise _undeclared(command)
        return Reading(effect, self._context.clock(), state, native)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """By instance id, else by Name tag or private DNS name, else by address."""
        return await self._instances.find(query)

    async def find_account(self, query: AccountQuery) -> Sequence[Account]:
        """By the user's id, else by name."""
        return await self._accounts.find(query)

    async def check_health(self) -> Health:
        """Who we are, then one read of each service in each region."""
        return await health.check(self._context, self._aws, self._desks)

    def _desk(self, stream: str) -> GuardDuty | SecurityHub | None:
        if stream not in {_GUARDDUTY, _HUB}:
            raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there are {_GUARDDUTY}, {_HUB}")
        return self._desks.get(stream)

    async def _finding(self, native_id: str) -> tuple[GuardDuty | SecurityHub, Found]:
        """The finding and whose it is: GuardDuty's ids have a form of their own, the hub's may have any."""
        if not native_id:
            raise RejectedError("no finding is named", vendor=VENDOR, operation="read finding")
        for desk in self._desks.values():
            if desk.knows(native_id):
                try:
                    return desk, await desk.find(native_id)
                except NotFoundError:
                    continue
        raise NotFoundError(f"no finding {native_id!r}", vendor=VENDOR, operation="read finding")


_GROUP_SETTINGS = {"full": "isolation_groups", "selective": "selective_groups"}
_FORMS = {
    "isolation_groups": "is no security group; write names like sg-0123456789abcdef0",
    "network_acls": "is no network ACL; write names like acl-0123456789abcdef0",
    "waf_ip_sets": "is no ARN of an IP set; write arn:aws:wafv2:REGION:ACCOUNT:regional/ipset/NAME/ID",
    "overlap_minutes": f"must be 1 to {_MOST_OVERLAP}",
}


def _written(command: Command) -> Command:
    if command.verb not in {"alert.set_disposition", "alert.comment"}:
        raise _undeclared(command)
    return command


def _undeclared(command: Command) -> UnsupportedError:
    return UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
