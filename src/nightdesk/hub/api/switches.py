"""Stopping and starting over HTTP, for the credential's own tenant; the installation is the operator's command."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from nightdesk.autonomy.switches import Position, Scope, Switch
from nightdesk.hub import switching
from nightdesk.hub.api.auth import require
from nightdesk.hub.api.orders import carried_out, described, read_order
from nightdesk.hub.api.problems import ProblemError
from nightdesk.hub.api.view import HubView, Role
from nightdesk.hub.store import switches

__all__ = ["as_json", "router"]


class _Order(BaseModel):
    """What is to be stopped or started, and why."""

    model_config = ConfigDict(extra="forbid")

    scope: Literal["tenant", "rule", "vendor-action", "all"]
    subject: Annotated[str, StringConstraints(max_length=200)] = ""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


_FORM = "send scope (tenant, rule or vendor-action), subject and reason as one JSON object"
_ADVICE = "read /v1/switches for what is stopped and who asked to start it"


def router(hub: HubView) -> APIRouter:
    """``/v1/switches``, ``/v1/switches/stop`` and ``/v1/switches/start``."""
    routes = APIRouter()

    @routes.get("/v1/switches", summary="What is or was stopped for the token's tenant")
    def listed(request: Request) -> dict[str, Any]:
        caller = require(request, hub, tuple(Role))
        with hub.store.read() as conn:
            known = switches.known(conn, caller.tenant)
        return {"tenant": caller.tenant, "switches": [as_json(one) for one in known]}

    @routes.post(
        "/v1/switches/stop",
        summary="Stop the machine for the token's tenant; one person is enough",
        openapi_extra=described(_Order),
    )
    async def stop(request: Request) -> dict[str, Any]:
        caller = require(request, hub, switching.STOPS)
        order = await read_order(request, _Order, what_to_do=_FORM)

        def work() -> Position:
            switch = _switch(order, caller.tenant, request)
            missing = hub.missing(switch)
            return switching.stop(hub.store, switch, by=caller.name, reason=order.reason, missing=missing)

        return as_json(await carried_out(work, request, what_to_do=_ADVICE))

    @routes.post(
        "/v1/switches/start",
        summary="Ask to start again (202), or confirm what another person asked for (200)",
        openapi_extra=described(_Order),
    )
    async def start(request: Request) -> JSONResponse:
        caller = require(request, hub, switching.STARTS)
        order = await read_order(request, _Order, what_to_do=_FORM)

        def work() -> switching.Started:
            switch = _switch(order, caller.tenant, request)
            known, rules = hub.principal, hub.oversight.rules
            return switching.start(hub.store, switch, by=caller, reason=order.reason, known=known, rules=rules)

        done = await carried_out(work, request, what_to_do=_ADVICE)
        return JSONResponse(jsonable_encoder(as_json(done.position)), status_code=200 if done.running else 202)

    return routes


def as_json(position: Position) -> dict[str, Any]:
    """A position as any tenant may read it."""
    told = position.told()
    return {
        "tenant": told.switch.tenant,
        "scope": told.switch.scope.value,
        "subject": told.switch.subject,
        "stopped": told.stopped,
        "reason": told.reason,
        "changed_by": told.changed_by,
        "changed_at": told.changed_at,
        "asked_by": told.asked_by,
    }


def _switch(order: _Order, tenant: str, request: Request) -> Switch:
    if Scope(order.scope) is Scope.ALL:
        raise ProblemError(
            403,
            "forbidden",
            "a tenant's credential stops and starts its own tenant alone",
            where=f"{request.method} {request.url.path}: scope",
            what_to_do="use the scope tenant; the operator stops the installation with `nightdesk stop --all`",
        )
    return Switch(tenant, Scope(order.scope), order.subject)
