"""Stopping and starting over HTTP, for the credential's own tenant; the installation is the operator's command."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from nightdesk.autonomy.switches import Position, Scope, Switch
from nightdesk.hub import switching
from nightdesk.hub.api.auth import require
from nightdesk.hub.api.bodies import read_body
from nightdesk.hub.api.problems import ProblemError
from nightdesk.hub.api.view import HubView, Role
from nightdesk.hub.store import switches
from nightdesk.sdk.errors import PolicyError

__all__ = ["as_json", "router"]

_T = TypeVar("_T")


class _Order(BaseModel):
    """What is to be stopped or started, and why."""

    model_config = ConfigDict(extra="forbid")

    scope: Literal["tenant", "rule", "vendor-action", "all"]
    subject: Annotated[str, StringConstraints(max_length=200)] = ""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


_LIMIT = 16 * 1024
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _Order.model_json_schema()}}}
}


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
        openapi_extra=_BODY,
    )
    async def stop(request: Request) -> dict[str, Any]:
        caller = require(request, hub, switching.STOPS)
        order = await _order(request)

        def work() -> Position:
            switch = _switch(order, caller.tenant, request)
            missing = hub.missing(switch)
            return switching.stop(hub.store, switch, by=caller.name, reason=order.reason, missing=missing)

        return as_json(await _carried_out(work, request))

    @routes.post(
        "/v1/switches/start",
        summary="Ask to start again (202), or confirm what another person asked for (200)",
        openapi_extra=_BODY,
    )
    async def start(request: Request) -> JSONResponse:
        caller = require(request, hub, switching.STARTS)
        order = await _order(request)

        def work() -> switching.Started:
            switch = _switch(order, caller.tenant, request)
            return switching.start(hub.store, switch, by=caller, reason=order.reason, known=hub.principal)

        done = await _carried_out(work, request)
        return JSONResponse(jsonable_encoder(as_json(done.position)), status_code=200 if done.running else 202)

    return routes


async def _order(request: Request) -> _Order:
    """The body, read once the caller is known. Raises a 422 that names the key."""
    body = await read_body(request, _LIMIT)
    try:
        return _Order.model_validate_json(body.data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ProblemError(
            422,
            "invalid-parameter",
            str(first["msg"]),
            where=f"{request.url.path}: {'.'.join(str(part) for part in first['loc']) or 'body'}",
            what_to_do="send scope (tenant, rule or vendor-action), subject and reason as one JSON object",
        ) from error


async def _carried_out(work: Callable[[], _T], request: Request) -> _T:
    try:
        return await run_in_threadpool(work)
    except PolicyError as error:
        raise ProblemError(
            409,
            "refused",
            str(error),
            where=f"{request.method} {request.url.path}",
            what_to_do="read /v1/switches for what is stopped and who asked to start it",
        ) from error


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
