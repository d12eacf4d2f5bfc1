"""Hosts: which agent a name stands for, and the scripts that the operator lets nightdesk run there."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from nightdesk.connectors.wazuh.indexer import VENDOR
from nightdesk.connectors.wazuh.options import Options
from nightdesk.connectors.wazuh.responses import Responses
from nightdesk.connectors.wazuh.server import Server
from nightdesk.sdk.errors import NotFoundError, RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command, Receipt
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["Hosts"]


class Hosts:
    """The agents of one manager or cluster. An asset's id is MANAGER/NUMBER, as alerts name it."""

    def __init__(self, server: Server, responses: Responses, options: Options) -> None:
        self._server = server
        self._responses = responses
        self._options = options

    async def find(self, query: AssetQuery) -> Sequence[Asset]:
        """Every agent of that number, else of that name, else at that address.

        In a cluster an agent may move to another manager; then its number counts only together with its name.
        """
        names = {name.casefold() for name in (query.hostname, query.fqdn) if name}
        if query.device_id:
            found = await self._numbered(query.device_id, names)
            if found is not None:
                return [_asset(found)]
        if names:
            agents = [
                agent
                for name in sorted(names)
                for agent in await self._server.agents("find host", name=name)
                if _name(agent) in names
            ]
        elif query.address and not query.device_id:
            agents = [
                agent
                for agent in await self._server.agents("find host", ip=query.address)
                if agent.get("ip") == query.address
            ]
        else:
            agents = []
        return [_asset(agent) for agent in {str(agent.get("id")): agent for agent in agents}.values()]

    async def run_script(self, command: Command) -> Receipt:
        """Runs one of the configured scripts, without arguments, unless the agent has had this command."""
        command.only("script")
        script = command.parameters.get("script")
        operation = "run host.run_script"
        if script not in self._options.scripts:
            there = ", ".join(self._options.scripts) or "none"
            raise UnsupportedError(f"{VENDOR}: script {script!r} is not in the setting scripts; there: {there}")
        agent = await self._numbered(command.native_id, {command.target.value.casefold()})
        if agent is None:
            raise NotFoundError(f"no agent {command.native_id}", vendor=VENDOR, operation=operation)
        number = str(agent.get("id"))
        if int(number) == 0:
            raise RejectedError("agent 000 is the manager, which runs no script", vendor=VENDOR, operation=operation)
        if await self._responses.began(command, [number]):
            return Receipt(number)
        answer = await self._responses.send(command, f"!{script}", [number], {}, ())
        return Receipt(number, evidence={"script": str(script), "sent_to": list(map(str, answer.items))})

    async def _numbered(self, device_id: str, names: set[str]) -> Mapping[str, Any] | None:
        """The agent of MANAGER/NUMBER, or of a number alone; numbers begin at 001 under every manager."""
        manager, _, number = device_id.rpartition("/")
        if not (number.isascii() and number.isdecimal()):
            return None
        found = [
            agent
            for agent in await self._server.agents("find host", agents_list=number.zfill(3))
            if str(agent.get("id")) == number.zfill(3)
        ]
        fits = [agent for agent in found if not manager or agent.get("manager") == manager or _name(agent) in names]
        return fits[0] if fits else None


def _name(agent: Mapping[str, Any]) -> str:
    return str(agent.get("name", "")).casefold()


def _asset(agent: Mapping[str, Any]) -> Asset:
    number, manager = str(agent.get("id", "")), str(agent.get("manager") or "")
    system = agent.get("os")
    group = agent.get("group")
    return Asset(
        native_id=f"{manager}/{number}" if manager else number,
        hostname=str(agent.get("name", "")),
        addresses=tuple(filter(_is_address, [str(agent.get("ip", ""))])),
        asset_type=_kind(system if isinstance(system, Mapping) else {}),
        tags=tuple(map(str, group)) if isinstance(group, list) else (),
        online=agent.get("status") == "active",
    )


def _kind(system: Mapping[str, Any]) -> str:
    name, platform = str(system.get("name", "")).lower(), str(system.get("platform", ""))
    if "server" in name:
        return "server"
    return "workstation" if platform in {"windows", "darwin"} else "other"  # a Linux may be either


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False  # "any", and agents that never connected
    return True
