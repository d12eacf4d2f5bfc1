"""A playbook as typed values: the part of CACAO 2.0 that is executed, and the rest as it was written.

Source: OASIS CACAO Security Playbooks Version 2.0, Committee Specification 01. Every property of that specification is
known here; what nightdesk does not execute is refused by ``soundness``, with its place, and never left out in silence.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "EXTENSION",
    "Action",
    "Call",
    "Command",
    "Condition",
    "End",
    "Header",
    "Loop",
    "Parallel",
    "Part",
    "Playbook",
    "Roles",
    "Start",
    "Step",
    "StepHeader",
    "Switch",
    "Variable",
    "branches_of",
    "case_pointer",
    "following",
    "settings_of",
]

EXTENSION = "extension-definition--ba67c1d1-e228-510a-9f7c-5f1d6ebf214d"
"""The id of our extension: its header in ``playbook_extensions``, its step settings in ``step_extensions``."""

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
_NAME = r"^__[a-zA-Z_][a-zA-Z0-9_-]{0,199}__$"

Id = Annotated[str, Field(pattern=rf"^[a-z][a-z0-9-]+[a-z0-9]--{_UUID}$")]
Name = Annotated[str, Field(pattern=_NAME)]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
Score = Annotated[int, Field(ge=0, le=100)]
Words = Annotated[tuple[str, ...], Field(min_length=1)]


class Part(BaseModel):
    """Strict: a property that CACAO does not have is an error with its place."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Variable(Part):
    """One variable; values are text, as CACAO has them."""

    type: str
    description: str = ""
    value: str | None = None
    constant: bool = False
    external: bool = False


class Command(Part):
    """One command of an action step. ``content_b64`` is an OpenC2 command; ``command`` of a manual one its words."""

    type: str
    description: str = ""
    version: str = ""
    playbook_activity: str = ""
    external_references: tuple[Any, ...] = ()
    command: str | None = None
    command_b64: str | None = None
    content: str | None = None
    content_b64: str | None = None
    headers: dict[str, Any] | None = None


class StepHeader(Part):
    """Our settings of one step."""

    at_most: Annotated[int, Field(ge=1, le=1000, description="rounds of a while-condition")] | None = None
    answers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """What a person may answer to a manual step; the first is what a rehearsal answers."""
    skippable: bool = False
    """Left out with a note where the bound product does not offer the verb."""


class _Common(Part):
    name: str = ""
    description: str = ""
    external_references: tuple[Any, ...] = ()
    delay: Annotated[int, Field(ge=0, description="milliseconds")] = 0
    timeout: Annotated[int, Field(ge=0, description="milliseconds")] | None = None
    step_variables: dict[Name, Variable] = {}
    owner: Id | None = None
    on_completion: Id | None = None
    on_success: Id | None = None
    on_failure: Id | None = None
    step_extensions: dict[Id, dict[str, Any]] = {}


class Start(_Common):
    """Where a playbook begins."""

    type: Literal["start"]


class End(_Common):
    """The end of one branch."""

    type: Literal["end"]


class Action(_Common):
    """Commands, one after another; it succeeds when all of them do."""

    type: Literal["action"]
    commands: Annotated[tuple[Command, ...], Field(min_length=1)]
    agent: Id
    targets: Annotated[tuple[Id, ...], Field(min_length=1)] | None = None
    in_args: Words | None = None
    out_args: Words | None = None


class Call(_Common):
    """Another playbook as one step."""

    type: Literal["playbook-action"]
    playbook_id: Id
    playbook_version: Time | None = None
    in_args: Words | None = None
    out_args: Words | None = None


class Parallel(_Common):
    """Branches side by side, joined at their ends."""

    type: Literal["parallel"]
    next_steps: Annotated[tuple[Id, ...], Field(min_length=2)]


class Condition(_Common):
    """One branch or another."""

    type: Literal["if-condition"]
    condition: str
    on_true: Id
    on_false: Id | None = None


class Loop(_Common):
    """A branch again and again while a condition holds."""

    type: Literal["while-condition"]
    condition: str
    on_true: Id


class Switch(_Common):
    """One of several branches by a variable's value."""

    type: Literal["switch-condition"]
    switch: str
    cases: Annotated[dict[str, Id], Field(min_length=1)]


Step = Annotated[
    Start | End | Action | Call | Parallel | Condition | Loop | Switch,
    Field(discriminator="type"),
]


class Roles(Part):
    """The tenant's roles a playbook acts through. What needs a missing optional one is left out with a note."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


class Header(Part):
    """Our extension of a playbook."""

    verbs: str
    """Versions of the verb registry it was written for, such as ``>=1,<2``."""
    purpose: Annotated[str, Field(min_length=1)]
    techniques: tuple[Annotated[str, Field(pattern=r"^T\d{4}(\.\d{3})?$")], ...] = ()
    roles: Roles = Roles()
    inputs: dict[Name, str] = {}
    """External variables by what they hold: a kind of target, ``tenant``, or ``text``; a case fills what it names."""
    rehearsal: dict[Name, str] = {}
    """Values for ``nightdesk playbook test``."""


class Playbook(Part):
    """One document."""

    type: Literal["playbook"]
    spec_version: Literal["cacao-2.0"]
    id: Id
    name: str
    description: str = ""
    playbook_types: tuple[str, ...] = ()
    playbook_activities: Words | None = None
    playbook_processing_summary: dict[str, bool] = {}
    created_by: Id
    created: Time
    modified: Time
    revoked: bool = False
    valid_from: Time | None = None
    valid_until: Time | None = None
    derived_from: tuple[Id, ...] = ()
    related_to: tuple[Id, ...] = ()
    priority: Score | None = None
    severity: Score | None = None
    impact: Score | None = None
    industry_sectors: Words | None = None
    labels: Words | None = None
    external_references: tuple[Any, ...] = ()
    markings: tuple[Id, ...] = ()
    playbook_variables: dict[Name, Variable] = {}
    workflow_start: Id
    workflow_exception: Id | None = None
    workflow: Annotated[dict[Id, Step], Field(min_length=1)]
    playbook_extensions: dict[Id, dict[str, Any]] = {}
    authentication_info_definitions: dict[Id, Any] = {}
    agent_definitions: dict[Id, dict[str, Any]] = {}
    target_definitions: dict[Id, dict[str, Any]] = {}
    extension_definitions: dict[Id, dict[str, Any]] = {}
    data_marking_definitions: dict[Id, Any] = {}
    signatures: tuple[Any, ...] = ()

    @property
    def header(self) -> Header:
        """Our extension. Raises ValidationError; ``read_playbook`` has seen to it that it does not."""
        return Header.model_validate(self.playbook_extensions.get(EXTENSION, {}))


def settings_of(step: _Common) -> StepHeader:
    """Our settings of that step."""
    return StepHeader.model_validate(step.step_extensions.get(EXTENSION, {}))


def following(step: _Common) -> Mapping[str, str]:
    """The steps after that one in the same branch, by the property that names them."""
    given = {"on_completion": step.on_completion, "on_success": step.on_success, "on_failure": step.on_failure}
    return {name: where for name, where in given.items() if where is not None}


def case_pointer(case: str) -> str:
    """Where a switch has that case, as a JSON pointer says it."""
    return f"cases/{case.replace('~', '~0').replace('/', '~1')}"


def branches_of(step: _Common) -> Mapping[str, str]:
    """The first step of each branch inside that one, by the property (and key) that names it."""
    if isinstance(step, Parallel):
        return {f"next_steps/{number}": where for number, where in enumerate(step.next_steps)}
    if isinstance(step, Switch):
        return {case_pointer(case): where for case, where in step.cases.items()}
    if isinstance(step, Condition):
        return {"on_true": step.on_true, **({"on_false": step.on_false} if step.on_false else {})}
    if isinstance(step, Loop):
        return {"on_true": step.on_true}
    return {}
