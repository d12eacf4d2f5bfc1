"""What closing an alert means in Elastic: a workflow status, and a tag for the disposition that older versions lack."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nightdesk.connectors.elastic_security.answers import VENDOR
from nightdesk.connectors.elastic_security.cluster import Cluster
from nightdesk.connectors.elastic_security.kibana import Kibana
from nightdesk.connectors.elastic_security.sweep import field_of
from nightdesk.sdk.case import Verdict
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["read_disposition", "set_disposition"]

# "Duplicate", "False Positive" and "Further investigation required" are the tags that Kibana offers by default.
_TAGS: Mapping[str, str] = {
    Verdict.TRUE_POSITIVE: "True Positive",
    Verdict.LIKELY_TRUE_POSITIVE: "Likely True Positive",
    Verdict.BENIGN_POSITIVE: "Benign Positive",
    Verdict.UNDETERMINED: "Further investigation required",
    Verdict.LIKELY_FALSE_POSITIVE: "Likely False Positive",
    Verdict.FALSE_POSITIVE: "False Positive",
    Verdict.DUPLICATE: "Duplicate",
    Verdict.TEST: "Test",
}
_VERDICTS = Verdicts("Elastic", _TAGS, {tag: str(word) for word, tag in _TAGS.items()})
_OURS = {"open": "open", "acknowledged": "open", "in-progress": "open", "closed": "closed"}
_OPERATION = "set alert disposition"


async def set_disposition(cluster: Cluster, kibana: Kibana, command: Command) -> Receipt:
    """Writes what differs, tags before status: the status alone gives the alert a new time to be read again by."""
    wish = _wish(command)
    losses = ("comment",) if wish.comment else ()
    state = _state(await cluster.one(command.native_id))
    changed = _VERDICTS.repeated(command, wish)
    if wish.disposition is not None:
        tag = _VERDICTS.word(wish.disposition)
        remove = [name for name in state["tags"] if name in _VERDICTS.to_ours and name != tag]
        add = [tag] if tag and tag not in state["tags"] else []
        if add or remove:
            await kibana.set_tags(command.native_id, add=add, remove=remove)
            changed = True
    native = _native(wish.status or "", command.pre_state)
    if native and (state["status"] != wish.status or (native != wish.status and state["native_status"] != native)):
        await kibana.set_status(command.native_id, native)
        changed = True
    return Receipt(changed=changed, losses=losses, evidence={"before": state})


async def read_disposition(cluster: Cluster, command: Command, now: datetime) -> Reading:
    """The alert's status and disposition now, against what the command wants."""
    wish = _wish(command)
    state = _state(await cluster.one(command.native_id))
    met = wish.status in {None, state["status"]} and wish.disposition in {None, state["disposition"]}
    return Reading(Effect.IN_EFFECT if met else Effect.NOT_IN_EFFECT, now, state, state["native_status"])


def _wish(command: Command) -> Wish:
    wish = Wish.of(command)
    if not command.native_id:
        raise RejectedError("the alert has no id of its own", vendor=VENDOR, operation=_OPERATION)
    if wish.status is None and wish.disposition is None:
        raise RejectedError("give a status or a disposition", vendor=VENDOR, operation=_OPERATION)
    return wish


def _native(status: str, pre_state: Mapping[str, Any]) -> str:
    """Elastic's word for the status: an undo restores "acknowledged" where that is what had been."""
    before = pre_state.get("native_status")
    return str(before) if status and _OURS.get(str(before)) == status else status


def _state(hit: Mapping[str, Any]) -> dict[str, Any]:
    source = hit.get("_source") or {}
    native = field_of(source, "kibana.alert.workflow_status") or "open"
    tags = field_of(source, "kibana.alert.workflow_tags") or []
    tags = [tags] if isinstance(tags, str) else list(tags)
    disposition = next((ours for tag, ours in _VERDICTS.to_ours.items() if tag in tags), "")
    return {
        "status": _OURS.get(native, native),
        "native_status": native,
        "disposition": disposition,
        "tags": tags,
    }
