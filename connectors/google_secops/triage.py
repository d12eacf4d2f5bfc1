"""Our words for an alert's state and Google's feedback: status, and a verdict with the reason that completes it."""

from collections.abc import Mapping
from typing import Any

from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["VERDICTS", "feedback", "settled", "state"]

_TRUE, _FALSE = "TRUE_POSITIVE", "FALSE_POSITIVE"
_BAD, _HARMLESS, _MAINTENANCE = "REASON_MALICIOUS", "REASON_NOT_MALICIOUS", "REASON_MAINTENANCE"
_NO_VERDICT, _NO_REASON = "VERDICT_UNSPECIFIED", "REASON_UNSPECIFIED"

VERDICTS = Verdicts(
    "Google SecOps",
    to_vendor={
        "true-positive": f"{_TRUE} {_BAD}",
        "likely-true-positive": f"{_TRUE} {_BAD}",
        "benign-positive": f"{_TRUE} {_HARMLESS}",
        "likely-false-positive": f"{_FALSE} {_HARMLESS}",
        "false-positive": f"{_FALSE} {_HARMLESS}",
        "duplicate": "",
        "test": f"{_TRUE} {_MAINTENANCE}",
        "undetermined": "",
        "": "",
    },
    to_ours={
        _TRUE: "true-positive",
        f"{_TRUE} {_BAD}": "true-positive",
        f"{_TRUE} {_HARMLESS}": "benign-positive",
        f"{_TRUE} {_MAINTENANCE}": "benign-positive",
        **{f"{_FALSE} {reason}".strip(): "false-positive" for reason in ("", _BAD, _HARMLESS, _MAINTENANCE)},
    },
)
_CLOSED = "CLOSED"
_OPEN = ("NEW", "REVIEWED", "OPEN")


def state(alert: Mapping[str, Any]) -> dict[str, str]:
    """Status and disposition in our words, and what an undo restores beside them in Google's."""
    summary = _summary(alert)
    verdict, reason = _word(summary, "verdict", _NO_VERDICT), _word(summary, "reason", _NO_REASON)
    return {
        "status": "closed" if summary.get("status") == _CLOSED else "open",
        "disposition": VERDICTS.ours(f"{verdict} {reason}".strip() if verdict else ""),
        "native_status": _word(summary, "status", "STATUS_UNSPECIFIED"),
        "native_verdict": verdict,
        "native_reason": reason,
        "priority": _word(summary, "priority", "PRIORITY_UNSPECIFIED"),
    }


def feedback(alert: Mapping[str, Any], wish: Wish, command: Command) -> dict[str, str]:
    """What is still missing of the wish, as feedback; empty when it is so already.

    A comment takes the place of the one before it in the alert's summary, so it carries that one along.
    """
    missing = _missing(alert, wish, command)
    if wish.comment and not _says(alert, wish):
        before = str(_summary(alert).get("comment") or "")
        missing["comment"] = f"{before}\n\n{wish.comment}" if before else wish.comment
    return missing


def settled(alert: Mapping[str, Any], wish: Wish, command: Command) -> bool:
    """True when status and verdict are as wished, and our comment is there."""
    return not _missing(alert, wish, command) and (not wish.comment or _says(alert, wish))


def _missing(alert: Mapping[str, Any], wish: Wish, command: Command) -> dict[str, str]:
    now, before = state(alert), command.pre_state
    missing: dict[str, str] = {}
    if wish.status is not None and wish.status != now["status"]:
        missing["status"] = _CLOSED if wish.status == "closed" else _opened(before)
    wanted = _verdict(now, wish, before)
    if wanted != (now["native_verdict"], now["native_reason"]):
        missing |= {"verdict": wanted[0] or _NO_VERDICT, "reason": wanted[1] or _NO_REASON}
    return missing


def _opened(before: Mapping[str, Any]) -> str:
    """The status of an alert that is to be open: the one it had when it was, NEW when nobody had given it one."""
    if before.get("status") != "open" or "native_status" not in before:
        return "OPEN"
    native = str(before["native_status"] or "NEW")
    return native if native in _OPEN else "OPEN"


def _verdict(now: Mapping[str, str], wish: Wish, before: Mapping[str, Any]) -> tuple[str, str]:
    """Verdict and reason that the alert is to have.

    Back to a state that it was in before means: with the verdict, or none, that it had then.
    """
    own = now["native_verdict"], now["native_reason"]
    past = str(before.get("native_verdict") or ""), str(before.get("native_reason") or "")
    if wish.disposition is None:
        return past if "native_verdict" in before and before.get("status") == wish.status else own
    word = VERDICTS.word(wish.disposition)
    meant = VERDICTS.ours(word)
    if now["disposition"] == meant:
        return own
    if "native_verdict" in before and before.get("disposition") == meant:
        return past
    verdict, _, reason = word.partition(" ")
    return verdict, reason


def _says(alert: Mapping[str, Any], wish: Wish) -> bool:
    history = alert.get("feedbackHistory")
    said = [_summary(alert), *(history if isinstance(history, list) else ())]
    return any(wish.marker in str(one.get("comment") or "") for one in said if isinstance(one, Mapping))


def _summary(alert: Mapping[str, Any]) -> Mapping[str, Any]:
    summary = alert.get("feedbackSummary")
    return summary if isinstance(summary, Mapping) else {}


def _word(summary: Mapping[str, Any], name: str, unspecified: str) -> str:
    word = str(summary.get(name) or "")
    return "" if word == unspecified else word
