"""Ending processes, quarantining and fetching files: SentinelOne does these to a threat, on the agent that detected it.

A file or process that no engine detected cannot be reached. What is done to a threat is done to all of it,
and of several threats with the same file each is mitigated.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.sentinelone.client import VENDOR, Console
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.verbs import TargetKind

__all__ = ["MITIGATIONS", "Mitigation"]

MITIGATIONS: Mapping[str, str] = {
    # Verb: the path's word.
    "process.terminate": "kill",
    "file.quarantine": "quarantine",
    "file.restore": "un-quarantine",
}
_VIEW = "Threats: View"
_MITIGATE = "Mitigate threats"
_FETCH = "Threats: Fetch files"
_ACTIVITIES = "Activity: View"
_FETCHED = 86  # activity type: a threat's file was uploaded
_PENDING = frozenset({"pending", "sent", "pending_reboot"})
_FAILED = frozenset({"failed", "partial"})
_PASSWORD_LEAST = 10
_DEVICE = re.compile(r"^(?:[a-z]:|\\device\\harddiskvolume\d+)(?=\\)")
_STATES = {"process.terminate": "killed", "file.quarantine": "quarantined", "file.restore": "quarantined"}

Threat = Mapping[str, Any]


class Mitigation:
    """The threats behind processes and files of a host."""

    def __init__(self, context: Context, console: Console) -> None:
        self._context = context
        self._console = console

    async def mitigate(self, command: Command) -> Receipt:
        """Asks for it where it is neither so nor on its way."""
        command.only()
        lost = _losses(command)
        threats = await self._about(command)
        outcomes = {str(threat.get("id")): _outcome(threat, command.verb) for threat in threats}
        open_ = [name for name, (effect, _) in outcomes.items() if effect not in {Effect.IN_EFFECT, Effect.PENDING}]
        evidence = {"threats": list(outcomes), "before": {name: native for name, (_, native) in outcomes.items()}}
        if not open_:
            wanted = command.verb != "file.restore"
            changed = command.began_otherwise(_STATES[command.verb], wanted)
            return Receipt(",".join(outcomes), changed=changed, losses=lost, evidence=evidence)
        path = f"/threats/mitigate/{MITIGATIONS[command.verb]}"
        if not await self._console.change(path, open_, {}, permission=_MITIGATE):
            message = (
                f"threat {', '.join(open_)} was not reached; is its agent still there and within the token's sites?"
            )
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        return Receipt(",".join(open_), losses=lost, evidence=evidence)

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """What the threats say was done, and whether that holds of all of them."""
        command.only()
        threats = await self._about(command)
        asked = int(self._console.as_vendor(command.requested_at).timestamp()) * SECOND
        outcomes = [_outcome(threat, command.verb, asked) for threat in threats]
        order = (Effect.FAILED, Effect.UNKNOWN, Effect.NOT_IN_EFFECT, Effect.PENDING, Effect.IN_EFFECT)
        worst = min((effect for effect, _ in outcomes), key=order.index)
        holds = all(effect is Effect.IN_EFFECT for effect, _ in outcomes)
        named = ", ".join(str(threat.get("id")) for threat in threats)
        state = {_STATES[command.verb]: holds is (command.verb != "file.restore"), "threats": named}
        return worst, state, ", ".join(dict.fromkeys(native for _, native in outcomes))

    async def fetch(self, command: Command) -> Receipt:
        """Has the newest threat's file uploaded to the console, unless that happened since it was asked for."""
        command.only()
        threat = (await self._about(command))[-1]
        there = await self._upload(threat, command)
        if there is not None:
            changed = command.began_otherwise("fetched", True)
            return Receipt(str(there.get("id", "")), changed=changed, evidence=_download(there))
        name = str(threat.get("id"))
        data = {"password": self._password()}
        if not await self._console.change("/threats/fetch-file", [name], data, permission=_FETCH):
            message = f"threat {name} was not reached; is its agent still there and within the token's sites?"
            raise RejectedError(message, vendor=VENDOR, operation="fetch file")
        return Receipt(name, evidence={"threat": name})

    async def fetched(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the console has the file, and where."""
        command.only()
        there = await self._upload((await self._about(command))[-1], command)
        if there is None:
            return Effect.NOT_IN_EFFECT, {"fetched": False}, "not uploaded"
        return (
            Effect.IN_EFFECT,
            {"fetched": True, **_download(there)},
            str(there.get("primaryDescription") or "uploaded"),
        )

    async def _upload(self, threat: Threat, command: Command) -> Mapping[str, Any] | None:
        since = int(self._console.as_vendor(command.requested_at).timestamp()) * SECOND
        name = str(threat.get("id"))
        params = {"activityTypes": _FETCHED, "threatIds": name, "createdAt__gte": iso(since, 6)}
        rows = await self._console.every("/activities", params, operation="read activities", permission=_ACTIVITIES)
        return next((row for row in rows if str(row.get("threatId")) == name and _download(row)["download"]), None)

    def _password(self) -> str:
        where = self._context.instance
        if not self._context.settings.has("fetch_password"):
            problem = "is required for file.fetch: the console packs the file with it"
            raise ConfigError([Problem(where, "fetch_password", problem)])
        password = self._context.settings.secret("fetch_password").reveal()
        if len(password) < _PASSWORD_LEAST or any(map(str.isspace, password)):
            problem = f"must have at least {_PASSWORD_LEAST} characters and no whitespace"
            raise ConfigError([Problem(where, "fetch_password", problem)])
        return password

    async def _about(self, command: Command) -> Sequence[Threat]:
        """The threats of the target on its host, oldest first. Raises RejectedError when there is none."""
        if not (command.native_id.isascii() and command.native_id.isdecimal()):
            message = f"{command.target.key}: {command.native_id!r} is no id of an agent; find the host first"
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        kind, _, digest = command.target.value.partition(":")
        of_file = command.target.kind is TargetKind.FILE
        params = {
            "agentIds": command.native_id,
            "sortBy": "createdAt",
            "sortOrder": "asc",
            **({"contentHashes": digest} if of_file and kind == "sha1" else {}),
        }
        rows = await self._console.every("/threats", params, operation="find threats", permission=_VIEW)
        # Held against what was asked: a filter that the console ignored must not make us touch another host's threat.
        ours = [row for row in rows if str(_part(row, "agentRealtimeInfo").get("agentId")) == command.native_id]
        found = [row for row in ours if _is_of(row, command)]
        if not found:
            message = (
                f"no threat of agent {command.native_id} is about {command.target.key}; SentinelOne reaches only what"
                " its agents detected, by hash, path, storyline or name"
            )
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        return found


def _is_of(threat: Threat, command: Command) -> bool:
    """True when the threat is about the file or process; a path or storyline that is known must fit, too."""
    info, facts = _part(threat, "threatInfo"), command.target.facts
    path = _plain(facts.get("path", ""))
    if path and path != _plain(str(info.get("filePath") or "")):
        return False
    if command.target.kind is TargetKind.FILE:
        kind, _, digest = command.target.value.partition(":")
        # Without a file of its own, its path and hash are those of a program of the system that was misused.
        return str(info.get(kind) or "").lower() == digest and info.get("isFileless") is not True
    if facts.get("storyline"):
        return str(info.get("storyline")) == facts["storyline"]
    return bool(path) or str(info.get("threatName") or "").casefold() == command.target.value.casefold()


def _outcome(threat: Threat, verb: str, asked: int = 0) -> tuple[Effect, str]:
    """What the threat says of the verb, and in which words. A failure from before it was asked for is none of ours."""
    rows = threat.get("mitigationStatus")
    words = {"kill"} if verb == "process.terminate" else {"quarantine", "unquarantine"}
    told = [row for row in rows if isinstance(row, dict) and _word(row) in words] if isinstance(rows, list) else []
    if not told:
        return _held(told, verb), "nothing was done"
    newest = max(told, key=lambda row: instant(row.get("lastUpdate")) or 0)
    word, status = _word(newest), str(newest.get("status") or "")
    native = f"{word}: {status}"
    same = word == MITIGATIONS[verb].replace("-", "")
    if status == "success":
        return (Effect.IN_EFFECT if same else Effect.NOT_IN_EFFECT), native
    if status in _PENDING:
        return (Effect.PENDING if same else Effect.NOT_IN_EFFECT), native
    if status in _FAILED:
        recent = (instant(newest.get("lastUpdate")) or 0) >= asked
        if same and recent:
            return Effect.FAILED, native
        return (Effect.UNKNOWN if status == "partial" else _held(told, verb)), native
    return Effect.UNKNOWN, native


def _held(told: Sequence[Mapping[str, Any]], verb: str) -> Effect:
    """What the last one that succeeded left: a failed one changes nothing, so a failed restore leaves a quarantine."""
    done = [row for row in told if row.get("status") == "success"]
    if not done:
        return Effect.IN_EFFECT if verb == "file.restore" else Effect.NOT_IN_EFFECT
    last = max(done, key=lambda row: instant(row.get("lastUpdate")) or 0)
    return Effect.IN_EFFECT if _word(last) == MITIGATIONS[verb].replace("-", "") else Effect.NOT_IN_EFFECT


def _word(row: Mapping[str, Any]) -> str:
    return str(row.get("action") or "").replace("-", "").lower()


def _losses(command: Command) -> tuple[str, ...]:
    pid = command.target.facts.get("pid")
    if command.verb != "process.terminate" or not pid:
        return ()
    return (f"pid={pid}: SentinelOne ends every process of the threat, not one by its number",)


def _download(activity: Mapping[str, Any]) -> dict[str, str]:
    return {"download": str(_part(activity, "data").get("filePath") or "")}


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _plain(path: str) -> str:
    """A path without its volume, which agents name by device; the case of Windows' paths says nothing."""
    lowered = path.strip().lower() if "\\" in path else path.strip()
    return _DEVICE.sub("", lowered)
