"""Comments of a case: looked through for our marker, since no comment is idempotent."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.thehive.client import Api, Step
from nightdesk.connectors.thehive.lookup import READ
from nightdesk.sdk.ports import CaseComment
from nightdesk.sdk.triage import is_ours

__all__ = ["COMMENT", "Comments"]

COMMENT = "manageComment"
_MOST = 1000  # of one case, the newest


class Comments:
    """The comments of all cases."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def of(self, case_id: str) -> list[CaseComment]:
        """What is said at a case, oldest first."""
        steps: list[Step] = [
            {"_name": "getCase", "idOrName": case_id},
            {"_name": "comments"},
            {"_name": "sort", "_fields": [{"createdAt": "desc"}]},
            {"_name": "page", "from": 0, "to": _MOST},
        ]
        found = await self._api.query("case-comments", steps, operation="read comments", scope=READ)
        return [_comment(one) for one in reversed(found)]

    async def add(self, case_id: str, text: str) -> None:
        """Says something at a case."""
        await self._api.create(
            f"/case/{case_id}/comment", {"message": text}, operation="comment on ticket", scope=COMMENT
        )


def _comment(found: Mapping[str, Any]) -> CaseComment:
    text = str(found.get("message") or "")
    return CaseComment(str(found.get("_id", "")), text, str(found.get("createdBy") or ""), is_ours(text))
