"""Our words for an incident's state and Sentinel's: status, and the classification that a closed incident must have."""

from collections.abc import Mapping
from typing import Any

from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["VERDICTS", "body", "losses", "settled", "state"]

VERDICTS = Verdicts(
    "Sentinel",
    to_vendor={
        "true-positive": "TruePositive",
        "likely-true-positive": "TruePositive",
        "benign-positive": "BenignPositive",
        "likely-false-positive": "FalsePositive",
        "false-positive": "FalsePositive",
        "duplicate": "Undetermined",
        "test": "BenignPositive",
        "undetermined": "Undetermined",
        "": "",
    },
    to_ours={
        "TruePositive": "true-positive",
        "BenignPositive": "benign-positive",
        "FalsePositive": "false-positive",
        "Undetermined": "undetermined",
    },
)

_NONE = "Undetermined"
_OPEN, _CLOSED = "Active", "Closed"
_REASONS: Mapping[str, tuple[str, ...]] = {  # the first is meant when nobody says which
    "TruePositive": ("SuspiciousActivity",),
    "BenignPositive": ("SuspiciousButExpected",),
    "FalsePositive": ("IncorrectAlertLogic", "InaccurateData"),
}
_CLASSIFIED = ("classification", "classificationReason", "classificationComment")
_READ_ONLY = frozenset(
    {"additionalData", "createdTimeUtc", "incidentNumber", "incidentUrl", "lastModifiedTimeUtc", "providerName"}
    | {"providerIncidentId", "relatedAnalyticRuleIds"}
)


def state(incident: Mapping[str, Any]) -> dict[str, str]:
    """Status and disposition in our words, and what an undo restores beside them in Sentinel's."""
    properties = _properties(incident)
    closed = properties.get("status") == _CLOSED
    words = (
        {name: str(properties.get(name) or "") for name in _CLASSIFIED} if closed else dict.fromkeys(_CLASSIFIED, "")
    )
    return {
        "status": "closed" if closed else "open",
        "disposition": VERDICTS.ours(words["classification"]),
        "native_status": str(properties.get("status") or ""),
        **words,
    }


def body(incident: Mapping[str, Any], wish: Wish, command: Command) -> dict[str, Any] | None:
    """The whole incident with what is wished and the etag it was read with; None when it is so already.

    Raises RejectedError for a classification of an incident that stays open: Sentinel has none.
    """
    now = state(incident)
    if wish.status is None and now["status"] == "open" and wish.disposition:
        raise RejectedError(
            f"incident {command.native_id} is open, and Sentinel classifies closed ones only; close it with the"
            " disposition"
        )
    if settled(incident, wish):
        return None
    properties = _properties(incident)
    kept = {name: value for name, value in properties.items() if name not in _READ_ONLY and value is not None}
    if isinstance(kept.get("labels"), list):
        # The type of a label is the service's to say.
        kept["labels"] = [{"labelName": label.get("labelName")} for label in kept["labels"] if isinstance(label, dict)]
    before = command.pre_state
    if (wish.status or now["status"]) == "open":
        native = str(before.get("native_status") or "") if before.get("status") == "open" else ""
        change: dict[str, str] = {"status": native if native in {"New", _OPEN} else _OPEN}
    else:
        word = _word(incident, wish)
        change = {"status": _CLOSED, "classification": word, **_reasons(word, before, now)}
    rest = {name: value for name, value in kept.items() if name not in _CLASSIFIED}
    return {"etag": incident.get("etag"), "properties": {**rest, **change}}


def losses(incident: Mapping[str, Any], wish: Wish) -> tuple[str, ...]:
    """What Sentinel cannot say of the wish; the incident is as it was before."""
    if wish.status == "open" and wish.disposition:
        return (f"disposition={wish.disposition}: Sentinel classifies closed incidents only",)
    if wish.status == "closed" and not wish.disposition and _word(incident, wish) == _NONE:
        return (f"disposition: Sentinel closes with a classification, so this incident has {_NONE}",)
    return VERDICTS.losses(wish)


def settled(incident: Mapping[str, Any], wish: Wish) -> bool:
    """True when status and classification are as wished."""
    now = state(incident)
    if wish.status not in {None, now["status"]}:
        return False
    if now["status"] == "open":
        # What an open incident cannot have is a loss when it is to stay open, else still missing.
        return wish.status == "open" or not wish.disposition
    return now["classification"] == _word(incident, wish)


def _word(incident: Mapping[str, Any], wish: Wish) -> str:
    """The classification that a closed incident is to have: the wished one, else its own, else the one for none."""
    own = state(incident)["classification"] if wish.disposition is None else ""
    return VERDICTS.word(wish.disposition or "") or own or _NONE


def _reasons(word: str, *known: Mapping[str, Any]) -> dict[str, str]:
    """Reason and comment of a classification: as they were when it was the same before, else the usual reason."""
    allowed = _REASONS.get(word, ())
    same = next((past for past in known if past.get("classification") == word), {})
    reason = str(same.get("classificationReason") or "")
    usual = allowed[0] if allowed else ""
    said = {
        "classificationReason": reason if reason in allowed else usual,
        "classificationComment": str(same.get("classificationComment") or ""),
    }
    return {name: text for name, text in said.items() if text}


def _properties(incident: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = incident.get("properties")
    return properties if isinstance(properties, Mapping) else {}
