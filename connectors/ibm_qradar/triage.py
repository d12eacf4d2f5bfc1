"""Our words for an offense's state and QRadar's: a status, and the closing reason that a closed offense must have."""

from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.ibm_qradar.client import VENDOR
from nightdesk.connectors.ibm_qradar.offenses import Reason
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import DISPOSITIONS, Verdicts, Wish

__all__ = ["changes", "losses", "settled", "state", "verdicts_of"]

_OPEN, _HIDDEN, _CLOSED = "OPEN", "HIDDEN", "CLOSED"
_FALSE, _BENIGN, _TRUE = "False-Positive, Tuned", "Non-Issue", "Policy Violation"
_TO_VENDOR: Mapping[str, str] = {
    "true-positive": _TRUE,
    "likely-true-positive": _TRUE,
    "benign-positive": _BENIGN,
    "likely-false-positive": _FALSE,
    "false-positive": _FALSE,
    "duplicate": _BENIGN,
    "test": _BENIGN,
    "undetermined": _BENIGN,
    "": _BENIGN,
}
"""The reasons that every console has; the setting ``closing_reasons`` names others."""

_TO_OURS: Mapping[str, str] = {_TRUE: "true-positive", _BENIGN: "benign-positive", _FALSE: "false-positive"}


def verdicts_of(context: Context) -> Verdicts:
    """The scale, with the company's own reasons from ``word = reason; word = reason``. Raises ConfigError."""
    to_vendor, to_ours = dict(_TO_VENDOR), dict(_TO_OURS)
    for pair in context.settings.text("closing_reasons").split(";"):
        word, sign, reason = (part.strip() for part in pair.partition("="))
        if not pair.strip():
            continue
        if word not in DISPOSITIONS or not sign or not reason:
            problem = f"{pair.strip()!r}: write `word = reason; …` with words of {', '.join(DISPOSITIONS)}"
            raise ConfigError([Problem(context.instance, "closing_reasons", problem)])
        to_vendor[word] = reason
        to_ours.setdefault(reason, word)
    return Verdicts("QRadar", to_vendor, to_ours)


def state(offense: Mapping[str, Any], reasons: Mapping[int, Reason], verdicts: Verdicts) -> dict[str, str]:
    """Status and disposition in our words, and in QRadar's what an undo restores beside them."""
    native = str(offense.get("status") or "")
    number = offense.get("closing_reason_id")
    found = reasons.get(number) if isinstance(number, int) else None
    reason = found.text if found is not None and native == _CLOSED else ""
    spelled = next((known for known in verdicts.to_ours if _same(known, reason)), reason)
    return {
        "status": "closed" if native == _CLOSED else "open",
        "disposition": verdicts.ours(spelled),
        "native_status": native,
        "closing_reason": reason,
    }


def settled(now: Mapping[str, str], wish: Wish, verdicts: Verdicts) -> bool:
    """True when status and closing reason are as wished."""
    if wish.status not in {None, now["status"]}:
        return False
    if now["status"] == "open":
        # What an open offense cannot have is a loss when it is to stay open, else still missing.
        return wish.status == "open" or not wish.disposition
    return not wish.disposition or _same(verdicts.word(wish.disposition), now["closing_reason"])


def changes(
    now: Mapping[str, str], wish: Wish, command: Command, reasons: Mapping[int, Reason], verdicts: Verdicts
) -> Sequence[Mapping[str, Any]]:
    """The updates that lead to what is wished, none when it is so already. A closed offense takes no update but OPEN.

    Raises RejectedError for a reason that the console does not have, and for one of an offense that stays open.
    """
    if wish.status is None and now["status"] == "open" and wish.disposition:
        raise _refusal(command, "is open, and QRadar keeps a reason of closed ones only; close it with the disposition")
    if settled(now, wish, verdicts):
        return ()
    reopened: list[Mapping[str, Any]] = [{"status": _OPEN}] if now["status"] == "closed" else []
    if wish.status == "open":
        return [*reopened, {"status": _HIDDEN}] if command.pre_state.get("native_status") == _HIDDEN else reopened
    text = _text(wish, command, verdicts)
    found = next((reason for reason in reasons.values() if reason.usable and _same(reason.text, text)), None)
    if found is None:
        there = ", ".join(repr(reason.text) for reason in reasons.values() if reason.usable) or "none"
        raise _refusal(
            command,
            f"cannot be closed: the console has no closing reason {text!r}; make it, or name one of these in"
            f" closing_reasons: {there}",
        )
    return [*reopened, {"status": _CLOSED, "closing_reason_id": found.reason_id}]


def losses(wish: Wish, command: Command, verdicts: Verdicts) -> tuple[str, ...]:
    """What QRadar cannot say of the wish."""
    if wish.status == "open" and wish.disposition:
        return (f"disposition={wish.disposition}: QRadar keeps a reason of closed offenses only",)
    if wish.status == "closed" and not wish.disposition and not command.pre_state.get("closing_reason"):
        return (f"disposition: QRadar closes with a reason, so this offense gets {verdicts.word('')!r}",)
    return verdicts.losses(wish)


def _text(wish: Wish, command: Command, verdicts: Verdicts) -> str:
    """The reason to close with: the wished one, else the one that an undo restores, else the one for none."""
    before = command.pre_state.get("closing_reason") if not wish.disposition else ""
    return str(before or verdicts.word(wish.disposition or ""))


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _refusal(command: Command, problem: str) -> RejectedError:
    return RejectedError(f"offense {command.native_id} {problem}", vendor=VENDOR, operation=command.verb)
