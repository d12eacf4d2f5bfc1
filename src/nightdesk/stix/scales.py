"""Scales with one meaning everywhere: severity (OCSF), criticality (Incident core), status, determination."""

from collections.abc import Mapping
from typing import Final

__all__ = ["CRITICALITY", "MALWARE_TYPES", "SEVERITY", "STATUS", "VERDICTS", "determination"]

SEVERITY: Final[Mapping[str, int]] = {
    "unknown": 0,
    "informational": 1,
    "low": 2,
    "medium": 3,
    "high": 4,
    "critical": 5,
    "fatal": 6,
    "other": 99,
}
CRITICALITY: Final[Mapping[int, int]] = {1: 5, 2: 15, 3: 40, 4: 70, 5: 95, 6: 100}
STATUS: Final[Mapping[str, str]] = {"new": "new", "open": "open", "waiting": "open", "closed": "closed"}
VERDICTS: Final = frozenset(
    {
        "true-positive",
        "likely-true-positive",
        "benign-positive",
        "undetermined",
        "likely-false-positive",
        "false-positive",
        "duplicate",
        "test",
    }
)
MALWARE_TYPES: Final = frozenset(
    {
        "adware", "backdoor", "bot", "bootkit", "ddos", "downloader", "dropper", "exploit-kit", "keylogger",
        "ransomware", "remote-access-trojan", "resource-exploitation", "rogue-security-software", "rootkit",
        "screen-capture", "spyware", "trojan", "unknown", "virus", "webshell", "wiper", "worm",
    }
)  # fmt: skip
"""STIX's vocabulary (section 10.15); an alert carries no other word there."""
_STOPPED = frozenset({"blocked", "prevented", "quarantined", "denied", "killed"})


def determination(verdict: str | None, disposition: str | None) -> str:
    """Incident core's ``determination``: what the product says is so, never more."""
    if verdict == "true-positive":
        return "confirmed"
    if verdict in {"false-positive", "test"}:
        return "false-positive"
    if disposition in _STOPPED:
        return "blocked"
    return "false-positive" if verdict == "benign-positive" else "suspected"
