"""Objects as VirusTotal describes them: what the engines said, and when."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

__all__ = ["attributes_of", "stats_of"]

_ENGINES = 90
_DETECTED = {"malicious": 40, "suspicious": 3, "benign": 0}
_CATEGORIES = (
    "malicious",
    "suspicious",
    "undetected",
    "harmless",
    "timeout",
    "confirmed-timeout",
    "failure",
    "type-unsupported",
)


def stats_of(verdict: str) -> dict[str, int]:
    """How many engines say what."""
    accused = _DETECTED[verdict]
    kind = "malicious" if verdict == "malicious" else "suspicious"
    return {**dict.fromkeys(_CATEGORIES, 0), kind: accused, "undetected": 30, "harmless": _ENGINES - 30 - accused}


def attributes_of(stats: Mapping[str, int], analysed: datetime, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    """The attributes of an object."""
    moment = int(analysed.timestamp())
    accused = stats.get("malicious", 0)
    named = {"popular_threat_classification": {"suggested_threat_label": "trojan.example"}} if accused else {}
    results = {
        f"Engine {number}": {"category": category, "result": "trojan" if category == "malicious" else None}
        for number, category in enumerate(name for name, count in stats.items() for _ in range(count))
    }
    return {
        "last_analysis_stats": dict(stats),
        "last_analysis_date": moment,
        "last_analysis_results": results,
        "first_submission_date": moment,
        "times_submitted": 1,
        "reputation": -accused,
        "total_votes": {"harmless": 0, "malicious": accused},
        "tags": list(tags),
        **named,
    }
