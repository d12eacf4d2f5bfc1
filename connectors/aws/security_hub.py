"""Security Hub: findings of every product in one format, their workflow, verdict and the one note that each has.

Source: https://docs.aws.amazon.com/securityhub/1.0/APIReference/
"""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.aws.client import VENDOR, Aws
from nightdesk.connectors.aws.guardduty import Found
from nightdesk.connectors.aws.sweep import Page, Shape, elements
from nightdesk.sdk.errors import (
    NotFoundError,
    RejectedError,
    ResponseError,
    UnavailableError,
    VendorError,
)
from nightdesk.sdk.moments import SECOND, iso
from nightdesk.sdk.ports import Command, Receipt
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["PRODUCT", "SecurityHub"]

PRODUCT = "aws_security_hub"

_MOST = 100  # findings a request
_LONGEST = 512  # characters of an id and of a note
# A date filter needs an end, the same one on every page, beyond every time that a provider's wrong clock may write.
_AHEAD = 10 * 366 * 86_400 * SECOND
_LABELS = ("INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")
_CLOSED = frozenset({"RESOLVED", "SUPPRESSED"})
_OPEN = frozenset({"NEW", "NOTIFIED"})
_VERDICTS = Verdicts(
    "Security Hub",
    to_vendor={
        "true-positive": "TRUE_POSITIVE",
        "likely-true-positive": "TRUE_POSITIVE",
        "benign-positive": "BENIGN_POSITIVE",
        "likely-false-positive": "FALSE_POSITIVE",
        "false-positive": "FALSE_POSITIVE",
        **dict.fromkeys(("duplicate", "test", "undetermined", ""), "UNKNOWN"),
    },
    to_ours={
        "TRUE_POSITIVE": "true-positive",
        "FALSE_POSITIVE": "false-positive",
        "BENIGN_POSITIVE": "benign-positive",
    },
)
_UNPROCESSED: Mapping[str, tuple[type[VendorError], str]] = {
    "FindingNotFound": (NotFoundError, "no such finding"),
    "ConcurrentUpdateError": (UnavailableError, "somebody else is changing it; ask again"),
    "InternalFailure": (UnavailableError, "the service failed"),
}


class SecurityHub:
    """The hubs of the configured regions, one of which may gather the findings of others."""

    shape = Shape(PRODUCT, "Id", "UpdatedAt", frozenset({"ProcessedAt"}))  # when the hub got to it

    def __init__(self, aws: Aws, minimum: str) -> None:
        self._aws = aws
        self._labels = _LABELS[_LABELS.index(minimum.upper()) :]

    def knows(self, native_id: str) -> bool:
        """Whether it may be one of its ids, which are the providers' to choose."""
        return 0 < len(native_id) <= _LONGEST

    async def page(self, region: str, since: int, token: str, size: int) -> Page:
        """Findings in the order of their updates, open and closed, active and archived."""
        period = {"Start": iso(since, 3), "End": iso(since + _AHEAD, 3)}
        filters: dict[str, Any] = {"UpdatedAt": [period]}
        if len(self._labels) < len(_LABELS):
            filters["SeverityLabel"] = [{"Value": label, "Comparison": "EQUALS"} for label in self._labels]
        following: dict[str, Any] = {"NextToken": token} if token else {}
        answer = await self._aws.call(
            "securityhub",
            "GetFindings",
            region,
            Filters=filters,
            SortCriteria=[{"Field": "UpdatedAt", "SortOrder": "asc"}],
            MaxResults=max(1, min(size, _MOST)),
            **following,
        )
        rows = elements(answer.body, "Findings", "securityhub:GetFindings")
        asked_at = self._aws.now if answer.moment is None else answer.moment
        return Page(rows, str(answer.document.get("NextToken") or ""), asked_at)

    async def find(self, native_id: str) -> Found:
        """The finding of that id, in whichever region it is. Raises NotFoundError, RejectedError for several."""
        operation = "securityhub:GetFindings"
        for region in self._aws.regions if self.knows(native_id) else ():
            by_id = {"Id": [{"Value": native_id, "Comparison": "EQUALS"}]}
            answer = await self._aws.call("securityhub", "GetFindings", region, Filters=by_id, MaxResults=_MOST)
            rows = elements(answer.body, "Findings", operation)
            same = [(item, raw) for item, raw in rows if isinstance(item, dict) and item.get("Id") == native_id]
            if len({item.get("ProductArn") for item, _ in same}) > 1:
                message = f"several products have a finding {native_id!r}; an id alone does not say which is meant"
                raise RejectedError(message, vendor=VENDOR, operation=operation)
            if same:
                return Found(same[0][0], same[0][1], region, str(same[0][0].get("ProductArn") or ""))
        raise NotFoundError(f"no finding {native_id!r}", vendor=VENDOR, operation=operation)

    def state(self, found: Found) -> dict[str, Any]:
        """Status and disposition in our words, the vendor's workflow, and whose note it has."""
        workflow, archived = _workflow(found), found.document.get("RecordState") == "ARCHIVED"
        status = "closed" if archived or workflow in _CLOSED else "open"
        verdict = _VERDICTS.ours(str(found.document.get("VerificationState") or ""))
        return {"status": status, "disposition": verdict, "workflow": workflow, "note": _note(found)}

    def native(self, found: Found) -> str:
        """The vendor's word for its status."""
        return _workflow(found)

    def missing(self, found: Found, wish: Wish, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The part of an update that is still to be made. Raises RejectedError for what only the provider can do."""
        wanted: dict[str, Any] = {}
        status, verdict = self.state(found)["status"], wish.disposition
        if wish.status not in {None, status}:
            if wish.status == "open" and found.document.get("RecordState") == "ARCHIVED":
                message = f"{found.document.get('Id')} was archived by its provider, who alone can bring it back"
                raise RejectedError(message, vendor=VENDOR, operation="securityhub:BatchUpdateFindings")
            earlier = before or {}
            was = str(earlier.get("workflow") or "")
            wanted["Workflow"] = {"Status": "RESOLVED" if wish.status == "closed" else was if was in _OPEN else "NEW"}
            if verdict is None and (earlier.get("status"), earlier.get("disposition")) == (wish.status, ""):
                verdict = ""  # this is an undo, and what had no verdict is not given one as a parameter
        word = _VERDICTS.word(verdict or "")
        if verdict is not None and word != str(found.document.get("VerificationState") or "UNKNOWN"):
            wanted["VerificationState"] = word
        if wish.comment and wish.marker not in _note(found):
            wanted["Note"] = {"Text": _noted(_note(found), wish)[0], "UpdatedBy": "nightdesk"}
        return wanted

    async def write(self, found: Found, command: Command, wish: Wish) -> Receipt:
        """One update of what is missing; what is so already is left alone."""
        name, before = str(found.document["Id"]), self.state(found)
        wanted = self.missing(found, wish, command.pre_state)
        lost = _VERDICTS.losses(wish)
        if "Note" in wanted:
            lost = (*lost, *_noted(_note(found), wish)[1])
        if wanted:
            identifier = {"Id": name, "ProductArn": found.owner}
            answer = await self._aws.call(
                "securityhub", "BatchUpdateFindings", found.region, FindingIdentifiers=[identifier], **wanted
            )
            self._accepted(answer.document, name)
        repeated = _VERDICTS.repeated(command, wish) or (bool(wish.comment) and wish.marker in _note(found))
        return Receipt(name, changed=bool(wanted) or repeated, losses=lost, evidence={"before": before})

    def _accepted(self, document: Mapping[str, Any], name: str) -> None:
        """Raises VendorError: a 200 may hold the finding among those that were not processed."""
        operation = "securityhub:BatchUpdateFindings"
        for row in document.get("UnprocessedFindings") or ():
            code = str(row.get("ErrorCode") or "")
            kind, message = _UNPROCESSED.get(code, (RejectedError, "the update was refused"))
            text = f"{message}: {code}: {row.get('ErrorMessage') or ''}".rstrip(": ")
            raise kind(f"{name}: {text}", vendor=VENDOR, operation=operation, status=200)
        if name not in [row.get("Id") for row in document.get("ProcessedFindings") or ()]:
            message = f"{name} is neither among the processed nor among the unprocessed findings"
            raise ResponseError(message, vendor=VENDOR, operation=operation, status=200)


def _workflow(found: Found) -> str:
    workflow = found.document.get("Workflow")
    return str(workflow.get("Status") or "NEW") if isinstance(workflow, Mapping) else "NEW"


def _note(found: Found) -> str:
    note = found.document.get("Note")
    return str(note.get("Text") or "") if isinstance(note, Mapping) else ""


def _noted(before: str, wish: Wish) -> tuple[str, tuple[str, ...]]:
    """The next note, and what does not fit: a finding has one, and a new one takes the place of the old."""
    if len(wish.comment) > _LONGEST:
        room = _LONGEST - len(wish.marker) - 2
        text = f"{wish.comment[:room]}… {wish.marker}"
        cut = (f"comment: cut to the {_LONGEST} characters of a note",)
        return text, (*cut, "comment: the note before it is replaced") if before else cut
    joined = f"{before}\n{wish.comment}" if before else wish.comment
    if len(joined) <= _LONGEST:
        return joined, ()
    return wish.comment, (f"comment: the note before it, of {len(before)} characters, is replaced",)
