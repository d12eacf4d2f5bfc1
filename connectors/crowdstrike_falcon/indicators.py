"""Custom hash indicators (IOC Management): one block of ours a hash, found before it is made, deleted by id only."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Falcon
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["Indicators"]

_READ = "IOC Management: read"
_WRITE = "IOC Management: write"
_ENTITIES = "/iocs/entities/indicators/v1"
_TYPES = frozenset({"sha256", "md5"})
_BLOCKING = frozenset({"prevent", "prevent_no_ui"})
_PLATFORMS = ["windows", "mac", "linux"]


class Indicators:
    """Blocks and unblocks hashes; what it did not make itself it neither changes nor deletes."""

    def __init__(self, falcon: Falcon, tenant: str) -> None:
        self._falcon = falcon
        self._source = f"nightdesk:{tenant}"

    async def block(self, command: Command) -> Receipt:
        """Makes the indicator unless one blocks already. Raises RejectedError when another stands in its place."""
        command.only("duration")
        expiration = _expiration(command)
        there = await self._find(command)
        if there is not None and _blocks(there):
            ours = marker(command) in str(there.get("description", ""))
            return Receipt(str(there.get("id", "")), changed=ours, evidence={"indicator": _shown(there)})
        kind, value = _hash(command)
        if there is not None:
            raise RejectedError(
                f"{kind} {value} has an indicator {there.get('id')} that does not block everywhere"
                f" (action {there.get('action')!r}, source {there.get('source')!r}); change it in Falcon",
                vendor=VENDOR,
                operation="block hash",
            )
        indicator = {
            "type": kind,
            "value": value,
            "action": "prevent",
            "severity": "high",
            "platforms": _PLATFORMS,
            "applied_globally": True,
            "source": self._source,
            "tags": ["nightdesk"],
            "description": " ".join(filter(None, (command.reason, command.case_id, marker(command)))),
            **({"expiration": expiration} if expiration else {}),
        }
        answer = await self._falcon.ask(
            "POST",
            _ENTITIES,
            operation="block hash",
            scope=_WRITE,
            json={"comment": f"nightdesk {command.action_id}", "indicators": [indicator]},
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        made = answer.resources[0] if answer.resources else {}
        loss = ("md5: Falcon blocks it more weakly than sha256",) if kind == "md5" else ()
        return Receipt(str(made.get("id", "")), losses=loss, evidence={"trace_id": answer.trace_id})

    async def unblock(self, command: Command) -> Receipt:
        """Deletes our indicator by its id; a missing one is what was wanted."""
        command.only()
        there = await self._find(command)
        if there is None:
            # Gone: by an earlier try of ours, when the pre-state still held our block.
            return Receipt(changed=command.began_otherwise("ours", wanted=False))
        name = str(there.get("id") or "")
        if there.get("source") != self._source or not name:
            raise RejectedError(
                f"{command.target.value} is blocked by an indicator of {there.get('source')!r}, which this tenant's"
                " nightdesk did not make; remove it in Falcon",
                vendor=VENDOR,
                operation="unblock hash",
            )
        # Never ``filter``: it takes precedence over ids and deletes in bulk.
        answer = await self._falcon.ask(
            "DELETE",
            _ENTITIES,
            operation="unblock hash",
            scope=_WRITE,
            params={"ids": name, "comment": f"nightdesk {command.action_id}"},
            repeatable=False,
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        return Receipt(name, evidence={"indicator": _shown(there), "trace_id": answer.trace_id})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether a block stands, whose it is, and the vendor's word for it."""
        there = await self._find(command)
        blocked = there is not None and _blocks(there)
        state = {
            "blocked": blocked,
            "ours": there is not None and there.get("source") == self._source,
            "indicator_id": str(there.get("id", "")) if there else "",
        }
        wanted = command.verb == "hash.block"
        native = str(there.get("action", "")) if there else ""
        return (Effect.IN_EFFECT if blocked is wanted else Effect.NOT_IN_EFFECT), state, native

    async def _find(self, command: Command) -> Mapping[str, Any] | None:
        kind, value = _hash(command)
        answer = await self._falcon.ask(
            "GET",
            "/iocs/combined/indicator/v1",
            operation="find indicator",
            scope=_READ,
            params={"filter": f"type:'{kind}'+value:'{value}'", "limit": 100},
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        found = [row for row in answer.resources if isinstance(row, dict)]
        # Held against what was asked: a filter that the vendor ignored must not make us touch a stranger's indicator.
        exact = [row for row in found if (row.get("type"), str(row.get("value")).lower()) == (kind, value)]
        return next((row for row in exact if not row.get("deleted") and not row.get("expired")), None)


def _hash(command: Command) -> tuple[str, str]:
    kind, _, value = command.target.value.partition(":")
    if kind not in _TYPES:
        raise UnsupportedError(f"{command.target.key}: Falcon's indicators know sha256 and md5")
    return kind, value


def _blocks(indicator: Mapping[str, Any]) -> bool:
    # One that is bound to host groups leaves the other hosts open.
    return indicator.get("action") in _BLOCKING and indicator.get("applied_globally") is True


def _shown(indicator: Mapping[str, Any]) -> dict[str, Any]:
    return {name: indicator.get(name) for name in ("id", "type", "value", "action", "source", "expiration")}


def _expiration(command: Command) -> str | None:
    raw = command.parameters.get("duration")
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= 366 * 86_400:
        raise RejectedError(f"duration {raw!r}: write seconds, at most 366 days")
    until: datetime = command.requested_at.astimezone(UTC) + timedelta(seconds=raw)
    return f"{until:%Y-%m-%dT%H:%M:%S}Z"
