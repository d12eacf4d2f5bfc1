"""What the workspace's tables saw of a target, in KQL whose every value is one of a few harmless letters.

``union isfuzzy=true`` with an empty first leg, so that a table the workspace does not have is nothing and no error.
Sources: the vendor's reference of the tables DeviceNetworkEvents, DeviceProcessEvents, SigninLogs,
AADNonInteractiveUserSignInLogs and CommonSecurityLog; sign-in error 50057 is a disabled account.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.connectors.microsoft_sentinel.client import VENDOR
from nightdesk.connectors.microsoft_sentinel.logs import Logs
from nightdesk.sdk.errors import ResponseError, UnsupportedError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.naming import names_of, plain
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind

__all__ = ["Telemetry"]

_K = SightingKind
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A quote or a backslash would have to be escaped, so neither may stand in a name.
_NAME, _LINK = " .@:-+$", ".:/-?&=#%~+,;!()@$*"
_DISABLED = "50057"
_LET_THROUGH = ("allow", "accept", "permit", "pass")
_STOPPED = ("deny", "denied", "drop", "block", "reset", "reject")
_EMPTY = "(datatable(TimeGenerated:datetime)[])"
_SENSORS = {
    "DeviceNetworkEvents": "microsoft_defender_xdr",
    "DeviceProcessEvents": "microsoft_defender_xdr",
    "SigninLogs": "microsoft_entra_id",
    "AADNonInteractiveUserSignInLogs": "microsoft_entra_id",
}
_COLUMNS = {
    "DeviceNetworkEvents": "ActionType, DeviceName, LocalIP, LocalPort, RemoteIP, RemotePort, RemoteUrl",
    "DeviceProcessEvents": "ActionType, DeviceName, FolderPath, FileName",
    "SigninLogs": "UserPrincipalName, UserId, ResultType, IPAddress, AppDisplayName",
    "AADNonInteractiveUserSignInLogs": "UserPrincipalName, UserId, ResultType, IPAddress, AppDisplayName",
    "CommonSecurityLog": "DeviceVendor, DeviceAction, StartTime, SourceHostName, SourceIP, SourcePort,"
    " DestinationHostName, DestinationIP, DestinationPort, RequestURL",
}


class Telemetry:
    """One workspace's tables."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """Rows of the half-open time, oldest first. Raises VendorError for a partial answer."""
        window = f"TimeGenerated >= datetime({_stamp(since)}) and TimeGenerated < datetime({_stamp(until)})"
        legs = []
        for table, tests in _asked(target).items():
            steps = [
                table,
                *(f"where {test}" for test in (window, *tests)),
                f"project TimeGenerated, Type, {_COLUMNS[table]}",
            ]
            legs.append(f"({' | '.join(steps)})")
        query = f"union isfuzzy=true {', '.join([_EMPTY, *legs])} | sort by TimeGenerated asc"
        rows = await self._logs.rows(query, limit=max(limit, 1))
        return [_sighting(target, row) for row in rows][:limit]


def _asked(target: Target) -> dict[str, list[str]]:
    """The tables that can tell of the target, and what each row must fulfil."""
    flows = "ActionType in ('ConnectionSuccess', 'InboundConnectionAccepted')"
    match target.kind:
        case TargetKind.HOST:
            names = names_of(target)
            hosts = [f"{{}} =~ {_text(one)}" for one in names.exact]
            hosts += [f"{{}} startswith {_text(one)}" for one in names.prefixes]
            named = [test.format(name) for test in hosts for name in ("SourceHostName", "DestinationHostName")]
            by_address = [
                f"{name} == {_text(one)}" for one in names.addresses for name in ("SourceIP", "DestinationIP")
            ]
            return {
                "DeviceNetworkEvents": [flows, _any(test.format("DeviceName") for test in hosts)],
                "CommonSecurityLog": [_any([*named, *by_address])],
            }
        case TargetKind.ACCOUNT:
            names = names_of(target)
            # The tables know user principal names and object ids; names with a domain before them are not theirs.
            users = [f"{name} =~ {_text(one)}" for one in names.exact if "\\" not in one for name in _USER]
            tests = [_any(users), f"ResultType in ('0', '{_DISABLED}')"]
            return {"SigninLogs": tests, "AADNonInteractiveUserSignInLogs": tests}
        case TargetKind.ADDRESS if "/" not in target.value:
            value = _text(target.value)
            return {
                "DeviceNetworkEvents": [flows, _any([f"RemoteIP == {value}", f"LocalIP == {value}"])],
                "CommonSecurityLog": [_any([f"SourceIP == {value}", f"DestinationIP == {value}"])],
            }
        case TargetKind.DOMAIN:
            forms = [
                f"RemoteUrl startswith {_text(f'{scheme}://{target.value}/', _LINK)}" for scheme in ("https", "http")
            ]
            return {
                "DeviceNetworkEvents": [flows, _any([f"RemoteUrl =~ {_text(target.value)}", *forms])],
                "CommonSecurityLog": [_any([f"DestinationHostName =~ {_text(target.value)}"])],
            }
        case TargetKind.URL:
            value = _text(target.value, _LINK)
            return {
                "DeviceNetworkEvents": [flows, _any([f"RemoteUrl == {value}"])],
                "CommonSecurityLog": [_any([f"RequestURL == {value}"])],
            }
        case TargetKind.FILE:
            kind, _, digest = target.value.partition(":")
            tests = ["ActionType == 'ProcessCreated'", f"{kind.upper()} =~ {_text(digest, '')}"]
            return {"DeviceProcessEvents": tests}
    raise UnsupportedError(f"{VENDOR}: no telemetry of {target.key} is read")


_USER = ("UserPrincipalName", "UserId")


def _text(value: str, allowed: str = _NAME) -> str:
    return f"'{plain(value, allowed, vendor=VENDOR)}'"


def _any(tests: Iterable[str]) -> str:
    return " or ".join(tests)


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _sighting(target: Target, row: Mapping[str, Any]) -> Sighting:
    at, table = _moment(row.get("TimeGenerated")), str(row.get("Type"))
    if at is None:
        raise ResponseError("a row has no TimeGenerated", vendor=VENDOR, operation="search")
    name = hashlib.sha256(repr(sorted((key, str(value)) for key, value in row.items())).encode()).hexdigest()
    if target.kind is TargetKind.ACCOUNT:
        return _sign_in(row, name, at, table)
    if target.kind is TargetKind.FILE:
        host, path = _said(row, "DeviceName"), _said(row, "FolderPath", "FileName")
        facts = {"hostname": host, "path": path, "sensor": _SENSORS.get(table, "")}
        return Sighting(_K.PROCESS_START, at, name, f"{path} starting on {host}", facts=_known(facts))
    return _of_device(target, row, name, at) if table.startswith("Device") else _of_firewall(target, row, name, at)


def _sign_in(row: Mapping[str, Any], name: str, at: datetime, table: str) -> Sighting:
    let_in = str(row.get("ResultType")) == "0"
    facts = {
        "provider": _SENSORS.get(table, ""),
        "sensor": _SENSORS.get(table, ""),
        "account": _said(row, "UserPrincipalName"),
        "reason": "" if let_in else "disabled",
    }
    peer = _said(row, "IPAddress")
    what = _said(row, "AppDisplayName") or "an application"
    said = f"{facts['account']} signing in to {what} from {peer}, {'let in' if let_in else 'refused as disabled'}"
    return Sighting(_K.SIGN_IN if let_in else _K.SIGN_IN_REFUSED, at, name, said, peer=peer, facts=_known(facts))


def _of_device(target: Target, row: Mapping[str, Any], name: str, at: datetime) -> Sighting:
    """A sensor's row is about its own host: from there, unless it says that it took a connection."""
    begun_here = _said(row, "ActionType") == "ConnectionSuccess"
    host, far = _said(row, "DeviceName"), _said(row, "RemoteIP")
    by_host = target.kind is TargetKind.HOST or target.value == _said(row, "LocalIP")
    outbound = begun_here if by_host else not begun_here
    link = _said(row, "RemoteUrl")
    facts = {
        "direction": "outbound" if outbound else "inbound",
        "port": _said(row, "RemotePort") if by_host else _said(row, "LocalPort"),
        "peer_name": link.partition("://")[2].partition("/")[0] or link if by_host else host,
        "hostname": host,
        "sensor": _SENSORS["DeviceNetworkEvents"],
    }
    said = f"{host} {'to' if begun_here else 'from'} {link or far}:{_said(row, 'RemotePort')}"
    return Sighting(
        _K.NETWORK_FLOW, at, name, said, peer=far if by_host else _said(row, "LocalIP"), facts=_known(facts)
    )


def _of_firewall(target: Target, row: Mapping[str, Any], name: str, at: datetime) -> Sighting:
    action = _said(row, "DeviceAction").lower()
    stopped = action.startswith(_STOPPED)
    source, dest = _said(row, "SourceIP"), _said(row, "DestinationIP")
    outbound = _begins_at(target, row)
    end, other = ("Source", "Destination") if outbound else ("Destination", "Source")
    facts = {
        "direction": "outbound" if outbound else "inbound",
        "port": _said(row, f"{other}Port"),
        "peer_name": _said(row, f"{other}HostName"),
        "hostname": _said(row, f"{end}HostName"),
        "sensor": _said(row, "DeviceVendor"),
        "passage": "" if stopped or action.startswith(_LET_THROUGH) else "unknown",
    }
    began = _moment(row.get("StartTime"))
    what = _said(row, "RequestURL") or f"{dest}:{_said(row, 'DestinationPort')}"
    return Sighting(
        _K.BLOCKED_FLOW if stopped else _K.NETWORK_FLOW,
        at,
        name,
        f"{_said(row, 'SourceHostName', 'SourceIP')} to {what}, {action or 'no action told'}",
        peer=dest if outbound else source,
        began=began if began is not None and began < at else None,
        facts=_known(facts),
    )


def _begins_at(target: Target, row: Mapping[str, Any]) -> bool:
    """Whether the target is at the beginning of a flow; what is asked for by name is at its end."""
    if target.kind is TargetKind.ADDRESS:
        return _said(row, "SourceIP") == target.value
    if target.kind is not TargetKind.HOST:
        return False
    names, host = names_of(target), _said(row, "SourceHostName").lower()
    return (
        host in {one.lower() for one in names.exact}
        or host.startswith(tuple(one.lower() for one in names.prefixes))
        or _said(row, "SourceIP") in names.addresses
    )


def _known(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in facts.items() if value}


def _said(row: Mapping[str, Any], *names: str) -> str:
    return next((str(row[name]) for name in names if row.get(name) not in (None, "")), "")


def _moment(value: Any) -> datetime | None:
    found = instant(value) if isinstance(value, str) else None
    return None if found is None else _EPOCH + timedelta(microseconds=found // 1000)
