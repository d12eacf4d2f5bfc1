"""What names a running process to Vision One: its number with the name or SHA-1 of its image, never a guess."""

import re
from collections.abc import Mapping
from ntpath import basename
from typing import Any

from nightdesk.connectors.trend_vision_one.client import VENDOR, VisionOne
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.ports import Command

__all__ = ["running"]

_SEARCH = "Search: View, filter, and search"
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")
_GUID = re.compile(r"[0-9a-fA-F-]{32,36}")


async def running(api: VisionOne, command: Command) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The item that ends the process, and what of the command it cannot say.

    With the process id alone the activities of the last 24 hours tell the image; an id that two images had is refused.
    """
    facts, item = command.target.facts, {"agentGuid": command.native_id}
    pid, sha1 = facts.get("pid", ""), facts.get("sha1", "").removeprefix("sha1:")
    name = basename(facts.get("path", "")) or facts.get("name", "") or _file_name(command.target.value)
    if sha1 and not _SHA1.fullmatch(sha1):
        raise RejectedError(f"{command.verb}: {sha1!r} is no SHA-1", vendor=VENDOR, operation=command.verb)
    if not pid.isdecimal():
        if not sha1:
            raise RejectedError(
                f"{command.target.key}: nothing says its process id, nor the SHA-1 of its image",
                vendor=VENDOR,
                operation=command.verb,
            )
        lost = ("pid: none is known, so every process of that image on the host is ended",)
        return {**item, "fileSha1": sha1.lower(), **({"fileName": name} if name else {})}, lost
    if not sha1 and not name:
        sha1 = await _image(api, command, pid)
    image = {"fileSha1": sha1.lower()} if sha1 else {}
    return {**item, "processId": int(pid), **image, **({"fileName": name} if name else {})}, ()


async def _image(api: VisionOne, command: Command, pid: str) -> str:
    guid = command.native_id
    if not _GUID.fullmatch(guid):
        raise RejectedError(f"{guid!r} is no agent GUID", vendor=VENDOR, operation=command.verb)
    headers = {"TMV1-Query": f'endpointGuid:"{guid}" and (processPid:"{pid}" or objectPid:"{pid}")'}
    rows = api.rows(
        "/search/endpointActivities", operation="find process", scope=_SEARCH, params={"top": 500}, headers=headers
    )
    images = {image async for row in rows for image in _images(row, pid)}
    if len(images) != 1:
        what = "several images had it" if images else "no activity of the last 24 hours has it"
        raise NotFoundError(
            f"process {pid} of {guid}: {what}; name its file or SHA-1", vendor=VENDOR, operation=command.verb
        )
    return images.pop()


def _images(row: Mapping[str, Any], pid: str) -> list[str]:
    found = [row.get(f"{side}FileHashSha1") for side in ("process", "object") if str(row.get(f"{side}Pid")) == pid]
    return [sha1.lower() for sha1 in found if isinstance(sha1, str) and _SHA1.fullmatch(sha1)]


def _file_name(value: str) -> str:
    """A process target may be called by its file, or by an id of ours that no vendor knows."""
    return basename(value) if "." in value and not _GUID.fullmatch(value) else ""
