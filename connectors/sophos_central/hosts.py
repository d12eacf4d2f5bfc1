"""Endpoints: which one a name stands for, isolation with the vendor's own record as the only truth, and scans.

Source: https://developer.sophos.com/docs/endpoint-v1/1/overview
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.sophos_central.client import MANAGE, VENDOR, Central, document
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Asset, AssetQuery
from nightdesk.sdk.triage import marker

__all__ = ["ENDPOINTS", "Hosts"]

ENDPOINTS = "/endpoint/v1/endpoints"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_KINDS = {"computer": "workstation", "server": "server"}
_PAGE = 500
_REASON_MOST = 200  # characters


class Hosts:
    """The endpoints of one tenant."""

    def __init__(self, central: Central) -> None:
        self._central = central

    async def isolate(self, command: Command) -> Receipt:
        """Asks for isolation or its end, unless the endpoint is already so. To ask twice is to ask once."""
        wanted = command.verb == "host.isolate"
        lost = _losses(command)
        path = _path(command.native_id, "/isolation")
        before = (await self._central.read(path, operation="read isolation")).get("enabled")
        evidence = {"enabled_before": before}
        if before is wanted:
            changed = command.began_otherwise("isolated", wanted)
            if not wanted and await self._isolates_itself(command.native_id):
                lost = (*lost, "self-isolation: the endpoint keeps itself cut off while its health is bad")
            return Receipt(command.native_id, changed=changed, losses=lost, evidence=evidence)
        words = (command.reason[:_REASON_MOST], command.case_id, marker(command))
        body = {"enabled": wanted, "comment": " ".join(filter(None, words))}
        operation = "isolate endpoint" if wanted else "release endpoint"
        await self._central.ask("PATCH", path, operation=operation, role=MANAGE, json=body)
        return Receipt(command.native_id, losses=lost, evidence=evidence)

    async def isolation(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether it is so; the vendor leaves ``enabled`` out while the endpoint has not done it yet.

        An endpoint that cut itself off because of its health is no more reachable for being released by us.
        """
        wanted = command.verb == "host.isolate"
        _losses(command)
        enabled = (await self._central.read(_path(command.native_id, "/isolation"), operation="read isolation")).get(
            "enabled"
        )
        if not isinstance(enabled, bool):
            return Effect.PENDING, {}, "in progress"
        itself = not enabled and not wanted and await self._isolates_itself(command.native_id)
        state = {"isolated": enabled, "self_isolated": itself}
        native = "self-isolated" if itself else ("isolated" if enabled else "not isolated")
        return (Effect.IN_EFFECT if enabled is wanted and not itself else Effect.NOT_IN_EFFECT), state, native

    async def scan(self, command: Command) -> Receipt:
        """Asks for a scan; the vendor shows no state of one, so this is all that can be known."""
        command.only()
        operation = "scan endpoint"
        response = await self._central.ask(
            "POST", _path(command.native_id, "/scans"), operation=operation, role=MANAGE, json={}
        )
        made = document(response, operation)
        evidence = {"status": made.get("status"), "requested_at": made.get("requestedAt")}
        return Receipt(str(made.get("id") or ""), evidence=evidence)

    async def find(self, query: AssetQuery) -> Sequence[Asset]:
        """Every endpoint that the query fits, by id, else by name, else by address."""
        found: list[Mapping[str, Any]] = []
        device_id = query.device_id.lower()
        if _ID.fullmatch(device_id):
            found = [row for row in await self._search(ids=device_id) if row.get("id") == device_id]
        names = {name.casefold() for name in (query.hostname, query.fqdn) if name}
        if not found and names:
            # The filter takes parts of names too: so asked, then compared.
            rows = await self._search(hostnameContains=min(names, key=len))
            found = [row for row in rows if str(row.get("hostname", "")).casefold() in names]
        elif not found and query.address:
            rows = await self._search(ipAddresses=query.address)
            found = [row for row in rows if query.address in _addresses(row)]
        return [_asset(row) for row in {str(row.get("id")): row for row in found}.values()]

    async def _search(self, **filters: str) -> list[Mapping[str, Any]]:
        params = {**filters, "view": "full", "pageSize": _PAGE}
        return [row async for row in self._central.by_key(ENDPOINTS, params, operation="find endpoint")]

    async def _isolates_itself(self, native_id: str) -> bool:
        path = _path(native_id)
        endpoint = await self._central.read(path, operation="read endpoint", params={"view": "full"})
        isolation = endpoint.get("isolation")
        return isinstance(isolation, dict) and isolation.get("selfIsolated") is True


def _path(native_id: str, rest: str = "") -> str:
    if not _ID.fullmatch(native_id):
        raise RejectedError(f"{native_id!r} is no id of an endpoint", vendor=VENDOR, operation="read endpoint")
    return f"{ENDPOINTS}/{native_id}{rest}"


def _losses(command: Command) -> tuple[str, ...]:
    command.only(*(("mode",) if command.verb == "host.isolate" else ()))
    mode = command.parameters.get("mode", "full")
    return () if mode == "full" else (f"mode={mode}: Sophos Central cuts off the whole host, but for its policy",)


def _addresses(row: Mapping[str, Any]) -> list[str]:
    parts = (row.get(name) for name in ("ipv4Addresses", "ipv6Addresses"))
    return [str(address) for part in parts if isinstance(part, list) for address in part]


def _asset(row: Mapping[str, Any]) -> Asset:
    return Asset(
        native_id=str(row.get("id", "")),
        hostname=str(row.get("hostname", "")),
        addresses=tuple(dict.fromkeys(_addresses(row))),
        asset_type=_KINDS.get(str(row.get("type", "")), "other"),
        online=row.get("online") if isinstance(row.get("online"), bool) else None,
    )
