"""What the simulated Splunk indexed of its tenant's network, sign-ins and processes, in the fields of the CIM."""

from collections.abc import Sequence

from nightdesk.connectors.splunk_es import spl
from nightdesk.sdk.ports import SightingKind
from nightdesk.sdk.testing.story import StorySighting

__all__ = ["model"]

_K = SightingKind
_FLOWS = (_K.NETWORK_FLOW, _K.BLOCKED_FLOW)
_SIGN_INS = (_K.SIGN_IN, _K.SIGN_IN_REFUSED, _K.LOGON, _K.LOGON_REFUSED)
_PROCESSES = (_K.PROCESS_START, _K.PROCESS_BLOCKED)


def model(name: str, seen: Sequence[StorySighting], bounds: spl.Bounds) -> list[spl.Row]:
    """The events of a data model within the time range. Raises SplError for a model that is not there."""
    makers = {
        "Network_Traffic All_Traffic": (_FLOWS, _traffic),
        "Web Web": (_FLOWS, _web),
        "Authentication Authentication": (_SIGN_INS, _authentication),
        "Endpoint Processes": (_PROCESSES, _process),
    }
    if name not in makers:
        raise spl.SplError(f"Error in 'datamodel' command: Data model or dataset '{name}' was not found.")
    kinds, make = makers[name]
    rows = [{**make(one), **_place(one, number)} for number, one in enumerate(seen) if one.kind in kinds]
    return [row for row in rows if bounds.hold(row)]


def _place(one: StorySighting, number: int) -> spl.Row:
    stamp = one.at.timestamp()
    return {"_time": stamp, "_indextime": stamp, "_bkt": "main~7~0F0E0D0C", "_cd": f"7:{1000 + number}"}


def _traffic(one: StorySighting) -> spl.Row:
    """A firewall's line; it names its host only where the add-on knows it."""
    ours = one.device.addresses[0] if one.device else "unknown"
    name = one.device.hostname if one.device else "unknown"
    near, far = {"ip": ours, "host": name}, {"ip": one.peer, "host": one.domain or "unknown"}
    src, dest = (far, near) if one.inbound else (near, far)
    began = one.began or one.at
    return {
        "action": "allowed" if one.kind is _K.NETWORK_FLOW else "blocked",
        "src": src["ip"],
        "src_ip": src["ip"],
        "src_host": src["host"],
        "src_port": "50123",
        "dest": dest["ip"],
        "dest_ip": dest["ip"],
        "dest_host": dest["host"],
        "dest_port": str(one.port),
        "duration": f"{(one.at - began).total_seconds():g}",
        "sourcetype": one.provider or "pan:traffic",
    }


def _web(one: StorySighting) -> spl.Row:
    row = _traffic(one)
    return {**row, "dest": one.domain or one.peer, "url_domain": one.domain, "url": one.url, "sourcetype": "squid"}


def _authentication(one: StorySighting) -> spl.Row:
    refused = one.kind in {_K.SIGN_IN_REFUSED, _K.LOGON_REFUSED}
    on_host = one.kind in {_K.LOGON, _K.LOGON_REFUSED}
    return {
        "action": "failure" if refused else "success",
        "app": "win:local" if on_host else one.provider or "idp",
        "user": one.account.email if one.account else "unknown",
        "src": one.peer or "unknown",
        "dest": one.device.hostname if one.device and on_host else "unknown",
        "reason": "user is disabled" if refused else "unknown",
        "sourcetype": "XmlWinEventLog" if on_host else one.provider or "idp",
    }


def _process(one: StorySighting) -> spl.Row:
    process = one.process
    return {
        "action": "allowed" if one.kind is _K.PROCESS_START else "blocked",
        "dest": one.device.hostname if one.device else "unknown",
        "process_name": process.name if process else "unknown",
        "process_path": process.path if process else "unknown",
        "process_hash": f"MD5={'0' * 32},SHA256={process.sha256.upper()}" if process else "unknown",
        "sourcetype": one.provider or "XmlWinEventLog",
    }
