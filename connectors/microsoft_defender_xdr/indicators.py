"""Custom indicators: one block of ours a value, found before it is made, deleted by its id only.

The call that makes an indicator writes over whatever stands under the same value, so it is never sent blindly. Only
``Block`` and ``BlockAndRemediate`` (and the retired ``AlertAndBlock``) block: ``Warn`` can be clicked away, ``Audit``
and ``Alert`` only tell, and ``Allowed`` wins over every block.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.microsoft_defender_xdr.client import VENDOR, Surface, quoted
from nightdesk.sdk.errors import NotFoundError, RejectedError, UnsupportedError
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Indicators"]

_ROLE = "Ti.ReadWrite.All"
_HASHES = {"sha1": "FileSha1", "sha256": "FileSha256", "md5": "FileMd5"}
_BLOCKING = frozenset({"block", "blockandremediate", "alertandblock"})
_OVERRULING = frozenset({"allowed", "warn"})
_LONGEST = 366 * 86_400  # seconds
Row = Mapping[str, Any]


class Indicators:
    """Blocks and unblocks; what it did not make itself it neither changes nor deletes."""

    def __init__(self, endpoint: Surface, tenant: str) -> None:
        self._endpoint = endpoint
        self._application = f"nightdesk:{tenant}"

    async def block(self, command: Command) -> Receipt:
        """Makes or prolongs our indicator. Raises RejectedError when somebody else's stands in its place."""
        kind, value = _indicator(command)
        until = _until(command)
        there = await self._find(command)
        mine = next((row for row in there if self._is_ours(row)), None)
        against = next((row for row in there if not _blocks(row) and row is not mine), None)
        if against is not None:
            raise RejectedError(
                f"{command.target.key} has an indicator {against.get('id')} that does not block everywhere (action"
                f" {against.get('action')!r}, device groups {against.get('rbacGroupNames') or 'all'}); change it in the"
                " portal",
                vendor=VENDOR,
                operation=command.verb,
            )
        standing = next((row for row in there if _blocks(row) and _lasts(row, until)), None)
        if standing is not None:
            ours = marker(command) in str(standing.get("description") or "")
            changed = ours or command.began_otherwise("blocked", True)
            return Receipt(str(standing.get("id") or ""), changed, evidence={**_shown(standing), **_ends(there)})
        if mine is None and there:
            loss = f"duration: somebody else's indicator {there[0].get('id')} blocks until {_end(there[0])}"
            return Receipt(str(there[0].get("id") or ""), changed=False, losses=(loss,), evidence=_shown(there[0]))
        made = await self._endpoint.read(
            "POST",
            "/api/indicators",
            operation=command.verb,
            role=_ROLE,
            json={
                "indicatorValue": value,
                "indicatorType": kind,
                "action": "Block",
                "title": "Blocked by nightdesk",
                "description": " ".join(filter(None, (command.reason, command.case_id, marker(command)))),
                "severity": "High",
                "generateAlert": True,
                "rbacGroupNames": [],
                "application": self._application,
                **({"expirationTime": until} if until else {}),
            },
        )
        # The application of an indicator never changes: another one's there means that ours went over it.
        over = "application" in made and not self._is_ours(made)
        lost = [f"the indicator {made.get('id')} of {made.get('createdBy')}, which was not shown, was written over"]
        return Receipt(
            str(made.get("id") or ""), losses=tuple(lost if over else ()), evidence={**_shown(made), **_ends([made])}
        )

    async def unblock(self, command: Command) -> Receipt:
        """Deletes our indicator by its id; a missing one is what was wanted."""
        command.only()
        there = [row for row in await self._find(command) if _blocks(row) or self._is_ours(row)]
        strange = next((row for row in there if not self._is_ours(row)), None)
        if strange is not None:
            raise RejectedError(
                f"{command.target.key} is blocked by the indicator {strange.get('id')} of"
                f" {strange.get('createdBy') or 'somebody'}, which this tenant's nightdesk did not make; remove it in"
                " the portal",
                vendor=VENDOR,
                operation=command.verb,
            )
        if not there:
            return Receipt(changed=command.began_otherwise("blocked", False))
        for row in there:
            await self._delete(command, str(row.get("id") or ""))
        return Receipt(str(there[0].get("id") or ""), evidence=_shown(there[0]))

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether a block stands, whose it is, and the vendor's word for it."""
        command.only(*(() if command.verb.endswith(".unblock") else ("duration",)))
        there = await self._find(command)
        row = next((row for row in there if _blocks(row)), None)
        overruled = any(str(row.get("action")).lower() in _OVERRULING for row in there)
        blocked = row is not None and not overruled
        shown = row or (there[0] if there else None)
        state = {
            "blocked": blocked,
            "ours": shown is not None and self._is_ours(shown),
            "indicator_id": str((shown or {}).get("id") or ""),
            **(_ends(there) if blocked else {}),
        }
        wanted = command.verb.endswith(".block")
        native = str((shown or {}).get("action") or "")
        return (Effect.IN_EFFECT if blocked is wanted else Effect.NOT_IN_EFFECT), state, native

    async def _find(self, command: Command) -> list[Row]:
        """Every active indicator of the target, held against what was asked."""
        kind, value = _indicator(command)
        # Whether a comparison minds the letter case is not documented; people paste hashes in capitals.
        spelt = dict.fromkeys((value, *((value.upper(),) if kind in _HASHES.values() else ())))
        values = " or ".join(f"indicatorValue eq {quoted(each)}" for each in spelt)
        rows = await self._endpoint.rows(
            "/api/indicators",
            operation="find indicator",
            role=_ROLE,
            params={"$filter": f"indicatorType eq {quoted(kind)} and ({values})"},
        )
        wanted = (kind.lower(), value.lower())
        return [
            row
            for row in rows
            if (str(row.get("indicatorType")).lower(), str(row.get("indicatorValue")).lower()) == wanted
        ]

    async def _delete(self, command: Command, name: str) -> None:
        try:
            await self._endpoint.ask(
                "DELETE", f"/api/indicators/{quote(name, safe='')}", operation=command.verb, role=_ROLE
            )
        except NotFoundError:
            return  # gone is what was wanted

    def _is_ours(self, row: Row) -> bool:
        return row.get("application") == self._application


def _indicator(command: Command) -> tuple[str, str]:
    """Type and value. Raises UnsupportedError for what cannot be an indicator."""
    target = command.target
    match target.kind:
        case TargetKind.FILE:
            name, _, digest = target.value.partition(":")
            return _HASHES[name], digest
        case TargetKind.ADDRESS:
            if "/" in target.value:
                raise UnsupportedError(f"{target.key}: an indicator is one address, networks are not known to Defender")
            return "IpAddress", str(ipaddress.ip_address(target.value))
        case TargetKind.DOMAIN:
            return "DomainName", target.value
        case TargetKind.URL:
            return "Url", target.value
    raise UnsupportedError(f"{target.key}: Defender's indicators are hashes, addresses, domains and URLs")


def _blocks(row: Row) -> bool:
    # One that is bound to device groups leaves the other devices open.
    everywhere = not row.get("rbacGroupNames") and not row.get("rbacGroupIds")
    return str(row.get("action")).lower() in _BLOCKING and everywhere


def _lasts(row: Row, until: str) -> bool:
    """True when the block ends no earlier than wanted; an empty time is never."""
    end = instant(row.get("expirationTime"))
    return end is None or (bool(until) and end >= (instant(until) or 0))


def _ends(rows: Iterable[Row]) -> dict[str, str]:
    """When the last of these blocks ends by Defender's clock; nothing when one of them never does."""
    ends = [instant(row.get("expirationTime")) for row in rows if _blocks(row)]
    known = [end for end in ends if end is not None]
    return {"ends_at": iso(max(known))} if known and len(known) == len(ends) else {}


def _end(row: Row) -> str:
    return str(row.get("expirationTime") or "")


def _until(command: Command) -> str:
    command.only("duration")
    raw = command.parameters.get("duration")
    if raw is None:
        return ""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= _LONGEST:
        raise RejectedError(f"duration {raw!r}: write seconds, at most 366 days")
    return f"{command.requested_at.astimezone(UTC) + timedelta(seconds=raw):%Y-%m-%dT%H:%M:%S}Z"


def _shown(row: Row) -> dict[str, Any]:
    names = ("id", "indicatorType", "indicatorValue", "action", "application", "expirationTime", "createdBy")
    return {"indicator": {name: row.get(name) for name in names}}
