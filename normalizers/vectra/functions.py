"""What Vectra's records leave to their reader: details that differ by detection, names that are none, scores."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_outside
from nightdesk.stix.paths import value_at

__all__ = ["FUNCTIONS"]

# Categories of behaviour whose far end, outside, is the attacker's.
_HOSTILE: Final = ("command", "exfiltration", "botnet")
_HALF: Final = 50
_DEEPEST: Final = 12
_THEIRS: Final = re.compile(r"dst|dest|target|external|remote")
_OURS: Final = re.compile(r"src|source|origin")
_ADDRESS_KEY: Final = re.compile(r"(?:^|_)ips?(?:$|_)|address|hosts?$")
_NAME_KEY: Final = re.compile(r"dns|domain|host|name|artifact|sni")
_ACCOUNT_KEY: Final = re.compile(r"accounts?$|account_(?:name|uid)s?$|^user(?:name|_name)?s?$|principal")
_AGENT_KEY: Final = re.compile(r"user_?agents?$")
_NAMELESS: Final = re.compile(r"IP-[0-9A-Fa-f.:]+", re.IGNORECASE)
_SERVICE: Final = re.compile(r"(?:O365|AWS|AZURE|AD|M365|GCP|ENTRA):\s*(.+)", re.IGNORECASE | re.DOTALL)
_ENTITIES: Final = frozenset({"hsc", "asc", "campaigns", "lockdown"})
_LOCKS: Final = {"lock": "contained", "unlock": "released"}
_NOBODY: Final = frozenset({"none", "null", "n/a", "unknown"})


def _number(value: Any) -> float | None:
    try:
        found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None
    return found if found is not None and 0 <= found <= 100 else None


def _category(record: Any) -> str:
    for path in (("detection_category",), ("category",), ("extension", "cat")):
        found = value_at(record, *path)
        if isinstance(found, str) and found.strip():
            return found.strip().lower()
    return ""


def quadrant(record: Any) -> str | None:
    """Severity by Vectra's quadrants: threat and certainty, each below 50 or not.

    https://docs.vectra.ai/configuration/response/notifications/syslog-guide-qux
    """
    if _category(record) == "info":
        return "informational"
    for keys in (("threat", "certainty"), ("t_score", "c_score")):
        threat, certainty = (
            _number(value_at(record, key) if value_at(record, key) is not None else value_at(record, "custom", key))
            for key in keys
        )
        if threat is not None and certainty is not None:
            if threat >= _HALF:
                return "critical" if certainty >= _HALF else "high"
            return "medium" if certainty >= _HALF else "low"
    return None


def scored(record: Any) -> str | None:
    """That severity, where there is a score at all: both 0 is how a detection without one is written."""
    found = quadrant(record)
    given = any(_number(value_at(record, key)) for key in ("threat", "certainty", "t_score", "c_score"))
    return found if given or found == "informational" else None


def certain(value: Any) -> int | None:
    """A certainty; 0 is how an inactive detection has none."""
    found = _number(value)
    return round(found) if found else None


def gather(record: dict[str, Any]) -> dict[str, Any]:
    """The record with what its details name, by what it is: every type of detection has keys of its own."""
    found: dict[str, dict[str, None]] = {
        key: {} for key in ("theirs", "ours", "addresses", "domains", "accounts", "agents")
    }
    stack: list[tuple[str, str, Any, int]] = [("", "", record.get(key), 0) for key in ("grouped_details", "summary")]
    while stack:
        outer, key, node, depth = stack.pop()
        if isinstance(node, dict) and depth < _DEEPEST:
            stack += [(f"{outer}.{key}", str(name).lower(), inner, depth + 1) for name, inner in node.items()]
        elif isinstance(node, list) and depth < _DEEPEST:
            stack += [(outer, key, inner, depth + 1) for inner in node]
        elif isinstance(node, str) and node.strip():
            _place(f"{outer}.{key}", key, node.strip(), found)
    made = {kind: sorted(items) for kind, items in found.items() if items}
    return {**record, **({"found": made} if made else {}), **({"hostile": True} if hostile(record) else {})}


def _place(path: str, key: str, text: str, found: dict[str, dict[str, None]]) -> None:
    address = values.address(text)
    if address and (_ADDRESS_KEY.search(key) or key == "ip"):
        side = "theirs" if _THEIRS.search(path) else "ours" if _OURS.search(path) else "addresses"
        found[side][address[1]] = None
    elif _AGENT_KEY.search(key):
        found["agents"][text] = None
    elif _ACCOUNT_KEY.search(key) and "description" not in key:
        found["accounts"][text] = None
    elif _NAME_KEY.search(key) and values.domain(text) and not _OURS.search(path):
        found["domains"][text] = None


def hostile(record: Any) -> bool | None:
    """Whether the far end of what was seen is held for the attacker's."""
    return True if any(word in _category(record) for word in _HOSTILE) else None


def tactic(value: Any) -> str | None:
    """The ATT&CK tactic of a category, where Vectra's is one; what it calls reconnaissance happens inside."""
    word = re.sub(r"[^a-z]+", " ", value.lower()).strip() if isinstance(value, str) else ""
    table = {"command control": "TA0011", "command and control": "TA0011", "lateral movement": "TA0008"}
    return {**table, "exfiltration": "TA0010", "reconnaissance": "TA0007"}.get(word)


def host_name(value: Any) -> str | None:
    """A machine's name; Vectra calls a machine that it cannot name after its address (``IP-10.1.2.3``)."""
    text = value.strip() if isinstance(value, str) else ""
    known = text and not _NAMELESS.fullmatch(text) and not values.address(text)
    return text if known and text.lower() not in _NOBODY else None


def login(value: Any) -> str | None:
    """An account's name without the service before it (``O365:ann@example.com``)."""
    text = value.strip() if isinstance(value, str) else ""
    match = _SERVICE.fullmatch(text)
    name = match[1].strip() if match else text
    return name if name and name.lower() not in _NOBODY else None


def real(value: Any) -> Any:
    """A value that is one; the syslog writes ``None`` where there is nothing."""
    return None if isinstance(value, str) and value.strip().lower() in _NOBODY else value


def outside(value: Any) -> str | None:
    """An address that is nobody's own."""
    return value if isinstance(value, str) and is_outside(value) else None


def host_of(url: Any) -> str | None:
    """Which brain or portal speaks: the name in a link to its console."""
    match = re.match(r"https?://([^/?#]{1,253})", url) if isinstance(url, str) else None
    return match[1] if match else None


def line_id(record: Any) -> str | None:
    """What a line is called: a detection by its number, what tells of an entity by that and when; else a digest."""
    stamp = (
        value_at(record, "vectra_timestamp")
        or value_at(record, "extension", "end")
        or value_at(record, "extension", "rt")
    )
    kinds = (("campaign", "campaign_id"), ("host", "host_id"), ("account", "account_id"))
    for kind, key in kinds:
        number = value_at(record, key)
        if isinstance(number, str | int) and number and isinstance(stamp, str | int) and stamp:
            return f"{kind}:{number}:{stamp}"
    number, kind = value_at(record, "extension", "externalId"), value_at(record, "cef", "signature_id")
    if isinstance(number, str) and kind not in _ENTITIES:
        return number
    if isinstance(number, str) and isinstance(stamp, str):
        return f"{kind}:{number}:{stamp}"
    text = json.dumps(record, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()}"


def entity_title(record: Any) -> str:
    """What a change of an entity's score or lock is called."""
    what = _category(record).replace("_", " ").capitalize() or "Entity scoring"
    names = (value_at(record, key) for key in ("name", "host_name", "account_uid", "account_name"))
    who = next((name for name in names if isinstance(name, str) and name.strip()), None)
    last = value_at(record, "last_detection_type")
    return what + (f" of {who}" if who else "") + (f": {last}" if isinstance(last, str) and last.strip() else "")


def lock_done(record: Any) -> str | None:
    """What a lock did, where it succeeded."""
    action = value_at(record, "action") or value_at(record, "custom", "action")
    success = value_at(record, "success") if value_at(record, "action") else value_at(record, "custom", "success")
    done = str(success).strip().lower() in {"true", "success"}
    return _LOCKS.get(action.strip().lower()) if isinstance(action, str) and done else None


def of_kind(record: Any, key: str, kind: str) -> Any:
    """What stands under a key of an entity, when the entity is of that kind (``host``, ``account``)."""
    return value_at(record, key) if str(value_at(record, "type")).lower() == kind else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        gather, quadrant, scored, certain, hostile, tactic, host_name, login, real, outside, host_of, line_id,
        entity_title, lock_done, of_kind,
    )
}  # fmt: skip
