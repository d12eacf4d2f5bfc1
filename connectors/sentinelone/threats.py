"""Threats over the management API: pages by nested times, one threat, its verdict, its incident status, its notes."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from nightdesk.connectors.sentinelone.client import VENDOR, Console
from nightdesk.connectors.sentinelone.triage import Page
from nightdesk.sdk.errors import CursorExpiredError, NotFoundError, RejectedError, ResponseError
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.sweep import Times
from nightdesk.sdk.triage import Verdicts
from nightdesk.sdk.verbatim import cut

__all__ = ["Threats"]

_VIEW = "Threats: View"
_STATUS = "Threats: Update incident status"
_VERDICT = "Threats: Update analyst verdict"
_NOTE = "Threats: Create notes"
_DIGITS = 6  # the console's times have microseconds
_COLUMNS = {"created": "createdAt", "updated": "updatedAt"}


class Threats:
    """What the engines of the agents detected; 19-digit ids as text, since they are too large for JavaScript."""

    stream = "threats"
    verdicts = Verdicts(
        "SentinelOne",
        to_vendor={
            "true-positive": "true_positive",
            "likely-true-positive": "suspicious",
            "benign-positive": "false_positive",
            "likely-false-positive": "false_positive",
            "false-positive": "false_positive",
            "duplicate": "undefined",
            "test": "undefined",
            "undetermined": "undefined",
            "": "undefined",
        },
        to_ours={
            "true_positive": "true-positive",
            "suspicious": "likely-true-positive",
            "false_positive": "false-positive",
        },
    )

    def __init__(self, console: Console, page_size: int) -> None:
        self._console = console
        self._page_size = page_size

    async def page(self, sweep: str, since: int, limit: int, token: str) -> Page:
        """One page from that nanosecond on. Raises CursorExpiredError when the page token is refused."""
        column = _COLUMNS[sweep]
        params = {
            f"{column}__gte": iso(since, _DIGITS),
            "sortBy": column,
            "sortOrder": "asc",
            "limit": max(1, min(limit, self._page_size)),  # the console's own default is 10
            "skipCount": "true",
            **self._console.narrowed,
            **({"cursor": token} if token else {}),
        }
        try:
            answer = await self._console.ask(
                "GET", "/threats", operation="pull threats", permission=_VIEW, params=params
            )
        except RejectedError as error:
            if not token or error.status != 400:
                raise
            message = "the page token is no longer accepted; restart from the stored time"
            raise CursorExpiredError(
                message, vendor=VENDOR, operation="pull threats", status=error.status, request_id=error.request_id
            ) from error
        failed = self._console.complaint(answer, _VIEW) if answer.errors else None
        return Page(_elements(answer.content), answer.cursor, failed)

    async def one(self, native_id: str) -> tuple[Mapping[str, Any], bytes]:
        """The threat as it is now and as the vendor wrote it. Raises NotFoundError."""
        if not (native_id.isascii() and native_id.isdecimal()):
            # A comma or a slash would ask for something else.
            raise RejectedError(f"{native_id!r} is no id of a threat", vendor=VENDOR, operation="read threat")
        answer = await self._console.ask(
            "GET", "/threats", operation="read threat", permission=_VIEW, params={"ids": native_id, "limit": 2}
        )
        for threat, text in _elements(answer.content):
            if isinstance(threat, dict) and str(threat.get("id")) == native_id:
                return threat, text
        if answer.errors:
            raise self._console.complaint(answer, _VIEW)
        raise NotFoundError(f"no threat {native_id}", vendor=VENDOR, operation="read threat", status=answer.status)

    def record(self, threat: Mapping[str, Any], text: bytes) -> tuple[RawRecord, Times]:
        """``key`` falls back to the content where an id or a time is missing, so that nothing is dropped here."""
        info = _info(threat)
        native_id = str(threat.get("id") or "")
        version = str(info.get("updatedAt") or "") if native_id else ""
        record = RawRecord(text, f"{native_id}:{version or sha256(text).hexdigest()}", native_id, VENDOR)
        return record, {name: instant(info.get(column)) for name, column in _COLUMNS.items()}

    def status(self, threat: Mapping[str, Any]) -> str:
        """The incident status; whether the threat is mitigated is another matter."""
        return str(_info(threat).get("incidentStatus") or "")

    def closed(self, threat: Mapping[str, Any]) -> bool:
        """True when nobody has to look at it any more."""
        return self.status(threat) == "resolved"

    def verdict(self, threat: Mapping[str, Any]) -> str:
        """The analyst's verdict in the vendor's word."""
        return str(_info(threat).get("analystVerdict") or "undefined")

    async def noted(self, native_id: str, marker: str) -> bool:
        """True when a note with that marker is there."""
        notes = await self._console.every(f"/threats/{native_id}/notes", {}, operation="read notes", permission=_VIEW)
        return any(marker in str(note.get("text", "")) for note in notes)

    async def change(self, native_id: str, *, closed: bool | None, verdict: str | None, note: str) -> None:
        """Sets what is not None. Raises RejectedError when that reached nobody and the threat is not so already."""
        facts = {} if verdict is None else {"analystVerdict": verdict}
        path, permission = "/threats/analyst-verdict", _VERDICT
        if closed is not None:
            # Together: by policy a threat may need a verdict to be resolved.
            facts["incidentStatus"] = "resolved" if closed else "unresolved"
            path, permission = "/threats/incident", f"{_STATUS}' and '{_VERDICT}" if verdict is not None else _STATUS
        if facts and not await self._console.change(path, [native_id], facts, permission=permission):
            # Somebody was faster, or the threat is out of reach: only the threat itself tells which.
            threat, _ = await self.one(native_id)
            if any(_info(threat).get(name) != value for name, value in facts.items()):
                raise _unreached(native_id, path)
        if note and not await self._console.change("/threats/notes", [native_id], {"text": note}, permission=_NOTE):
            raise _unreached(native_id, "/threats/notes")


def _unreached(native_id: str, path: str) -> RejectedError:
    message = f"threat {native_id} was not reached; is it within the token's accounts and sites?"
    return RejectedError(message, vendor=VENDOR, operation=path.strip("/").replace("/", " "))


def _info(threat: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where the times, the status and the verdict stand: not at the top."""
    info = threat.get("threatInfo")
    return info if isinstance(info, dict) else {}


def _elements(content: bytes) -> list[tuple[Any, bytes]]:
    try:
        return cut(content, "data")
    except ValueError as error:
        raise ResponseError(f"the list of threats: {error}", vendor=VENDOR, operation="pull threats") from None
