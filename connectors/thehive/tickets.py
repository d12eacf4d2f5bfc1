"""The case of TheHive that a case of ours is kept in: opened through an alert, changed, closed, and read back."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.thehive import triage
from nightdesk.connectors.thehive.client import VENDOR, Api
from nightdesk.connectors.thehive.comments import Comments
from nightdesk.connectors.thehive.lookup import READ, TYPE, Lookup, reference, source
from nightdesk.connectors.thehive.triage import Ticket
from nightdesk.sdk.errors import RejectedError, ResponseError, UnavailableError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["CREATE", "IMPORT", "REOPEN", "UPDATE", "Tickets"]

CREATE, IMPORT = "manageAlert/create", "manageAlert/import and manageCase/create"
UPDATE, REOPEN = "manageCase/update", "manageCase/reopen"
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "case.open": ("title", "description", "severity", "labels"),
    "case.update": ("title", "description", "severity"),
    "case.comment": ("comment",),
    "case.close": ("disposition", "comment"),
    "case.reopen": ("comment",),
}


class Tickets:
    """The cases of one tenant in one organisation."""

    def __init__(self, api: Api, lookup: Lookup, comments: Comments, tenant: str) -> None:
        self._api = api
        self._lookup = lookup
        self._comments = comments
        self._source = source(tenant)

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
        """Whether the ticket is as the command wants it, its state in our words, and TheHive's word for it."""
        command.only(*_PARAMETERS[command.verb])
        ticket = await self._lookup.find(command) if command.verb == "case.open" else await self._lookup.need(command)
        if ticket is None:
            return Effect.NOT_IN_EFFECT, {"ticket": ""}, ""
        match command.verb:
            case "case.open":
                there = not ticket.closed
            case "case.update":
                there = not _differing(ticket, command, triage.fields(command))
            case "case.comment":
                there = bool(triage.comment(command)) and await self._said(ticket, command)
            case _:
                there = _settled(ticket, command) and not await self._unsaid(ticket, command)
        effect = Effect.IN_EFFECT if there else Effect.NOT_IN_EFFECT
        return effect, triage.state(ticket), f"#{ticket.number} {ticket.status}"

    async def _open(self, command: Command) -> Receipt:
        wanted = triage.fields(command)
        tags = _tags(command)
        anchor = await self._lookup.anchor(command)
        found = await self._lookup.of_anchor(anchor)
        if found is not None:
            return _there(found, command, wanted)
        if anchor is None:
            anchor = await self._anchor(command, {**wanted, **({"tags": tags} if tags else {})})
        ticket = await self._promote(command, anchor)
        return Receipt(ticket.case_id, losses=triage.lost(command, wanted), evidence={"number": ticket.number})

    async def _anchor(self, command: Command, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """A new alert, or the one that an earlier try made: the server refuses a second one of the same sourceRef."""
        triple = {"type": TYPE, "source": self._source, "sourceRef": reference(command)}
        operation = "create ticket"
        try:
            return await self._api.create(
                "/alert", {**triple, **fields}, operation=operation, scope=CREATE, repeatable=True
            )
        except RejectedError:
            found = await self._lookup.anchor(command)
            if found is None:
                raise
            return found

    async def _promote(self, command: Command, anchor: Mapping[str, Any]) -> Ticket:
        """The case that is made of the alert; also when the answer is lost, or somebody else was quicker."""
        path, operation = f"/alert/{anchor.get('_id')}/case", "create ticket"
        try:
            found = await self._api.create(path, {}, operation=operation, scope=IMPORT)
        except (RejectedError, UnavailableError, ResponseError):
            ticket = await self._lookup.find(command)
            if ticket is None:
                raise
            return ticket
        return Ticket.of(found, operation)

    async def _update(self, command: Command) -> Receipt:
        wanted = triage.fields(command)
        ticket = await self._lookup.need(command)
        differing = _differing(ticket, command, wanted)
        lost = triage.lost(command, wanted)
        if not differing:
            changed = any(command.began_otherwise(name, value) for name, value in command.parameters.items())
            return Receipt(ticket.case_id, changed=changed, losses=lost)
        body = {name: wanted[name] for name in differing}
        await self._change(ticket, body, "update ticket", UPDATE)
        return Receipt(ticket.case_id, losses=lost, evidence={"before": triage.state(ticket)})

    async def _comment(self, command: Command) -> Receipt:
        text = triage.comment(command)
        ticket = await self._lookup.need(command)
        if not await self._said(ticket, command):
            await self._comments.add(ticket.case_id, text)
        return Receipt(ticket.case_id)

    async def _settle(self, command: Command) -> Receipt:
        """Says why, then changes the status: a repeat finds the comment by its marker."""
        closing, word = command.verb == "case.close", triage.verdict(command)
        ticket = await self._lookup.need(command)
        said = await self._unsaid(ticket, command)
        if said:
            await self._comments.add(ticket.case_id, triage.comment(command))
        if _settled(ticket, command):
            changed = said or command.began_otherwise("status", "closed" if closing else "open")
            kept = word in {"", triage.state(ticket)["disposition"]}
            lost = () if kept else (f"disposition={word}: the ticket was closed already as {ticket.status}",)
            return Receipt(ticket.case_id, changed=changed, losses=lost)
        if closing:
            status = await self._label((triage.VERDICTS.word(word), triage.VERDICTS.word("")), closed=True)
            body = {"status": status, **_closing(ticket, command)}
            kept = word in {"", triage.VERDICTS.ours(status)}
            lost = () if kept else (f"disposition={word}: TheHive keeps it as {status}",)
        else:
            before = str(command.pre_state.get("native_status") or "")
            body, lost = {"status": await self._label((before, "InProgress", "New"), closed=False)}, ()
        await self._change(ticket, body, f"{command.verb.partition('.')[2]} ticket", UPDATE if closing else REOPEN)
        return Receipt(ticket.case_id, losses=lost, evidence={"before": triage.state(ticket)})

    async def _label(self, preferred: tuple[str, ...], *, closed: bool) -> str:
        """A status of this organisation: labels are its own, and one that it lacks is refused."""
        operation = "read statuses"
        found = await self._api.query("case-statuses", [{"_name": "listCaseStatus"}], operation=operation, scope=READ)
        offered = [str(one.get("value")) for one in found if (one.get("stage") == "Closed") is closed]
        chosen = triage.label(preferred, offered)
        if not chosen:
            kind = "Closed" if closed else "New or InProgress"
            message = f"the organisation has no case status of the stage {kind}"
            raise RejectedError(message, vendor=VENDOR, operation=operation)
        return chosen

    async def _change(self, ticket: Ticket, body: Mapping[str, Any], operation: str, scope: str) -> None:
        await self._api.change(f"/case/{ticket.case_id}", body, operation=operation, scope=scope)

    async def _said(self, ticket: Ticket, command: Command) -> bool:
        return any(marker(command) in entry.text for entry in await self._comments.of(ticket.case_id))

    async def _unsaid(self, ticket: Ticket, command: Command) -> bool:
        return bool(triage.comment(command)) and not await self._said(ticket, command)


def _there(ticket: Ticket, command: Command, wanted: Mapping[str, Any]) -> Receipt:
    made = command.began_otherwise("ticket", ticket.case_id)
    if ticket.closed and not made:
        message = f"the case's ticket #{ticket.number} is closed; case.reopen opens it again"
        raise RejectedError(message, vendor=VENDOR, operation="create ticket")
    lost = [f"{name}: the ticket is there and keeps its own" for name in _differing(ticket, command, wanted)]
    return Receipt(ticket.case_id, changed=made, losses=tuple(lost))


def _settled(ticket: Ticket, command: Command) -> bool:
    return ticket.closed is (command.verb == "case.close")


def _differing(ticket: Ticket, command: Command, wanted: Mapping[str, Any]) -> list[str]:
    return [name for name in triage.NAMES if name in command.parameters and not triage.same(ticket, name, wanted)]


def _closing(ticket: Ticket, command: Command) -> dict[str, str]:
    """What a closed case has beside its status; what a person wrote there is kept."""
    made = {} if ticket.impact else {"impactStatus": "NotApplicable"}
    return made if ticket.summary else {**made, "summary": triage.comment(command) or "Closed by nightdesk."}


def _tags(command: Command) -> list[str]:
    given = command.parameters.get("labels") or []
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) and one.strip() for one in given):
        message = f"labels {given!r}: write a list of words"
        raise RejectedError(message, vendor=VENDOR, operation="create ticket")
    return [one.strip() for one in given]
