"""Bans of files by SHA-256: reputation overrides, looked up before they are made and deleted by id, ours alone."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.carbon_black_cloud.client import VENDOR, Cloud
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["Indicators"]

_API = "appservices/v6"
_READ, _CREATE, _DELETE = "org.reputations READ", "org.reputations CREATE", "org.reputations DELETE"
_BANNED = "BLACK_LIST"
_ROWS = 100


class Indicators:
    """The banned and approved hashes of one organisation."""

    def __init__(self, cloud: Cloud, tenant: str) -> None:
        self._cloud = cloud
        self._sign = f"nightdesk:{tenant} "

    async def block(self, command: Command) -> Receipt:
        """Bans the hash, unless it is. Raises RejectedError for one that somebody approved: they must undo that."""
        value = _sha256(command)
        there = await self._there(value)
        banned = next((each for each in there if each.get("override_list") == _BANNED), None)
        if banned is not None:
            return Receipt(str(banned["id"]), changed=command.began_otherwise("blocked", True))
        if there:
            who = there[0].get("created_by") or "somebody"
            message = f"{value} was approved by {who}; take it off the approved list in the console first"
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        parts = (command.reason, command.case_id, marker(command))
        made = await self._cloud.record(
            "POST",
            self._cloud.path(_API, "reputations", "overrides"),
            operation=command.verb,
            scope=_CREATE,
            body={
                "override_list": _BANNED,
                "override_type": "SHA256",
                "sha256_hash": value,
                "filename": command.target.facts.get("name", ""),
                "description": self._sign + " ".join(filter(None, parts)),
            },
        )
        if not made.get("id"):
            raise ResponseError("the answer names no override", vendor=VENDOR, operation=command.verb)
        return Receipt(str(made["id"]))

    async def unblock(self, command: Command) -> Receipt:
        """Deletes our ban by its id. Raises RejectedError for somebody else's."""
        value = _sha256(command)
        banned = [each for each in await self._there(value) if each.get("override_list") == _BANNED]
        foreign = next((each for each in banned if not self._ours(each)), None)
        if foreign is not None:
            who = foreign.get("created_by") or "somebody"
            message = f"{value} was banned by {who} and not by us; delete that override in the console"
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        for each in banned:
            path = self._cloud.path(_API, "reputations", "overrides", str(each["id"]))
            try:
                await self._cloud.ask("DELETE", path, operation=command.verb, scope=_DELETE)
            except NotFoundError:
                continue  # gone since it was listed
        changed = bool(banned) or command.began_otherwise("blocked", False)
        return Receipt(str(banned[0]["id"]) if banned else "", changed=changed)

    async def blocked(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether a ban of the hash is there."""
        value = _sha256(command)
        there = await self._there(value)
        banned = next((each for each in there if each.get("override_list") == _BANNED), None)
        state = {
            "blocked": banned is not None,
            "override_id": str(banned["id"]) if banned else "",
            "ours": banned is not None and self._ours(banned),
        }
        native = ", ".join(str(each.get("override_list")) for each in there) or "no override"
        done = (banned is not None) is (command.verb == "hash.block")
        return (Effect.IN_EFFECT if done else Effect.NOT_IN_EFFECT), state, native

    async def _there(self, value: str) -> list[Mapping[str, Any]]:
        """Every override of exactly this hash; the search also finds it in descriptions and names."""
        answer = await self._cloud.record(
            "POST",
            self._cloud.path(_API, "reputations", "overrides", "_search"),
            operation="find override",
            scope=_READ,
            body={"criteria": {"override_type": "SHA256"}, "query": value, "rows": _ROWS},
            repeatable=True,
        )
        rows = answer.get("results")
        if not isinstance(rows, list) or len(rows) >= _ROWS:
            message = (
                "the answer has no results" if not isinstance(rows, list) else f"{_ROWS} overrides speak of {value}"
            )
            raise ResponseError(message, vendor=VENDOR, operation="find override")
        return [
            row
            for row in rows
            if isinstance(row, dict) and row.get("id") and str(row.get("sha256_hash") or "").lower() == value
        ]

    def _ours(self, override: Mapping[str, Any]) -> bool:
        return str(override.get("description") or "").startswith(self._sign)


def _sha256(command: Command) -> str:
    command.only()
    kind, _, value = command.target.value.partition(":")
    if kind != "sha256":
        raise UnsupportedError(f"{command.target.key}: Carbon Black Cloud bans files by SHA-256 only")
    return value
