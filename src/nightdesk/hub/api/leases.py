"""What is in force over HTTP: listed, taken back, kept longer. The tenant is the token's, the person the token's name.

An undo is answered as soon as it is journalled; the running hub carries it out, and the same call again tells how far.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from nightdesk.autonomy.actions import Action
from nightdesk.hub.api.auth import CONSOLE_ROLES, require
from nightdesk.hub.api.playbooks import ACTS
from nightdesk.hub.api.problems import ProblemError
from nightdesk.hub.api.view import HubView, Principal
from nightdesk.hub.keeping import LONGEST, SHORTEST, in_force, keep_longer, take_back
from nightdesk.sdk.errors import PolicyError

__all__ = ["router"]

_MOST = 1000  # characters of a reason, as for a stop


class UndoBody(BaseModel):
    """Why it is taken back."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=_MOST)]


class RenewBody(BaseModel):
    """Until when it is kept (ISO 8601 with its offset), and why."""

    model_config = ConfigDict(extra="forbid")

    until: AwareDatetime
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=_MOST)] = ""


def router(hub: HubView) -> APIRouter:
    """``/v1/leases``, ``/v1/actions/{action_id}/undo`` and ``/renew``."""
    routes = APIRouter(tags=["leases"])

    @routes.get("/v1/leases", summary="What is held at vendors, what is in trouble first, then the next end")
    def leases(request: Request) -> dict[str, Any]:
        caller = require(request, hub, CONSOLE_ROLES)
        found = in_force(hub.store, caller.tenant, hub.clock())
        return {"tenant": caller.tenant, "leases": [row for _, row in found]}

    @routes.post(
        "/v1/actions/{action_id}/undo",
        status_code=202,
        summary="Ask for the undo at the connector that acted; a second time changes nothing",
    )
    def undo(request: Request, action_id: str, body: UndoBody) -> dict[str, Any]:
        caller = require(request, hub, ACTS)
        try:
            done = take_back(hub.store, hub.engine, caller.tenant, action_id, by=caller.name, reason=body.reason)
        except PolicyError as error:
            raise _refused(request, error) from error
        hub.wake()
        return _told(request, caller, action_id, done)

    @routes.post("/v1/actions/{action_id}/renew", summary="Keep what is leased longer; twice takes another person")
    def renew(request: Request, action_id: str, body: RenewBody) -> dict[str, Any]:
        caller = require(request, hub, ACTS)
        _check(request, body.until, hub.clock())
        try:
            done = keep_longer(
                hub.store, hub.engine, caller.tenant, action_id, body.until, by=caller.name, reason=body.reason
            )
        except PolicyError as error:
            raise _refused(request, error) from error
        return _told(request, caller, action_id, done)

    return routes


def _check(request: Request, until: datetime, now: datetime) -> None:
    """Raises a 422 for an end that the command would not take either; one in the past is the engine's to refuse."""
    if until <= now or SHORTEST <= until - now <= LONGEST:
        return
    raise ProblemError(
        422,
        "invalid-parameter",
        f"a lease ends {SHORTEST.total_seconds():g} s to {LONGEST.days} days from now, not at {until.isoformat()}",
        where=f"{request.url.path}: until",
        what_to_do="name an end within a year; it can be kept longer again before it is over",
    )


def _told(request: Request, caller: Principal, action_id: str, done: Action | None) -> dict[str, Any]:
    if done is None:
        raise ProblemError(
            404,
            "not-found",
            f"{caller.tenant} has no action {action_id[:100]!r}",
            where=request.url.path,
            what_to_do="read /v1/leases for what is in force",
        )
    return {
        "tenant": caller.tenant,
        "action_id": done.action_id,
        "state": done.state.value,
        "lease_until": done.lease_until,
        "undo_requested_at": done.undo_requested_at,
        "said": done.error or str(done.result.get("undo", "")),
    }


def _refused(request: Request, error: PolicyError) -> ProblemError:
    return ProblemError(
        409,
        "refused",
        str(error),
        where=f"{request.method} {request.url.path}",
        what_to_do="read /v1/leases for how it stands now",
    )
