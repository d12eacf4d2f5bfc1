"""Commands in, actions out: a command is journalled with the action it becomes, and answered from what the action is.

Nothing is done here: the action takes the way of every other one, past the same guards, and waits for the same
approvals. Who commands is who holds the credential; what a message says of its sender decides nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.ledger import IN_FORCE, Attention, Ledger, age, same_wish
from nightdesk.autonomy.openc2.message import Command
from nightdesk.autonomy.openc2.states import Response, Status, response_of
from nightdesk.autonomy.openc2.targets import NSID
from nightdesk.autonomy.openc2.wishes import Wish, to_command, to_wish
from nightdesk.autonomy.proposals import Approval, Proposals
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.approvals.settings import rules_of
from nightdesk.hub.config import HubSettings
from nightdesk.hub.openc2.features import check_possible, features
from nightdesk.hub.store import Store, audit
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.openc2 import Taken, put_command, taken_command
from nightdesk.hub.store.prior import Joined, headers
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import MappingError, NotFoundError, PolicyError
from nightdesk.sdk.verbs import verb

__all__ = ["COMMANDS", "PROPOSES", "ConflictError", "Consumer"]

COMMANDS = frozenset({Role.APPROVER, Role.ADMIN})
"""Persons who may let actions go: what they command needs nobody else, but for what always needs a second one."""
PROPOSES = frozenset({Role.ANALYST, Role.SERVICE})
"""What they command waits for a person."""
_NO_LEASE = timedelta(hours=4)  # never used: only autonomy gets a lease that it did not ask for


class ConflictError(PolicyError):
    """The command stands against what is there already; another one is needed."""


@dataclass(frozen=True, slots=True)
class _Landed:
    action: Action
    waits: bool
    """It is new and waits for a person, who is to be told."""


class Consumer:
    """One for the whole hub; every method is blocking and about one tenant, the caller's."""

    def __init__(self, settings: HubSettings, store: Store, clock: Clock, on_attention: Attention) -> None:
        self.settings = settings.openc2
        self._tenants = settings.tenants
        self._shared = settings.shared
        self._store = store
        self._clock = clock
        self._on_attention = on_attention

    def answer(self, caller: Principal, command: Command, request_id: str) -> Response:
        """Takes one command. Raises MappingError (400), UnsupportedError (501), PolicyError (403), NotFoundError."""
        if (command.action, command.target) == ("query", "features"):
            return self._features(caller, command)
        if (command.action, command.target) == ("query", "command"):
            _nothing_else(command)
            return self.state(caller, str(command.value))
        if caller.role not in COMMANDS | PROPOSES:
            raise PolicyError(
                f"{caller.name} has the role {caller.role} and may only query: use an analyst's credential"
            )
        if caller.instance:
            raise PolicyError(
                f"{caller.name} delivers the alerts of {caller.instance} and nothing else: "
                "give the producer a token without `instance`"
            )
        if (command.action, command.target) == ("cancel", "command"):
            _nothing_else(command)
            return self._cancel(caller, str(command.value))
        return self._command(caller, command, request_id)

    def state(self, caller: Principal, command_id: str) -> Response:
        """How it stands with a command that was taken before. Raises NotFoundError."""
        with self._store.read() as conn:
            return self._told(conn, self._found(conn, caller, command_id)[1], command_id)

    def _features(self, caller: Principal, command: Command) -> Response:
        if command.to_json().get("args", {}) not in ({}, {"response_requested": "complete"}):
            raise MappingError(
                "query features takes no argument but response_requested: complete",
                pointer="/args",
                source="OpenC2 command",
            )
        if "actuator" in command.to_json():
            raise MappingError(
                "query features is about all of the tenant: leave hostname and connector out",
                pointer=f"/actuator/{NSID}",
                source="OpenC2 command",
            )
        may = caller.role in COMMANDS | PROPOSES and not caller.instance
        tenant, limit = self._tenants[caller.tenant], self.settings.commands_per_minute
        return Response(Status.OK, results=features(tenant, command.value, commands=may, rate_limit=limit))

    def _command(self, caller: Principal, command: Command, request_id: str) -> Response:
        now = self._clock()
        said = command.to_json()
        with self._store.read() as conn:
            known = self._repeated(conn, caller, command, said)
            if known is not None:  # asked first: a stop_time that has passed since is no reason to refuse a repeat
                return self._told(conn, known, command.command_id)
        wish = to_wish(command, now)
        check_possible(self._tenants[caller.tenant], wish)
        taken = Taken(caller.tenant, command.command_id, "", now, caller.name, said, request_id)
        landed = self._store.transact(lambda conn: self._take(conn, caller, command, wish, taken))
        if landed.waits:
            self._on_attention(landed.action, f"{wish.verb} of {wish.target.key} waits for an approval")
        return response_of(landed.action, command.command_id)

    def _take(self, conn: Connection, caller: Principal, command: Command, wish: Wish, taken: Taken) -> _Landed:
        """The command and its action in one transaction: a crash leaves both or neither (law 4)."""
        known = self._repeated(conn, caller, command, taken.command)
        if known is not None:
            return _Landed(known, waits=False)
        if wish.case_id and wish.case_id not in headers(conn, caller.tenant, [wish.case_id]):
            raise NotFoundError(f"no case {wish.case_id!r} here: leave the case out, or name one of this tenant")
        action = self._propose(conn, caller, wish, taken.received_at)
        put_command(conn, replace(taken, action_id=action.action_id))
        detail = {"command_id": taken.command_id, "action_id": action.action_id, "command": taken.command}
        self._audit(conn, caller, "openc2.command", {**detail, "request_id": taken.request_id})
        fresh = (action.created_at, action.requested_by) == (taken.received_at, caller.name)
        return _Landed(action, waits=fresh and action.state is ActionState.AWAITING_APPROVAL)

    def _propose(self, conn: Connection, caller: Principal, wish: Wish, now: datetime) -> Action:
        ledger = Ledger(SqlJournal(Joined(self._store, conn)), lambda: now)
        action = self._proposals(ledger).propose(
            caller.tenant,
            wish.verb,
            wish.target,
            requested_by=caller.name,
            approval=Approval.DIRECT if caller.role in COMMANDS else Approval.HUMAN,
            case_id=wish.case_id,
            parameters=wish.parameters,
            reason=wish.reason,
            lease=wish.lease,
            stop_at=wish.stop_at,
            source_instance=wish.connector,
            accept_losses=wish.accept_losses,
        )
        _same_end(action, wish)
        return action

    def _proposals(self, ledger: Ledger) -> Proposals:
        rules = partial(rules_of, self._tenants)
        return Proposals(ledger, default_lease=_NO_LEASE, rules=rules, shared=self._shared)

    def _repeated(
        self, conn: Connection, caller: Principal, command: Command, said: Mapping[str, Any]
    ) -> Action | None:
        """The action of the same command, if it came before. Raises ConflictError when the id was used for another."""
        taken = taken_command(conn, caller.tenant, command.command_id)
        if taken is None:
            return None
        if taken.sender != caller.name or _meaning(taken.command) != _meaning(said):
            raise ConflictError(
                f"command_id {command.command_id!r} was used for another command: send this one with a new id"
            )
        return self._action(conn, taken)

    def _cancel(self, caller: Principal, command_id: str) -> Response:
        def work(conn: Connection) -> Action:
            taken, action = self._found(conn, caller, command_id)
            if action.state is ActionState.CANCELLED:
                return action
            if caller.role not in COMMANDS and action.requested_by != caller.name:
                raise PolicyError(f"{action.action_id} was asked for by {action.requested_by}, who may cancel it")
            ledger = Ledger(SqlJournal(Joined(self._store, conn)), self._clock)
            try:
                cancelled = self._proposals(ledger).cancel(action, caller.name, "cancelled by OpenC2")
            except PolicyError as error:
                raise ConflictError(_instead(action)) from error
            self._audit(conn, caller, "openc2.cancel", {"command_id": command_id, "action_id": taken.action_id})
            return cancelled

        action = self._store.transact(work)
        said = response_of(action, command_id)
        return Response(Status.OK, said.text, said.results)

    def _found(self, conn: Connection, caller: Principal, command_id: str) -> tuple[Taken, Action]:
        taken = taken_command(conn, caller.tenant, command_id)
        if taken is None or (caller.role is Role.SERVICE and taken.sender != caller.name):
            raise NotFoundError(f"no command {command_id[:64]!r} was sent here: check the id")
        return taken, self._action(conn, taken)

    def _action(self, conn: Connection, taken: Taken) -> Action:
        action = SqlJournal(Joined(self._store, conn)).get(taken.tenant, taken.action_id)
        if action is None:
            raise NotFoundError(f"action {taken.action_id} of command {taken.command_id!r} is not in the journal")
        return action

    def _told(self, conn: Connection, action: Action, command_id: str) -> Response:
        """The response, unless a newer wish for the same target took effect: then this one stands no longer."""
        said = response_of(action, command_id)
        if said.status is not Status.OK or not verb(action.verb).reversible:
            return said
        standing = SqlJournal(Joined(self._store, conn)).standing(
            action.tenant, action.target.key, verb(action.verb).family
        )
        newer = [one for one in standing if one.state in IN_FORCE and age(one) > age(action)]
        if not newer or same_wish(max(newer, key=age), action):
            return said
        newest = max(newer, key=age)
        ours = {**said.results[NSID], "superseded_by": newest.action_id}
        text = f"{action.state}: {action.verb} of {action.target.key}: it took effect, and {newest.verb} decides now"
        return Response(Status.NOT_FOUND, text, {NSID: ours})

    def _audit(self, conn: Connection, caller: Principal, event: str, detail: Mapping[str, Any]) -> None:
        audit.append(conn, tenant=caller.tenant, at=self._clock(), actor=caller.name, event=event, detail=detail)


def _nothing_else(command: Command) -> None:
    said = command.to_json()
    if set(said.get("args", {})) - {"response_requested"} or "actuator" in said:
        raise MappingError(
            f"{command.action} command takes no argument but response_requested",
            pointer="/args",
            source="OpenC2 command",
        )


def _meaning(command: Mapping[str, Any]) -> dict[str, Any]:
    """What a command asks for: how much of an answer is wanted is no part of it."""
    args = {name: value for name, value in command.get("args", {}).items() if name != "response_requested"}
    return {**command, "args": args}


def _same_end(action: Action, wish: Wish) -> None:
    """A wish that stands already is joined only by one that ends with it, or that names no end."""
    moment, seconds = action.result.get("stop_at"), action.result.get("lease_seconds")
    if wish.stop_at is not None and moment == wish.stop_at.isoformat():
        return
    if wish.lease is not None and moment is None and seconds == wish.lease.total_seconds():
        return
    if wish.stop_at is not None or wish.lease is not None:
        raise ConflictError(
            f"{action.action_id} does this already and ends otherwise: renew it or take it back, or name no end"
        )


def _instead(action: Action) -> str:
    """What to do about what went out already."""
    inverse = verb(action.verb).inverse
    if not inverse:
        return f"{action.action_id} is {action.state}: it went out, and {verb(action.verb).no_inverse}"
    other = to_command(Wish(inverse, action.target))
    return (
        f"{action.action_id} is {action.state}: it went out; send {other.action}:{other.target} ({inverse}) to take it "
        f"back, or `nightdesk undo {action.action_id}`"
    )
