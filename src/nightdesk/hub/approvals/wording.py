"""What people read before they answer: the facts of the digest in one order, on every channel.

Whatever may come from an alert is quoted, on one line, with hidden characters spelled out; no channel reads it as
mark-up.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from nightdesk.hub.console.untrusted import plain, shortened

__all__ = ["Line", "is_whole", "lines_of", "text_of", "title_of"]

_LONGEST = 1200
_WHOLE = 10_000  # letters that every chat system shows without cutting
_TEXT = """\
{% if because %}Asked again: {{ because | quoted }}
{% endif %}
{{ needed }} of this tenant's approvers must agree until {{ until }}. One no is enough to stop it.

{% for line in lines %}
{{ line.label }}: {{ line.value | quoted if line.theirs else line.value }}
{% endfor %}

What stands in quotation marks was written by others. Digest: {{ digest }}
"""


class Line(NamedTuple):
    """One fact. ``theirs``: somebody else may have written it."""

    label: str
    value: str
    theirs: bool = True


def _quoted(value: object) -> str:
    text = plain(value)
    if len(text) > _LONGEST:
        whole = hashlib.sha256(str(value).encode("utf-8", "surrogatepass")).hexdigest()
        rest = len(text) - _LONGEST
        text = f"{shortened(text, _LONGEST)} ({rest} more characters; all of it is on the console; SHA-256 {whole})"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# Plain text, so nothing is escaped as HTML; every foreign value goes through ``quoted``.
_environment = SandboxedEnvironment(
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # see above
)
_environment.filters["quoted"] = _quoted
_request = _environment.from_string(_TEXT)


def lines_of(facts: Mapping[str, Any]) -> list[Line]:
    """The facts as people read them; every one of them, none twice."""
    target = facts["target"]
    lines = [
        Line("Tenant", facts["tenant"], theirs=False),
        Line("Action", facts["verb"], theirs=False),
        Line("Risk", facts["risk"], theirs=False),
        Line(f"Target ({target['kind']})", target["value"]),
    ]
    lines += [Line(f"Target, {plain(name)}", _said(value)) for name, value in sorted(target["facts"].items())]
    lines += [Line(f"Parameter {plain(name)}", _said(value)) for name, value in sorted(facts["parameters"].items())]
    lines += [
        Line("For", _lease(facts["lease_seconds"], facts["stop_at"]), theirs=False),
        Line("Reason", facts["reason"] or "none given"),
        Line("Requested by", facts["requested_by"]),
        Line("Case", facts["case_id"] or "none"),
        Line("Connector", facts["connector"] or "not found yet", theirs=False),
        Line("Its id of the target", facts["native_id"] or "none"),
        Line("Will be left out", ", ".join(facts["losses"]) or "nothing"),
        Line("May be left out", ", ".join(facts["accepted_losses"]) or "nothing"),
        Line("Asking", f"{facts['action_id']}, number {facts['round']}", theirs=False),
    ]
    return lines


def title_of(facts: Mapping[str, Any]) -> str:
    """One line for a subject or heading."""
    return f"Approve {facts['verb']} of {shortened(plain(facts['target']['value']), 90)}?"


def text_of(facts: Mapping[str, Any], digest: str) -> str:
    """Everything in plain text."""
    return _request.render(
        because=facts["because"],
        needed=facts["needed"],
        until=_moment(facts["expires_at"]),
        lines=lines_of(facts),
        digest=digest,
    ).strip()


def is_whole(facts: Mapping[str, Any]) -> bool:
    """Whether the text leaves nothing out: only then may somebody answer who sees nothing but the text."""
    values = [facts["because"], *(line.value for line in lines_of(facts)), *(line.label for line in lines_of(facts))]
    return all(len(plain(value)) <= _LONGEST for value in values) and len(text_of(facts, "")) <= _WHOLE


def _lease(seconds: float | None, stop_at: str | None) -> str:
    if stop_at is not None:  # it ends then, however late it begins: the length is only what was left when it was asked
        return f"until {_moment(stop_at)}, then undone; nothing goes out after that"
    return "until it is undone" if seconds is None else f"{timedelta(seconds=seconds)} (h:mm:ss), then undone"


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _said(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
