"""Agents: which one a name stands for, network isolation and scans, with the agent's own report as the only truth."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.sentinelone.client import VENDOR, Console
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["VIEW", "Hosts"]

VIEW = "Endpoints: View"
_ACTIONS: Mapping[str, tuple[str, str, str, str]] = {
    # Verb: path, permission, status once it is so, status on the way.
    "host.isolate": ("disconnect", "Endpoints: Disconnect from network", "disconnected", "disconnecting"),
    "host.release": ("connect", "Endpoints: Reconnect", "connected", "connecting"),
}
_STATUSES = frozenset({"connected", "connecting", "disconnected", "disconnecting"})
_SCAN = "Endpoints: Initiate scan"
_VALUE = re.compile(r"[\w.:-]+")  # a comma would be two values
_KINDS = {"server": "server", "desktop": "workstation", "laptop": "workstation", "kubernetes node": "server"}


class Hosts:
    """The agents that the token sees."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def isolate(self, command: Command) -> Receipt:
        """Asks for isolation or its end, unless the agent is already so or on its way."""
        lost = _losses(command)
        path, permission, *wanted = _ACTIONS[command.verb]
        before = str((await self._agent(command.native_id)).get("networkStatus", ""))
        evidence = {"status_before": before}
        ours = command.began_otherwise("isolated", command.verb == "host.isolate")
        if before in wanted:
            return Receipt(command.native_id, changed=ours, losses=lost, evidence=evidence)
        reached = await self._console.change(f"/agents/actions/{path}", [command.native_id], {}, permission=permission)
        if not reached:
            # Somebody was faster, or the agent is not eligible: its own status tells which.
            agent = await self._agent(command.native_id)
            if str(agent.get("networkStatus", "")) not in wanted:
                raise _unreached(agent, path)
            return Receipt(command.native_id, changed=ours, losses=lost, evidence=evidence)
        return Receipt(command.native_id, losses=lost, evidence=evidence)

    async def isolation(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """How far the isolation is, whether it holds, and the vendor's word for it."""
        _losses(command)
        _, _, done, pending = _ACTIONS[command.verb]
        agent = await self._agent(command.native_id)
        status = str(agent.get("networkStatus", ""))
        # An agent that is still to be connected again is isolated until it is.
        state = {"isolated": status in {"disconnected", "connecting"}, "status": status, **_online(agent)}
        if status == done:
            return Effect.IN_EFFECT, state, status
        if status == pending:
            return Effect.PENDING, state, status
        return (Effect.NOT_IN_EFFECT if status in _STATUSES else Effect.UNKNOWN), state, status

    async def scan(self, command: Command) -> Receipt:
        """Starts a full scan, unless one runs or has ended since it was asked for."""
        command.only()
        agent = await self._agent(command.native_id)
        evidence = {"status_before": str(agent.get("scanStatus", ""))}
        if self._scanned(agent, command) is Effect.IN_EFFECT:
            ours = command.began_otherwise("scan_started_at", str(agent.get("scanStartedAt") or ""))
            return Receipt(command.native_id, changed=ours, evidence=evidence)
        reached = await self._console.change("/agents/actions/initiate-scan", [command.native_id], {}, permission=_SCAN)
        if (
            not reached
            and self._scanned(agent := await self._agent(command.native_id), command) is not Effect.IN_EFFECT
        ):
            raise _unreached(agent, "initiate-scan")
        return Receipt(command.native_id, evidence=evidence)

    async def scanning(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether a scan runs or has ended since it was asked for."""
        command.only()
        agent = await self._agent(command.native_id)
        status = str(agent.get("scanStatus") or "none")
        state = {"scan": status, "scan_started_at": str(agent.get("scanStartedAt") or ""), **_online(agent)}
        return self._scanned(agent, command), state, status

    async def find(self, query: AssetQuery) -> Sequence[Asset]:
        """Every agent that the query fits and that is not retired."""
        found: list[Mapping[str, Any]] = []
        if query.device_id:
            name = "ids" if query.device_id.isdecimal() else "uuids"
            found = await self._search(name, query.device_id)
        names = {name.casefold() for name in (query.hostname, query.fqdn) if name}
        if not found and names:
            # The console finds parts of names without regard to case: so asked, then compared.
            short = min(names, key=len)
            found = [row for row in await self._search("computerName__contains", short) if names & _names(row)]
        elif not found and query.address:
            rows = await self._search("networkInterfaceInet__contains", query.address)
            found = [row for row in rows if query.address in _addresses(row)]
        live = [row for row in found if not (row.get("isDecommissioned") or row.get("isUninstalled"))]
        return [_asset(row) for row in {str(row.get("id")): row for row in live}.values()]

    def _scanned(self, agent: Mapping[str, Any], command: Command) -> Effect:
        status = agent.get("scanStatus")
        asked = int(self._console.as_vendor(command.requested_at).timestamp()) * SECOND
        if status == "started":
            return Effect.IN_EFFECT
        if status == "finished" and (instant(agent.get("scanFinishedAt")) or 0) >= asked:
            return Effect.IN_EFFECT
        if status == "aborted" and (instant(agent.get("scanAbortedAt")) or 0) >= asked:
            return Effect.FAILED
        return Effect.NOT_IN_EFFECT

    async def _search(self, name: str, value: str) -> list[Mapping[str, Any]]:
        if not _VALUE.fullmatch(value):
            raise RejectedError(f"{name} {value!r} cannot be searched for", vendor=VENDOR, operation="find host")
        params = {name: value, **self._console.narrowed}
        return await self._console.every("/agents", params, operation="find host", permission=VIEW)

    async def _agent(self, native_id: str) -> Mapping[str, Any]:
        if not (native_id.isascii() and native_id.isdecimal()):
            raise RejectedError(f"{native_id!r} is no id of an agent", vendor=VENDOR, operation="read host")
        rows = await self._console.every("/agents", {"ids": native_id}, operation="read host", permission=VIEW)
        found = [row for row in rows if str(row.get("id")) == native_id]
        if not found:
            raise NotFoundError(f"no agent {native_id}", vendor=VENDOR, operation="read host", status=404)
        agent: Mapping[str, Any] = found[0]
        return agent


def _losses(command: Command) -> tuple[str, ...]:
    command.only(*(("mode",) if command.verb == "host.isolate" else ()))
    mode = command.parameters.get("mode", "full")
    return () if mode == "full" else (f"mode={mode}: SentinelOne cuts off the whole host, but for its console",)


def _unreached(agent: Mapping[str, Any], path: str) -> RejectedError:
    why = "it is decommissioned" if agent.get("isDecommissioned") else "is it within the token's accounts and sites?"
    message = f"agent {agent.get('id')} was not reached; {why}"
    return RejectedError(message, vendor=VENDOR, operation=f"agents actions {path}")


def _online(agent: Mapping[str, Any]) -> dict[str, bool]:
    return {"online": agent.get("isActive") is True}


def _names(agent: Mapping[str, Any]) -> set[str]:
    name, domain = (str(agent.get(key) or "").casefold() for key in ("computerName", "domain"))
    return {name, f"{name}.{domain}"} if domain else {name}


def _addresses(agent: Mapping[str, Any]) -> list[str]:
    cards = agent.get("networkInterfaces")
    found = [card.get(kind) for card in cards if isinstance(card, dict) for kind in ("inet", "inet6")] if cards else []
    return [str(address) for part in found if isinstance(part, list) for address in part]


def _asset(agent: Mapping[str, Any]) -> Asset:
    return Asset(
        native_id=str(agent.get("id", "")),
        hostname=str(agent.get("computerName", "")),
        addresses=tuple(dict.fromkeys(_addresses(agent))),
        asset_type=_KINDS.get(str(agent.get("machineType", "")), "other"),
        online=agent.get("isActive") if isinstance(agent.get("isActive"), bool) else None,
    )
