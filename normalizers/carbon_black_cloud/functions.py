"""What Carbon Black Cloud's records need beyond paths: ids for hits that have none, the last change, ATT&CK in TTPs."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

_TTP: Final = re.compile(r"MITRE_T(\d{4})(?:_(\d{3}))?(?:_|$)", re.IGNORECASE)
_LINK: Final = re.compile(r"//attack\.mitre\.org/techniques/T(\d{4})(?:/(\d{3}))?(?:/|$)")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z")
_CONVICTED: Final = frozenset({"KNOWN_MALWARE", "COMPANY_BLACK_LIST", "BLACK", "REP_BLACK", "COMPANY_BLACK"})
_STATES: Final = ("backend_update_timestamp", "user_update_timestamp", "last_update_time")


def _at(node: Any, key: str) -> Any:
    return node.get(key) if isinstance(node, dict) else None


def changed(record: Any) -> str | None:
    """When the alert last changed: by new events, or by somebody's workflow or determination.

    All are written alike, in UTC with a ``Z``; texts of one shape sort as their times do.
    """
    found = [_at(record, key) for key in _STATES]
    found += [_at(_at(record, key), "change_timestamp") for key in ("workflow", "determination")]
    found += [_at(_at(record, "workflow"), "last_update_time")]
    times = [text for text in found if isinstance(text, str) and _TIME.fullmatch(text)]
    return max(times, key=lambda text: text.removesuffix("Z"), default=None)


def technique(text: Any) -> str | None:
    """The ATT&CK technique in a TTP (``MITRE_T1218_011_RUNDLL32``) or a link to ATT&CK's own page of it."""
    if not isinstance(text, str):
        return None
    match = _TTP.match(text.strip()) or _LINK.search(text)
    if match is None:
        return None
    return f"T{match[1]}.{match[2]}" if match[2] else f"T{match[1]}"


def convicts(reputation: Any) -> bool | None:
    """Whether the vendor or the company holds the file for malware; suspicion and *not listed* are no conviction."""
    return True if isinstance(reputation, str) and reputation.strip().upper() in _CONVICTED else None


def absolute(url: Any) -> str | None:
    """A link to the console, which is written without its scheme."""
    if not isinstance(url, str) or not url.strip():
        return None
    text = re.sub(r"\s+", "", url)
    return text if "://" in text.partition("?")[0] else f"https://{text}"


def hit_id(record: Any) -> str | None:
    """An id for a watchlist hit, which has none: the process, and the report's indicator that it met."""
    parts = [_at(record, key) for key in ("process_guid", "report_id", "ioc_id")]
    found = [str(part) for part in parts if isinstance(part, str | int) and str(part).strip()]
    return ":".join(found) if len(found) == len(parts) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (changed, technique, convicts, absolute, hit_id)
}
