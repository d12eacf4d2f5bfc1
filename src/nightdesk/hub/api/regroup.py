"""Merging and splitting cases over HTTP, for the credential's own tenant."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from nightdesk.hub.api.auth import require
from nightdesk.hub.api.problems import ProblemError
from nightdesk.hub.api.view import HubView, Role
from nightdesk.hub.regrouping import merge_cases, split_case
from nightdesk.sdk.errors import PolicyError

__all__ = ["router"]

_MAY = (Role.ANALYST, Role.APPROVER, Role.ADMIN)
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Why = Annotated[str, Field(min_length=1, max_length=1000)]


class MergeBody(BaseModel):
    """The cases whose alerts join the one that the path names."""

    model_config = ConfigDict(extra="forbid")

    cases: Annotated[list[_Name], Field(min_length=1, max_length=50)]
    reason: _Why


class SplitBody(BaseModel):
    """The alerts that leave the case that the path names."""

    model_config = ConfigDict(extra="forbid")

    alerts: Annotated[list[_Name], Field(min_length=1, max_length=1000)]
    reason: _Why


def router(hub: HubView) -> APIRouter:
    """``/v1/cases/{case_id}/merge`` and ``/split``."""
    routes = APIRouter()

    @routes.post("/v1/cases/{case_id}/merge", summary="Make several cases one")
    def merge(request: Request, case_id: str, body: MergeBody) -> dict[str, Any]:
        caller = require(request, hub, _MAY)
        done = _answered(
            request,
            lambda: merge_cases(hub.store, caller.tenant, case_id, body.cases, by=caller.name, reason=body.reason),
        )
        hub.wake()
        return {"tenant": caller.tenant, "case_id": done, "merged": body.cases}

    @routes.post("/v1/cases/{case_id}/split", summary="Take alerts out into a case of their own")
    def split(request: Request, case_id: str, body: SplitBody) -> dict[str, Any]:
        caller = require(request, hub, _MAY)
        done = _answered(
            request,
            lambda: split_case(hub.store, caller.tenant, case_id, body.alerts, by=caller.name, reason=body.reason),
        )
        hub.wake()
        return {"tenant": caller.tenant, "case_id": done, "split_from": case_id, "alerts": body.alerts}

    return routes


def _answered(request: Request, work: Callable[[], str]) -> str:
    try:
        return work()
    except PolicyError as error:
        raise ProblemError(
            409, "not-regrouped", str(error), where=request.url.path, what_to_do="look at both cases as they stand now"
        ) from error
