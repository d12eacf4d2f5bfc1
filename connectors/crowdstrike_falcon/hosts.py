"""Hosts: which device a name stands for, and containment with ``device.status`` as the only truth."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Falcon
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["Hosts"]

_READ = "Hosts: read"
_WRITE = "Hosts: write"
_ACTIONS: Mapping[str, str] = {"host.isolate": "contain", "host.release": "lift_containment"}
_DONE: Mapping[str, str] = {"host.isolate": "contained", "host.release": "normal"}
_PENDING: Mapping[str, str] = {"host.isolate": "containment_pending", "host.release": "lift_containment_pending"}
_STATUSES = frozenset({*_DONE.values(), *_PENDING.values()})
_VALUE = re.compile(r"[\w.:%-]+")  # what may stand inside a quoted FQL value without changing its meaning
_LIMIT = 1000


class Hosts:
    """The devices of one CID."""

    def __init__(self, falcon: Falcon) -> None:
        self._falcon = falcon

    async def contain(self, command: Command) -> Receipt:
        """Asks for containment or its end, unless the host is already so or on its way.

        ``changed`` stays true for a repeat: the pre-state says that the host was otherwise before the first try.
        """
        lost = _losses(command)
        before = str((await self.device(command.native_id)).get("status", ""))
        wanted = (_DONE[command.verb], _PENDING[command.verb])
        repeat = command.began_otherwise("isolated", command.verb == "host.isolate")
        evidence = {"status_before": before}
        if before in wanted:
            return Receipt(command.native_id, changed=repeat, losses=lost, evidence=evidence)
        action = _ACTIONS[command.verb]
        try:
            answer = await self._falcon.ask(
                "POST",
                "/devices/entities/devices-actions/v2",
                operation=action,
                scope=_WRITE,
                params={"action_name": action},
                json={"ids": [command.native_id]},
            )
            refused = self._falcon.complaint(answer) if answer.errors else None
        except RejectedError as error:  # 409 is a documented answer of this call
            refused = error
        if refused is not None:
            # Somebody was faster, or it was refused: the host's own status tells which.
            if str((await self.device(command.native_id)).get("status", "")) not in wanted:
                raise refused
            return Receipt(command.native_id, changed=repeat, losses=lost, evidence=evidence)
        return Receipt(command.native_id, losses=lost, evidence={**evidence, "trace_id": answer.trace_id})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """How far the containment is, whether it holds, and the vendor's word for it."""
        _losses(command)
        status = str((await self.device(command.native_id)).get("status", ""))
        # A release that is still pending leaves the host contained.
        state = {"isolated": status in {"contained", "lift_containment_pending"}, "status": status}
        if status == _DONE[command.verb]:
            return Effect.IN_EFFECT, state, status
        if status == _PENDING[command.verb]:
            return Effect.PENDING, state, status
        return (Effect.NOT_IN_EFFECT if status in _STATUSES else Effect.UNKNOWN), state, status

    async def find(self, query: AssetQuery) -> Sequence[Asset]:
        """Every device that the query fits; records that a reinstalled sensor left behind are not among them."""
        found: list[Mapping[str, Any]] = []
        if query.device_id:
            found = await self._devices([query.device_id])
        names = {name.casefold() for name in (query.hostname, query.fqdn) if name}
        if not found and names:
            # FQL matches a quoted value without regard to case but also within longer names; a list value is exact
            # but minds the case (CrowdStrike/Falcon-Toolkit#192, CrowdStrike/falconpy#935). So: quoted, then compared.
            candidates = [host for name in sorted(names) for host in await self._search("hostname", name)]
            found = [host for host in candidates if str(host.get("hostname", "")).casefold() in names]
        elif not found and query.address:
            found = [host for host in await self._search("local_ip", query.address) if _at(host, query.address)]
        unique = {str(host.get("device_id")): host for host in found}.values()
        return [_asset(host) for host in unique if not any(_replaced(host, other) for other in unique)]

    async def _search(self, field: str, value: str) -> list[Mapping[str, Any]]:
        if not _VALUE.fullmatch(value):
            raise RejectedError(f"{field} {value!r} cannot be searched for", vendor=VENDOR, operation="find host")
        answer = await self._falcon.ask(
            "GET",
            "/devices/queries/devices/v1",
            operation="find host",
            scope=_READ,
            params={"filter": f"{field}:'{value}'", "limit": _LIMIT, "sort": "last_seen.desc"},
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        return await self._devices([str(name) for name in answer.resources])

    async def _devices(self, names: list[str]) -> list[Mapping[str, Any]]:
        if not names:
            return []
        try:
            answer = await self._falcon.ask(
                "POST",
                "/devices/entities/devices/v2",
                operation="read host",
                scope=_READ,
                json={"ids": names},
                repeatable=True,
            )
        except NotFoundError:
            return []
        hosts: list[Mapping[str, Any]] = [host for host in answer.resources if isinstance(host, dict)]
        if answer.errors and {error.get("code") for error in answer.errors} != {404}:
            raise self._falcon.complaint(answer)
        return hosts

    async def device(self, native_id: str) -> Mapping[str, Any]:
        """One host as it is now. Raises NotFoundError."""
        if not native_id:
            raise RejectedError("no device is named", vendor=VENDOR, operation="read host")
        found = [host for host in await self._devices([native_id]) if host.get("device_id") == native_id]
        if not found:
            raise NotFoundError(f"no device {native_id}", vendor=VENDOR, operation="read host", status=404)
        return found[0]


def _losses(command: Command) -> tuple[str, ...]:
    command.only(*(["mode"] if command.verb == "host.isolate" else []))
    mode = command.parameters.get("mode", "full")
    return () if mode == "full" else (f"mode={mode}: Falcon contains the whole host, but for its containment policy",)


def _at(host: Mapping[str, Any], address: str) -> bool:
    return address in {host.get("local_ip"), host.get("connection_ip")}


def _replaced(host: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True when the other record is of the same name and began after this one fell silent: a reinstalled sensor.

    Two records that were alive at the same time are two machines, and choosing between them is not for us.
    """
    same = str(host.get("hostname", "")).casefold() == str(other.get("hostname", "")).casefold()
    silent, began = str(host.get("last_seen") or ""), str(other.get("first_seen") or "")
    return host is not other and same and bool(silent) and silent <= began and silent < str(other.get("last_seen"))


def _asset(host: Mapping[str, Any]) -> Asset:
    addresses = dict.fromkeys(str(host[name]) for name in ("local_ip", "connection_ip") if host.get(name))
    tags = host.get("tags")
    return Asset(
        native_id=str(host.get("device_id", "")),
        hostname=str(host.get("hostname", "")),
        addresses=tuple(addresses),
        asset_type={"Workstation": "workstation", "Server": "server", "Domain Controller": "server"}.get(
            str(host.get("product_type_desc", "")), "other"
        ),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
    )
