"""The blocklist: one entry a hash, operating system and scope; ours are known by their description."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.sentinelone.client import VENDOR, Console
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["VIEW", "Indicators"]

VIEW = "Blocklist: View"
_CREATE = "Blocklist: Create"
_DELETE = "Blocklist: Delete"
_TYPE = "black_hash"
_HASHES = frozenset({"sha1", "sha256"})
_SYSTEMS = frozenset({"windows", "windows_legacy", "macos", "linux"})
_REASON_MOST = 500  # characters

Entry = Mapping[str, Any]
Scope = tuple[str, str]
"""Kind and id of one site or account; the whole console has no id."""


class Indicators:
    """Blocks and unblocks hashes; what it did not make itself it neither changes nor deletes."""

    def __init__(self, context: Context, console: Console) -> None:
        self._console = console
        self._ours = f"nightdesk:{context.tenant}"
        self._systems = [part for part in context.settings.text("block_os_types").replace(",", " ").split() if part]
        if not self._systems or set(self._systems) - _SYSTEMS:
            problem = f"write some of {', '.join(sorted(_SYSTEMS))}, comma-separated"
            raise ConfigError([Problem(context.instance, "block_os_types", problem)])
        ids = [("siteIds", name) for name in console.sites] or [("accountIds", name) for name in console.accounts]
        self._scopes: list[Scope] = ids or [("tenant", "")]

    async def block(self, command: Command) -> Receipt:
        """Makes the entries that are missing, one an operating system and scope."""
        command.only()
        value = _hash(command)
        made: list[str] = []
        ours = False
        for scope in self._scopes:
            there = await self._find(value, scope)
            ours = ours or any(marker(command) in str(row.get("description", "")) for row in there)
            for system in self._systems:
                if all(row.get("osType") != system for row in there):
                    made += await self._create(command, value, system, scope)
        changed = bool(made) or ours or command.began_otherwise("blocked", True)
        return Receipt(",".join(made), changed=changed, evidence={"value": value, "made": made})

    async def unblock(self, command: Command) -> Receipt:
        """Deletes our entries by their ids; somebody else's stay, and are named."""
        command.only()
        value = _hash(command)
        there = {str(row.get("id")): row for scope in self._scopes for row in await self._find(value, scope)}
        ours = [name for name, row in there.items() if self._is_ours(row)]
        others = sorted(
            {f"{row.get('osType')} by {row.get('userName')!r}" for row in there.values() if not self._is_ours(row)}
        )
        if others and not ours:
            message = (
                f"{value} is blocked by entries that this tenant's nightdesk did not make ({', '.join(others)}); remove"
                " them in the console"
            )
            raise RejectedError(message, vendor=VENDOR, operation="unblock hash")
        if not ours:
            # Gone: by an earlier try of ours, when the pre-state still held our entries.
            return Receipt(changed=bool(command.pre_state.get("ours")))
        body = {"data": {"ids": ours, "type": _TYPE}}
        await self._console.ask(
            "DELETE", "/restrictions", operation="unblock hash", permission=_DELETE, json=body, repeatable=False
        )
        lost = (f"scope: {value} stays blocked by {', '.join(others)}, which nightdesk did not make",) if others else ()
        return Receipt(",".join(ours), losses=lost, evidence={"deleted": ours})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the hash is blocked on every system and in every scope, and whose entries do that."""
        command.only()
        value = _hash(command)
        found = [await self._find(value, scope) for scope in self._scopes]
        rows = {str(row.get("id")): row for part in found for row in part}
        blocked = all(any(row.get("osType") == system for row in part) for part in found for system in self._systems)
        state = {"blocked": blocked, "ours": any(map(self._is_ours, rows.values())), "entries": ",".join(rows)}
        wanted = blocked if command.verb == "hash.block" else not rows
        native = ", ".join(sorted({str(row.get("osType")) for row in rows.values()})) or "no entry"
        return (Effect.IN_EFFECT if wanted else Effect.NOT_IN_EFFECT), state, native

    async def _find(self, value: str, scope: Scope) -> list[Entry]:
        """The entries that hold in that scope, those of the scopes above it too."""
        params = {"type": _TYPE, "value": value, "includeParents": "true", scope[0]: scope[1] or "true"}
        rows = await self._console.every("/restrictions", params, operation="find hash", permission=VIEW)
        # Held against what was asked: a filter that the console ignored must not make us touch a stranger's entry.
        return [row for row in rows if str(row.get("value", "")).lower() == value and row.get("type") == _TYPE]

    async def _create(self, command: Command, value: str, system: str, scope: Scope) -> list[str]:
        words = (self._ours, command.reason[:_REASON_MOST], command.case_id, marker(command))
        data = {
            "type": _TYPE,
            "value": value,
            "osType": system,
            "source": "user",
            "description": " ".join(filter(None, words)),
        }
        body = {"filter": {scope[0]: [scope[1]] if scope[1] else True}, "data": data}
        try:
            answer = await self._console.ask(
                "POST", "/restrictions", operation="block hash", permission=_CREATE, json=body
            )
        except RejectedError:
            # Somebody was faster: a value that exists already is refused with the same 400 as a malformed one.
            if any(row.get("osType") == system for row in await self._find(value, scope)):
                return []
            raise
        if answer.errors:
            raise self._console.complaint(answer, _CREATE)
        return [str(row.get("id", "")) for row in answer.rows]

    def _is_ours(self, entry: Entry) -> bool:
        return str(entry.get("description", "")).split(" ")[0] == self._ours


def _hash(command: Command) -> str:
    kind, _, value = command.target.value.partition(":")
    if kind not in _HASHES:
        raise UnsupportedError(f"{command.target.key}: SentinelOne's blocklist knows sha1 and sha256")
    return value
