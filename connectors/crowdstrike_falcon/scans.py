"""On-demand scans: one scan for one command, found again by the marker in its description."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Falcon
from nightdesk.connectors.crowdstrike_falcon.hosts import Hosts
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.moments import SECOND, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["Scans"]

_READ = "On demand scans (ODS): read"
_WRITE = "On demand scans (ODS): write"
_LIMIT = 500
_CLOCKS = 3600  # seconds by which the vendor's clock and ours may differ
_WHOLE: Mapping[str, str] = {"Windows": "C:\\", "Mac": "/"}
_EFFECTS: Mapping[str, Effect] = {
    "pending": Effect.PENDING,
    "scheduled": Effect.PENDING,
    "running": Effect.PENDING,
    "completed": Effect.IN_EFFECT,
    "failed": Effect.FAILED,
    "canceled": Effect.FAILED,
    "cancelled": Effect.FAILED,
}
_MODERATE = 2  # of 0 disabled, 1 cautious, 2 moderate, 3 aggressive, 4 extra aggressive
_QUARTER = 2  # up to 25 % of the processor


class Scans:
    """The scans of one CID."""

    def __init__(self, falcon: Falcon, hosts: Hosts) -> None:
        self._falcon = falcon
        self._hosts = hosts

    async def scan(self, command: Command) -> Receipt:
        """Starts one unless this command's is there. It tells what it finds, and quarantines nothing."""
        command.only("path")
        there = await self._find(command)
        if there is not None:
            return Receipt(str(there.get("id") or ""), evidence={"status": there.get("status")})
        # Every field is required.
        request = {
            "hosts": [command.native_id],
            "host_groups": [],
            "file_paths": [await self._path(command)],
            "scan_inclusions": [],
            "scan_exclusions": [],
            "description": " ".join(filter(None, ("nightdesk", command.reason, command.case_id, marker(command)))),
            "initiated_from": "cloud_adhoc",
            "cpu_priority": _QUARTER,
            "endpoint_notification": False,
            "quarantine": False,
            "max_duration": 0,
            "pause_duration": 0,
            "sensor_ml_level_detection": _MODERATE,
            "cloud_ml_level_detection": _MODERATE,
            "sensor_ml_level_prevention": 0,
            "cloud_ml_level_prevention": 0,
        }
        answer = await self._falcon.ask(
            "POST", "/ods/entities/scans/v1", operation="scan host", scope=_WRITE, json=request
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        made = answer.resources[0] if answer.resources and isinstance(answer.resources[0], dict) else {}
        return Receipt(str(made.get("id") or ""), evidence={"trace_id": answer.trace_id})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """The status of this command's scan."""
        command.only("path")
        there = await self._find(command)
        if there is None:
            return Effect.NOT_IN_EFFECT, {"scanned": False}, "no scan"
        word = str(there.get("status") or "")
        effect = _EFFECTS.get(word, Effect.UNKNOWN)
        state = {
            "scanned": effect is Effect.IN_EFFECT,
            "scan_id": str(there.get("id") or ""),
            "files": there.get("filecount"),
        }
        return effect, state, word

    async def _find(self, command: Command) -> Mapping[str, Any] | None:
        since = iso((int(command.requested_at.timestamp()) - _CLOCKS) * SECOND)
        names: list[str] = []
        while True:
            params = {
                "filter": f"created_on:>='{since}'",
                "sort": "created_on|desc",
                "limit": _LIMIT,
                "offset": len(names),
            }
            answer = await self._falcon.ask(
                "GET", "/ods/queries/scans/v1", operation="find scan", scope=_READ, params=params
            )
            if answer.errors:
                raise self._falcon.complaint(answer)
            page = [str(name) for name in answer.resources]
            for row in await self._entities(page):
                hosts = row.get("hosts")
                mine = isinstance(hosts, list) and command.native_id in hosts
                if mine and marker(command) in str(row.get("description", "")):
                    return row
            names += page
            if len(page) < _LIMIT:
                return None

    async def _entities(self, names: list[str]) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        for at in range(0, len(names), 100):  # they go into the URL
            answer = await self._falcon.ask(
                "GET",
                "/ods/entities/scans/v2",
                operation="read scan",
                scope=_READ,
                params={"ids": names[at : at + 100]},
            )
            if answer.errors:
                raise self._falcon.complaint(answer)
            rows += [row for row in answer.resources if isinstance(row, dict)]
        return rows

    async def _path(self, command: Command) -> str:
        given = command.parameters.get("path")
        if given is not None and (not isinstance(given, str) or not given.strip()):
            raise RejectedError(f"path {given!r}: write a folder or file", vendor=VENDOR, operation="scan host")
        platform = str((await self._hosts.device(command.native_id)).get("platform_name", ""))
        if platform not in _WHOLE:
            raise UnsupportedError(f"{command.target.key}: Falcon scans Windows and Mac on demand, not {platform!r}")
        return given.strip() if given else _WHOLE[platform]
