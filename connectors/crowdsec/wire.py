"""How the simulated Local API refuses: 400 for what is no JSON of the right types, 500 for all else that is wrong."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.crowdsec.durations import seconds_of

__all__ = ["RefusedError", "alerts_in", "unparsable"]

_TEXTS = ("leakspeed", "message", "scenario", "scenario_hash", "scenario_version", "start_at", "stop_at")
_LIST = "validation failure list:"
_TYPES: Mapping[str, type] = {
    "capacity": int,
    "events": list,
    "events_count": int,
    "simulated": bool,
    "source": dict,
    **dict.fromkeys(_TEXTS, str),
}
_GO = {int: "int32", bool: "bool", str: "string", list: "[]*models.Event", dict: "models.Source"}
_JSON = {int: "number", float: "number", bool: "bool", str: "string", list: "array", dict: "object"}
_OF_DECISION = ("duration", "origin", "scenario", "scope", "type", "value")


class RefusedError(Exception):
    """What the server answers with ``{"message": …}``; 500 also for what is wrong with the request."""

    def __init__(self, message: str, status: int = 500) -> None:
        self.status = status
        super().__init__(message)


def alerts_in(content: bytes) -> list[dict[str, Any]]:
    """The alerts of a body. Raises RefusedError for the first that cannot be read, or for all that is missing."""
    try:
        bodies = json.loads(content)
    except ValueError:
        raise RefusedError("unexpected EOF", 400) from None
    if not isinstance(bodies, list):
        raise RefusedError("json: cannot unmarshal object into Go value of type models.AddAlertsRequest", 400)
    missing = [line for number, body in enumerate(bodies) for line in _lacks(body, number)]
    if missing:
        raise RefusedError("\n".join([_LIST, *missing]))
    return bodies


def unparsable(text: str) -> str:
    """What Go says of a duration that is none."""
    units = re.findall(r"[\d.]+([^\d.]+)", text)
    strange = next((unit for unit in units if seconds_of(f"1{unit}") is None), "")
    said = f'unknown unit "{strange}" in' if strange and text[:1].isdecimal() else "invalid"
    return f'time: {said} duration "{text}"'


def _lacks(body: Any, number: int) -> list[str]:
    """What is missing of an alert, part by part. Raises RefusedError for what has the wrong type."""
    if not isinstance(body, dict):
        raise RefusedError("json: cannot unmarshal into Go value of type models.Alert", 400)
    for name, kind in _TYPES.items():
        given = body.get(name)
        if given is not None and type(given) is not kind:
            what = f"cannot unmarshal {_JSON[type(given)]} into Go struct field Alert.{name} of type {_GO[kind]}"
            raise RefusedError(f"json: {what}", 400)
    lines = []
    for name in sorted({*_TYPES, "decisions"}):
        part = body.get(name)
        if part is None:
            lines += [f"{number}.{name} in body is required"] if name in _TYPES else []
        elif name == "source":
            lines += _within_part(f"{number}.source", part, ("scope", "value"))
        elif name == "decisions":
            for at, row in enumerate(part):
                lines += _within_part(f"{number}.decisions.{at}", row, _OF_DECISION)
    return lines


def _within_part(place: str, part: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    missing = [f"{place}.{name} in body is required" for name in names if part.get(name) is None]
    return [_LIST, *missing] if missing else []
