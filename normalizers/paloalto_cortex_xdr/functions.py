"""What Cortex's records need beyond paths: flat alerts as alerts with events, states, descriptions made of tokens."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

_OF_AN_EVENT: Final = (
    "actor_", "causality_actor_", "os_actor_", "action_", "fw_", "dst_", "event_", "contains_featured_", "image_",
    "container_", "identity_", "resource_",
)  # fmt: skip
_OF_AN_EVENT_WHOLE: Final = frozenset({
    "agent_install_type", "agent_host_boot_time", "module_id", "association_strength", "story_id", "dns_query_name",
    "namespace", "cluster_name", "referenced_resource", "operation_name", "project", "cloud_provider", "user_agent",
    "user_name",
})  # fmt: skip
_OF_THE_ALERT: Final = frozenset({"action_pretty"})
_MOST_EVENTS: Final = 1000
_NUMBERED: Final = re.compile(r"^status_\d+_")


def _is_of_an_event(key: str) -> bool:
    return key not in _OF_THE_ALERT and (key in _OF_AN_EVENT_WHOLE or key.startswith(_OF_AN_EVENT))


def with_events(document: dict[str, Any]) -> dict[str, Any]:
    """An alert whose events are spread over it (a value, or a list with one for each event) has them in ``events``."""
    if isinstance(document.get("events"), list):
        return document
    spread = {key: value for key, value in document.items() if _is_of_an_event(key)}
    if not any(value not in (None, "", [], {}) for value in spread.values()):
        return document
    count = max((len(value) for value in spread.values() if isinstance(value, list)), default=1)
    events = [
        {key: _nth(value, number) for key, value in spread.items()}
        for number in range(min(max(count, 1), _MOST_EVENTS))
    ]
    return {**{key: value for key, value in document.items() if key not in spread}, "events": events}


def _nth(value: Any, number: int) -> Any:
    if not isinstance(value, list):
        return value
    return value[number] if number < len(value) else None


def sentence(description: Any) -> str | None:
    """The description: a text, or the tokens of a behavioural rule in the order the console shows them."""
    if isinstance(description, str):
        return description.strip() or None
    if not isinstance(description, list):
        return None
    words = [token.get("pretty_name") for token in description if isinstance(token, dict)]
    return " ".join(word.strip() for word in words if isinstance(word, str) and word.strip()) or None


def plain(word: Any) -> str | None:
    """A status word without its number: ``STATUS_060_RESOLVED_FALSE_POSITIVE`` is ``resolved_false_positive``."""
    if not isinstance(word, str) or not word.strip():
        return None
    return _NUMBERED.sub("", word.strip().lower())


def state(word: Any) -> str | None:
    """A status word's state: every ``resolved_…`` is ``resolved``, for new ones keep appearing."""
    found = plain(word)
    return "resolved" if found and found.startswith("resolved") else found


def known(word: Any) -> str | None:
    """A word that says something; Cortex writes ``N/A``, ``UNKNOWN`` and ``NO_HOST`` where there is nothing."""
    text = str(word).strip() if isinstance(word, str | int) else ""
    return text if text.upper() not in {"", "-", "N/A", "UNKNOWN", "NO_HOST", "NONE"} else None


def host(text: Any, part: str) -> str | None:
    """The ``name`` or the endpoint ``id`` of an incident's host, which is written ``name:id``."""
    if not isinstance(text, str):
        raise TypeError("a host of an incident is a text")
    name, _, uid = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
    return (name if part == "name" else uid).strip() or None


def malicious(artifact: Any) -> bool | None:
    """Whether a file artifact is convicted: Cortex itself says so, or WildFire's verdict is *malware*."""
    if not isinstance(artifact, dict):
        return None
    said = str(artifact.get("file_wildfire_verdict") or "").strip().upper()
    return True if artifact.get("is_malicious") is True or said == "MALWARE" else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (with_events, sentence, plain, state, known, host, malicious)
}
