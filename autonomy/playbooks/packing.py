"""Commands between the form for people (``content``, JSON) and the one that CACAO has (``content_b64``)."""

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["packed", "unpacked"]


def packed(data: bytes, file: str) -> dict[str, Any]:
    """The document for exchange. Raises ConfigError for what is no JSON object."""
    return _changed(data, file, _pack)


def unpacked(data: bytes, file: str) -> dict[str, Any]:
    """The document for editing. Raises ConfigError for content that cannot be read."""
    return _changed(data, file, _unpack)


def _changed(data: bytes, file: str, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    try:
        document = json.loads(data)
        workflow = document["workflow"]
        steps = list(workflow.items())
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError([Problem(file, "", f"is no playbook: {error}")]) from error
    problems = []
    for name, step in steps:
        for number, command in enumerate(step.get("commands", ()) if isinstance(step, dict) else ()):
            try:
                change(command)
            except (ValueError, TypeError, AttributeError, binascii.Error) as error:
                problems.append(Problem(file, f"/workflow/{name}/commands/{number}", f"cannot be read: {error}"))
    if problems:
        raise ConfigError(problems)
    found: dict[str, Any] = document
    return found


def _pack(command: dict[str, Any]) -> None:
    if "content" in command:
        text = json.dumps(command.pop("content"), separators=(",", ":"), ensure_ascii=False)
        command["content_b64"] = base64.b64encode(text.encode()).decode()


def _unpack(command: dict[str, Any]) -> None:
    if "content_b64" in command:
        command["content"] = json.loads(base64.b64decode(command["content_b64"], validate=True))
        del command["content_b64"]
