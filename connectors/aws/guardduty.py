"""GuardDuty: findings by detector, archived or not, and the one word of feedback that it takes.

Source: https://docs.aws.amazon.com/guardduty/latest/APIReference/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightdesk.connectors.aws.client import VENDOR, Aws
from nightdesk.connectors.aws.sweep import Page, Shape, elements
from nightdesk.sdk.errors import NotFoundError, RejectedError, UnsupportedError
from nightdesk.sdk.moments import SECOND
from nightdesk.sdk.ports import Command, Receipt
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["PRODUCT", "Found", "GuardDuty"]

PRODUCT = "aws_guardduty"

_MOST = 50  # findings a request, to list and to get
_ID = re.compile(r"[\w-]{1,300}")  # unlike the ARNs that most findings of Security Hub are called by
_FLOORS = {"informational": 0, "low": 1, "medium": 4, "high": 7, "critical": 9}
_VERDICTS = Verdicts(
    "GuardDuty",
    to_vendor={
        "true-positive": "USEFUL",
        "likely-true-positive": "USEFUL",
        "benign-positive": "NOT_USEFUL",
        "likely-false-positive": "NOT_USEFUL",
        "false-positive": "NOT_USEFUL",
        **dict.fromkeys(("duplicate", "test", "undetermined", ""), ""),
    },
    to_ours={"USEFUL": "true-positive", "NOT_USEFUL": "false-positive"},
)


@dataclass(frozen=True, slots=True)
class Found:
    """One finding as it is now, and where it is written to: its region, and its detector or product."""

    document: Mapping[str, Any]
    raw: bytes
    region: str
    owner: str


class GuardDuty:
    """The detectors of the configured regions."""

    shape = Shape(PRODUCT, "id", "updatedAt", frozenset({"updatedAt"}))  # it bumps without a new occurrence

    def __init__(self, aws: Aws, minimum: str) -> None:
        self._aws = aws
        self._floor = _FLOORS[minimum]
        self._known: dict[str, str] = {}

    def knows(self, native_id: str) -> bool:
        """Whether it is of the form of its ids."""
        return _ID.fullmatch(native_id) is not None

    async def detector(self, region: str) -> str:
        """The region's detector; empty where GuardDuty is not enabled, which is no error."""
        if not self._known.get(region):
            answer = await self._aws.call("guardduty", "ListDetectors", region)
            names = answer.document.get("DetectorIds") or [""]
            self._known[region] = str(names[0])
        return self._known[region]

    async def page(self, region: str, since: int, token: str, size: int) -> Page | None:
        """Ids in the order of their updates, then the findings themselves."""
        detector = await self.detector(region)
        if not detector:
            return None
        criterion: dict[str, Any] = {"updatedAt": {"GreaterThanOrEqual": since * 1000 // SECOND}}
        if self._floor:
            criterion["severity"] = {"GreaterThanOrEqual": self._floor}
        following: dict[str, Any] = {"NextToken": token} if token else {}
        try:
            listed = await self._aws.call(
                "guardduty",
                "ListFindings",
                region,
                DetectorId=detector,
                FindingCriteria={"Criterion": criterion},
                SortCriteria={"AttributeName": "updatedAt", "OrderBy": "ASC"},
                MaxResults=max(1, min(size, _MOST)),
                **following,
            )
        except RejectedError:
            self._known.pop(region, None)  # it may have been deleted, and another one made
            raise
        asked_at = self._aws.now if listed.moment is None else listed.moment
        names = [str(name) for name in listed.document.get("FindingIds") or ()]
        rows = await self._get(region, detector, names) if names else []
        return Page(rows, str(listed.document.get("NextToken") or ""), asked_at)

    async def find(self, native_id: str) -> Found:
        """The finding of that id, in whichever region it is. Raises NotFoundError."""
        for region in self._aws.regions if self.knows(native_id) else ():
            detector = await self.detector(region)
            for item, raw in await self._get(region, detector, [native_id]) if detector else ():
                if isinstance(item, dict) and item.get("id") == native_id:
                    return Found(item, raw, region, detector)
        raise NotFoundError(f"no finding {native_id!r}", vendor=VENDOR, operation="guardduty:GetFindings")

    def state(self, found: Found) -> dict[str, Any]:
        """Status and disposition in our words."""
        service = _service(found)
        status = "closed" if service.get("archived") else "open"
        return {"status": status, "disposition": _VERDICTS.ours(str(service.get("userFeedback") or ""))}

    def native(self, found: Found) -> str:
        """The vendor's word for its status."""
        return "archived" if _service(found).get("archived") else "current"

    def missing(self, found: Found, wish: Wish) -> dict[str, str]:
        """What is still to be done: by operation the argument it needs. Raises UnsupportedError for a comment alone."""
        if wish.comment and wish.status is None and wish.disposition is None:
            raise UnsupportedError("a GuardDuty finding takes no comments; comment on its copy in Security Hub")
        wanted: dict[str, str] = {}
        if wish.status not in {None, self.state(found)["status"]}:
            wanted["ArchiveFindings" if wish.status == "closed" else "UnarchiveFindings"] = ""
        word = _VERDICTS.word(wish.disposition or "")
        if word and word != _service(found).get("userFeedback"):
            wanted["UpdateFindingsFeedback"] = word
        return wanted

    async def write(self, found: Found, command: Command, wish: Wish) -> Receipt:
        """Archives or unarchives, and gives feedback; what is so already is left alone."""
        wanted = self.missing(found, wish)
        lost = _VERDICTS.losses(wish)
        if wish.comment:
            lost = (*lost, "comment: a GuardDuty finding keeps none")
        if (
            wish.disposition is not None
            and not _VERDICTS.word(wish.disposition)
            and _service(found).get("userFeedback")
        ):
            lost = (*lost, "disposition: feedback once given cannot be taken back")
        name = str(found.document["id"])
        for operation, word in wanted.items():
            given: dict[str, Any] = {"Feedback": word} if word else {}
            await self._aws.call(
                "guardduty", operation, found.region, DetectorId=found.owner, FindingIds=[name], **given
            )
        changed = bool(wanted) or _VERDICTS.repeated(command, wish)
        return Receipt(name, changed=changed, losses=lost, evidence={"before": self.state(found)})

    async def _get(self, region: str, detector: str, names: list[str]) -> list[tuple[Any, bytes]]:
        answer = await self._aws.call("guardduty", "GetFindings", region, DetectorId=detector, FindingIds=names)
        return elements(answer.body, "findings", "guardduty:GetFindings")


def _service(found: Found) -> Mapping[str, Any]:
    service = found.document.get("service")
    return service if isinstance(service, Mapping) else {}
