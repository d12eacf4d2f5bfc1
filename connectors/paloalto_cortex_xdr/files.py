"""Files of one endpoint: quarantine and restore, read from Cortex's quarantine; retrieval by its action's status."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.paloalto_cortex_xdr.client import VENDOR, Cortex
from nightdesk.connectors.paloalto_cortex_xdr.hosts import Hosts, connected
from nightdesk.connectors.paloalto_cortex_xdr.orders import Orders, only
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Files", "sha256_of"]

_QUARANTINE = "Response Actions: Quarantine"
_RETRIEVE = "Response Actions: File Retrieval"
_SYSTEMS = {"WINDOWS": "windows", "LINUX": "linux", "MAC": "macos", "MACOS": "macos"}


class Files:
    """Acts on one file of one endpoint."""

    def __init__(self, cortex: Cortex, orders: Orders, hosts: Hosts) -> None:
        self._cortex = cortex
        self._orders = orders
        self._hosts = hosts

    async def move(self, command: Command) -> Receipt:
        """Into quarantine or back, unless it is there already or this command was asked."""
        command.only()
        path, value = _path(command), sha256_of(command)
        wanted = command.verb == "file.quarantine"
        again = self._orders.again(command)
        if await self._held(command, path, value) is wanted:
            changed = again is not None or command.began_otherwise("quarantined", wanted)
            return Receipt(again.native_action_id if again else "", changed=changed)
        if again is not None:
            asked = await self._orders.effect(command)
            if asked is not None and asked[0] is not Effect.FAILED:
                return again
        connected(command, await self._hosts.read(command.native_id))
        call, data = "restore", dict[str, Any](file_hash=value, endpoint_id=command.native_id)
        if wanted:
            call, data = "quarantine", {"filters": only(command.native_id), "file_path": path, "file_hash": value}
        answer = await self._cortex.ask(f"v1/endpoints/{call}/", data, operation=command.verb, scope=_QUARANTINE)
        return self._orders.accepted(command, answer)

    async def moved(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the file is in quarantine, which an accepted action does not say: it may not have been found."""
        command.only()
        path, value = _path(command), sha256_of(command)
        held = await self._held(command, path, value)
        state, native = {"quarantined": held, "path": path}, "quarantined" if held else "not quarantined"
        if held is (command.verb == "file.quarantine"):
            return Effect.IN_EFFECT, state, native
        asked = await self._orders.effect(command)
        if asked is not None and asked[0] in {Effect.FAILED, Effect.PENDING}:
            return asked[0], state, asked[1]
        return Effect.NOT_IN_EFFECT, state, native

    async def fetch(self, command: Command) -> Receipt:
        """Asks the agent for the file, once a command."""
        command.only()
        path = _path(command)
        again = self._orders.again(command)
        if again is not None:
            return again
        endpoint = await self._hosts.read(command.native_id)
        connected(command, endpoint)
        system = _SYSTEMS.get(str(endpoint.get("os_type", "")).removeprefix("AGENT_OS_"), "")
        if not system:
            raise UnsupportedError(f"{command.native_id}: Cortex retrieves no file from {endpoint.get('os_type')!r}")
        answer = await self._cortex.ask(
            "v1/endpoints/file_retrieval/",
            {"filters": only(command.native_id), "files": {system: [path]}},
            operation=command.verb,
            scope=_RETRIEVE,
        )
        return self._orders.accepted(command, answer)

    async def fetched(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """How far the retrieval is, and where the file lies; its download is signed like any call."""
        command.only()
        _path(command)
        asked = await self._orders.effect(command)
        if asked is None:
            return Effect.NOT_IN_EFFECT, {}, ""
        effect, word = asked
        state: dict[str, Any] = {"action_id": self._orders.number(command)}
        if effect is Effect.IN_EFFECT:
            answer = await self._cortex.ask(
                "v1/actions/file_retrieval_details/",
                {"group_action_id": state["action_id"]},
                operation="read retrieval",
                scope=_RETRIEVE,
                repeatable=True,
            )
            links = answer.mapping().get("data")
            state["download"] = str(links.get(command.native_id) or "") if isinstance(links, Mapping) else ""
        return effect, state, word

    async def _held(self, command: Command, path: str, value: str) -> bool:
        only(command.native_id)
        file = {"endpoint_id": command.native_id, "file_path": path, "file_hash": value}
        answer = await self._cortex.ask(
            "v1/quarantine/status/",
            {"files": [file]},
            operation="read quarantine",
            scope=_QUARANTINE,
            repeatable=True,
        )
        rows = answer.reply if isinstance(answer.reply, list) else []
        for row in rows:
            if isinstance(row, dict) and row.get("endpoint_id") == command.native_id:
                return row.get("status") is True
        raise answer.broken("the reply does not speak of the file that was asked for")


def sha256_of(command: Command) -> str:
    """The hash of the target. Raises UnsupportedError for another kind of hash."""
    kind, _, value = command.target.value.partition(":")
    if kind != "sha256":
        raise UnsupportedError(f"{command.target.key}: Cortex knows files by SHA-256 only")
    return value


def _path(command: Command) -> str:
    path = str(command.target.facts.get("path", ""))
    if not path:
        message = f"{command.target.key}: nobody says under which path it lies on the endpoint"
        raise RejectedError(message, vendor=VENDOR, operation=command.verb)
    return path
