"""Custom hash indicators (IOC Management): one block of ours a hash, found before it is made, deleted by id only.

An indicator that has expired stays in the list, without an action, and holds the place of a new one.
Source: https://github.com/CrowdStrike/psfalcon/wiki/Edit-FalconIoc (expiration)
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Falcon
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["Indicators"]

_READ = "IOC Management: read"
_WRITE = "IOC Management: write"
_ENTITIES = "/iocs/entities/indicators/v1"
_TYPES = frozenset({"sha256", "md5"})
_BLOCKING = frozenset({"prevent", "prevent_no_ui"})
_PLATFORMS = ["windows", "mac", "linux"]
_LONGEST = 366 * 86_400  # seconds


class Indicators:
    """Blocks and unblocks hashes; what it did not make itself it neither changes nor deletes."""

    def __init__(self, falcon: Falcon, tenant: str) -> None:
        self._falcon = falcon
        self._source = f"nightdesk:{tenant}"

    async def block(self, command: Command) -> Receipt:
        """Makes or prolongs our indicator. Raises RejectedError when somebody else's stands in its place."""
        command.only("duration")
        until = _until(command)
        there = await self._find(command)
        ours = there is not None and there.get("source") == self._source
        if there is not None and _blocks(there):
            if ours and until and not _lasts(there, until):
                return await self._prolong(command, there, until)
            return self._standing(command, there, until)
        if there is not None and ours and there.get("expired"):
            await self._delete(command, str(there.get("id") or ""))  # it holds the place of a new one
            there = None
        if there is not None:
            kind, value = _hash(command)
            raise RejectedError(
                f"{kind} {value} has an indicator {there.get('id')} that does not block everywhere"
                f" (action {there.get('action')!r}, source {there.get('source')!r}, expired"
                f" {bool(there.get('expired'))}); change it in Falcon",
                vendor=VENDOR,
                operation="block hash",
            )
        return await self._make(command, until)

    async def _make(self, command: Command, until: str) -> Receipt:
        kind, value = _hash(command)
        indicator = {
            "type": kind,
            "value": value,
            "action": "prevent",
            "severity": "high",
            "platforms": _PLATFORMS,
            "applied_globally": True,
            "source": self._source,
            "tags": ["nightdesk"],
            "description": _said(command),
            **({"expiration": until} if until else {}),
        }
        made, trace = await self._write("POST", command, indicator)
        loss = ("md5: Falcon blocks it more weakly than sha256",) if kind == "md5" else ()
        return Receipt(str(made.get("id", "")), losses=loss, evidence={"trace_id": trace, **_end(indicator)})

    async def _prolong(self, command: Command, there: Mapping[str, Any], until: str) -> Receipt:
        name = str(there.get("id") or "")
        change = {"id": name, "expiration": until, "description": _said(command)}
        _, trace = await self._write("PATCH", command, change)
        return Receipt(name, evidence={"indicator": _shown(there), "trace_id": trace, **_end(change)})

    def _standing(self, command: Command, there: Mapping[str, Any], until: str) -> Receipt:
        """What blocks already; a block that ends earlier than was wanted is a loss that is told."""
        early = not _lasts(there, until)
        whose = "our" if there.get("source") == self._source else "somebody else's"
        loss = f"duration: {whose} indicator {there.get('id')} blocks until {there.get('expiration')}"
        return Receipt(
            str(there.get("id", "")),
            changed=marker(command) in str(there.get("description", "")),
            losses=(loss,) if early else (),
            evidence={"indicator": _shown(there), **_end(there)},
        )

    async def _write(
        self, method: str, command: Command, indicator: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], str]:
        answer = await self._falcon.ask(
            method,
            _ENTITIES,
            operation="block hash",
            scope=_WRITE,
            json={"comment": f"nightdesk {command.action_id}", "indicators": [indicator]},
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        return (answer.resources[0] if answer.resources else {}), answer.trace_id

    async def unblock(self, command: Command) -> Receipt:
        """Deletes our indicator by its id; a missing one is what was wanted."""
        command.only()
        there = await self._find(command)
        if there is None or there.get("expired"):
            # Gone: by an earlier try of ours, when the pre-state still held our block, or by Falcon's clock.
            return Receipt(changed=command.began_otherwise("ours", wanted=False))
        name = str(there.get("id") or "")
        if there.get("source") != self._source or not name:
            raise RejectedError(
                f"{command.target.value} is blocked by an indicator of {there.get('source')!r}, which this tenant's"
                " nightdesk did not make; remove it in Falcon",
                vendor=VENDOR,
                operation="unblock hash",
            )
        trace = await self._delete(command, name)
        return Receipt(name, evidence={"indicator": _shown(there), "trace_id": trace})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether a block stands, whose it is, and the vendor's word for it."""
        there = await self._find(command)
        blocked = there is not None and _blocks(there)
        state = {
            "blocked": blocked,
            "ours": there is not None and not there.get("expired") and there.get("source") == self._source,
            "indicator_id": str(there.get("id", "")) if there else "",
            **(_end(there) if there is not None and blocked else {}),
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
        # What still counts comes first; one that has expired is told only where nothing else stands.
        return next(iter(sorted((row for row in exact if not row.get("deleted")), key=_is_over)), None)

    async def _delete(self, command: Command, name: str) -> str:
        """By its id and never by ``filter``: that takes precedence over ids and deletes in bulk."""
        answer = await self._falcon.ask(
            "DELETE",
            _ENTITIES,
            operation=command.verb,
            scope=_WRITE,
            params={"ids": name, "comment": f"nightdesk {command.action_id}"},
            repeatable=False,
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        return answer.trace_id


def _hash(command: Command) -> tuple[str, str]:
    kind, _, value = command.target.value.partition(":")
    if kind not in _TYPES:
        raise UnsupportedError(f"{command.target.key}: Falcon's indicators know sha256 and md5")
    return kind, value


def _blocks(indicator: Mapping[str, Any]) -> bool:
    # One that is bound to host groups leaves the other hosts open.
    prevents = indicator.get("action") in _BLOCKING and indicator.get("applied_globally") is True
    return prevents and not indicator.get("expired")


def _is_over(indicator: Mapping[str, Any]) -> bool:
    return bool(indicator.get("expired"))


def _lasts(indicator: Mapping[str, Any], until: str) -> bool:
    """True when it ends no earlier than wanted; without an expiration it never does."""
    end = instant(indicator.get("expiration"))
    return end is None or (bool(until) and end >= (instant(until) or 0))


def _end(indicator: Mapping[str, Any]) -> dict[str, str]:
    end = instant(indicator.get("expiration"))
    return {} if end is None else {"ends_at": iso(end)}


def _said(command: Command) -> str:
    return " ".join(filter(None, (command.reason, command.case_id, marker(command))))


def _shown(indicator: Mapping[str, Any]) -> dict[str, Any]:
    return {name: indicator.get(name) for name in ("id", "type", "value", "action", "source", "expiration")}


def _until(command: Command) -> str:
    raw = command.parameters.get("duration")
    if raw is None:
        return ""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= _LONGEST:
        raise RejectedError(f"duration {raw!r}: write seconds, at most 366 days")
    until: datetime = command.requested_at.astimezone(UTC) + timedelta(seconds=raw)
    return f"{until:%Y-%m-%dT%H:%M:%S}Z"
