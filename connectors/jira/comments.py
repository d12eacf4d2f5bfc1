"""Comments of an issue: looked through for our marker, since no comment is idempotent, and kept from customers."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.jira.adf import document, text_of
from nightdesk.connectors.jira.client import VENDOR, Rest
from nightdesk.connectors.jira.lookup import BROWSE
from nightdesk.sdk.errors import RejectedError, ResponseError
from nightdesk.sdk.ports import CaseComment
from nightdesk.sdk.triage import is_ours

__all__ = ["COMMENT", "Comments"]

COMMENT = "write:jira-work (project permission Add Comments)"
_INTERNAL = {"key": "sd.public.comment", "value": {"internal": True}}  # else customers of a service project read it
_LONGEST = 32_767  # characters
_PAGE, _MOST = 100, 1000  # the newest


class Comments:
    """The comments of all issues."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def of(self, issue_id: str) -> list[CaseComment]:
        """What is said at an issue, oldest first."""
        operation, rows = "read comments", list[CaseComment]()
        while len(rows) < _MOST:
            params = {"startAt": len(rows), "maxResults": _PAGE, "orderBy": "-created"}
            path = f"/issue/{issue_id}/comment"
            answer = await self._rest.read(path, operation=operation, scope=BROWSE, params=params)
            found, total = answer.get("comments"), answer.get("total")
            if not isinstance(found, list) or not isinstance(total, int):
                raise ResponseError("the answer has no list of comments", vendor=VENDOR, operation=operation)
            rows += [_comment(one) for one in found if isinstance(one, Mapping)]
            if not found or len(rows) >= total:
                break
        return rows[::-1]

    async def add(self, issue_id: str, text: str) -> None:
        """Says something at an issue, unseen by customers."""
        if len(text) > _LONGEST:
            message = f"a comment has at most {_LONGEST} characters, this one {len(text)}"
            raise RejectedError(message, vendor=VENDOR, operation="comment on ticket")
        body = {"body": document(text), "properties": [_INTERNAL]}
        await self._rest.write("POST", f"/issue/{issue_id}/comment", body, operation="comment on ticket", scope=COMMENT)


def _comment(found: Mapping[str, Any]) -> CaseComment:
    author, text = found.get("author"), text_of(found.get("body"))
    name = author.get("displayName") if isinstance(author, Mapping) else None
    return CaseComment(str(found.get("id", "")), text, str(name or ""), is_ours(text))
