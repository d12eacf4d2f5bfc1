"""Our words for a risk's state and Entra's: three verdicts that move state, level and reason of a risk all at once."""

from collections.abc import Mapping
from typing import Any

from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["losses", "repeated", "state", "verdict"]

_CLOSED = frozenset({"remediated", "dismissed", "confirmedSafe", "none"})
_STATES: Mapping[str, str] = {
    "confirmCompromised": "confirmedCompromised",
    "confirmSafe": "confirmedSafe",
    "dismiss": "dismissed",
}
_VERDICTS = Verdicts(
    "Entra ID",
    # The documented meanings: a true positive, a false positive, and a risk that is real but benign.
    to_vendor={
        "true-positive": "confirmCompromised",
        "likely-true-positive": "confirmCompromised",
        "false-positive": "confirmSafe",
        "likely-false-positive": "confirmSafe",
        "benign-positive": "dismiss",
        "duplicate": "dismiss",
        "test": "dismiss",
        "undetermined": "",
        "": "",
    },
    to_ours={"confirmCompromised": "true-positive", "confirmSafe": "false-positive", "dismiss": "benign-positive"},
)


def state(risk: Mapping[str, Any]) -> dict[str, str]:
    """The risk's status and disposition in our words."""
    found = str(risk.get("riskState") or "")
    given = next((verdict for verdict, name in _STATES.items() if name == found), "")
    return {"status": "closed" if found in _CLOSED else "open", "disposition": _VERDICTS.ours(given)}


def verdict(risk: Mapping[str, Any], wish: Wish) -> str:
    """The verdict that is still to be given, empty when there is none.

    A verdict that contradicts the wanted status is not given: who wants it open keeps it open, who wants it closed
    does not have a closed one raised again.
    """
    now, found = state(risk)["status"], str(risk.get("riskState") or "")
    wanted = _VERDICTS.word(wish.disposition or "")
    if wish.status == "open" and wanted != "confirmCompromised":
        wanted = "" if now == "open" else "confirmCompromised"
    elif wish.status == "closed" and now == "closed" and wanted == "confirmCompromised":
        wanted = ""
    elif wish.status == "closed" and now == "open" and not wanted:
        wanted = "dismiss"
    return "" if _STATES.get(wanted) == found else wanted


def losses(risk: Mapping[str, Any], wish: Wish, before: str) -> tuple[str, ...]:
    """What Entra cannot say of the wish, or says with it; ``before`` is the status before the first try."""
    word = wish.disposition
    wanted = _VERDICTS.word(word or "")
    lost: list[str] = []
    if wish.comment:
        lost.append("comment: Entra ID keeps no comments on a risk")
    if wish.status == "open" and wanted in {"confirmSafe", "dismiss"}:
        lost.append(f"disposition={word}: Entra ID closes a risk with it, and it was to stay open")
    elif wish.status == before == "closed" and wanted == "confirmCompromised":
        lost.append(f"disposition={word}: Entra ID would raise the closed risk again")
    elif wish.status == "closed" and before == "open" and not wanted:
        lost.append(f"disposition={word or 'none'}: Entra ID closes a risk only as dismissed, a benign one")
    elif word == "" and state(risk)["disposition"]:
        lost.append("disposition: Entra ID takes no verdict back")
    else:
        lost += _VERDICTS.losses(wish)
    if wish.status == "closed" and before == "open" and wanted == "confirmCompromised":
        lost.append("status=closed: Entra ID keeps a confirmed compromise open until it is remediated")
    if wish.status == "open" and before == "closed" and wanted != "confirmCompromised":
        lost.append("status=open: Entra ID reopens a risk only as confirmed compromised, at level high")
    if wish.status is None and wanted and (before == "open") is not (wanted == "confirmCompromised"):
        lost.append(f"disposition={word}: Entra ID {'closes' if before == 'open' else 'opens'} the risk with it")
    return tuple(lost)


def repeated(command: Command, wish: Wish) -> bool:
    """True when a risk that is already so was made so by an earlier try of this command."""
    return _VERDICTS.repeated(command, wish)
