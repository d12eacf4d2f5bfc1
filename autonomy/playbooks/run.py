"""One run of a playbook as a value: all that is known of it between two looks, and what goes in and out.

A run keeps the documents it was started with: a file that is edited meanwhile changes nothing in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from nightdesk.sdk.targets import Target

__all__ = [
    "OUTCOMES",
    "Act",
    "Answered",
    "Ask",
    "Branch",
    "Event",
    "Left",
    "Mandate",
    "Phase",
    "Run",
    "RunState",
    "Stopped",
    "Told",
    "Visit",
    "Wish",
    "Withdraw",
]


class RunState(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """Where one branch stands at its step."""

    ENTERED = "entered"
    """Not begun: its delay is not over."""
    WAITING = "waiting"
    """An action or a person has to answer."""
    INSIDE = "inside"
    """Branches within it are at work."""
    ENDED = "ended"


OUTCOMES = ("effective", "accepted", "answered", "skipped")
"""The words of a step that succeeded; every other word is a failure's."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch at work. ``scope`` names the playbook call whose variables it sees."""

    playbook: str
    scope: str
    step: str
    entered_at: datetime
    phase: Phase = Phase.ENTERED
    began_at: datetime | None = None
    command: int = 0
    action_id: str = ""
    asked: bool = False
    rounds: int = 0
    children: int = 0
    excepted: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """One step that was done: its key is the identity of its effects."""

    key: str
    step: str
    name: str
    entered_at: datetime
    left_at: datetime
    outcome: str
    note: str = ""
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mandate:
    """On whose word a run acts that no person started: the decision, its rules, and the content they were signed for.

    ``inputs`` are the values that it was started on, whatever became of the variables since.
    """

    decision_id: str
    rules: tuple[str, ...]
    sha256: str
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """The whole of it. ``branches`` are by path (``0``, ``0.1a``); ``variables`` by scope."""

    tenant: str
    run_id: str
    playbook_id: str
    case_id: str
    started_by: str
    started_at: datetime
    updated_at: datetime
    documents: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, Mapping[str, str]]
    branches: Mapping[str, Branch]
    state: RunState = RunState.RUNNING
    visits: tuple[Visit, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    """Who answered which manual step."""
    problem: str = ""
    mandate: Mandate | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the store."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Run":
        """Back from the store."""
        return _adapter().validate_python(dict(raw))

    @property
    def actions(self) -> tuple[str, ...]:
        """Every action it asked for, oldest first."""
        done = [action for visit in self.visits for action in visit.actions]
        now = [branch.action_id for branch in self.branches.values() if branch.action_id]
        return tuple(dict.fromkeys([*done, *now]))


@cache
def _adapter() -> TypeAdapter[Run]:
    return TypeAdapter(Run)


@dataclass(frozen=True, slots=True)
class Act:
    """An action is wanted. The same key is the same wish, however often it is said."""

    key: str
    verb: str
    target: Target
    parameters: Mapping[str, Any]
    accept_losses: tuple[str, ...]
    reason: str
    lease: timedelta | None
    skippable: bool
    optional_roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """A person has something to do or to decide; said once."""

    key: str
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Withdraw:
    """An action that nobody waits for any more: take it back if it was not sent yet."""

    key: str
    action_id: str
    why: str


Wish = Act | Ask | Withdraw


@dataclass(frozen=True, slots=True)
class Told:
    """How the action of that key stands: ``outcome`` empty while it is not settled."""

    key: str
    action_id: str
    outcome: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """The action of that key is not to be had: left out (``skipped``) or refused."""

    key: str
    outcome: str
    note: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A person's answer to a manual step; ``done`` False when it could not be done."""

    key: str
    by: str
    text: str
    done: bool = True


@dataclass(frozen=True, slots=True)
class Stopped:
    """A person ends the run."""

    by: str
    why: str = ""


Event = Told | Left | Answered | Stopped
