"""Machines: which of them a name, address or id stands for."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.microsoft_defender_xdr.client import Surface, quoted
from nightdesk.sdk.errors import NotFoundError
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["Hosts"]

_READ = "Machine.Read.All"
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
Machine = Mapping[str, Any]


class Hosts:
    """The machines of one tenant."""

    def __init__(self, endpoint: Surface) -> None:
        self._endpoint = endpoint

    async def find(self, query: AssetQuery) -> Sequence[Asset]:
        """Every onboarded machine that the query fits, without the records that a reinstallation left behind.

        ``device_id`` is the machine id or, for alerts of other products, the Entra device id.
        """
        found: list[Machine] = []
        if query.device_id:
            found = await self._by_id(query.device_id)
        if not found and (query.fqdn or query.hostname):
            found = await self._by_name(query.hostname.lower(), query.fqdn.lower().rstrip("."))
        elif not found and query.address:
            found = await self._search(f"lastIpAddress eq {quoted(query.address)}")
            found = [machine for machine in found if machine.get("lastIpAddress") == query.address]
        # A machine that is only seen on the network has no sensor, so nothing could be done to it.
        onboarded = [machine for machine in found if _word(machine, "onboardingStatus") in {"onboarded", ""}]
        unique = {str(machine.get("id")): machine for machine in onboarded}.values()
        return [_asset(machine) for machine in unique if not any(_replaced(machine, other) for other in unique)]

    async def _by_id(self, name: str) -> list[Machine]:
        if _GUID.fullmatch(name):
            found = await self._search(f"aadDeviceId eq {name}")  # a GUID stands unquoted
            return [machine for machine in found if _word(machine, "aadDeviceId") == name.lower()]
        try:
            return [
                await self._endpoint.read(
                    "GET", f"/api/machines/{quote(name, safe='')}", operation="read host", role=_READ
                )
            ]
        except NotFoundError:
            return []

    async def _by_name(self, short: str, full: str) -> list[Machine]:
        """``computerDnsName`` is the full name in lower case, or the short one of a machine outside a domain."""
        if full:
            found = await self._search(f"computerDnsName eq {quoted(full)}")
            exact = [machine for machine in found if _word(machine, "computerDnsName") == full]
            if exact:
                return exact
            found = await self._search(f"computerDnsName eq {quoted(short)}")
            return [machine for machine in found if _word(machine, "computerDnsName") == short]
        found = await self._search(f"startswith(computerDnsName,{quoted(short)})")
        return [machine for machine in found if _word(machine, "computerDnsName").partition(".")[0] == short]

    async def _search(self, text: str) -> list[Machine]:
        try:
            found = await self._endpoint.rows(
                "/api/machines", operation="find host", role=_READ, params={"$filter": text}
            )
        except NotFoundError:  # how an empty list is answered
            return []
        return list(found)


def _word(machine: Machine, name: str) -> str:
    return str(machine.get(name) or "").lower()


def _replaced(machine: Machine, other: Machine) -> bool:
    """True when the other record is of the same name and began after this one fell silent: a reinstalled machine.

    Two records that were alive at the same time are two machines, and choosing between them is not for us.
    """
    same = _word(machine, "computerDnsName") == _word(other, "computerDnsName")
    silent, began = str(machine.get("lastSeen") or ""), str(other.get("firstSeen") or "")
    return machine is not other and same and bool(silent) and silent <= began and silent < str(other.get("lastSeen"))


def _asset(machine: Machine) -> Asset:
    listed = machine.get("ipAddresses")
    every = [machine.get("lastIpAddress"), *(each.get("ipAddress") for each in listed or () if isinstance(each, dict))]
    platform, tags = _word(machine, "osPlatform"), machine.get("machineTags")
    kind = "workstation" if re.fullmatch(r"windows(7|8|8\.1|10|11).*|macos", platform) else "other"
    return Asset(
        native_id=str(machine.get("id") or ""),
        hostname=str(machine.get("computerDnsName") or "").partition(".")[0],
        addresses=tuple(dict.fromkeys(str(address) for address in every if address)),
        asset_type="server" if platform.startswith("windowsserver") else kind,
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        online={"active": True, "inactive": False}.get(_word(machine, "healthStatus")),
    )
