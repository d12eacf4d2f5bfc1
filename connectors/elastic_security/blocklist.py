"""Blocking a hash: entries of Elastic Defend's blocklist, one for each operating system, for all policies."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nightdesk.connectors.elastic_security.answers import VENDOR
from nightdesk.connectors.elastic_security.kibana import Kibana
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.triage import marker
from nightdesk.sdk.verbs import TargetKind

__all__ = ["HASH_VERBS", "act", "read"]

HASH_VERBS = ("hash.block", "hash.unblock")
_SYSTEMS = ("windows", "linux", "macos")  # an entry has exactly one
_KINDS = ("md5", "sha1", "sha256")
_EVERYWHERE = "policy:all"
_DESCRIPTION_MOST = 256  # the route refuses a longer one


async def act(kibana: Kibana, command: Command) -> Receipt:
    """Adds the entries that lack, or takes ours away; entries that somebody else made are never touched."""
    command.only()
    kind, digest = _hash(command)
    items = await kibana.blocklist()
    if command.verb == "hash.block":
        lacking = [system for system in _SYSTEMS if not any(_covers(item, kind, digest, system) for item in items)]
        for system in lacking:
            await kibana.add_to_blocklist(_item(command, kind, digest, system))
        return Receipt(changed=bool(lacking) or command.began_otherwise("blocked", True))
    listing = [item for item in items if _lists(item, kind, digest)]
    own = {_item_id(kind, digest, system) for system in _SYSTEMS}
    ours = [str(item["item_id"]) for item in listing if item.get("item_id") in own]
    for item_id in ours:
        try:
            await kibana.remove_from_blocklist(item_id)
        except NotFoundError:
            continue  # somebody else was quicker
    left = [str(item.get("name", "")) for item in listing if item.get("item_id") not in own]
    evidence = {"left": left} if left else {}
    return Receipt(changed=bool(ours) or (not left and command.began_otherwise("blocked", False)), evidence=evidence)


async def read(kibana: Kibana, command: Command, now: datetime) -> Reading:
    """Blocked when every operating system has an entry for all policies; unblocked when no entry lists the hash."""
    kind, digest = _hash(command)
    items = await kibana.blocklist()
    blocked = all(any(_covers(item, kind, digest, system) for item in items) for system in _SYSTEMS)
    names = [str(item.get("name", "")) for item in items if _lists(item, kind, digest)]
    met = blocked if command.verb == "hash.block" else not names
    native = f"{len(names)} blocklist entries: {', '.join(names)}" if names else "no blocklist entry"
    return Reading(Effect.IN_EFFECT if met else Effect.NOT_IN_EFFECT, now, {"blocked": blocked}, native)


def _hash(command: Command) -> tuple[str, str]:
    kind, _, digest = command.target.value.partition(":")
    if command.target.kind is not TargetKind.FILE or kind not in _KINDS or not digest:
        text = f"{command.target.key} is no hash; give one of {', '.join(_KINDS)}"
        raise RejectedError(text, vendor=VENDOR, operation=command.verb)
    return kind, digest


def _item_id(kind: str, digest: str, system: str) -> str:
    return f"nightdesk-{system}-{kind}-{digest}"


def _item(command: Command, kind: str, digest: str, system: str) -> Mapping[str, Any]:
    mark = marker(command)
    case = f"case {command.case_id}" if command.case_id else ""
    said = " ".join(part for part in (command.reason, case) if part)[: _DESCRIPTION_MOST - len(mark) - 1]
    return {
        "item_id": _item_id(kind, digest, system),
        "type": "simple",
        "name": f"nightdesk {system} {kind} {digest}",
        "description": f"{said} {mark}".strip(),
        "os_types": [system],
        "tags": [_EVERYWHERE],
        "entries": [{"field": f"file.hash.{kind}", "operator": "included", "type": "match_any", "value": [digest]}],
    }


def _covers(item: Mapping[str, Any], kind: str, digest: str, system: str) -> bool:
    """Whether this entry alone blocks the hash on every host of that system."""
    everywhere = _EVERYWHERE in _listed(item.get("tags")) and system in _listed(item.get("os_types"))
    return everywhere and len(_listed(item.get("entries"))) == 1 and _lists(item, kind, digest)


def _lists(item: Mapping[str, Any], kind: str, digest: str) -> bool:
    """Whether this entry names the hash, wherever it applies."""
    return any(
        entry.get("field") == f"file.hash.{kind}"
        and entry.get("operator") == "included"
        and digest in [str(value).lower() for value in _listed(entry.get("value"))]
        for entry in _listed(item.get("entries"))
        if isinstance(entry, dict)
    )


def _listed(value: Any) -> Sequence[Any]:
    """A list as it is, a lone value as a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]
