"""The simulated domain accounts and mailboxes: what response tasks do to them, directory by directory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.trend_vision_one.payloads import account_row
from nightdesk.connectors.trend_vision_one.simulated_tasks import SimulatedTask, TasksApi
from nightdesk.connectors.trend_vision_one.wire import RefusedError, Routes, filtered, only, page, top
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Directory, FaultPlan
from nightdesk.sdk.testing.directory import ChangeKind, Member

__all__ = ["Mail", "PeopleApi"]

_ACCOUNTS: Mapping[str, tuple[str, ChangeKind]] = {
    "disable": ("disableAccount", "disable"),
    "enable": ("enableAccount", "enable"),
    "signOut": ("forceSignOut", "revoke_sessions"),
    "resetPassword": ("resetPassword", "expire_password"),
}


@dataclass(slots=True)
class Mail:
    """One message in one mailbox."""

    unique_id: str
    message_id: str
    mailbox: str
    quarantined: bool = False


class PeopleApi:
    """The accounts and messages that Vision One can act on. ``half`` names accounts that one directory refuses."""

    def __init__(self, clock: Clock, faults: FaultPlan, directory: Directory, tasks: TasksApi) -> None:
        self.mails: dict[str, Mail] = {}
        self.half: set[str] = set()
        self._clock = clock
        self._faults = faults
        self._directory = directory
        for name in _ACCOUNTS:
            tasks.offer(f"/response/domainAccounts/{name}", "accounts", ("accountName",), self._change(name))
        keys = ("messageId", "uniqueId", "mailBox")
        tasks.offer("/response/emails/quarantine", "messages", keys, self._move("quarantineMessage", away=True))
        tasks.offer("/response/emails/restore", "messages", keys, self._move("restoreMessage", away=False))

    def routes(self) -> Routes:
        """What can be called."""
        return (("GET", "/asrm/attackSurfaceDomainAccounts", "surface.view", self._list),)

    async def _list(self, request: Request) -> Response:
        query = only(request, "top", "orderBy")
        names = ("id", "name", "type", "criticality")
        fits = filtered(request.headers.get("tmv1-filter", ""), {name: _plain(name) for name in names})
        rows = [account_row(member) for member in self._directory.accounts.values()]
        return page(request, [row for row in rows if fits(row)], top(query, 50, 10, 100, 200, 500, 1000), totals=True)

    def _member(self, name: str) -> Member | None:
        wanted = name.casefold()
        for member in self._directory.accounts.values():
            names = (member.name, member.email, f"{member.domain}\\{member.name}")
            if wanted in {text.casefold() for text in names}:
                return member
        return None

    def _change(self, name: str) -> Callable[[dict[str, Any]], SimulatedTask]:
        action, kind = _ACCOUNTS[name]

        def start(item: dict[str, Any]) -> SimulatedTask:
            account = item.get("accountName")
            if not isinstance(account, str) or not account:
                raise RefusedError(400, "accountName is required")
            member = self._member(account)

            def begin() -> Callable[[], str]:
                if member is None:
                    return lambda: "failed"
                change = self._directory.change(member.account_id, kind)

                def status() -> str:
                    self._directory.settle()
                    return "succeeded" if change.done else "failed" if change.failed else "running"

                return status

            parts: list[dict[str, Any]] = [{"accountName": account, "iam": "AAD"}]
            if account in self.half:
                parts.append({"accountName": account, "iam": "OPAD", "status": "failed"})
            return SimulatedTask(action, begin, parts=parts)

        return start

    def _move(self, action: str, *, away: bool) -> Callable[[dict[str, Any]], SimulatedTask]:
        def start(item: dict[str, Any]) -> SimulatedTask:
            if bool(item.get("messageId")) == bool(item.get("uniqueId")):
                raise RefusedError(400, "Give messageId or uniqueId")
            found = [mail for mail in self.mails.values() if _is(mail, item)]
            parts = [
                {"uniqueId": mail.unique_id, "messageId": mail.message_id, "mailBox": mail.mailbox} for mail in found
            ]

            def begin() -> Callable[[], str]:
                late = self._faults.standing("late_effect")
                due: datetime = self._clock() + timedelta(seconds=float(late.options.get("seconds", 1)) if late else 0)
                failed = not found or self._faults.standing("accepted_then_failed") is not None

                def status() -> str:
                    if failed:
                        return "failed"
                    if self._clock() < due:
                        return "running"
                    if not done:
                        done.append(True)
                        for mail in found:
                            mail.quarantined = away
                    return "succeeded"

                done: list[bool] = []
                status()
                return status

            return SimulatedTask(action, begin, parts=parts)

        return start


def _is(mail: Mail, item: Mapping[str, Any]) -> bool:
    if item.get("uniqueId"):
        return bool(mail.unique_id == item["uniqueId"])
    return bool(mail.message_id == item["messageId"] and mail.mailbox == item.get("mailBox", mail.mailbox))


def _plain(name: str) -> Callable[[Mapping[str, Any]], list[str]]:
    return lambda row: [str(row.get(name, ""))]
