"""What Security Hub's findings need: which end of a connection is hostile, and names in ids of resources."""

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

_INBOUND, _OUTBOUND = 1, 2


def _text(document: Any, *steps: str) -> str:
    for step in steps:
        document = document.get(step) if isinstance(document, dict) else None
    return document if isinstance(document, str) else ""


def resource_uid(resource: Any) -> str | None:
    """The id by which the cloud's own API knows the resource: an instance's own id out of its ARN."""
    found = _text(resource, "Id") or _text(resource, "uid") or _text(resource, "name")
    _, instance, last = found.partition(":instance/")
    return (last if instance else found) or None


def hostile(document: Any) -> bool | None:
    """Whether the remote end of an action is the attacker's; a finding on the company's own configuration has none."""
    types = document.get("Types") if isinstance(document, dict) else None
    first = types[0] if isinstance(types, list) and types else types
    return None if isinstance(first, str) and first.startswith("Software and Configuration Checks") else True


def hostile_end(evidence: Any, end: str) -> bool | None:
    """Whether that end (``src`` or ``dst``) of the evidence is the outside one: by direction, or as an API's caller.

    OCSF: direction_id 1 is inbound, 2 outbound (https://schema.ocsf.io/1.5.0/objects/network_connection_info).
    """
    info = evidence.get("connection_info") if isinstance(evidence, dict) else None
    way = info.get("direction_id") if isinstance(info, dict) else None
    word = _text(info, "direction").lower()
    if way == _OUTBOUND or word == "outbound":
        outside = "dst"
    elif way == _INBOUND or word == "inbound" or (isinstance(evidence, dict) and evidence.get("api")):
        outside = "src"
    else:
        return None
    return True if end == outside else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (resource_uid, hostile, hostile_end)
}
