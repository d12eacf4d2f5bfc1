"""The issue of a case: opened once though Jira's create is not idempotent, changed, moved, and read back."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.jira import triage
from nightdesk.connectors.jira.client import VENDOR, Rest
from nightdesk.connectors.jira.comments import Comments
from nightdesk.connectors.jira.lookup import Lookup, labels
from nightdesk.connectors.jira.screens import Screens, fitting
from nightdesk.connectors.jira.triage import PROPERTY, Ticket, Words
from nightdesk.connectors.jira.workflow import Workflow
from nightdesk.sdk.errors import RejectedError, ResponseError, UnavailableError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["CREATE", "EDIT", "Tickets"]

CREATE = "write:jira-work (project permission Create Issues)"
EDIT = "write:jira-work (project permission Edit Issues)"
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "case.open": ("title", "description", "severity", "labels"),
    "case.update": ("title", "description", "severity"),
    "case.comment": ("comment",),
    "case.close": ("disposition", "comment"),
    "case.reopen": ("comment",),
}


class Tickets:
    """The issues of one tenant in one project."""

    def __init__(
        self,
        rest: Rest,
        lookup: Lookup,
        comments: Comments,
        *,
        tenant: str,
        project: str,
        issue_type: str,
        words: Words,
        closed_status: str,
    ) -> None:
        self._rest = rest
        self._lookup = lookup
        self._comments = comments
        self._tenant = tenant
        self._place = {"project": {"key": project}, "issuetype": {"name": issue_type}}
        self._screens = Screens(rest, project, issue_type)
        self._workflow = Workflow(rest, closed_status)
        self._words = words

    async def act(self, command: Command) -> Receipt:
        """Carries out one verb; what is so already is left alone."""
        command.only(*_PARAMETERS[command.verb])
        match command.verb:
            case "case.open":
                return await self._open(command)
            case "case.update":
                return await self._update(command)
            case "case.comment":
                return await self._comment(command)
            case _:
                return await self._settle(command)

    async def effect(self, command: Command) -> tuple[Effect, Mapping[str, Any], str]:
        """Whether the ticket is as the command wants it, its state in our words, and Jira's word for it."""
        command.only(*_PARAMETERS[command.verb])
        ticket = await self._lookup.find(command) if command.verb == "case.open" else await self._lookup.need(command)
        if ticket is None:
            return Effect.NOT_IN_EFFECT, {"ticket": ""}, ""
        match command.verb:
            case "case.open":
                there = not ticket.closed
            case "case.update":
                there = not self._differing(ticket, command, self._words.fields(command))
            case "case.comment":
                there = bool(triage.comment(command)) and await self._said(ticket, command)
            case _:
                there = _settled(ticket, command) and not await self._unsaid(ticket, command)
        effect = Effect.IN_EFFECT if there else Effect.NOT_IN_EFFECT
        return effect, self._words.state(ticket), f"{ticket.key} {ticket.status}".strip()

    async def ready(self) -> None:
        """Raises VendorError when no issue could be made in this project."""
        await self._screens.of_create()

    async def _open(self, command: Command) -> Receipt:
        wanted = self._words.fields(command)
        more = _labels(command)
        found = await self._lookup.before_create(command)
        if found is not None:
            return self._there(found, command, wanted)
        fields, lost = fitting(await self._screens.of_create(), wanted)
        ours = labels(self._tenant, command.target.value)
        body = {
            "fields": {**self._place, **fields, "labels": [*ours, *more]},
            "properties": [{"key": PROPERTY, "value": {"tenant": self._tenant, "case": command.target.value}}],
        }
        try:
            made = await self._rest.write("POST", "/issue", body, operation="create ticket", scope=CREATE)
        except (UnavailableError, ResponseError) as error:
            # The answer is lost, the issue may be made: only the index can say so, and it is late.
            ticket = await self._lookup.appear(command)
            if ticket is None:
                raise
            return Receipt(ticket.issue_id, losses=lost, evidence={"key": ticket.key, "lost_reply": str(error)})
        issue_id = made.get("id")
        if not isinstance(issue_id, str):
            message = "the answer names no issue; it is looked for at the next try"
            raise ResponseError(message, vendor=VENDOR, operation="create ticket")
        # Who asks next finds it by its label alone, so this is done only once the index has it.
        await self._lookup.appear(command)
        return Receipt(issue_id, losses=(*lost, *_cut(command, wanted)), evidence={"key": made.get("key")})

    def _there(self, ticket: Ticket, command: Command, wanted: Mapping[str, str]) -> Receipt:
        made = command.began_otherwise("ticket", ticket.issue_id)
        if ticket.closed and not made:
            message = f"the case's ticket {ticket.key} is closed; case.reopen opens it again"
            raise RejectedError(message, vendor=VENDOR, operation="create ticket")
        lost = [f"{name}: the ticket is there and keeps its own" for name in self._differing(ticket, command, wanted)]
        return Receipt(ticket.issue_id, changed=made, losses=tuple(lost))

    async def _update(self, command: Command) -> Receipt:
        wanted = self._words.fields(command)
        ticket = await self._lookup.need(command)
        differing = self._differing(ticket, command, wanted)
        if not differing:
            changed = any(command.began_otherwise(name, value) for name, value in command.parameters.items())
            return Receipt(ticket.issue_id, changed=changed)
        missing = {triage.NAMES[name]: wanted[triage.NAMES[name]] for name in differing}
        fields, lost = fitting(await self._screens.of_edit(ticket.issue_id), missing)
        if fields:
            path = f"/issue/{ticket.issue_id}"
            await self._rest.write("PUT", path, {"fields": fields}, operation="update ticket", scope=EDIT)
        return Receipt(
            ticket.issue_id, changed=bool(fields), losses=(*lost, *_cut(command, wanted)), evidence=self._before(ticket)
        )

    async def _comment(self, command: Command) -> Receipt:
        text = triage.comment(command)
        ticket = await self._lookup.need(command)
        if not await self._said(ticket, command):
            await self._comments.add(ticket.issue_id, text)
        return Receipt(ticket.issue_id)

    async def _settle(self, command: Command) -> Receipt:
        """Says why, then moves: a repeat finds the comment by its marker, and a moved ticket has been explained."""
        closing, word = command.verb == "case.close", triage.verdict(command)
        ticket = await self._lookup.need(command)
        lost: tuple[str, ...] = ()
        said = await self._unsaid(ticket, command)
        if said:
            await self._comments.add(ticket.issue_id, triage.comment(command))
        if _settled(ticket, command):
            changed = said or command.began_otherwise("status", "closed" if closing else "open")
            if closing and word not in {"", self._words.state(ticket)["disposition"]}:
                lost = (f"disposition={word}: the ticket was closed already, the word stands in a comment",)
            return Receipt(ticket.issue_id, changed=changed, losses=lost)
        try:
            if closing:
                lost = await self._workflow.close(ticket, word)
            else:
                await self._workflow.reopen(ticket, str(command.pre_state.get("native_status") or ""))
        except RejectedError as error:
            if error.status != 409:
                raise
            message = "somebody else moved the ticket in the same moment; it is looked at again"
            raise UnavailableError(message, vendor=VENDOR, operation=error.operation, status=409) from error
        return Receipt(ticket.issue_id, losses=lost, evidence=self._before(ticket))

    async def _said(self, ticket: Ticket, command: Command) -> bool:
        return any(marker(command) in entry.text for entry in await self._comments.of(ticket.issue_id))

    async def _unsaid(self, ticket: Ticket, command: Command) -> bool:
        return bool(triage.comment(command)) and not await self._said(ticket, command)

    def _differing(self, ticket: Ticket, command: Command, wanted: Mapping[str, str]) -> list[str]:
        names = [name for name in triage.NAMES if name in command.parameters]
        return [name for name in names if not self._words.same(ticket, name, wanted)]

    def _before(self, ticket: Ticket) -> dict[str, Any]:
        return {"before": self._words.state(ticket)}


def _settled(ticket: Ticket, command: Command) -> bool:
    return ticket.closed is (command.verb == "case.close")


def _labels(command: Command) -> list[str]:
    """Labels hold no spaces. Raises RejectedError for what is no list of them."""
    given = command.parameters.get("labels") or []
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) and one.split() == [one] for one in given):
        message = f"labels {given!r}: write a list of words without spaces"
        raise RejectedError(message, vendor=VENDOR, operation="create ticket")
    return list(given)


def _cut(command: Command, wanted: Mapping[str, str]) -> tuple[str, ...]:
    whole = " ".join(str(command.parameters.get("title") or "").split())
    return ("title: cut after 255 characters",) if whole != wanted.get("summary", whole) else ()
