"""What the extensions say, for consumers that do not read extensions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from nightdesk.stix.egress.graph import references
from nightdesk.stix.scales import SEVERITY
from nightdesk.stix.scope import EXTENSION, INCIDENT_CORE

__all__ = ["alert_of", "case_of", "in_words", "request_in_words", "techniques_of", "window"]

_WORDS: Final[Mapping[int, str]] = {number: word for word, number in SEVERITY.items()}


def _extension(entry: Mapping[str, Any], ref: str) -> Mapping[str, Any]:
    found = entry.get("extensions", {}).get(ref, {})
    return found if isinstance(found, Mapping) else {}


def alert_of(incident: Mapping[str, Any]) -> Mapping[str, Any]:
    """The alert extension of an incident; empty when it has none."""
    return _extension(incident, EXTENSION["alert"])


def case_of(grouping: Mapping[str, Any]) -> Mapping[str, Any]:
    """The case extension of a grouping; empty when it has none."""
    return _extension(grouping, EXTENSION["case"])


def window(incident: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """When it was first and last seen: by its observations, else when the product raised it."""
    seen = [by_id[ref] for ref in alert_of(incident).get("observed_data_refs", ()) if ref in by_id]
    if not seen:
        return incident["created"], incident["created"]
    first = min((one["first_observed"] for one in seen), key=datetime.fromisoformat)
    last = max((one["last_observed"] for one in seen), key=datetime.fromisoformat)
    return first, last


def techniques_of(members: Sequence[str], by_id: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The techniques that the members refer to and do not list, as far as they are in the bundle."""
    found = dict.fromkeys(ref for member in members if member in by_id for ref in references(by_id[member]))
    listed = set(members)
    return [ref for ref in found if ref.startswith("attack-pattern--") and ref in by_id and ref not in listed]


def in_words(incident: Mapping[str, Any]) -> str:
    """An incident as lines of text. What comes from an alert stays on its line: it cannot pass for another fact."""
    alert = alert_of(incident)
    core = _extension(incident, INCIDENT_CORE)
    severity = _WORDS.get(alert.get("severity_id", 0), "unknown")
    lines = [
        ("Alert", incident.get("name")),
        ("Severity", _with_native(severity, alert.get("native_severity"))),
        ("Status", _with_native(core.get("investigation_status"), alert.get("native_status"))),
        ("Verdict", _with_native(alert.get("verdict"), alert.get("native_verdict"))),
        ("Raised", incident.get("created")),
        ("Product", " ".join(str(alert[name]) for name in ("product", "product_version") if name in alert)),
        ("Instance", alert.get("instance")),
        ("Native id", alert.get("native_id")),
        ("Rule", alert.get("rule", {}).get("rule_name") or alert.get("rule", {}).get("rule_id")),
        ("Console", alert.get("console_url")),
        ("Description", incident.get("description")),
    ]
    return "\n".join(f"- {name}: {_on_one_line(str(value))}" for name, value in lines if value)


def request_in_words(traffic: Mapping[str, Any]) -> str:
    """The HTTP request of a connection as one line of text."""
    request = traffic["extensions"]["http-request-ext"]
    parts = [f"{request['request_method']} {request['request_value']}"]
    for name, given in request.get("request_header", {}).items():
        parts.append(f"{name}: {', '.join(given) if isinstance(given, list | tuple) else given}")
    return f"- HTTP request: {_on_one_line('; '.join(parts))}"


def _on_one_line(text: str) -> str:
    """Without line ends, and with escapes for what steers a reader's screen: control and direction characters."""
    flat = " ".join(text.split())
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in flat)


def _with_native(ours: Any, native: Any) -> str:
    if not ours:
        return str(native or "")
    return f"{ours} ({native})" if native and str(native).lower() != ours else str(ours)
