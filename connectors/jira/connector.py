"""The Jira connector: one issue a case, followed both ways, each effect read from the issue itself."""

import re
from collections.abc import AsyncIterator

from nightdesk.connectors.jira.client import VENDOR, Rest
from nightdesk.connectors.jira.comments import Comments
from nightdesk.connectors.jira.follow import Changes
from nightdesk.connectors.jira.lookup import BROWSE, Lookup, labels
from nightdesk.connectors.jira.tickets import Tickets
from nightdesk.connectors.jira.triage import SEVERITIES, Words
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ScopeError, UnsupportedError, VendorError
from nightdesk.sdk.ports import CaseChanges, Command, Health, Reading, Receipt
from nightdesk.sdk.records import Cursor

__all__ = ["Connector"]

_VERBS = frozenset({"case.open", "case.update", "case.comment", "case.close", "case.reopen"})
_PRIORITIES = "Highest, High, Medium, Low, Lowest"
_PROJECT = re.compile(r"[A-Z][A-Z0-9_]{1,}")
_PERMISSIONS = ("BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES", "TRANSITION_ISSUES", "ADD_COMMENTS")
_MAX_SKEW = 120.0  # seconds


class Connector:
    """One project at one site."""

    def __init__(self, context: Context) -> None:
        self._context = context
        settings = context.settings
        self._project = settings.text("project")
        priorities = [name.strip() for name in settings.text("priorities", _PRIORITIES).split(",")]
        problems = [
            *([] if _PROJECT.fullmatch(self._project) else [("project", "write the project's key, like SEC")]),
            *([] if len(priorities) == len(SEVERITIES) else [("priorities", f"write {len(SEVERITIES)} names")]),
        ]
        if problems:
            raise ConfigError([Problem(context.instance, key, message) for key, message in problems])
        self._rest = Rest(context)
        self._lookup = Lookup(self._rest, context)
        comments = Comments(self._rest)
        self._changes = Changes(self._lookup, comments, context)
        self._tickets = Tickets(
            self._rest,
            self._lookup,
            comments,
            tenant=context.tenant,
            project=self._project,
            issue_type=settings.text("issue_type", "Task"),
            words=Words(priorities),
            closed_status=settings.text("closed_status"),
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._rest.aclose()

    async def act(self, command: Command) -> Receipt:
        """Opens, changes, comments on, closes or re-opens the case's issue."""
        _known(command)
        return await self._tickets.act(command)

    async def read_back(self, command: Command) -> Reading:
        """The issue and its comments as they are now."""
        _known(command)
        effect, state, native = await self._tickets.effect(command)
        return Reading(effect, self._context.clock(), state, native)

    async def follow_cases(self, cursor: Cursor | None, *, limit: int) -> AsyncIterator[CaseChanges]:
        """Changes of our issues, oldest first."""
        if cursor is None or self._rest.clock_skew is None:
            await self._search()  # its answer tells the vendor's time, from which minutes are counted back
        async for page in self._changes.pages(cursor, self._rest.clock_skew or 0.0, limit=limit):
            yield page

    async def check_health(self) -> Health:
        """A search for our issues, the account's permissions in the project, and its create screen."""
        problems: list[str] = []
        begin = self._context.clock()
        for probe in (self._cloud, self._search, self._permissions, self._tickets.ready):
            try:
                await probe()
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again
        latency = (self._context.clock() - begin).total_seconds() / 4
        skew = self._rest.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), version="rest/api/3", clock_skew=skew, latency=latency)

    async def _cloud(self) -> None:
        found = await self._rest.read("/serverInfo", operation="check health", scope=BROWSE)
        if found.get("deploymentType") != "Cloud":
            message = f"this is Jira {found.get('deploymentType')}, and only Jira Cloud is offered"
            raise VendorError(message, vendor=VENDOR, operation="check health")

    async def _search(self) -> None:
        jql = f'labels = "{labels(self._context.tenant)[0]}"'
        await self._lookup.search(jql, ("updated",), limit=1, operation="follow tickets")

    async def _permissions(self) -> None:
        operation, params = "check health", {"projectKey": self._project, "permissions": ",".join(_PERMISSIONS)}
        answer = await self._rest.read("/mypermissions", operation=operation, scope=BROWSE, params=params)
        found = answer.get("permissions")
        held = found if isinstance(found, dict) else {}
        lacking = [name for name in _PERMISSIONS if not (held.get(name) or {}).get("havePermission")]
        if lacking:
            message = f"grant {', '.join(lacking)} in {self._project} to the integration's account"
            raise ScopeError(message, vendor=VENDOR, operation=operation)


def _known(command: Command) -> None:
    if command.verb not in _VERBS:
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
