"""Endpoints: which one a name stands for, isolation with ``is_isolated`` as the only truth, and scans."""

from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.paloalto_cortex_xdr.client import ENDPOINTS_VIEW, VENDOR, Cortex
from nightdesk.connectors.paloalto_cortex_xdr.orders import Orders, only
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["Hosts"]

_ISOLATE = "Response Actions: Isolate"
_SCAN = "Response Actions: Endpoint Scan"
_PAGE = 100
_PAGES = 20  # endpoints that share a name or address; more are no answer
_CALLS: Mapping[str, str] = {"host.isolate": "isolate", "host.release": "unisolate"}
_DONE: Mapping[str, str] = {"host.isolate": "AGENT_ISOLATED", "host.release": "AGENT_UNISOLATED"}
_COMING: Mapping[str, str] = {
    "host.isolate": "AGENT_PENDING_ISOLATION",
    "host.release": "AGENT_PENDING_ISOLATION_CANCELLATION",
}
_HELD = frozenset({"AGENT_ISOLATED", "AGENT_PENDING_ISOLATION_CANCELLATION"})  # a release that waits holds nobody free
_SCANNING = frozenset({"SCAN_STATUS_PENDING", "SCAN_STATUS_IN_PROGRESS", "SCAN_STATUS_PENDING_CANCELLATION"})
_SCANNED = "SCAN_STATUS_SUCCESS"
_KINDS = {"AGENT_TYPE_SERVER": "server", "AGENT_TYPE_WORKSTATION": "workstation", "AGENT_TYPE_MOBILE": "mobile"}


class Hosts:
    """The endpoints of one tenant."""

    def __init__(self, cortex: Cortex, orders: Orders) -> None:
        self._cortex = cortex
        self._orders = orders

    async def contain(self, command: Command) -> Receipt:
        """Isolates or releases, unless it is so or on its way. Raises RejectedError for one that cannot be reached.

        A pending action cannot be deleted at Cortex and would take effect on a day nobody expects, so none is queued
        on an agent that is away; the opposite one is not queued behind it either.
        """
        lost = _losses(command)
        endpoint = await self.read(command.native_id)
        now, isolating = str(endpoint.get("is_isolated", "")), command.verb == "host.isolate"
        evidence = {"is_isolated_before": now}
        if now in {_DONE[command.verb], _COMING[command.verb]}:
            number = self._orders.number(command)
            changed = number is not None or command.began_otherwise("isolated", isolating)
            return Receipt(str(number or ""), changed=changed, losses=lost, evidence=evidence)
        if now in _COMING.values():
            raise _refused(command, f"its agent is {now}; wait until that is done, then ask again")
        connected(command, endpoint)
        answer = await self._cortex.ask(
            f"v1/endpoints/{_CALLS[command.verb]}",
            {"endpoint_id": command.native_id},
            operation=command.verb,
            scope=_ISOLATE,
        )
        return self._orders.accepted(command, answer, lost, evidence)

    async def containment(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """How far it is, whether the host is held, and Cortex's word for it."""
        _losses(command)
        endpoint = await self.read(command.native_id)
        now = str(endpoint.get("is_isolated", ""))
        state = {"isolated": now in _HELD, "is_isolated": now, "endpoint_status": endpoint.get("endpoint_status")}
        if now == _DONE[command.verb]:
            return Effect.IN_EFFECT, state, now
        if now == _COMING[command.verb]:
            return Effect.PENDING, state, now
        if now not in {*_DONE.values(), *_COMING.values()}:
            return Effect.UNKNOWN, state, now
        asked = await self._orders.effect(command)
        failed = asked is not None and asked[0] is Effect.FAILED
        return (Effect.FAILED if failed else Effect.NOT_IN_EFFECT), state, now

    async def scan(self, command: Command) -> Receipt:
        """Starts a scan of one endpoint, unless one runs."""
        command.only()
        again = self._orders.again(command)
        if again is not None:
            return again
        endpoint = await self.read(command.native_id)
        now = str(endpoint.get("scan_status", ""))
        if now in _SCANNING:
            return Receipt(changed=False, evidence={"scan_status_before": now})
        connected(command, endpoint)
        answer = await self._cortex.ask(
            "v1/endpoints/scan/", {"filters": only(command.native_id)}, operation="scan host", scope=_SCAN
        )
        return self._orders.accepted(command, answer, evidence={"scan_status_before": now})

    async def scanned(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """How far the scan is. The endpoint shows its last scan without a time: an old success proves nothing."""
        command.only()
        endpoint = await self.read(command.native_id)
        now = str(endpoint.get("scan_status", ""))
        state = {"scan_status": now}
        asked = await self._orders.effect(command)
        if asked is not None:
            return asked[0], state, asked[1]
        if now in _SCANNING:
            return Effect.PENDING, state, now
        before = command.pre_state.get("scan_status")
        if before is None or (before == now and now != _SCANNED):
            return Effect.NOT_IN_EFFECT, state, now
        if before == now:
            return Effect.UNKNOWN, state, now
        return (Effect.IN_EFFECT if now == _SCANNED else Effect.FAILED), state, now

    async def find(self, query: AssetQuery) -> Sequence[Asset]:
        """Every endpoint that the query fits; what a reinstalled agent left behind is not among them."""
        found: list[Mapping[str, Any]] = []
        if query.device_id:
            found = await self._search("endpoint_id_list", [query.device_id])
            found = [each for each in found if each.get("endpoint_id") == query.device_id]
        names = {name for name in (query.hostname, query.fqdn) if name}
        if not found and names:
            # Whether the filter minds the case is not published: the usual spellings are asked for, then compared.
            spellings = sorted({form for name in names for form in (name, name.lower(), name.upper())})
            folded = {name.casefold() for name in names}
            found = await self._search("hostname", spellings)
            found = [each for each in found if str(each.get("endpoint_name", "")).casefold() in folded]
        elif not found and query.address:
            found = await self._search("ip_list", [query.address])
            found = [each for each in found if query.address in _addresses(each)]
        living = [each for each in found if each.get("endpoint_status") != "UNINSTALLED"]
        return [_asset(each) for each in living if not any(_replaced(each, other) for other in living)]

    async def read(self, native_id: str) -> Mapping[str, Any]:
        """One endpoint as it is now. Raises NotFoundError."""
        only(native_id)
        found = [each for each in await self._search("endpoint_id_list", [native_id])
                 if each.get("endpoint_id") == native_id]  # fmt: skip
        if not found:
            raise NotFoundError(f"no endpoint {native_id}", vendor=VENDOR, operation="read endpoint")
        return found[0]

    async def _search(self, field: str, values: list[str]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for number in range(_PAGES):
            answer = await self._cortex.ask(
                "v1/endpoints/get_endpoint/",
                {
                    "filters": [{"field": field, "operator": "in", "value": values}],
                    "search_from": number * _PAGE,
                    "search_to": (number + 1) * _PAGE,
                },
                operation="find endpoint",
                scope=ENDPOINTS_VIEW,
                repeatable=True,
            )
            rows = answer.rows("endpoints")
            found += rows
            if len(rows) < _PAGE:
                return found
        message = f"more than {_PAGES * _PAGE} endpoints have {field} {values[0]!r}"
        raise ResponseError(message, vendor=VENDOR, operation="find endpoint")


def connected(command: Command, endpoint: Mapping[str, Any]) -> None:
    """Raises RejectedError for an endpoint that would not carry an action out now."""
    status = str(endpoint.get("endpoint_status", ""))
    if status != "CONNECTED":
        raise _refused(command, f"its agent is {status or 'in no known state'}; try again when it is connected")


def _refused(command: Command, why: str) -> RejectedError:
    return RejectedError(f"{command.native_id}: {why}", vendor=VENDOR, operation=command.verb)


def _losses(command: Command) -> tuple[str, ...]:
    command.only(*(("mode",) if command.verb == "host.isolate" else ()))
    mode = command.parameters.get("mode", "full")
    return () if mode == "full" else (f"mode={mode}: Cortex isolates the whole host, but for its isolation profile",)


def _addresses(endpoint: Mapping[str, Any]) -> list[str]:
    lists = [endpoint.get(name) for name in ("ip", "ipv6")]
    return [str(each) for found in lists if isinstance(found, list) for each in found]


def _replaced(endpoint: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True when the other record is of the same name and began after this one fell silent: a reinstalled agent.

    Two records that were alive at the same time are two machines, and choosing between them is not for us.
    """
    same = str(endpoint.get("endpoint_name", "")).casefold() == str(other.get("endpoint_name", "")).casefold()
    silent, began, last = _moment(endpoint, "last_seen"), _moment(other, "first_seen"), _moment(other, "last_seen")
    return endpoint is not other and same and 0 < silent <= began and silent < last


def _moment(endpoint: Mapping[str, Any], name: str) -> int:
    """A time of the endpoint in milliseconds; 0 when there is none."""
    value = endpoint.get(name)
    return value if isinstance(value, int) else 0


def _asset(endpoint: Mapping[str, Any]) -> Asset:
    tags = endpoint.get("group_name")
    return Asset(
        native_id=str(endpoint.get("endpoint_id", "")),
        hostname=str(endpoint.get("endpoint_name", "")),
        addresses=tuple(dict.fromkeys(_addresses(endpoint))),
        asset_type=_KINDS.get(str(endpoint.get("endpoint_type", "")), "other"),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        online=endpoint.get("endpoint_status") == "CONNECTED",
    )
