"""Playbooks over HTTP: start a run, look at it, answer it. The tenant is the token's, the person the token's name."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from nightdesk.hub.api.auth import require
from nightdesk.hub.api.problems import ProblemError
from nightdesk.hub.api.view import HubView, Principal, Role
from nightdesk.sdk.errors import ConfigError, NightdeskError, PolicyError, UnsupportedError

__all__ = ["ACTS", "router"]

_LOOKS = frozenset({Role.VIEWER, Role.ANALYST, Role.APPROVER, Role.ADMIN})
ACTS = frozenset({Role.ANALYST, Role.APPROVER, Role.ADMIN})
"""Who starts runs and answers their questions, here and in the console."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Begin(_Strict):
    """A run to be started."""

    case_id: Annotated[str, Field(min_length=1)]
    variables: dict[str, str] = Field(default={})


class Answer(_Strict):
    """A person's answer to a manual step."""

    step: Annotated[str, Field(min_length=1, description="the step's key, id or name")]
    answer: str = ""
    done: bool = True
    digest: Annotated[str, Field(description="of the question as shown; refused when it asks otherwise now")] = ""


def router(hub: HubView) -> APIRouter:
    """The routes over this hub."""
    made = APIRouter(prefix="/v1/playbooks", tags=["playbooks"])

    @made.get("")
    def playbooks(request: Request) -> list[Mapping[str, Any]]:
        """Every playbook that can be run."""
        require(request, hub, _LOOKS)
        library = hub.playbooks.library
        return [
            {"id": key, "name": library.name_of(key), "title": book.name, **book.header.model_dump(mode="json")}
            for key, book in library.playbooks.items()
        ]

    @made.post("/{playbook_id}/runs", status_code=201)
    def begin(request: Request, playbook_id: str, body: Begin) -> Mapping[str, Any]:
        """Starts a run. Every action from R2 up then waits for a second person."""
        who = require(request, hub, ACTS)
        try:
            book = hub.playbooks.library.find(playbook_id)
            run = hub.playbooks.start(who.tenant, book, case_id=body.case_id, by=who.name, given=body.variables)
        except NightdeskError as error:
            raise _problem(error, request) from error
        hub.wake()
        return hub.playbooks.shown(run)

    @made.get("/runs/{run_id}")
    def look(request: Request, run_id: str) -> Mapping[str, Any]:
        """One run: what was done, and what it waits for."""
        who = require(request, hub, _LOOKS)
        try:
            return hub.playbooks.shown(hub.playbooks.run(who.tenant, run_id))
        except NightdeskError as error:
            raise _problem(error, request) from error

    @made.post("/runs/{run_id}/answers")
    def answer(request: Request, run_id: str, body: Answer) -> Mapping[str, Any]:
        """Answers a manual step."""
        who: Principal = require(request, hub, ACTS)
        try:
            run = hub.playbooks.answer(
                who.tenant, run_id, body.step, by=who.name, text=body.answer, done=body.done, shown=body.digest
            )
        except NightdeskError as error:
            raise _problem(error, request) from error
        hub.wake()
        return hub.playbooks.shown(run)

    return made


def _problem(error: NightdeskError, request: Request) -> ProblemError:
    where = f"{request.method} {request.url.path}"
    if isinstance(error, ConfigError):
        return ProblemError(
            422, "not-ready", str(error), where=where, what_to_do="mend what is named; nothing was done"
        )
    if isinstance(error, UnsupportedError):
        return ProblemError(404, "not-found", str(error), where=where, what_to_do="name one that is there")
    if isinstance(error, PolicyError):
        return ProblemError(409, "refused", str(error), where=where, what_to_do="read the run again")
    raise error
