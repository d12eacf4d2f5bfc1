"""The ticket of a case at ServiceNow: found by correlation, opened once, changed, and read back field by field."""

import re
from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.servicenow import triage
from nightdesk.connectors.servicenow.client import VENDOR, Row, TableApi, term
from nightdesk.connectors.servicenow.journal import Journal
from nightdesk.connectors.servicenow.lookup import FIELDS, READ, WRITE, Lookup, case_of, checked, signature
from nightdesk.sdk.errors import RejectedError, ScopeError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["Tickets"]

_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "case.open": ("title", "description", "severity"),
    "case.update": ("title", "description", "severity"),
    "case.comment": ("comment",),
    "case.close": ("disposition", "comment"),
    "case.reopen": ("comment",),
}


class Tickets:
    """The tickets of one tenant in one table."""

    def __init__(self, api: TableApi, journal: Journal, *, table: str, tenant: str, close_code: str = "") -> None:
        self._api = api
        self._journal = journal
        self._lookup = Lookup(api, table=table, tenant=tenant)
        self._table = table
        self._flow = triage.FLOWS[table]
        self._signature = signature(tenant)
        self._close_code = close_code

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
        """Whether the ticket is as the command wants it, its state in our words, and ServiceNow's word for it."""
        command.only(*_PARAMETERS[command.verb])
        row = await self._lookup.find(command) if command.verb == "case.open" else await self._lookup.need(command)
        if row is None:
            return Effect.NOT_IN_EFFECT, {"ticket": ""}, ""
        now = triage.state(row, self._flow)
        match command.verb:
            case "case.open":
                there = now["status"] == "open"
            case "case.update":
                wanted = triage.fields(command)
                there = all(triage.same(row, name, wanted) for name in command.parameters)
            case "case.comment":
                there = bool(triage.comment(command)) and await self._said(row, command)
            case _:
                there = self._settled(row, command) and not await self._unsaid(row, command)
        native = f"{row.value('number')} {row.shown('state') or row.value('state')}".strip()
        return Effect.IN_EFFECT if there else Effect.NOT_IN_EFFECT, now, native

    async def choices(self) -> list[str]:
        """The close codes of this instance, which differ by release and language. Raises ScopeError for none."""
        operation, wanted = "read close codes", {"name": self._table, "element": "close_code", "inactive": "false"}
        query = "^".join([*(term(name, "=", value) for name, value in wanted.items()), "ORDERBYsequence"])
        rows = await self._api.rows(
            "sys_choice", query, ("sys_id", *wanted, "value"), limit=200, operation=operation, role=READ
        )
        found = list(dict.fromkeys(checked(row, wanted, operation).value("value") for row in rows))
        if not found:
            message = f"no close code of {self._table} is readable in sys_choice; grant read access, or set close_code"
            raise ScopeError(message, vendor=VENDOR, operation=operation)
        return found

    async def _open(self, command: Command) -> Receipt:
        wanted = triage.fields(command)
        found = await self._lookup.find(command)
        if found is not None:
            made = command.began_otherwise("ticket", found.value("sys_id"))
            if found.value("state") in self._flow.closed and not made:
                message = f"the case's ticket {found.value('number')} is closed; case.reopen opens it again"
                raise RejectedError(message, vendor=VENDOR, operation="create ticket")
            lost = [f"{name}: the ticket is there and keeps its own" for name in _differing(found, command, wanted)]
            return Receipt(found.value("sys_id"), changed=made, losses=tuple(lost))
        ours = {"correlation_id": case_of(command), "correlation_display": self._signature}
        row = await self._api.create(self._table, {**wanted, **ours}, FIELDS, role=WRITE)
        dropped = [name for name, value in ours.items() if row.value(name) != value]
        if dropped:
            message = (
                f"an ACL dropped {', '.join(dropped)} of the new ticket {row.value('number')}, so it cannot be found"
                " again; grant the integration user write access to these fields and close that ticket by hand"
            )
            raise ScopeError(message, vendor=VENDOR, operation="create ticket")
        evidence = {"number": row.value("number")}
        return Receipt(row.value("sys_id"), losses=_lost(row, command, wanted), evidence=evidence)

    async def _update(self, command: Command) -> Receipt:
        wanted = triage.fields(command)
        before = await self._lookup.need(command)
        differing = _differing(before, command, wanted)
        if not differing:
            changed = any(command.began_otherwise(name, value) for name, value in command.parameters.items())
            return Receipt(before.value("sys_id"), changed=changed)
        body = {field: wanted[field] for name in differing for field in triage.NAMES[name]}
        row = await self._change(before, body, "update ticket")
        return Receipt(row.value("sys_id"), losses=_lost(row, command, wanted), evidence=_before(before, self._flow))

    async def _comment(self, command: Command) -> Receipt:
        text = triage.comment(command)
        row = await self._lookup.need(command)
        if not await self._said(row, command):
            await self._change(row, {"work_notes": text}, "comment on ticket")
        return Receipt(row.value("sys_id"))

    async def _settle(self, command: Command) -> Receipt:
        """Closes or re-opens, and says why: one PATCH, so that neither comes without the other."""
        before = await self._lookup.need(command)
        body: dict[str, str] = {}
        lost: list[str] = []
        if not self._settled(before, command):
            changes, lost = (
                await self._closing(command) if command.verb == "case.close" else (self._opening(command), [])
            )
            body |= changes
        elif command.verb == "case.close" and triage.verdict(command) not in {"", triage.disposition(before)}:
            lost.append("disposition: the ticket was closed already and keeps its own close code")
        if await self._unsaid(before, command):
            body["work_notes"] = triage.comment(command)
        elif triage.comment(command) and not await self._said(before, command):
            lost.append("comment: the ticket is closed for good and takes none")
        status = "closed" if command.verb == "case.close" else "open"
        if not body:
            changed = command.began_otherwise("status", status)
            return Receipt(before.value("sys_id"), changed=changed, losses=tuple(lost))
        operation = f"{command.verb.partition('.')[2]} ticket"
        row = await self._change(before, body, operation)
        if not self._settled(row, command):
            kept = f"{row.value('number')} kept the state {row.shown('state')!r}"
            message = f"{kept}; an ACL protects the field: grant the {WRITE}"
            raise ScopeError(message, vendor=VENDOR, operation=operation)
        return Receipt(row.value("sys_id"), losses=tuple(lost), evidence=_before(before, self._flow))

    async def _closing(self, command: Command) -> tuple[dict[str, str], list[str]]:
        word = triage.verdict(command)
        code = self._close_code or triage.close_code(word, await self.choices())
        text = triage.notes(triage.comment(command), word)
        plain = re.sub(r"[^a-z]+", "-", code.lower()).strip("-")
        lost = [f"disposition={word}: the close code is {code!r}, the word stands in the close notes"]
        return (
            {"state": self._flow.close, "close_code": code, "close_notes": text},
            lost if word and plain != word else [],
        )

    def _opening(self, command: Command) -> dict[str, str]:
        before = str(command.pre_state.get("native_status") or "")
        # On Hold wants a reason that we do not know: such a ticket goes on as being worked on.
        kept = before and before not in self._flow.closed and before != "3"
        return {"state": before if kept else self._flow.reopen}

    def _settled(self, row: Row, command: Command) -> bool:
        return (row.value("state") in self._flow.closed) is (command.verb == "case.close")

    async def _said(self, row: Row, command: Command) -> bool:
        return any(marker(command) in entry.text for entry in await self._journal.entries(row.value("sys_id")))

    async def _unsaid(self, row: Row, command: Command) -> bool:
        """Whether a comment is still to be made; a locked ticket takes none any more."""
        if not triage.comment(command) or row.value("state") in self._flow.locked:
            return False
        return not await self._said(row, command)

    async def _change(self, row: Row, body: Mapping[str, str], operation: str) -> Row:
        return await self._api.change(self._table, row.value("sys_id"), body, FIELDS, operation=operation, role=WRITE)


def _differing(row: Row, command: Command, wanted: Mapping[str, str]) -> list[str]:
    return [name for name in triage.NAMES if name in command.parameters and not triage.same(row, name, wanted)]


def _lost(row: Row, command: Command, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """The parameters that were answered with 200 and not kept."""
    cut = " ".join(str(command.parameters.get("title") or "").split()) != wanted.get("short_description", "")
    lost = [f"{name}: an ACL or a rule of the instance kept another" for name in _differing(row, command, wanted)]
    return (*lost, *(["title: cut after 160 characters"] if "title" in command.parameters and cut else []))


def _before(row: Row, flow: triage.Flow) -> dict[str, Any]:
    return {"before": triage.state(row, flow)}
