"""The Suspicious Object List: one entry a value, found before it is made; what others made is left alone."""

from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime
from math import ceil
from typing import Any

from nightdesk.connectors.trend_vision_one.client import VENDOR, VisionOne
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import NotFoundError, RejectedError, UnsupportedError
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Target
from nightdesk.sdk.triage import marker
from nightdesk.sdk.verbs import TargetKind

__all__ = ["BLOCKS", "LIST", "UNBLOCKS", "VIEW", "Indicators"]

LIST = "/threatintel/suspiciousObjects"
VIEW = "Suspicious Object Management: View, filter, and search"
_MANAGE = "Suspicious Object Management: Manage lists and configure settings"
BLOCKS = frozenset({"hash.block", "ip.block", "domain.block", "url.block", "sender.block"})
UNBLOCKS = frozenset({"hash.unblock", "ip.unblock", "domain.unblock", "url.unblock", "sender.unblock"})
_DURABLE = frozenset({"hash.block", "ip.block", "domain.block"})  # the verbs that have a duration
_DAY = 86_400
_MOST_DAYS = 365
_KINDS: Mapping[TargetKind, str] = {
    TargetKind.ADDRESS: "ip",
    TargetKind.DOMAIN: "domain",
    TargetKind.URL: "url",
    TargetKind.SENDER: "senderMailAddress",
}
_HASHES = {"sha1": "fileSha1", "sha256": "fileSha256"}


class Indicators:
    """Blocks and unblocks; an entry is ours when its description says so."""

    def __init__(self, api: VisionOne, tenant: str, clock: Clock) -> None:
        self._api = api
        self._sign = f"[nightdesk:{tenant}]"
        self._clock = clock

    async def block(self, command: Command) -> Receipt:
        """Makes or prolongs our entry. Raises RejectedError when another's stands in its place.

        A second entry of the same value is written over the first: that sets Vision One's clock anew.
        """
        command.only(*(("duration",) if command.verb in _DURABLE else ()))
        kind, value = _object(command.target)
        days, lost = _days(command)
        there = await self._find(kind, value)
        if there is not None and self._blocks(there) and not self._is_short(command, there, days):
            ours = marker(command) in _text(there)
            early = not ours and _is_early(command, there)
            lost = (*lost, f"duration: an entry that stands already blocks until {_end(there)}") if early else lost
            return Receipt(value, changed=ours, losses=lost, evidence={**_shown(there), **_ends(there)})
        if (
            there is not None
            and not self._blocks(there)
            and (there.get("inExceptionList") or self._sign not in _text(there))
        ):
            raise RejectedError(
                f"{kind} {value} is on the list and not blocked (action {there.get('scanAction')!r}, on the exception"
                f" list: {bool(there.get('inExceptionList'))}); change it in Suspicious Object Management",
                vendor=VENDOR,
                operation=command.verb,
            )
        words = " ".join(filter(None, (command.reason, command.case_id)))[:160]
        item = {
            kind: value,
            "scanAction": "block",
            "riskLevel": "high",
            "description": " ".join(filter(None, (words, self._sign, marker(command)))),
            **({"daysToExpiration": days} if days else {}),
        }
        await self._api.order(LIST, item, operation=command.verb, scope=_MANAGE)
        end = {"ends_at": _text_of(command.requested_at, days)} if days else {}
        return Receipt(value, losses=lost, evidence={"item": item, **end})

    async def unblock(self, command: Command) -> Receipt:
        """Deletes our entry; a missing one is what was wanted."""
        command.only()
        kind, value = _object(command.target)
        there = await self._find(kind, value)
        if there is None:
            # Gone: by an earlier try of ours, when the pre-state still held our entry.
            return Receipt(value, changed=bool(command.pre_state.get("ours")))
        if self._sign not in _text(there):
            raise RejectedError(
                f"{kind} {value} was put on the list by somebody else; remove it in Suspicious Object Management",
                vendor=VENDOR,
                operation=command.verb,
            )
        try:
            await self._api.order(f"{LIST}/delete", {kind: value}, operation=command.verb, scope=_MANAGE)
        except NotFoundError:
            return Receipt(value, changed=False)  # somebody was faster
        return Receipt(value, evidence=_shown(there))

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether an entry blocks, whose it is, and the vendor's word for it."""
        kind, value = _object(command.target)
        there = await self._find(kind, value)
        blocked = there is not None and self._blocks(there)
        state = {
            "blocked": blocked,
            "ours": there is not None and self._sign in _text(there),
            "expires": _end(there) if there else "",
            **(_ends(there) if there is not None and blocked else {}),
        }
        wanted = command.verb in BLOCKS
        native = "not listed" if there is None else str(there.get("scanAction") or "")
        if there is not None and there.get("inExceptionList"):
            native += ", on the exception list"
        return (Effect.IN_EFFECT if blocked is wanted else Effect.NOT_IN_EFFECT), state, native

    async def _find(self, kind: str, value: str) -> Mapping[str, Any] | None:
        """The entry of exactly this value. The list is read to its end: by value it cannot be filtered."""
        params = {"orderBy": "lastModifiedDateTime desc", "top": 200}
        rows = self._api.rows(LIST, operation="find suspicious object", scope=VIEW, params=params)
        async with aclosing(rows):
            async for row in rows:
                if row.get("type") == kind and _same(kind, str(row.get(kind) or row.get("value") or ""), value):
                    return row
        return None

    def _is_short(self, command: Command, there: Mapping[str, Any], days: int) -> bool:
        """Whether our own entry is to be written anew: to be renewed, or to last as long as is wanted now."""
        if self._sign not in _text(there) or marker(command) in _text(there):
            return False
        return bool(command.renewal) or (bool(days) and _is_early(command, there))

    def _blocks(self, row: Mapping[str, Any]) -> bool:
        expires = instant(row.get("expiredDateTime"))
        alive = expires is None or expires > int(self._clock().timestamp()) * SECOND
        return row.get("scanAction") == "block" and not row.get("inExceptionList") and alive


def _object(target: Target) -> tuple[str, str]:
    """The vendor's name for the kind, and the value. Raises UnsupportedError for what the list cannot hold."""
    if target.kind is TargetKind.FILE:
        algorithm, _, digest = target.value.partition(":")
        if algorithm in _HASHES:
            return _HASHES[algorithm], digest
        raise UnsupportedError(f"{target.key}: the Suspicious Object List knows sha1 and sha256")
    kind = _KINDS.get(target.kind)
    if kind is None or (kind == "ip" and "/" in target.value):
        raise UnsupportedError(f"{target.key}: the Suspicious Object List holds single addresses, names, URLs, senders")
    if kind == "senderMailAddress" and "@" not in target.value:
        raise UnsupportedError(f"{target.key}: a sender is blocked by its whole address")
    return kind, target.value


def _days(command: Command) -> tuple[int, tuple[str, ...]]:
    """Days until it expires, 0 for the tenant's default, and what is lost by counting in days."""
    raw = command.parameters.get("duration")
    if raw is None:
        return 0, ()
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= _MOST_DAYS * _DAY:
        raise RejectedError(f"duration {raw!r}: write seconds, at most {_MOST_DAYS} days")
    days = ceil(raw / _DAY)
    exact = days * _DAY == raw
    return days, () if exact else (f"duration={raw}: Vision One counts days, so it is blocked for {days}",)


def _is_early(command: Command, row: Mapping[str, Any]) -> bool:
    """Whether it ends before the duration that is wanted is over; what is wanted without one, is never early."""
    end, raw = instant(row.get("expiredDateTime")), command.parameters.get("duration")
    if end is None or not isinstance(raw, int | float):
        return False
    return end < int(command.requested_at.timestamp() + raw) * SECOND


def _end(row: Mapping[str, Any]) -> str:
    return str(row.get("expiredDateTime") or "")


def _ends(row: Mapping[str, Any]) -> dict[str, str]:
    end = instant(row.get("expiredDateTime"))
    return {} if end is None else {"ends_at": iso(end)}


def _text_of(begin: datetime, days: int) -> str:
    return iso(int(begin.timestamp() + days * _DAY) * SECOND)


def _same(kind: str, found: str, value: str) -> bool:
    if kind == "url":
        return found.rstrip("/") == value.rstrip("/")
    return found.casefold() == value.casefold()


def _text(row: Mapping[str, Any]) -> str:
    return str(row.get("description") or "")


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ("type", "scanAction", "riskLevel", "expiredDateTime", "inExceptionList")}
