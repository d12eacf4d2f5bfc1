"""Finds the issue of a case: the index is seconds behind, so what it names is read again, what it lacks waited for."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.jira.client import VENDOR, Rest
from nightdesk.connectors.jira.triage import FIELDS, PROPERTY, Ticket
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError
from nightdesk.sdk.ports import Command

__all__ = ["BROWSE", "Lookup", "labels"]

BROWSE = "read:jira-work (project permission Browse Projects)"
_ISSUE_ID = re.compile(r"\d{1,18}")
_PLAIN = re.compile(r"[A-Za-z0-9._:-]{1,80}")
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds; an index that is later than that is told as an error or in time by a retry
_FRESH = 5.0  # seconds after which a command may be one that was tried before


def labels(tenant: str, case_id: str = "") -> tuple[str, ...]:
    """The labels of our issues: of the tenant, and of the case. They are what a search can find; no space fits in."""
    whole = f"nightdesk:{_plain(tenant)}"
    return (whole, f"{whole}:{_plain(case_id)}") if case_id else (whole,)


def _plain(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else sha256(text.encode()).hexdigest()[:32]


class Lookup:
    """The issues of one tenant, by case."""

    def __init__(self, rest: Rest, context: Context) -> None:
        self._rest = rest
        self._tenant = context.tenant
        self._clock = context.clock
        self._sleep = context.sleep

    async def find(self, command: Command) -> Ticket | None:
        """The case's ticket, read from the database; of several, which only a race can make, the oldest."""
        if command.native_id:
            if not _ISSUE_ID.fullmatch(command.native_id):
                message = f"{command.native_id[:40]!r} is no issue id"
                raise RejectedError(message, vendor=VENDOR, operation="read ticket")
            return await self.one(command.native_id)
        jql = f'labels = "{labels(self._tenant, command.target.value)[1]}" ORDER BY created ASC, key ASC'
        found, _ = await self.search(jql, ("updated",), limit=50, operation="find ticket")
        for issue in found:
            try:
                ticket = await self.one(str(issue.get("id", "")))
            except NotFoundError:
                continue  # deleted, and still in the index
            # A copied issue has our labels; it does not have our property.
            if (ticket.tenant, ticket.case_id) == (self._tenant, command.target.value):
                return ticket
        return None

    async def need(self, command: Command) -> Ticket:
        """Like ``find``. Raises NotFoundError when the case has no ticket."""
        ticket = await self.find(command)
        if ticket is None:
            message = f"no issue of {command.target.value} is found; case.open makes one"
            raise NotFoundError(message, vendor=VENDOR, operation="find ticket")
        return ticket

    async def before_create(self, command: Command) -> Ticket | None:
        """``find``, and again after a wait for a command that may have made a ticket a moment ago."""
        ticket = await self.find(command)
        if ticket is None and (self._clock() - command.requested_at).total_seconds() > _FRESH:
            ticket = await self.appear(command)
        return ticket

    async def appear(self, command: Command) -> Ticket | None:
        """Waits until the index has the case's ticket; None when it still lacks it after all waits."""
        for wait in _WAITS:
            await self._sleep(wait)
            ticket = await self.find(command)
            if ticket is not None:
                return ticket
        return None

    async def one(self, issue_id: str) -> Ticket:
        """The issue of that id or key as it is now. Raises NotFoundError, also for one that we may not see."""
        operation = "read ticket"
        issue = await self._rest.read(
            f"/issue/{quote(issue_id, safe='')}",
            operation=operation,
            scope=BROWSE,
            params={"fields": ",".join(FIELDS), "properties": PROPERTY},
        )
        return Ticket.of(issue, operation)

    async def search(
        self, jql: str, fields: Sequence[str], *, limit: int, operation: str, token: str = ""
    ) -> tuple[list[Mapping[str, Any]], str]:
        """One page of a search, and the token of the next one, empty on the last."""
        body: dict[str, Any] = {"jql": jql, "fields": [*fields], "maxResults": limit}
        if token:
            body["nextPageToken"] = token
        answer = await self._rest.read("/search/jql", operation=operation, scope=BROWSE, json=body)
        found = answer.get("issues")
        if not isinstance(found, list) or not all(isinstance(issue, dict) for issue in found):
            raise ResponseError("the answer has no list of issues", vendor=VENDOR, operation=operation)
        following = "" if answer.get("isLast") else str(answer.get("nextPageToken") or "")
        if following and following == token:
            raise ResponseError("the page token repeats", vendor=VENDOR, operation=operation)
        return found, following
