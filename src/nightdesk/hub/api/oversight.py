"""Levels of autonomy over HTTP, for the credential's own tenant: the picture, judging blind, raising, withdrawing."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from nightdesk.autonomy.levels.standing import Level
from nightdesk.autonomy.levels.units import Unit
from nightdesk.hub.api.auth import require
from nightdesk.hub.api.orders import carried_out, described, read_order
from nightdesk.hub.api.view import HubView, Principal, Role
from nightdesk.hub.oversight import judging, raising
from nightdesk.hub.oversight.appraisal import Appraisal
from nightdesk.hub.oversight.persons import JUDGES, RAISES, WITHDRAWS
from nightdesk.hub.oversight.picture import picture
from nightdesk.hub.oversight.queue import queue
from nightdesk.sdk.case import Verdict

__all__ = ["LEVELS", "router"]

_ADVICE = "read /v1/autonomy for how the rule stands and what it lacks"
LEVELS = {"off": Level.OFF, "shadow": Level.SHADOW, "recommend": Level.RECOMMEND, "auto-close": Level.CLOSE,
          "auto-contain": Level.CONTAIN}  # fmt: skip
_Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class _Word(BaseModel):
    """One person's verdict on an item of the queue or on a case."""

    model_config = ConfigDict(extra="forbid")

    about: _Name
    verdict: Verdict
    seen: bool = False
    comment: Annotated[str, StringConstraints(max_length=4000)] = ""


class _Order(BaseModel):
    """Which unit is meant, to which level, and why."""

    model_config = ConfigDict(extra="forbid")

    rule: _Name
    decides: Literal["close", "contain-host", "contain-identity", "block-indicator"] = "close"
    to: Literal["off", "shadow", "recommend", "auto-close", "auto-contain"] | None = None
    reason: _Text


def router(hub: HubView) -> APIRouter:
    """``/v1/autonomy`` and what is under it."""
    routes = APIRouter()

    @routes.get("/v1/autonomy", summary="How far each rule of the token's tenant is, and what the next level lacks")
    def shown(request: Request) -> JSONResponse:
        caller = require(request, hub, [role for role in Role if role is not Role.SERVICE])
        return JSONResponse(jsonable_encoder(picture(hub.oversight, caller.tenant).to_json()))

    @routes.get("/v1/autonomy/queue", summary="What waits to be judged, without a word of the machine's")
    async def waiting(request: Request) -> JSONResponse:
        caller = require(request, hub, JUDGES)
        items = await carried_out(lambda: queue(hub.oversight, caller.tenant, by=caller), request, what_to_do=_ADVICE)
        return JSONResponse(jsonable_encoder({"tenant": caller.tenant, "items": items}))

    @routes.post("/v1/autonomy/judge", summary="Judge an item or a case", openapi_extra=described(_Word))
    async def judge(request: Request) -> JSONResponse:
        caller = require(request, hub, JUDGES)
        word = await read_order(request, _Word)

        def work() -> judging.Judgement:
            return judging.judge(
                hub.oversight, caller.tenant, by=caller, about=word.about, verdict=word.verdict.value, seen=word.seen,
                comment=word.comment,
            )  # fmt: skip

        done = await carried_out(work, request, what_to_do=_ADVICE)
        given = [{"label_id": one.label_id, "rule": one.rule, "state": one.state} for one in done.labels]
        return JSONResponse(jsonable_encoder({"labels": given, "reopened": done.reopened}))

    @routes.post("/v1/autonomy/promote", summary="Ask to raise a rule (202)", openapi_extra=described(_Order))
    async def promote(request: Request) -> JSONResponse:
        caller, unit, order = await _ordered(request, hub, RAISES)
        level = LEVELS[order.to or "auto-close"]

        def work() -> raising.Raised:
            return raising.promote(hub.oversight, unit, level, by=caller, reason=order.reason)

        done = await carried_out(work, request, what_to_do=_ADVICE)
        return JSONResponse(done.standing.to_json(), status_code=202)

    @routes.post("/v1/autonomy/agree", summary="Agree to another's raise", openapi_extra=described(_Order))
    async def agree(request: Request) -> JSONResponse:
        caller, unit, order = await _ordered(request, hub, RAISES)
        done = await carried_out(
            lambda: raising.agree(hub.oversight, unit, by=caller, reason=order.reason), request, what_to_do=_ADVICE
        )
        return JSONResponse(done.standing.to_json())

    @routes.post(
        "/v1/autonomy/withdraw",
        summary="Lower a rule at once and re-open what it closed; one person is enough",
        openapi_extra=described(_Order),
    )
    async def withdraw(request: Request) -> JSONResponse:
        caller, unit, order = await _ordered(request, hub, WITHDRAWS)
        level = LEVELS[order.to or "recommend"]

        def work() -> Appraisal:
            return raising.withdraw(hub.oversight, unit, level, by=caller, reason=order.reason)

        done = await carried_out(work, request, what_to_do=_ADVICE)
        return JSONResponse({"standing": done.standing.to_json(), "reopened": list(done.reopened)})

    return routes


async def _ordered(request: Request, hub: HubView, roles: frozenset[Role]) -> tuple[Principal, Unit, _Order]:
    caller = require(request, hub, roles)
    order = await read_order(request, _Order)

    def unit() -> Unit:
        return Unit.parse(caller.tenant, order.rule, order.decides)

    return caller, await carried_out(unit, request, what_to_do=_ADVICE), order
