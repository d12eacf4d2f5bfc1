"""Our words for a case's state and Stellar Cyber's: its status, and the resolution that a resolved case can have.

Source of the resolutions: the vendor's own script that follows cases in Jira; they are set with status Resolved only.
"""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.stellar_cyber.client import VENDOR
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["VERDICTS", "body", "losses", "settled", "state"]

VERDICTS = Verdicts(
    "Stellar Cyber",
    to_vendor={
        "true-positive": "True Positive",
        "likely-true-positive": "True Positive",
        "benign-positive": "Benign",
        "likely-false-positive": "False Positive",
        "false-positive": "False Positive",
        "test": "Benign",
        "duplicate": "",
        "undetermined": "",
        "": "",
    },
    to_ours={"True Positive": "true-positive", "Benign": "benign-positive", "False Positive": "false-positive"},
)

_RESOLVED = "Resolved"
_CLOSED = frozenset({"resolved", "cancelled", "canceled"})
_USUAL: Mapping[str, str] = {"open": "In Progress", "closed": _RESOLVED}
_RESOLUTIONS: Mapping[str, str] = {word.lower(): word for word in VERDICTS.to_ours}


def state(case: Mapping[str, Any]) -> dict[str, str]:
    """Status and disposition in our words, and beside them Stellar Cyber's, which an undo restores."""
    native = str(case.get("status") or "")
    closed = native.lower() in _CLOSED
    resolution = str(case.get("resolution") or "") if closed else ""
    resolution = _RESOLUTIONS.get(resolution.lower(), resolution)
    return {
        "status": "closed" if closed else "open",
        "disposition": VERDICTS.ours(resolution),
        "native_status": native,
        "resolution": resolution,
    }


def body(case: Mapping[str, Any], wish: Wish, command: Command, *, resolutions: bool) -> dict[str, str] | None:
    """What to write; None when the case is so already. ``resolutions``: this release keeps them.

    Raises RejectedError for a resolution of a case that stays open: there is none.
    """
    now = state(case)
    word = _word(wish, resolutions=resolutions)
    if word and wish.status is None and now["status"] == "open":
        raise RejectedError(
            f"case {command.native_id} is open, and only resolved ones have a resolution; close it with the"
            " disposition",
            vendor=VENDOR,
            operation=command.verb,
        )
    if settled(case, wish, resolutions=resolutions):
        return None
    wanted = wish.status or now["status"]
    native = now["native_status"]
    if wanted != now["status"]:
        before = command.pre_state
        native = str(before.get("native_status") or "") if before.get("status") == wanted else ""
    if word and native.lower() != _RESOLVED.lower():
        native = _RESOLVED
    return {"status": native or _USUAL[wanted], **({"resolution": word} if word else {})}


def settled(case: Mapping[str, Any], wish: Wish, *, resolutions: bool) -> bool:
    """True when status and resolution are as wished, as far as Stellar Cyber can say it."""
    now = state(case)
    word = _word(wish, resolutions=resolutions)
    return wish.status in {None, now["status"]} and word in {"", now["resolution"]}


def losses(case: Mapping[str, Any], wish: Wish, *, resolutions: bool) -> tuple[str, ...]:
    """What Stellar Cyber cannot say of the wish; the case is as it was before."""
    held = state(case)["resolution"]
    if wish.disposition == "" and held and wish.status != "open":
        return (f"disposition: no call takes the resolution {held} away",)
    if not wish.disposition:
        return ()
    if not resolutions:
        return (f"disposition={wish.disposition}: the setting resolutions says that this release keeps none",)
    if wish.status == "open":
        return (f"disposition={wish.disposition}: only a resolved case has a resolution",)
    return VERDICTS.losses(wish)


def _word(wish: Wish, *, resolutions: bool) -> str:
    """The resolution to be had; empty when none is wished or none can be kept."""
    return VERDICTS.word(wish.disposition or "") if resolutions and wish.status != "open" else ""
