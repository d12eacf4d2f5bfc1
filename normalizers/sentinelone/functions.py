"""What SentinelOne's objects need beyond paths: what was done about a threat, whose account it is, lists in texts."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.paths import value_at

__all__ = ["FUNCTIONS"]

_ADDRESS_LIKE: Final = re.compile(r"[0-9A-Fa-f:.]{3,45}")
_HIVES: Final = {"machine": "HKEY_LOCAL_MACHINE", "user": "HKEY_USERS", "config": "HKEY_CURRENT_CONFIG"}
_HASHES: Final = frozenset({"md5", "sha1", "sha256"})
_CONVICTING: Final = frozenset({"sentinelone_cloud", "reputation", "user_blacklist"})
_LONGEST: Final = 8192
"""Characters of a text that are searched; an agent cuts its own texts well below."""


def _text(node: Any, *keys: str) -> str:
    found = value_at(node, *keys)
    return found.strip() if isinstance(found, str) else ""


def joined(elements: Any, key: str) -> str | None:
    """That key of every element of a list, each value once, in order."""
    found = [_text(element, key) for element in (elements if isinstance(elements, list) else [elements])]
    return "; ".join(dict.fromkeys(text for text in found if text)) or None


def actions(elements: Any) -> str | None:
    """The mitigations of a threat with their outcome: ``kill: success, quarantine: pending_reboot``."""
    found = [
        f"{_text(element, 'action')}: {_text(element, 'status') or 'unknown'}"
        for element in (elements if isinstance(elements, list) else [elements])
        if _text(element, "action")
    ]
    return ", ".join(dict.fromkeys(found)) or None


def stopped(record: Any) -> str | None:
    """What the agent did that ended the threat; nothing when the console does not call it mitigated.

    The console's word decides: a file that was killed and yet is ``not_mitigated`` runs on elsewhere.
    """
    if _text(record, "threatInfo", "mitigationStatus") != "mitigated":
        return None
    listed = value_at(record, "mitigationStatus")
    done = {
        _text(element, "action")
        for element in (listed if isinstance(listed, list) else [])
        if _text(element, "status") == "success"
    }
    if value_at(record, "threatInfo", "mitigatedPreemptively") is True:
        return "prevented"
    if "quarantine" in done:
        return "quarantined"
    return "killed" if "kill" in done else "mitigated"


def convicts(info: Any) -> bool | None:
    """Whether the hash itself is convicted: by the vendor's cloud, a reputation list or the company's blocklist.

    A verdict of the behaviour engines is about what a process did, and *false positive* ends every verdict.
    """
    if _text(info, "analystVerdict") == "false_positive":
        return None
    listed = value_at(info, "detectionEngines")
    engines = {_text(element, "key") for element in (listed if isinstance(listed, list) else [])}
    return True if _text(info, "cloudFilesHashVerdict") == "black" or engines & _CONVICTING else None


def account_kind(record: Any) -> str | None:
    r"""The STIX type of the process' user: ``HOST\name`` with the machine's own name is a local account."""
    domain, cut, _ = _text(record, "threatInfo", "processUser").partition("\\")
    live = value_at(record, "agentRealtimeInfo")
    host = _text(live, "agentComputerName")
    if cut:
        return "windows-local" if host and domain.partition(".")[0].lower() == host.partition(".")[0].lower() else None
    return "unix" if _text(live, "agentOsType") in {"linux", "macos"} else None


def cloud(providers: Any, key: str = "") -> str | None:
    """A fact of the cloud a machine runs in (``{"AWS": {…}}``), or without a key which cloud it is."""
    if not isinstance(providers, dict):
        return None
    for name, facts in providers.items():
        if isinstance(facts, dict) and facts:
            return _text(facts, key) or None if key else name.strip().lower() or None
    return None


def addresses_in(text: Any) -> list[str]:
    """The addresses in a DNS answer (``type: 5 a.example.net;192.0.2.7;``)."""
    if not isinstance(text, str):
        return []
    found = (match.strip(".:") for match in _ADDRESS_LIKE.findall(text[:_LONGEST]))
    return list(dict.fromkeys(part for part in found if values.address(part)))


def hive(path: Any) -> str | None:
    r"""A registry path with its hive as Windows names it; the agent writes ``MACHINE\SOFTWARE\…``."""
    if not isinstance(path, str) or not path.strip():
        return None
    head, cut, rest = path.strip().lstrip("\\").partition("\\")
    known = _HIVES.get(head.lower())
    return f"{known}{cut}{rest}" if known and cut else path.strip()


def intelligence(record: Any, kind: str) -> str | None:
    """The value of the threat intelligence indicator that matched, when it is of this kind (``hash`` is any hash)."""
    said = (_text(record, "tiIndicatorType") or _text(record, "tiindicatortype")).lower()
    value = _text(record, "tiIndicatorValue") or _text(record, "tiindicatorvalue")
    wanted = {"address": {"ipv4", "ipv6"}, "domain": {"dns"}, "url": {"url"}, "hash": _HASHES}[kind]
    return value or None if said in wanted else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (joined, actions, stopped, convicts, account_kind, cloud, addresses_in, hive, intelligence)
}
