"""Orders whose only trace is their task: on processes, files and scripts of a host, on accounts, on messages.

Of an account or a message Vision One shows no state but what its own tasks did to it; a process or a file it shows not
at all. So the last task that ended well says how things are, and nothing else does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from nightdesk.connectors.trend_vision_one.client import VENDOR, VisionOne, literal
from nightdesk.connectors.trend_vision_one.processes import running
from nightdesk.connectors.trend_vision_one.tasks import Task, Tasks, described
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["ORDERS", "Orders"]

_SCRIPT = re.compile(r"(\S(?:.*?\S)?\.(?:ps1|sh))(?:\s+(\S.*))?", re.DOTALL)
_SCRIPTS = "/response/customScripts"
_SCRIPTS_VIEW = "Response Management: View, filter and search (Custom Scripts tab)"
_ACCOUNTS = "Response Management: Enable/Disable user account, force sign out, force password reset"
_MESSAGES = "Response Management: Quarantine/Restore messages"


@dataclass(frozen=True, slots=True)
class Order:
    """One kind of order. ``undone_by`` is the action of its opposite; ``flag`` names what the two set, ``sets`` how."""

    path: str
    action: str
    scope: str
    undone_by: str = ""
    flag: str = ""
    sets: bool = True
    parameters: tuple[str, ...] = ()


ORDERS: Mapping[str, Order] = {
    "process.terminate": Order(
        "/response/endpoints/terminateProcess", "terminateProcess", "Response Management: Terminate process"
    ),
    "file.fetch": Order("/response/endpoints/collectFile", "collectFile", "Response Management: Collect file"),
    "host.run_script": Order(
        "/response/endpoints/runScript",
        "runCustomScript",
        "Response Management: Run custom script",
        parameters=("script",),
    ),
    "account.disable": Order(
        "/response/domainAccounts/disable", "disableAccount", _ACCOUNTS, undone_by="enableAccount", flag="disabled"
    ),
    "account.enable": Order(
        "/response/domainAccounts/enable",
        "enableAccount",
        _ACCOUNTS,
        undone_by="disableAccount",
        flag="disabled",
        sets=False,
    ),
    "account.revoke_sessions": Order("/response/domainAccounts/signOut", "forceSignOut", _ACCOUNTS),
    "account.reset_password": Order("/response/domainAccounts/resetPassword", "resetPassword", _ACCOUNTS),
    "email.quarantine": Order(
        "/response/emails/quarantine", "quarantineMessage", _MESSAGES, undone_by="restoreMessage", flag="quarantined"
    ),
    "email.restore": Order(
        "/response/emails/restore",
        "restoreMessage",
        _MESSAGES,
        undone_by="quarantineMessage",
        flag="quarantined",
        sets=False,
    ),
}


class Orders:
    """What is ordered by a task and told by that task alone."""

    def __init__(self, api: VisionOne, tasks: Tasks) -> None:
        self._api = api
        self._tasks = tasks

    async def act(self, command: Command) -> Receipt:
        """Orders it, unless a task of the same effect is under way or was the last to end well."""
        order = ORDERS[command.verb]
        command.only(*order.parameters)
        subject = _subject(command)
        known = await self._known(command, order, subject)
        standing = _standing(known, order)
        if standing is not None:
            ours = standing.ours(command) or command.began_otherwise(order.flag, order.sets)
            return Receipt(standing.task_id, changed=ours, evidence={"task": standing.word})
        item, lost = await self._item(command, subject)
        task_id = await self._api.order(
            order.path, {**item, "description": described(command)}, operation=command.verb, scope=order.scope
        )
        if not task_id:
            raise RejectedError("the answer names no task", vendor=VENDOR, operation=command.verb)
        return Receipt(task_id, losses=lost, evidence={"task_id": task_id})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """How far the task is, or which task of a pair was the last to end well."""
        order = ORDERS[command.verb]
        command.only(*order.parameters)
        known = await self._known(command, order, _subject(command))
        newest, last = _newest(known), next((task for task in known if task.succeeded), None)
        state: dict[str, Any] = {"task_id": newest.task_id if newest else ""}
        if order.flag:
            # What no task ever touched counts as not disabled, not quarantined.
            state[order.flag] = last is not None and (last.action == order.action) is order.sets
        if newest is not None and command.verb == "file.fetch":
            state.update({name: newest.row.get(name) for name in ("fileSha256", "fileSize", "expiredDateTime")})
        word = f"task {newest.task_id} {newest.word}" if newest else "no task"
        return _judged(command, order, known), state, word

    async def _known(self, command: Command, order: Order, subject: Mapping[str, Any]) -> list[Task]:
        """The tasks that count, newest first: of a pair all about the target, else those of this command."""
        if order.undone_by:
            return await self._tasks.of(order.action, order.undone_by, about=lambda task: _about(task, subject))
        # Not before it was asked for; a day lets the clocks differ.
        since = command.requested_at - timedelta(days=1)
        return await self._tasks.of(order.action, about=lambda task: task.ours(command), since=since)

    async def _item(self, command: Command, subject: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        if command.verb == "process.terminate":
            return await running(self._api, command)
        if command.verb == "host.run_script":
            await self._stored(str(subject["fileName"]))
        return dict(subject), ()

    async def _stored(self, name: str) -> None:
        """Raises NotFoundError for a script that nobody has uploaded: only what is in the library is run."""
        params = {"filter": f"fileName eq {literal(name, 'host.run_script')}"}
        rows = self._api.rows(_SCRIPTS, operation="host.run_script", scope=_SCRIPTS_VIEW, params=params)
        if not [row async for row in rows if row.get("fileName") == name]:
            raise NotFoundError(
                f"Vision One has no custom script {name!r}; upload it in Response Management",
                vendor=VENDOR,
                operation="host.run_script",
            )


def _subject(command: Command) -> dict[str, Any]:
    """What the item of the order names. Raises RejectedError when the command does not say enough."""
    family = command.verb.partition(".")[0]
    if family == "account":
        return {"accountName": _named(command, command.native_id)}
    if family == "email":
        return _message(command)
    item: dict[str, Any] = {"agentGuid": _named(command, command.native_id)}
    if command.verb == "file.fetch":
        item["filePath"] = _named(command, command.target.facts.get("path", ""), "path of the file")
    if command.verb == "host.run_script":
        found = _SCRIPT.fullmatch(str(command.parameters.get("script") or "").strip())
        if found is None:
            raise RejectedError("script: write the name of a custom script (.ps1, .sh), then its options")
        item |= {"fileName": found[1], **({"parameter": found[2]} if found[2] else {})}
    return item


def _message(command: Command) -> dict[str, Any]:
    """A message id has an @ (RFC 5322, 3.6.4) and may be in many mailboxes; else it is Vision One's id of one copy."""
    name = _named(command, command.target.value)
    if "@" not in name:
        return {"uniqueId": name}
    mailbox = command.target.facts.get("mailbox", "")
    return {"messageId": name, **({"mailBox": mailbox} if mailbox else {})}


def _named(command: Command, text: str, what: str = "target") -> str:
    if not text.strip():
        raise RejectedError(f"{command.verb}: nothing says the {what}", vendor=VENDOR, operation=command.verb)
    return text


def _about(task: Task, subject: Mapping[str, Any]) -> bool:
    """True when the task, or a part of it, is about that account or message."""
    wanted = {name: str(value).casefold() for name, value in subject.items()}
    return any(
        all(str(row.get(name, "")).casefold() == value for name, value in wanted.items())
        for row in (task.row, *task.parts)
    )


def _newest(known: list[Task]) -> Task | None:
    return known[0] if known else None


def _standing(known: list[Task], order: Order) -> Task | None:
    """The task that makes another one needless: one under way, else the last to end well; none when it is opposed."""
    newest = _newest(known)
    if newest is not None and newest.open:
        return newest if newest.action == order.action else None
    last = next((task for task in known if task.succeeded), None)
    if last is None or last.action != order.action:
        return None
    return None if newest is not None and newest.refused else last


def _judged(command: Command, order: Order, known: list[Task]) -> Effect:
    newest = _newest(known)
    if newest is None:
        return Effect.NOT_IN_EFFECT
    if newest.open:
        return Effect.PENDING if newest.action == order.action else Effect.NOT_IN_EFFECT
    if newest.refused:
        return Effect.FAILED if newest.action == order.action else Effect.UNKNOWN
    standing = _standing(known, order)
    if standing is not None:
        return Effect.IN_EFFECT if _is_wanted_file(command, standing) else Effect.FAILED
    return Effect.FAILED if newest.action == order.action and newest.ours(command) else Effect.NOT_IN_EFFECT


def _is_wanted_file(command: Command, task: Task) -> bool:
    """False when another file lay at the path than the one that was meant."""
    if command.verb != "file.fetch":
        return True
    kind, _, digest = command.target.value.partition(":")
    found = str(task.row.get({"sha1": "fileSha1", "sha256": "fileSha256"}.get(kind, ""), ""))
    return not found or found.lower() == digest
