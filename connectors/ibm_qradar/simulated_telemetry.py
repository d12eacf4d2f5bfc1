"""What the simulated console collected of its tenant's flows, firewall, identity provider and hosts."""

from collections.abc import Sequence

from nightdesk.connectors.ibm_qradar.payloads import milliseconds
from nightdesk.connectors.ibm_qradar.simulated_rows import Record
from nightdesk.sdk.ports import SightingKind
from nightdesk.sdk.testing.story import StorySighting

__all__ = ["COLUMNS", "records"]

_K = SightingKind
_BOTH = frozenset({"starttime", "sourceip", "sourceport", "destinationip", "destinationport"})
_STORY = frozenset({"hostname", "severity", "qidname", "process commandline", "process path", "sha256 hash"})
COLUMNS = {
    "events": _BOTH
    | _STORY
    | {"devicetime", "category", "username", "qid", "devicetype", "logsourceid", "eventcount", "mitre technique"},
    "flows": _BOTH | {"firstpackettime", "lastpackettime", "sourcepackets", "destinationpackets"},
}
"""The fields of each database, the custom properties of events among them."""
_CATEGORIES = {
    _K.NETWORK_FLOW: (4002, "Traffic Permitted"),
    _K.BLOCKED_FLOW: (4003, "Traffic Denied"),
    _K.SIGN_IN: (3011, "User Login Success"),
    _K.SIGN_IN_REFUSED: (3010, "User Login Failure: account disabled"),
    _K.LOGON: (3002, "Success Audit: An account was successfully logged on"),
    _K.LOGON_REFUSED: (3003, "Failure Audit: An account failed to log on"),
}
_NOWHERE = "0.0.0.0"  # noqa: S104  # how Ariel writes no address
_OPENED = (4007, "Built Connection")
_LOGONS = frozenset({_K.LOGON, _K.LOGON_REFUSED})
_PROVIDERS = {"okta": "Okta", "microsoft_entra_id": "Microsoft Entra ID"}


def records(seen: Sequence[StorySighting]) -> list[Record]:
    """A flow for what a collector saw pass, an event for the rest.

    ``provider`` says whose record it is: ``firewall`` a permit, ``session`` a firewall's opening of a session.
    """
    return [row for number, one in enumerate(seen) if (row := _record(one, number)) is not None]


def _record(one: StorySighting, number: int) -> Record | None:
    if one.kind is _K.NETWORK_FLOW and one.provider not in {"firewall", "session"}:
        return _flow(one)
    if one.kind not in _CATEGORIES:
        return None  # no field that every log source has tells of processes
    return _event(one, number)


def _ends(one: StorySighting) -> tuple[dict[str, object], dict[tuple[str, object], str]]:
    near = one.device.addresses[0] if one.device and one.device.addresses else _NOWHERE
    far = one.peer or _NOWHERE
    source, dest = ((far, one.port), (near, 50123)) if one.inbound else ((near, 50123), (far, one.port))
    row = {"sourceip": source[0], "sourceport": source[1], "destinationip": dest[0], "destinationport": dest[1]}
    hosts = {near: one.device.hostname if one.device else "", far: one.domain}
    return row, {("ASSETHOSTNAME", address): name for address, name in hosts.items() if name}


def _flow(one: StorySighting) -> Record:
    ends, names = _ends(one)
    times = {
        "firstpackettime": milliseconds(one.began or one.at),
        "lastpackettime": milliseconds(one.at),
        "starttime": milliseconds(one.at),
    }
    # A flow to a name alone is one that nobody answered.
    packets = {"sourcepackets": 6, "destinationpackets": 0 if one.provider == "unanswered" else 4}
    return Record("flows", {**ends, **times, **packets}, names)


def _event(one: StorySighting, number: int) -> Record:
    category, text = _OPENED if one.provider == "session" else _CATEGORIES[one.kind]
    if one.kind in {_K.NETWORK_FLOW, _K.BLOCKED_FLOW}:
        ends, names = _ends(one)
        source = "Palo Alto PA Series"
    elif one.kind in _LOGONS:
        host = one.device.addresses[0] if one.device and one.device.addresses else _NOWHERE
        ends = {"sourceip": one.peer or "203.0.113.5", "sourceport": 0, "destinationip": host, "destinationport": 0}
        names = {("ASSETHOSTNAME", host): one.device.hostname} if one.device else {}
        source = "Microsoft Windows Security Event Log"
    else:
        peer = one.peer or "203.0.113.5"
        ends, names = {"sourceip": peer, "sourceport": 0, "destinationip": _NOWHERE, "destinationport": 0}, {}
        source = _PROVIDERS.get(one.provider, one.provider or "Universal DSM")
    account = one.account
    qid, kind = 5_000_000 + number, 100 + number
    row = {
        **ends,
        "starttime": milliseconds(one.at),
        "devicetime": milliseconds(one.at),
        "category": category,
        "username": (account.email or account.name) if account else None,
        "qid": qid,
        "devicetype": kind,
        "logsourceid": kind,
        "eventcount": 1,
    }
    return Record("events", row, {**names, ("QIDNAME", qid): text, ("LOGSOURCETYPENAME", kind): source})
