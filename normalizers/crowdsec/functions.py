"""What the Local API writes in ways of its own: Go's times, events as pairs, labels that hold ATT&CK ids."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

# Go's default print of a time, behind whose offset the zone's name and the monotonic clock may stand.
_GO_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?) ?(Z|[+-]\d\d:?\d\d)(?: [A-Z0-9+-]{1,6})?(?: m=\S+)?"
)
_TECHNIQUE: Final = re.compile(r"(?:^|[^0-9A-Za-z])(T\d{4}(?:\.\d{3})?)(?![0-9.])")


def _texts(value: Any) -> list[str]:
    """The texts of a value; the context of an alert holds lists as JSON inside a text."""
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return [str(value)]
    items = value if isinstance(value, list) else [value]
    return [str(item) for item in items if isinstance(item, str | int | float) and str(item).strip()]


def _by_key(pairs: list[Any]) -> dict[str, list[str]]:
    """Pairs ``{key, value}`` as each key's values, every value once."""
    found: dict[str, dict[str, None]] = {}
    for pair in pairs:
        key = pair.get("key") if isinstance(pair, dict) else None
        if isinstance(key, str):
            found.setdefault(key, {}).update(dict.fromkeys(_texts(pair.get("value"))))
    return {key: list(values) for key, values in found.items() if values}


def gather_events(record: dict[str, Any]) -> dict[str, Any]:
    """The alert with all its events as one: what they say under each key, every value once; likewise its context."""
    made = dict(record)
    events = record.get("events")
    if isinstance(events, list) and all(isinstance(event, dict) for event in events):
        held = [event["meta"] for event in events if isinstance(event.get("meta"), list)]
        pairs = [pair for meta in held for pair in meta]
        times = list(dict.fromkeys(event["timestamp"] for event in events if isinstance(event.get("timestamp"), str)))
        made["events"] = {"meta": _by_key(pairs), "timestamps": times, "count": len(events)}
    if isinstance(record.get("meta"), list):
        made["meta"] = _by_key(record["meta"])
    return made


def go_time(value: Any) -> Any:
    """A time as Go prints it, in ISO 8601; anything else goes on as it is."""
    match = _GO_TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    return f"{match[1].replace(' ', 'T')}{match[2]}" if match else value


def alert_id(record: Any) -> str | None:
    """Before the Local API has numbered it: scenario, source and the time to the nanosecond."""
    source = record.get("source") if isinstance(record, dict) else None
    if not isinstance(source, dict):
        return None
    parts = [record.get("machine_id"), record.get("scenario"), source.get("value"), record.get("start_at")]
    return "|".join(part for part in parts if isinstance(part, str)) or None


def asn(value: Any) -> Any:
    """The number of an autonomous system; CrowdSec writes 0 for none."""
    return None if str(value).strip() in {"0", ""} else value


def techniques_of(record: Any) -> list[str]:
    """ATT&CK ids among the labels, which name them ``attack.T1110`` or ``T1110:Brute Force``."""
    labels = record.get("labels") if isinstance(record, dict) else None
    return [text for label in _texts(labels) for text in _TECHNIQUE.findall(label[:500])]


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (gather_events, go_time, alert_id, asn, techniques_of)
}
