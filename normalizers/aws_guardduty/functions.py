"""What GuardDuty's findings need: one spelling of their keys, ancestors beside a process, and who is hostile."""

import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

__all__ = ["FUNCTIONS"]

_DEEPEST = 64
# Where the SDK's name of a field is not its JSON name with a capital letter.
_NAMES: Final = {"sourceIps": "sourceIPs", "taskCreatedAt": "createdAt", "latitude": "lat", "longitude": "lon"}
# The tenant's machine does this to others, so the other end is no attacker.
# https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-ec2.html
_OUTGOING_ATTACK = re.compile(r"(?:BruteForce|PortSweep|Portscan|DenialOfService|Spambot)", re.IGNORECASE)
_PLACES: Final = (
    ("instanceDetails", "instanceId"), ("containerDetails", "id"), ("ecsClusterDetails", "arn"),
    ("eksClusterDetails", "arn"),
)  # fmt: skip
_TECHNIQUE = re.compile(r"\bT\d{4}(?:\.\d{3})?\b")


def _renamed(node: Any, depth: int = 0) -> Any:
    if depth >= _DEEPEST:
        return node
    if isinstance(node, list):
        return [_renamed(item, depth + 1) for item in node]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for key, value in node.items():
        name = key[:1].lower() + key[1:]
        nested = value.__class__ is dict or value.__class__ is list
        made.setdefault(_NAMES.get(name, name), _renamed(value, depth + 1) if nested else value)
    return made


def finding(document: Any) -> Any:
    """A finding in the spelling of its JSON: ``IpAddressV4`` is ``ipAddressV4``; details held as text are opened.

    https://docs.aws.amazon.com/guardduty/latest/APIReference/API_Finding.html
    """
    made = _renamed(document)
    service = made.get("service") if isinstance(made, dict) else None
    if isinstance(service, dict):
        made["service"] = service = dict(service)
        service["action"], service["remote"] = _remote(service.get("action"))
        service["place"] = _place(made)
        info = service.get("additionalInfo")
        if isinstance(info, dict):
            service["additionalInfo"] = _opened(info)
        runtime = service.get("runtimeDetails")
        if isinstance(runtime, dict):
            service["runtimeDetails"] = {**runtime, "process": _ancestors(runtime.get("process"))}
    return made


def _remote(actions: Any) -> tuple[Any, Any]:
    """The actions without their remote end, and that end: a finding has one action, of whatever kind."""
    if not isinstance(actions, dict):
        return actions, None
    made, end = {}, None
    for name, action in actions.items():
        if isinstance(action, dict) and isinstance(action.get("remoteIpDetails"), dict) and end is None:
            end = action["remoteIpDetails"]
            action = {key: value for key, value in action.items() if key != "remoteIpDetails"}  # noqa: PLW2901  # a smaller copy
        made[name] = action
    return made, end


def _place(document: dict[str, Any]) -> str | None:
    """Where a process of the finding runs, for the key of the process."""
    held = document.get("resource")
    resource: dict[str, Any] = held if isinstance(held, dict) else {}
    for part, name in _PLACES:
        details = resource.get(part)
        found = details.get(name) if isinstance(details, dict) else None
        if isinstance(found, str) and found:
            return found
    return None


def _opened(info: dict[str, Any]) -> dict[str, Any]:
    """The API gives the details as a text of JSON, EventBridge as an object and again as that text."""
    text = info.get("value")
    if not isinstance(text, str) or text.lstrip()[:1] != "{":
        return info
    try:
        inner = orjson.loads(text)
    except orjson.JSONDecodeError:
        return info
    return {**inner, **{key: value for key, value in info.items() if key != "value"}}


def _ancestors(process: Any) -> Any:
    """The lineage holds the ancestors, nearest first; the first two become the parent and its parent."""
    if not isinstance(process, dict) or not isinstance(process.get("lineage"), list):
        return process
    own = process.get("uuid")
    above = [item for item in process["lineage"] if isinstance(item, dict) and (own is None or item.get("uuid") != own)]
    nearest = dict(zip(("parent", "grandparent"), above, strict=False))
    return {**process, **nearest, "lineage": above[2:]}


def hostile(document: Any) -> bool | None:
    """Whether the remote end is on the attacker's side: not where the tenant's own machine is said to attack it.

    A policy finding reports what somebody of the company did, from wherever they sat.
    """
    kind = document.get("type") if isinstance(document, dict) else None
    if not isinstance(kind, str):
        return True
    if kind.startswith("Policy:"):
        return None
    service = document.get("service")
    role = service.get("resourceRole") if isinstance(service, dict) else None
    acting = isinstance(role, str) and role.upper() == "ACTOR"
    return None if acting and _OUTGOING_ATTACK.search(kind) else True


def listed(document: Any) -> bool | None:
    """Whether a threat list names the remote end: then GuardDuty convicts it."""
    service = document.get("service") if isinstance(document, dict) else None
    if not isinstance(service, dict):
        return None
    evidence, info = service.get("evidence"), service.get("additionalInfo")
    named = isinstance(evidence, dict) and bool(evidence.get("threatIntelligenceDetails"))
    named = named or (isinstance(info, dict) and bool(info.get("threatListName")))
    return True if named and hostile(document) else None


def values_of(indicators: Any, key: str) -> list[str]:
    """The values of the indicators of one key; of a technique its id, whatever stands beside it."""
    found: list[str] = []
    for item in indicators if isinstance(indicators, list) else [indicators]:
        if not isinstance(item, dict) or item.get("key") != key:
            continue
        values = item.get("values")
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, str) and value.strip():
                found.extend(_TECHNIQUE.findall(value) if key == "ATTACK_TECHNIQUE" else [value])
    return list(dict.fromkeys(found))


def console(document: Any) -> str | None:
    """Where the console shows the finding, as the vendor's own notification template links it.

    https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html
    """
    if not isinstance(document, dict) or document.get("partition", "aws") != "aws":
        return None
    region, native = document.get("region"), document.get("id")
    if not (isinstance(region, str) and re.fullmatch(r"[a-z0-9-]{1,40}", region) and isinstance(native, str)):
        return None
    query = urllib.parse.quote(f"id={native}", safe="")
    return f"https://console.aws.amazon.com/guardduty/home?region={region}#/findings?search={query}"


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (finding, hostile, listed, values_of, console)
}
