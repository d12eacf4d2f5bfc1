"""Devices: which one a name stands for, quarantine read from the device itself, and background scans."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from nightdesk.connectors.carbon_black_cloud.client import VENDOR, Cloud, device_number
from nightdesk.connectors.carbon_black_cloud.memory import Memory
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import RejectedError, ResponseError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["READ", "Hosts"]

READ = "device READ"

_API = "appservices/v6"
_QUARANTINE = "device.quarantine EXECUTE"
_SCAN = "device.bg-scan EXECUTE"
_ROWS, _PAGES = 200, 10  # devices that a name or address brings up; more are no answer
_GONE = frozenset({"DEREGISTERED", "UNINSTALLED", "DELETED"})
_ALIVE = timedelta(minutes=30)  # the console goes live with no device that was silent for longer


class Hosts:
    """The devices of one organisation."""

    def __init__(self, cloud: Cloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock
        self._asked: Memory[str] = Memory()

    async def quarantine(self, command: Command) -> Receipt:
        """Isolates or releases one device, unless it is so or this process asked for it. The vendor answers nothing."""
        lost, wanted = _losses(command), command.verb == "host.isolate"
        device = await self.read(command.native_id)
        evidence = {
            "quarantined_before": device.get("quarantined"),
            "last_contact_time": device.get("last_contact_time"),
        }
        again = self._asked.get(command.idempotency_key) is not None
        if again or device.get("quarantined") is wanted:
            changed = again or command.began_otherwise("isolated", wanted)
            return Receipt(changed=changed, losses=lost, evidence=evidence)
        _living(command, device)
        await self._toggle("QUARANTINE", command, wanted, _QUARANTINE)
        self._asked.note(command.idempotency_key, command.verb)
        return Receipt(losses=lost, evidence=evidence)

    async def quarantined(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the device is as wanted, and has spoken since: nobody says whether the field runs ahead of it."""
        _losses(command)
        wanted = command.verb == "host.isolate"
        device = await self.read(command.native_id)
        now = device.get("quarantined")
        names = ("status", "last_contact_time", "passive_mode")
        state = {"isolated": now is True, **{name: device.get(name) for name in names}}
        native = f"quarantined {now}, last contact {device.get('last_contact_time')}"
        if not isinstance(now, bool):
            return Effect.UNKNOWN, state, native
        heard = instant(device.get("last_contact_time")) or 0
        # By the vendor's clock, which tells the contact: where it is behind, every contact would seem to be before.
        asked = int(command.requested_at.timestamp() + (self._cloud.clock_skew or 0.0)) * SECOND
        late = command.began_otherwise("isolated", wanted) and heard < asked
        if now is wanted:
            if not late:
                self._asked.forget(command.idempotency_key)
            return (Effect.PENDING if late else Effect.IN_EFFECT), state, native
        # The vendor shows no orders and no failures, so one that it took may still be carried out, whoever remembers it
        # (this process, or the journal after a restart), until the device has talked for long enough since.
        taken = command.outstanding or self._asked.get(command.idempotency_key) is not None
        pending = late or (taken and command.may_still_come(heard, self._cloud.clock_skew))
        return (Effect.PENDING if pending else Effect.NOT_IN_EFFECT), state, native

    async def scan(self, command: Command) -> Receipt:
        """Turns the background scan on, once a command; one that runs already goes on."""
        command.only()
        if self._asked.get(command.idempotency_key) is not None:
            return Receipt(evidence={"asked_before": True})
        _living(command, await self.read(command.native_id))
        await self._toggle("BACKGROUND_SCAN", command, True, _SCAN)
        self._asked.note(command.idempotency_key, command.verb)
        return Receipt()

    async def find(self, query: AssetQuery) -> Sequence[Asset]:
        """Every device that the query fits, without sensors that are gone and what a reinstalled one left behind."""
        found: list[Mapping[str, Any]] = []
        if query.device_id.isdecimal():
            found = await self._search({"criteria": {"id": [query.device_id]}})
            found = [each for each in found if str(each.get("id")) == query.device_id]
        names = {name.casefold() for name in (query.hostname, query.fqdn) if name}
        if not found and names:
            # The vendor's search minds the case and finds parts of names: spellings are asked for, then compared.
            spellings = sorted({form for name in names for form in (name, name.upper())} | {query.hostname, query.fqdn})
            found = await self._search({"query": " OR ".join(f'"{_plain(each)}"' for each in spellings if each)})
            found = [each for each in found if _host_name(each).casefold() in names]
        elif not found and query.address:
            found = await self._search({"query": f'"{_plain(query.address)}"'})
            found = [each for each in found if each.get("last_internal_ip_address") == query.address]
        living = [each for each in found if each.get("status") not in _GONE]
        return [self._asset(each) for each in living if not any(_replaced(each, other) for other in living)]

    async def read(self, native_id: str) -> Mapping[str, Any]:
        """One device as it is now. Raises NotFoundError."""
        path = self._cloud.path(_API, "devices", device_number(native_id, "read device"))
        device = await self._cloud.record("GET", path, operation="read device", scope=READ)
        if str(device.get("id")) != native_id:
            message = f"another device than {native_id} came"
            raise ResponseError(message, vendor=VENDOR, operation="read device")
        return device

    async def probe(self) -> None:
        """Reads one device: that proves the permission."""
        await self._rows({"rows": 1}, "check health")

    async def _toggle(self, action: str, command: Command, on: bool, scope: str) -> None:
        await self._cloud.ask(
            "POST",
            self._cloud.path(_API, "device_actions"),
            operation=command.verb,
            scope=scope,
            # Never a search here: it would act on all it matches.
            body={
                "action_type": action,
                "device_id": [device_number(command.native_id, command.verb)],
                "options": {"toggle": "ON" if on else "OFF"},
            },
            repeatable=True,  # a toggle that is so stays so
        )

    async def _search(self, selector: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        sort = [{"field": "name", "order": "ASC"}]
        for number in range(_PAGES):
            window = {"start": number * _ROWS + 1, "rows": _ROWS, "sort": sort}
            rows = await self._rows({**selector, **window}, "find device")
            found += rows
            if len(rows) < _ROWS:
                return found
        message = f"more than {_PAGES * _ROWS} devices fit; ask by device id"
        raise ResponseError(message, vendor=VENDOR, operation="find device")

    async def _rows(self, body: Mapping[str, Any], operation: str) -> list[Mapping[str, Any]]:
        path = self._cloud.path(_API, "devices", "_search")
        answer = await self._cloud.record("POST", path, operation=operation, scope=READ, body=body, repeatable=True)
        rows = answer.get("results")
        if not isinstance(rows, list):
            raise ResponseError("the answer has no results", vendor=VENDOR, operation=operation)
        return [row for row in rows if isinstance(row, dict)]

    def _asset(self, device: Mapping[str, Any]) -> Asset:
        heard = instant(device.get("last_contact_time"))
        silent = (self._clock() - _ALIVE).timestamp() * SECOND
        platform, kind = str(device.get("windows_platform") or ""), str(device.get("deployment_type") or "")
        server = (
            platform.startswith("SERVER") or kind == "WORKLOAD" or "server" in str(device.get("os_version")).lower()
        )
        address = device.get("last_internal_ip_address")
        return Asset(
            native_id=str(device.get("id") or ""),
            hostname=_host_name(device),
            addresses=(str(address),) if address else (),
            asset_type="server" if server else "workstation" if device.get("os") in {"WINDOWS", "MAC"} else "other",
            tags=tuple(str(device[name]) for name in ("policy_name", "target_priority") if device.get(name)),
            online=None if heard is None else heard >= silent,
        )


def _living(command: Command, device: Mapping[str, Any]) -> None:
    status = str(device.get("status") or "")
    if status in _GONE:
        message = f"{command.native_id}: its sensor is {status}, so nobody would carry it out"
        raise RejectedError(message, vendor=VENDOR, operation=command.verb)


def _losses(command: Command) -> tuple[str, ...]:
    command.only(*(("mode",) if command.verb == "host.isolate" else ()))
    mode = command.parameters.get("mode", "full")
    return () if mode == "full" else (f"mode={mode}: Carbon Black Cloud quarantines the whole host",)


def _host_name(device: Mapping[str, Any]) -> str:
    r"""Windows machines of a domain are called ``DOMAIN\HOST``."""
    return str(device.get("name") or "").rpartition("\\")[2]


def _plain(text: str) -> str:
    """Fit to stand between quotes in a query: what would end them or mean many is no part of a name."""
    return "".join(letter for letter in text if letter not in '"\\*?')


def _replaced(device: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True when the other record has the same name and was registered after this one fell silent: a reinstalled sensor.

    Two records that were alive at the same time are two machines, and choosing between them is not for us.
    """
    if device is other or _host_name(device).casefold() != _host_name(other).casefold():
        return False
    silent, began = instant(device.get("last_contact_time")), instant(other.get("registered_time"))
    last = instant(other.get("last_contact_time"))
    return silent is not None and began is not None and last is not None and silent <= began and silent < last
