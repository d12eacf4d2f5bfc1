"""Blocked items: one SHA-256 each, for every endpoint of the tenant, without end; ours are known by their comment.

Source: https://developer.sophos.com/docs/endpoint-v1/1/routes/settings/blocked-items/get
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.sophos_central.client import MANAGE, VENDOR, Central, broken, document
from nightdesk.sdk.errors import NotFoundError, RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["ITEMS", "Indicators"]

ITEMS = "/endpoint/v1/settings/blocked-items"
_CONFLICT = 409
_REASON_MOST = 200  # characters

Item = Mapping[str, Any]


class Indicators:
    """Blocks and unblocks hashes; what it did not make itself it neither changes nor deletes."""

    def __init__(self, central: Central, tenant: str) -> None:
        self._central = central
        self._ours = f"nightdesk:{tenant}"

    async def block(self, command: Command) -> Receipt:
        """Makes the item unless one of this hash stands already."""
        command.only()
        value = _hash(command)
        there = await self._find(value)
        if there is None:
            words = (self._ours, command.reason[:_REASON_MOST], command.case_id, marker(command))
            body = {"type": "sha256", "properties": {"sha256": value}, "comment": " ".join(filter(None, words))}
            operation = "block hash"
            try:
                response = await self._central.ask("POST", ITEMS, operation=operation, role=MANAGE, json=body)
                return Receipt(str(document(response, operation).get("id") or ""), evidence={"value": value})
            except RejectedError as error:
                there = await self._find(value) if error.status == _CONFLICT else None  # somebody was faster
                if there is None:
                    raise
        changed = marker(command) in _comment(there) or command.began_otherwise("blocked", True)
        return Receipt(str(there.get("id") or ""), changed=changed, evidence={"value": value})

    async def unblock(self, command: Command) -> Receipt:
        """Deletes our item by its id; a missing one is what was wanted. Raises RejectedError for somebody else's."""
        command.only()
        value = _hash(command)
        there = await self._find(value)
        if there is None:
            return Receipt(changed=command.began_otherwise("blocked", False))
        if not self._is_ours(there):
            message = (
                f"{value} is blocked by an item that this tenant's nightdesk did not make; remove it in the console"
            )
            raise RejectedError(message, vendor=VENDOR, operation="unblock hash")
        operation, name = "unblock hash", str(there.get("id") or "")
        try:
            response = await self._central.ask(
                "DELETE", f"{ITEMS}/{quote(name, safe='')}", operation=operation, role=MANAGE
            )
        except NotFoundError:  # it was deleted meanwhile, perhaps by a try whose answer was lost
            return Receipt(name, evidence={"value": value})
        if document(response, operation).get("deleted") is not True:
            raise broken(f"the answer does not say that item {name} was deleted", operation, response)
        return Receipt(name, evidence={"value": value})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether an item of this hash stands, and whose it is."""
        command.only()
        there = await self._find(_hash(command))
        state = {"blocked": there is not None, "ours": there is not None and self._is_ours(there)}
        wanted = state["blocked"] is (command.verb == "hash.block")
        native = f"item {there.get('id')}" if there else "no item"
        return (Effect.IN_EFFECT if wanted else Effect.NOT_IN_EFFECT), state, native

    async def _find(self, value: str) -> Item | None:
        """The item of that hash; the list has no filter, so it is read to its end."""
        found: Item | None = None
        async for item in self._central.by_number(ITEMS, operation="list blocked items"):
            properties = item.get("properties")
            same = isinstance(properties, dict) and str(properties.get("sha256", "")).lower() == value
            if same and item.get("type") == "sha256" and (found is None or self._is_ours(item)):
                found = item
        return found

    def _is_ours(self, item: Item) -> bool:
        return _comment(item).split(" ")[0] == self._ours


def _comment(item: Item) -> str:
    return str(item.get("comment") or "")


def _hash(command: Command) -> str:
    kind, _, value = command.target.value.partition(":")
    if kind != "sha256":
        raise UnsupportedError(f"{command.target.key}: Sophos Central blocks sha256 only")
    return value
