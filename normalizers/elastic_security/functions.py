"""What Elastic says with two fields at once, which one path of a mapping cannot say."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values

__all__ = ["FUNCTIONS"]

_MOMENTS = (("workflow_status_updated_at",), ("last_detected",), ("suppression", "end"), ("updated_at",), ("start",))


def stopped(event: Any) -> str | None:
    """``prevented`` when a protection denied the event and says that it succeeded, as Elastic's own rules ask it."""
    if not isinstance(event, dict):
        return None
    kinds = event.get("type")
    denied = "denied" in (kinds if isinstance(kinds, list) else [kinds])
    return "prevented" if denied and event.get("outcome") == "success" else None


def changed(alert: Any) -> str | None:
    """The latest of the times at which the alert document itself was written."""
    if not isinstance(alert, dict):
        return None
    found = []
    for steps in _MOMENTS:
        value: Any = alert
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        moment = values.moment(value) if isinstance(value, str) else None
        if moment is not None:
            found.append(moment)
    return values.clock_text(max(found)) if found else None


def and_one(value: Any) -> Any:
    """Suppressed repetitions and the alert itself; what is no number goes on as it is, to be reported."""
    return value + 1 if isinstance(value, int) and not isinstance(value, bool) else value


def hashes_of(log: Any, *events: str) -> list[str]:
    """Sysmon's hashes when the event is one of these; in others they are those of another file."""
    if not isinstance(log, dict) or str(log.get("event_id")) not in events:
        return []
    data = log.get("event_data")
    text = data.get("Hashes") if isinstance(data, dict) else None
    pairs = [part.partition("=") for part in text.split(",")] if isinstance(text, str) else []
    return [digest for name, _, digest in pairs if name.strip().upper() in {"MD5", "SHA1", "SHA256"}]


def convicts(classification: Any) -> str | None:
    """``malicious`` when the model's score reached its threshold; the score alone convicts nothing."""
    if not isinstance(classification, dict):
        return None
    score, threshold = classification.get("score"), classification.get("threshold")
    if not isinstance(score, int | float) or not isinstance(threshold, int | float):
        return None
    return "malicious" if score >= threshold else None


def key_of(registry: Any) -> str | None:
    """Hive and key without the value's name, which ``registry.path`` holds too."""
    if not isinstance(registry, dict):
        return None
    hive, key, path = (registry.get(name) for name in ("hive", "key", "path"))
    if isinstance(hive, str) and isinstance(key, str) and hive and key:
        return f"{hive}\\{key}"
    return path if isinstance(path, str) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (stopped, changed, and_one, hashes_of, convicts, key_of)
}
