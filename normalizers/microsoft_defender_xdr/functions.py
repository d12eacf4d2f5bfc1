"""What Defender's forms need before their paths are read: all alerts' evidence in one list, mails put together."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from nightdesk.normalizers.microsoft_defender_xdr.evidence import (
    facts_of,
    flat_entity,
    graph_evidence,
    is_loopback,
    without,
)
from nightdesk.normalizers.microsoft_defender_xdr.rows import file_path, hash_of, row_read
from nightdesk.normalizers.microsoft_defender_xdr.states import registry_path, states_read
from nightdesk.stix import values

__all__ = ["FUNCTIONS"]

_EVIDENCE_FACTS: Final = (
    "verdict", "remediationStatus", "remediationStatusDetails", "detectionStatus", "roles", "detailedRoles", "tags",
    "healthStatus", "riskScore", "onboardingStatus", "defenderAvStatus", "rbacGroupName", "osBuild",
    "countryLetterCode", "location", "deliveryAction", "deliveryLocation", "antiSpamDirection", "threats",
    "threatDetectionMethods", "networkMessageId", "url", "publisher", "clusterBy", "securityGroupName",
    "azureAdDeviceId", "aadDeviceId", "category",
)  # fmt: skip
_READ_TOO: Final = frozenset({"url", "azureAdDeviceId", "aadDeviceId", "category", "location"})
_EVIDENCE_LEAVING: Final = frozenset(_EVIDENCE_FACTS) - _READ_TOO
_ALERT_FACTS: Final = (
    "id", "providerAlertId", "title", "description", "severity", "status", "classification", "determination",
    "serviceSource", "detectionSource", "productName", "category", "detectorId", "alertWebUrl", "actorDisplayName",
    "assignedTo", "recommendedActions", "investigationState", "alertId", "investigationId", "actorName", "comments",
    "resolvedDateTime", "resolvedTime", "creationTime", "createdDateTime", "alertPolicyId", "systemTags",
    "threatDisplayName", "threatFamilyName", "firstActivityDateTime", "lastActivityDateTime", "firstActivity",
    "lastActivity",
)  # fmt: skip
_ALERT_LEAVING: Final = frozenset(_ALERT_FACTS) - {"threatDisplayName", "threatFamilyName"}
_MODELLED: Final = frozenset(
    {
        "device", "file", "process", "ip", "url", "user", "mailbox", "analyzedmessage", "submissionmail", "registrykey",
        "registryvalue", "azureresource", "amazonresource", "googlecloudresource", "filehash", "networkconnection",
        "dns", "malware", "container",
    }
)  # fmt: skip
_MAILS: Final = frozenset({"analyzedmessage", "submissionmail", "mailmessage"})
_STOPPED: Final = frozenset({"prevented", "blocked"})


def _unique(items: Iterable[Any]) -> list[Any]:
    """Each once: several alerts of an incident name the same device and file."""
    made: dict[bytes, Any] = {}
    for item in items:
        try:
            key = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            key = repr(item).encode(errors="replace")
        made.setdefault(key, item)
    return list(made.values())


def _taken(document: dict[str, Any], name: str) -> tuple[list[Any], dict[str, Any]]:
    """What the document's alerts (or itself) hold under a name, and the document without it."""
    own = document.get(name)
    found = list(own) if isinstance(own, list) else []
    rest = {key: value for key, value in document.items() if key != name or not isinstance(own, list)}
    alerts = document.get("alerts")
    if isinstance(alerts, list):
        made = []
        for alert in alerts:
            inner = alert.get(name) if isinstance(alert, dict) else None
            if isinstance(inner, list):
                found += inner
                made.append({key: value for key, value in alert.items() if key != name})
            else:
                made.append(alert)
        rest["alerts"] = made
    return found, rest


def evidence_read(document: dict[str, Any]) -> dict[str, Any]:
    """Graph's evidence, of the alert or of all of an incident, in one list; kinds without a place in ``others``."""
    found, document = _taken(document, "evidence")
    pieces = _unique(graph_evidence(item) for item in found)
    known = [piece for piece in pieces if not isinstance(piece, dict) or piece.get("kind") in _MODELLED]
    others = [piece for piece in pieces if isinstance(piece, dict) and piece.get("kind") not in _MODELLED]
    facts = facts_of(known, _EVIDENCE_FACTS)
    return _with(document, _main_last(_mails(known)), others, facts)


def _main_last(evidence: list[Any]) -> list[Any]:
    """The vendor's primary device, else the first, stands last: after a list a label is its last object."""
    hosts = [piece for piece in evidence if isinstance(piece, dict) and piece.get("kind") == "device"]
    main = next((host for host in hosts if "PrimaryDevice" in str(host.get("detailedRoles"))), None)
    main = main or (hosts[0] if hosts else None)
    return evidence if main is None else [*(piece for piece in evidence if piece is not main), main]


def entities_read(document: dict[str, Any]) -> dict[str, Any]:
    """The devices and entities of an incident's alerts, each once."""
    devices, document = _taken(document, "devices")
    found, document = _taken(document, "entities")
    pieces = _unique(flat_entity(item) for item in found)
    facts = facts_of(pieces, _EVIDENCE_FACTS)
    made = _with(document, _mails(pieces), [], facts)
    made["kinds"] = list(dict.fromkeys(str(piece.get("kind")) for piece in pieces if isinstance(piece, dict)))
    hosts = _unique(devices)
    left = [without(host, _EVIDENCE_LEAVING) for host in hosts]
    return {**made, "devices": left, "device_facts": facts_of(hosts, _EVIDENCE_FACTS)}


def _with(
    document: dict[str, Any], evidence: list[Any], others: list[Any], facts: Mapping[str, list[Any]]
) -> dict[str, Any]:
    """The document with its evidence; ``stopped`` says how, when all that was detected was stopped."""
    states = [str(state).lower() for state in facts.get("detectionStatus", ())]
    stopped = states[0] if states and set(states) <= _STOPPED else None
    left = [without(piece, _EVIDENCE_LEAVING) for piece in evidence]
    made = {**document, "evidence": left, "others": others, "facts": facts, "stopped": stopped}
    alerts = document.get("alerts")
    if isinstance(alerts, list):
        left = [without(alert, _ALERT_LEAVING) for alert in alerts]
        made |= {"alerts": left, "alert_facts": facts_of(alerts, _ALERT_FACTS)}
    return made


def _mails(evidence: list[Any]) -> list[Any]:
    """Copies of one mail, one a recipient, become that mail; a mail alone in the alert is marked ``alone``.

    The list of all recipients belongs to one message only when there is one: a mapping's ``to`` takes a whole list.
    """
    made: list[Any] = []
    first: dict[str, dict[str, Any]] = {}
    for piece in evidence:
        if not isinstance(piece, dict) or piece.get("kind") not in _MAILS:
            made.append(piece)
            continue
        reader = piece.get("recipientEmailAddress") or piece.get("recipient")
        key = str(piece.get("networkMessageId") or f"n{len(first)}")
        if key not in first:
            first[key] = {**piece, "recipients": {}, "verdict": []}
            made.append(first[key])
        known = first[key]
        known["verdict"].append(piece.get("verdict"))
        for name, value in piece.items():
            if known.get(name) in (None, "", []):
                known[name] = value
        if isinstance(reader, str) and reader:
            known["recipients"][reader] = None
    for known in first.values():
        known["recipients"] = list(known["recipients"])
        known["alone" if len(first) == 1 else "amongmany"] = True
        known.pop("recipientEmailAddress", None)
        known.pop("recipient", None)
    return made


def _moments(times: Any) -> list[tuple[datetime, str]]:
    every = times if isinstance(times, list) else [times]
    return sorted((at, text) for text in every if isinstance(text, str) and (at := values.parse_time(text)))


def earliest(times: Any) -> Any:
    """The first of several times; what is none goes on as it is, to be reported."""
    return next((text for _, text in _moments(times)), times)


def latest(times: Any) -> Any:
    """The last of several times."""
    return next((text for _, text in reversed(_moments(times))), times)


def proper(value: Any) -> str | None:
    """An address that ties things together: every machine has the loopback."""
    return None if is_loopback(value) else str(value)


def loopback(value: Any) -> str | None:
    """The loopback address."""
    return str(value) if is_loopback(value) else None


def victim(role: Any) -> str:
    """Whoever sent a mail is not its victim."""
    return "sender" if str(role).lower() == "sender" else "victim"


def mail_of(name: Any) -> Any:
    """A principal name as a mail address; a guest's holds the address at home (``anna_example.com#EXT#@tenant``)."""
    home, guest, _ = str(name).partition("#EXT#")
    user, _, domain = home.rpartition("_")
    return (f"{user}@{domain}" if user and domain else None) if guest else name


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        evidence_read,
        entities_read,
        row_read,
        states_read,
        earliest,
        latest,
        proper,
        mail_of,
        loopback,
        victim,
        registry_path,
        hash_of,
        file_path,
    )
}
