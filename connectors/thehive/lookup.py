"""Finds the ticket of a case through its alert, whose type, source and sourceRef together can exist only once."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from nightdesk.connectors.thehive.client import VENDOR, Api, Step
from nightdesk.connectors.thehive.triage import Ticket
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.ports import Command

__all__ = ["READ", "TYPE", "Lookup", "reference", "source"]

TYPE = "nightdesk"
READ = "read access to cases and alerts (any profile, manageCase to change them)"
_CASE = re.compile(r"~?\d{1,18}")
_MAX_SOURCE, _MAX_REFERENCE = 64, 128  # characters


def source(tenant: str) -> str:
    """What the source of our alerts is called."""
    whole = f"nightdesk:{tenant}"
    return whole if len(whole) <= _MAX_SOURCE else f"nightdesk:{sha256(tenant.encode()).hexdigest()[:32]}"


def reference(command: Command) -> str:
    """Our case id as a sourceRef. Raises RejectedError for one that is too long."""
    case_id = command.target.value
    if len(case_id) > _MAX_REFERENCE:
        message = f"the case id {case_id[:40]}… is longer than the {_MAX_REFERENCE} characters of sourceRef"
        raise RejectedError(message, vendor=VENDOR, operation="find ticket")
    return case_id


class Lookup:
    """The cases of one tenant in one organisation, by our case."""

    def __init__(self, api: Api, tenant: str) -> None:
        self._api = api
        self._source = source(tenant)

    @property
    def ours(self) -> tuple[Step, Step]:
        """The steps that list our alerts, and only ours."""
        wanted = {"type": TYPE, "source": self._source}
        tests = [{"_eq": {"_field": name, "_value": value}} for name, value in wanted.items()]
        return {"_name": "listAlert"}, {"_name": "filter", "_and": tests}

    async def anchor(self, command: Command) -> Mapping[str, Any] | None:
        """The alert of the case."""
        test = {"_name": "filter", "_eq": {"_field": "sourceRef", "_value": reference(command)}}
        page = {"_name": "page", "from": 0, "to": 2}
        found = await self._api.query("alerts", [*self.ours, test, page], operation="find ticket", scope=READ)
        return next((one for one in found if one.get("sourceRef") == command.target.value), None)

    async def find(self, command: Command) -> Ticket | None:
        """The case's ticket, None while its alert is missing or was not made a case."""
        if command.native_id:
            if not _CASE.fullmatch(command.native_id):
                message = f"{command.native_id[:40]!r} is no case id"
                raise RejectedError(message, vendor=VENDOR, operation="read ticket")
            return await self.one(command.native_id)
        return await self.of_anchor(await self.anchor(command))

    async def need(self, command: Command) -> Ticket:
        """Like ``find``. Raises NotFoundError when the case has no ticket."""
        ticket = await self.find(command)
        if ticket is None:
            message = f"no case of {command.target.value} is found; case.open makes one"
            raise NotFoundError(message, vendor=VENDOR, operation="find ticket")
        return ticket

    async def of_anchor(self, anchor: Mapping[str, Any] | None) -> Ticket | None:
        """The case that an alert was made into."""
        case_id = str((anchor or {}).get("caseId") or "")
        if not case_id:
            return None
        try:
            return await self.one(case_id)
        except NotFoundError:
            return None  # somebody deleted it

    async def one(self, case_id: str) -> Ticket:
        """The case as it is now. Raises NotFoundError."""
        operation = "read ticket"
        return Ticket.of(await self._api.read(f"/case/{case_id}", operation=operation, scope=READ), operation)

    async def cases_of(self, case_id: str) -> list[str]:
        """Which of our cases a case of TheHive was opened for: several when somebody merged their tickets."""
        steps: list[Step] = [{"_name": "getCase", "idOrName": case_id}, {"_name": "alerts"}, self.ours[1]]
        found = await self._api.query("case-alerts", steps, operation="read ticket", scope=READ)
        return sorted({str(one.get("sourceRef") or "") for one in found} - {""})
