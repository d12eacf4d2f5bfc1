"""Unified alerts over GraphQL: pages by creation and change, one alert, and actions that name each alert's outcome.

Every value stands in the document itself: the names of the input types differ between tenants. Fields that a tenant's
schema lacks are left out once it says so.
"""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from nightdesk.connectors.sentinelone.client import VENDOR, Answer, Console, judged
from nightdesk.connectors.sentinelone.selection import Selection
from nightdesk.connectors.sentinelone.triage import Page
from nightdesk.sdk.errors import CursorExpiredError, NotFoundError, RejectedError, ResponseError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.sweep import Times
from nightdesk.sdk.triage import Verdicts
from nightdesk.sdk.verbatim import cut

__all__ = ["VIEW", "Unified"]

VIEW = "Unified alerts: View"
_MANAGE = "Unified alerts: Manage"
_MOST = 100  # alerts a page, as the vendor's own client asks for at most
_COLUMNS = {"created": "createdAt", "updated": "updatedAt"}
_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_TRUE = tuple(
    f"TRUE_POSITIVE_{word}"
    for word in (
        *("UNDEFINED", "MALWARE", "RANSOMWARE", "UNAUTHORIZED_ACCESS", "DATA_EXFILTRATION", "INSIDER_THREAT"),
        *("PHISHING_ATTACK", "ADVANCED_PERSISTENT_THREAT", "DENIAL_OF_SERVICE", "POLICY_VIOLATION"),
        *("EXPLOITATION_TOOLS", "PUA_ADWARE"),
    )
)
_BENIGN = ("TRUE_POSITIVE_BENIGN", "TRUE_POSITIVE_BENIGN_BUT_SUSPICIOUS")
_FALSE = tuple(
    f"FALSE_POSITIVE_{word}" for word in ("UNDEFINED", "BENIGN", "BENIGN_BUT_SUSPICIOUS", "SYSTEM_ERROR", "USER_ERROR")
)


class Unified:
    """Alerts of endpoint, identity, cloud and third parties in one shape."""

    stream = "unified_alerts"
    verdicts = Verdicts(
        "SentinelOne",
        to_vendor={
            "true-positive": "TRUE_POSITIVE_UNDEFINED",
            "likely-true-positive": "TRUE_POSITIVE_UNDEFINED",
            "benign-positive": "TRUE_POSITIVE_BENIGN",
            "likely-false-positive": "FALSE_POSITIVE_UNDEFINED",
            "false-positive": "FALSE_POSITIVE_UNDEFINED",
            "duplicate": "UNDEFINED",
            "test": "UNDEFINED",
            "undetermined": "UNDEFINED",
            "": "UNDEFINED",
        },
        to_ours={
            **dict.fromkeys(_TRUE, "true-positive"),
            **dict.fromkeys(_BENIGN, "benign-positive"),
            **dict.fromkeys(_FALSE, "false-positive"),
        },
    )

    def __init__(self, console: Console, page_size: int) -> None:
        self._console = console
        self._page_size = min(page_size, _MOST)
        self._selection = Selection()

    async def page(self, sweep: str, since: int, limit: int, token: str) -> Page:
        """One page from that nanosecond on. Raises CursorExpiredError when the page token is refused."""
        column = _COLUMNS[sweep]
        bound = f'{{fieldId: "{column}", dateTimeRange: {{start: {since // 1_000_000}, startInclusive: true}}}}'
        size = max(1, min(limit, self._page_size))
        try:
            answer = await self._list(bound, size, column, token, operation="pull alerts")
        except RejectedError as error:
            if not token:
                raise
            message = "the page token is no longer accepted; restart from the stored time"
            raise CursorExpiredError(message, vendor=VENDOR, operation="pull alerts", status=error.status) from error
        info = _under(answer.data, "alerts", "pageInfo")
        after = str(info.get("endCursor") or "") if info.get("hasNextPage") else ""
        failed = self._console.complaint(answer, VIEW) if answer.errors else None
        return Page(_nodes(answer), after, failed)

    async def one(self, native_id: str) -> tuple[Mapping[str, Any], bytes]:
        """The alert as it is now and as the vendor wrote it. Raises NotFoundError."""
        if not _ID.fullmatch(native_id):
            raise RejectedError(f"{native_id!r} is no id of a unified alert", vendor=VENDOR, operation="read alert")
        answer = await self._list(_named(native_id), 1, "createdAt", "", operation="read alert")
        for alert, text in _nodes(answer):
            if isinstance(alert, dict) and alert.get("id") == native_id:
                return alert, text
        if answer.errors:
            raise self._console.complaint(answer, VIEW)
        raise NotFoundError(f"no alert {native_id}", vendor=VENDOR, operation="read alert", status=answer.status)

    def record(self, alert: Mapping[str, Any], text: bytes) -> tuple[RawRecord, Times]:
        """``key`` falls back to the content where an id or a time is missing, so that nothing is dropped here."""
        native_id = str(alert.get("id") or "")
        version = str(alert.get("updatedAt") or "") if native_id else ""
        record = RawRecord(text, f"{native_id}:{version or sha256(text).hexdigest()}", native_id, VENDOR)
        return record, {name: instant(alert.get(column)) for name, column in _COLUMNS.items()}

    def status(self, alert: Mapping[str, Any]) -> str:
        """NEW, IN_PROGRESS or RESOLVED."""
        return str(alert.get("status") or "")

    def closed(self, alert: Mapping[str, Any]) -> bool:
        """True when nobody has to look at it any more."""
        return self.status(alert) == "RESOLVED"

    def verdict(self, alert: Mapping[str, Any]) -> str:
        """The analyst's verdict in the vendor's word."""
        return str(alert.get("analystVerdict") or "UNDEFINED")

    async def noted(self, native_id: str, marker: str) -> bool:
        """True when a note with that marker is there."""
        document = f'{{alertNotes(alertId: "{native_id}") {{data {{id text}}}}}}'
        answer = await self._console.query(document, operation="read notes", permission=VIEW)
        if answer.errors:
            raise self._console.complaint(answer, VIEW)
        notes = _under(answer.data, "alertNotes").get("data")
        return any(marker in str(note.get("text", "")) for note in notes or () if isinstance(note, dict))

    async def change(self, native_id: str, *, closed: bool | None, verdict: str | None, note: str) -> None:
        """Triggers what is not None, the verdict first. Raises unless each action names the alert."""
        wanted: list[tuple[str, str, str]] = []
        if verdict is not None:
            wanted.append(("S1/alert/analystVerdictUpdate", "analystVerdict", verdict))
        if closed is not None:
            wanted.append(("S1/alert/statusUpdate", "status", "RESOLVED" if closed else "NEW"))
        if note:
            wanted.append(("S1/alert/addNote", "note", json.dumps(note, ensure_ascii=False)))
        actions = ", ".join(f'{{id: "{name}", payload: {{{key}: {{value: {value}}}}}}}' for name, key, value in wanted)
        document = (
            f"mutation {{alertTriggerActions(actions: [{actions}], filter: {{or: [{{and: [{_named(native_id)}]}}]}},"
            f"{self._scope()} viewType: ALL) {{__typename"
            " ... on ActionsTriggered {actions {actionId success {id} skip {id} failure {id errorMessage errorType}}}"
            " ... on TriggerActionsError {errors {errorMessage}}"
            " ... on TriggerActionsScheduled {bulkActionTriggerId}}}"
        )
        answer = await self._console.query(document, operation="change alert", permission=_MANAGE, repeatable=False)
        if answer.errors:
            raise self._console.complaint(answer, _MANAGE)
        outcome = _under(answer.data, "alertTriggerActions")
        if outcome.get("__typename") != "TriggerActionsScheduled":
            _check(outcome, [name for name, _, _ in wanted], native_id, answer)

    async def _list(self, condition: str, size: int, column: str, token: str, *, operation: str) -> Answer:
        """A page of what meets the condition, with the fields that this tenant has."""
        after = f" after: {json.dumps(token)}," if token else ""
        asked = f"first: {size},{after}{self._scope()} viewType: ALL, filters: [{condition}],"
        while True:
            inner = f"{{edges {{node {self._selection.text}}} pageInfo {{hasNextPage endCursor}}}}"
            document = f'{{alerts({asked} sorts: [{{by: "{column}", order: ASC}}]) {inner}}}'
            try:
                return await self._console.query(document, operation=operation, permission=VIEW)
            except RejectedError as error:
                if not self._selection.drop(str(error)):
                    raise

    def _scope(self) -> str:
        kinds = (("SITE", self._console.sites), ("ACCOUNT", self._console.accounts))
        kind, ids = next((pair for pair in kinds if pair[1]), ("", ()))
        return f" scope: {{scopeType: {kind}, scopeIds: {json.dumps(list(ids))}}}," if kind else ""


def _named(native_id: str) -> str:
    return f'{{fieldId: "id", stringEqual: {{value: {json.dumps(native_id)}}}}}'


def _check(outcome: Mapping[str, Any], wanted: Sequence[str], native_id: str, answer: Answer) -> None:
    """HTTP says 200 either way; an action that the console does not know is passed over in silence."""
    done = {str(action.get("actionId")): action for action in outcome.get("actions") or ()}
    misses = [(name, miss) for name in wanted for miss in done.get(name, {}).get("failure") or ()]
    for name, miss in [*(("", error) for error in outcome.get("errors") or ()), *misses]:
        text = f"{name} {miss.get('errorMessage') or miss.get('errorType') or 'failed'}".strip()
        refused = {"extensions": {"classification": "ValidationError"}}
        raise judged(text, refused, answer.operation, answer.status, _MANAGE)
    for name in wanted:
        # What was skipped is so already, as far as the console is concerned; the read-back tells.
        hits = [hit for part in ("success", "skip") for hit in done.get(name, {}).get(part) or ()]
        reached = [str(hit.get("id")) for hit in hits]
        if reached != [native_id]:
            message = f"{name} reached {', '.join(reached) or 'no alert'} instead of {native_id}"
            raise ResponseError(message, vendor=VENDOR, operation=answer.operation, status=answer.status)


def _under(data: Any, *path: str) -> Mapping[str, Any]:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _nodes(answer: Answer) -> list[tuple[Any, bytes]]:
    """The alerts without their edges, byte for byte; an edge of another shape stays what it is."""
    try:
        edges = cut(answer.content, "data", "alerts", "edges")
    except ValueError as error:
        raise ResponseError(f"the list of alerts: {error}", vendor=VENDOR, operation=answer.operation) from None
    return [(edge["node"], _inner(raw)) if _plain(edge) else (edge, raw) for edge, raw in edges]


def _plain(edge: Any) -> bool:
    return isinstance(edge, dict) and set(edge) == {"node"}


def _inner(edge: bytes) -> bytes:
    """The text of the only value of an object."""
    text = edge.decode()
    begin = text.index(":", text.index('"node"') + 6) + 1
    return text[begin : text.rindex("}")].strip().encode()
