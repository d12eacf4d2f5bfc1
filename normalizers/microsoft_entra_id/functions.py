"""What the risks of Entra ID Protection need: times as it writes them, and when an address is the attacker's."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix.networks import is_outside
from nightdesk.stix.prepare import PREPARE

__all__ = ["FUNCTIONS"]

_SHORT_HOUR: Final = re.compile(r"(\d{4}-\d\d-\d\d[T ])(\d)(:.*)", re.DOTALL)
# Detections that are about the address itself; others (unfamiliar features, travel) come from people's own places too.
_HOSTILE: Final = frozenset(
    {
        "anonymizedipaddress", "anonymousipaddress", "maliciousipaddress", "riskyipaddress", "suspiciousipaddress",
        "maliciousipaddressvalidcredentialsblockedip", "malwareinfectedipaddress", "nationstateip", "passwordspray",
        "attackerinthemiddle", "investigationsthreatintelligencesigninlinked",
    }
)  # fmt: skip
_CLEARED: Final = frozenset({"confirmedsafe", "dismissed"})


def padded(value: Any) -> Any:
    """A time whose hour has one digit (``2026-09-09T9:59:27.958Z``), as the export writes them; others as they are."""
    match = _SHORT_HOUR.fullmatch(value) if isinstance(value, str) else None
    return f"{match[1]}0{match[2]}{match[3]}" if match else value


def attacking(risk: Any) -> str | None:
    """The address of a risk, when the detection is about the address and nobody has cleared it."""
    if not isinstance(risk, dict) or str(risk.get("riskState")).lower() in _CLEARED:
        return None
    kind = str(risk.get("riskEventType") or risk.get("riskType")).lower()
    text = risk.get("ipAddress")
    return str(text) if kind in _HOSTILE and is_outside(str(text)) else None


def user_of(record: Any) -> str | None:
    """The user's object id: a risky user's record has it as its own id, a detection under ``userId``."""
    found = record.get("id") if isinstance(record, dict) and "riskEventType" not in record else None
    return found if isinstance(found, str) else None


def risky_user(name: Any) -> str:
    """The title of a state that has none."""
    return f"Risky user: {name}"


def mail_of(name: Any) -> Any:
    """A principal name as a mail address; a guest's holds the address at home (``anna_example.com#EXT#@tenant``)."""
    home, guest, _ = str(name).partition("#EXT#")
    user, _, domain = home.rpartition("_")
    return (f"{user}@{domain}" if user and domain else None) if guest else name


def information(document: dict[str, Any], *paths: str) -> dict[str, Any]:
    """What a detection says of itself, a text of ``[{"Key": …, "Value": …}]``, by its keys."""
    for path in paths:
        document = PREPARE["parse_json"](document, path)
        document = PREPARE["by_name"](document, path, "Key", "Value")
    return document


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (padded, attacking, user_of, risky_user, mail_of, information)
}
