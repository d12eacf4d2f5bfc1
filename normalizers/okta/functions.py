"""What Okta's events need: a severity for each kind of event, and the words inside its debug data."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix.paths import value_at

__all__ = ["FUNCTIONS"]

_LARGEST: Final = 65_536
_PAIR = re.compile(r"([A-Za-z][A-Za-z0-9 _-]{0,60})=([^,}]{0,200})")
# Events whose client is the one that Okta suspects; in others it may be the user who is at risk, or who reports.
# https://developer.okta.com/docs/reference/api/event-types/
_SUSPECTED: Final = frozenset({"security.threat.detected", "user.mfa.attempt_bypass"})


def pair(text: Any, name: str) -> str | None:
    """One value out of the log's ``{level=HIGH, reasons=…}``, which is no JSON; an object is asked by its key."""
    if isinstance(text, dict):
        found = text.get(name)
        return found if isinstance(found, str) and found else None
    if not isinstance(text, str):
        return None
    for key, value in _PAIR.findall(text[:_LARGEST]):
        if key.strip() == name and value.strip():
            return str(value.strip())
    return None


def positive(text: Any) -> list[str]:
    """The behaviours that were found (``New IP=POSITIVE``), without those that were not."""
    if isinstance(text, dict):
        return [str(key) for key, value in text.items() if value == "POSITIVE"]
    found = _PAIR.findall(text[:_LARGEST]) if isinstance(text, str) else []
    return [key.strip() for key, value in found if value.strip() == "POSITIVE"]


def detection(document: Any) -> bool | None:
    """Whether Okta itself says that the client is suspicious."""
    kind = value_at(document, "eventType")
    suspected = value_at(document, "debugContext", "debugData", "threatSuspected")
    if suspected in (True, "true", "TRUE") or (isinstance(kind, str) and kind in _SUSPECTED):
        return True
    return None


def risk(document: Any) -> str | None:
    """The level of risk that Okta states, wherever the kind of event puts it."""
    data = value_at(document, "debugContext", "debugData")
    for key in ("risk", "logOnlySecurityData"):
        value = value_at(data, key)
        nested = value_at(value, "risk") if isinstance(value, dict) else None
        found = pair(nested if nested is not None else value, "level")
        if found:
            return found.upper()
    for found in (value_at(data, "riskLevel"), value_at(document, "securityContext", "risk", "level")):
        if isinstance(found, str) and found:
            return found.upper()
    return None


def people(targets: Any, actor: Any) -> list[dict[str, Any]]:
    """The people among the targets who are not the actor; one person may stand there as user and as app user."""
    own = value_at(actor, "alternateId") if isinstance(actor, dict) else None
    made: dict[str, dict[str, Any]] = {}
    for item in targets if isinstance(targets, list) else [targets]:
        if not isinstance(item, dict) or item.get("type") not in ("User", "AppUser"):
            continue
        login = item.get("alternateId")
        key = login if isinstance(login, str) and login else str(item.get("id"))
        if key != own and (key not in made or item.get("type") == "User"):
            made[key] = item
    return list(made.values())


def prepared(document: Any) -> Any:
    """The event with its targets sorted: people, applications, and the rest; the placeholder ``unknown`` is nothing."""
    if not isinstance(document, dict):
        return document
    made = {**document, "people": people(document.get("target"), document.get("actor"))}
    session = value_at(document, "authenticationContext", "externalSessionId")
    if session == "unknown":
        made["authenticationContext"] = {**document["authenticationContext"], "externalSessionId": None}
    return made


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (pair, positive, detection, risk, prepared)
}
