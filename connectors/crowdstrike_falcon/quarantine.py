"""Quarantined files: what a sensor quarantined is released, and what was released is quarantined again.

No call quarantines a file that no sensor did.
"""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Falcon
from nightdesk.connectors.crowdstrike_falcon.hosts import Hosts
from nightdesk.sdk.errors import NotFoundError, RejectedError, UnsupportedError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["ACTIONS", "Quarantine"]

ACTIONS: Mapping[str, str] = {"file.quarantine": "unrelease", "file.restore": "release"}
_READ = "Quarantined Files: read"
_WRITE = "Quarantined Files: write"
_HELD: Mapping[str, bool] = {"quarantined": True, "unreleased": True, "released": False}


class Quarantine:
    """The quarantined files of one CID, by host and SHA-256."""

    def __init__(self, falcon: Falcon, hosts: Hosts) -> None:
        self._falcon = falcon
        self._hosts = hosts

    async def change(self, command: Command) -> Receipt:
        """Releases it or takes it back, unless it is so. Raises RejectedError for a file that no sensor quarantined."""
        name, wanted = _name(command), command.verb == "file.quarantine"
        there = await self._find(name)
        if there is None:
            raise RejectedError(
                f"{command.target.key} was never quarantined on {command.native_id}; Falcon quarantines only what its"
                " sensor detects, block the hash instead",
                vendor=VENDOR,
                operation=command.verb,
            )
        before = _word(there)
        if _HELD.get(before) is wanted:
            return Receipt(name, changed=command.began_otherwise("quarantined", wanted), evidence={"state": before})
        if before not in _HELD:
            message = f"{command.target.key} on {command.native_id} is {before!r}; that cannot be changed"
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        comment = " ".join(filter(None, (command.reason, command.case_id, marker(command))))
        answer = await self._falcon.ask(
            "PATCH",
            "/quarantine/entities/quarantined-files/v1",
            operation=command.verb,
            scope=_WRITE,
            json={"ids": [name], "action": ACTIONS[command.verb], "comment": comment},
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        return Receipt(name, evidence={"before": before, "trace_id": answer.trace_id})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """What the file's own record says; it says nothing of an order that its host has still to take."""
        there = await self._find(_name(command))
        if there is None:
            return Effect.NOT_IN_EFFECT, {"quarantined": False, "known": False}, "never quarantined"
        word, wanted = _word(there), command.verb == "file.quarantine"
        held = _HELD.get(word)
        state = {"known": True, "state": word, **({} if held is None else {"quarantined": held})}
        if held is None:
            return Effect.UNKNOWN, state, word
        if held is wanted:
            return Effect.IN_EFFECT, state, word
        waits = command.outstanding and await self._is_on_its_way(command)
        return (Effect.PENDING if waits else Effect.NOT_IN_EFFECT), state, word

    async def _is_on_its_way(self, command: Command) -> bool:
        heard = instant((await self._hosts.device(command.native_id)).get("last_seen")) or 0
        return command.may_still_come(heard, self._falcon.clock_skew)

    async def _find(self, name: str) -> Mapping[str, Any] | None:
        try:
            answer = await self._falcon.ask(
                "POST",
                "/quarantine/entities/quarantined-files/GET/v1",
                operation="read quarantined file",
                scope=_READ,
                json={"ids": [name]},
                repeatable=True,
            )
        except NotFoundError:
            return None
        found = [row for row in answer.resources if isinstance(row, dict) and row.get("id") == name]
        if found:
            return found[0]
        if answer.errors and {error.get("code") for error in answer.errors} != {404}:
            raise self._falcon.complaint(answer)
        return None


def _name(command: Command) -> str:
    """The record's id: the host's and the file's."""
    command.only()
    kind, _, digest = command.target.value.partition(":")
    if kind != "sha256":
        raise UnsupportedError(f"{command.target.key}: Falcon knows quarantined files by sha256")
    if not command.native_id:
        raise RejectedError("no device is named", vendor=VENDOR, operation=command.verb)
    return f"{command.native_id}_{digest}"


def _word(row: Mapping[str, Any]) -> str:
    return str(row.get("state") or "").lower()
