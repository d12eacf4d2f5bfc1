"""What TAP's records leave to their reader: which of the mail's parts are condemned, and what a mail is called."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_outside

__all__ = ["FUNCTIONS"]

# What the SIEM API says of a threat: https://help.proofpoint.com/Threat_Insight_Dashboard/API_Documentation/SIEM_API
_STATES: Final = {
    "active": "new", "malicious": "new", "cleared": "closed", "expired": "closed", "falsepositive": "closed",
}  # fmt: skip
_HARMLESS: Final = frozenset({"cleared", "falsepositive"})
_BARE: Final = re.compile(r"[\w.-]{1,253}(?::\d{1,5})?[/?#]\S{0,4000}")
_SCORES: Final = {"malware": "malwareScore", "phish": "phishScore", "spam": "spamScore", "impostor": "impostorScore"}


def _text(record: Any, key: str) -> str:
    value = record.get(key) if isinstance(record, dict) else None
    return value.strip() if isinstance(value, str) else ""


def _threats(record: Any) -> list[dict[str, Any]]:
    """The mail's threats, or the click itself, which names its own."""
    if not isinstance(record, dict):
        return []
    found = record.get("threatsInfoMap", [record])
    return [threat for threat in (found if isinstance(found, list) else [found]) if isinstance(threat, dict)]


def _parts(record: dict[str, Any]) -> list[Any]:
    found = record.get("messageParts")
    return found if isinstance(found, list) else []


def condemned(threat: Any) -> bool | None:
    """Whether Proofpoint holds to its judgement of this threat."""
    return None if _text(threat, "threatStatus").lower() in _HARMLESS else True


def hostile(record: Any) -> bool | None:
    """Whether Proofpoint holds to its judgement of any threat of the mail, so that its sender is no friend."""
    return True if any(condemned(threat) for threat in _threats(record)) else None


def judged(record: dict[str, Any]) -> dict[str, Any]:
    """The record with ``condemned`` at each part of the mail that is a threat, and ``attached`` at that threat.

    A part is one when the sandbox says so, or when its hash is the artefact that Proofpoint condemned.
    """
    if not isinstance(record.get("messageParts"), list):
        return record
    threats = [threat for threat in _threats(record) if condemned(threat)] if "threatsInfoMap" in record else []
    bad = {_text(threat, "threat").lower() for threat in threats} - {""}
    parts, known = [], set()
    for part in _parts(record):
        digests = {_text(part, "sha256").lower(), _text(part, "md5").lower()} - {""}
        known |= digests
        guilty = bool(digests & bad) or _text(part, "sandboxStatus").lower() == "threat"
        parts.append({**part, "condemned": True} if isinstance(part, dict) and guilty else part)
    made = {**record, "messageParts": parts}
    found = record.get("threatsInfoMap")
    if isinstance(found, list):
        made["threatsInfoMap"] = [
            {**threat, "attached": True} if _text(threat, "threat").lower() in known else threat for threat in found
        ]
    return made


def digest(record: Any) -> str:
    """A digest of the record: what the id is where the service gives none."""
    text = json.dumps(record, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()}"


def _kinds(record: Any) -> str:
    words = (_text(threat, "classification").lower() for threat in _threats(record))
    return ", ".join(dict.fromkeys(word for word in words if word)) or "threat"


def mail_title(record: Any) -> str:
    """What a mail is called: what its threats are, and its subject."""
    subject = _text(record, "subject")
    return f"{_kinds(record).capitalize()} message" + (f": {subject}" if subject else "")


def click_title(record: Any) -> str:
    """What a click is called: what its page is, and who clicked."""
    clicked = record.get("recipient") if isinstance(record, dict) else None
    who = clicked[0] if isinstance(clicked, list) and clicked else clicked
    return f"Click on a {_kinds(record)} link" + (f" by {who}" if isinstance(who, str) and who else "")


def summary(record: Any) -> str | None:
    """Every threat of the mail in one sentence each."""
    lines = []
    for threat in _threats(record):
        kind, status = _text(threat, "threatType").lower(), _text(threat, "threatStatus")
        words = [_text(threat, "classification").lower(), kind, _text(threat, "threat")]
        said = " ".join(word for word in words if word)
        lines.append(f"{said} ({status})" if status else said)
    return "; ".join(dict.fromkeys(line for line in lines if line)) or None


def certainty(record: Any) -> int | None:
    """The score of what the mail is said to be; TAP documents that a higher one is a higher certainty."""
    kinds = {_text(threat, "classification").lower() for threat in _threats(record)}
    found = [record.get(key) for kind, key in _SCORES.items() if kind in kinds] if isinstance(record, dict) else []
    numbers = [round(score) for score in found if isinstance(score, int | float) and 0 < score <= 100]
    return max(numbers, default=None)


def status(record: Any) -> str | None:
    """Closed when every threat is cleared or expired, else new. Raises ValueError for a word that is in no table."""
    words = [_text(threat, "threatStatus").lower() for threat in _threats(record)]
    found = [_STATES.get(word) for word in words if word]
    if None in found:
        raise ValueError(words)
    return None if not found else "closed" if set(found) == {"closed"} else "new"


def verdict(record: Any) -> str | None:
    """False positive, when Proofpoint says so of every threat."""
    words = {_text(threat, "threatStatus").lower() for threat in _threats(record)}
    return "false-positive" if words == {"falsepositive"} else None


def said(record: Any) -> str | None:
    """That verdict in Proofpoint's own word."""
    return next((_text(threat, "threatStatus") for threat in _threats(record)), None) if verdict(record) else None


def latest(record: Any) -> str | None:
    """When the last of the threats was recognised, which may be after the mail came."""
    times = [found for threat in _threats(record) if (found := values.moment(_text(threat, "threatTime")))]
    return values.clock_text(max(times)) if times else None


def quarantined(record: Any) -> str | None:
    """Whether the mail was kept back; TAP documents folder and rule of a quarantine for blocked messages only."""
    return "quarantined" if _text(record, "quarantineFolder") or _text(record, "quarantineRule") else None


def threat_url(threat: Any) -> str | None:
    """The condemned URL; TAP leaves out the scheme of some."""
    text = _text(threat, "threat")
    return values.url(text) or (values.url(f"http://{text}") if _BARE.fullmatch(text) else None)


def threat_domain(threat: Any) -> str | None:
    """The condemned domain."""
    return values.domain(_text(threat, "threat"))


def threat_hash(threat: Any) -> str | None:
    """The condemned file's hash, when no part of the mail has it."""
    text = _text(threat, "threat")
    return text if values.hash_name(text) and not threat.get("attached") else None


def threat_mail(threat: Any) -> str | None:
    """The condemned sender of an impostor message."""
    return values.email(_text(threat, "threat"))


def outside(value: Any) -> str | None:
    """An address that is nobody's own."""
    return value if isinstance(value, str) and is_outside(value) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        judged, condemned, hostile, digest, mail_title, click_title, summary, certainty, status, verdict, said, latest,
        quarantined, threat_url, threat_domain, threat_hash, threat_mail, outside,
    )
}  # fmt: skip
