"""Approvals over HTTP: what waits and answers to it for programs, callbacks of chat systems, and links in mail.

A link's page is safe to open: only its form answers, so what fetches links ahead of people answers nothing.
"""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from nightdesk.autonomy.approvals import Ballot, Choice, Refused, VoteError
from nightdesk.hub.api.auth import CONSOLE_ROLES, require
from nightdesk.hub.api.bodies import read_body
from nightdesk.hub.api.problems import ProblemError
from nightdesk.hub.api.view import HubView
from nightdesk.hub.approvals.links import Link
from nightdesk.hub.console.approving import REFUSALS, link_page
from nightdesk.hub.console.pages import Pages
from nightdesk.sdk.errors import AuthError, MappingError, UnsupportedError

__all__ = ["router"]

_CALLBACK, _FORM = 1024 * 1024, 16 * 1024
_STATUS: Mapping[Refused, int] = {
    Refused.UNKNOWN: 404,
    Refused.TOO_LATE: 410,
    Refused.NOT_ENTITLED: 403,
    Refused.CHANGED: 409,
    Refused.ANSWERED: 409,
    Refused.NOT_READY: 409,
}


class VoteBody(BaseModel):
    """One answer. ``digest`` is that of the facts as they were shown."""

    model_config = ConfigDict(extra="forbid")

    answer: Choice
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    comment: Annotated[str, Field(max_length=4000)] = ""
    on_behalf: Annotated[str, Field(max_length=200, description="whom a delegate stands in for")] = ""


def router(hub: HubView) -> APIRouter:
    """The endpoints; the tenant is the credential's, the callback's or the link's, and never a parameter."""
    routes = APIRouter()
    pages = Pages()

    @routes.get("/v1/approvals", summary="What waits for persons, with everything they decide on")
    def waiting(request: Request) -> dict[str, Any]:
        caller = require(request, hub, CONSOLE_ROLES)
        found = [one.document() for one in hub.approvals.waiting(caller.tenant)]
        return {"tenant": caller.tenant, "approvals": found}

    @routes.post("/v1/approvals/{action_id}", summary="One person's answer to what waits")
    def vote(request: Request, action_id: str, body: VoteBody) -> dict[str, Any]:
        caller = require(request, hub, CONSOLE_ROLES)  # who may vote is judged there: it may be a delegate
        ballot = Ballot(caller.name, body.answer, body.digest, "api", body.on_behalf, body.comment)
        try:
            hub.approvals.vote(caller.tenant, action_id, ballot)
        except VoteError as error:
            raise _problem(error, request) from error
        found = hub.approvals.one(caller.tenant, action_id)
        return {"tenant": caller.tenant, **(found.document() if found else {"action_id": action_id})}

    @routes.post("/v1/callbacks/{tenant}/{instance}", summary="A chat system tells what somebody chose")
    async def callback(request: Request, tenant: str, instance: str) -> Response:
        body = (await read_body(request, _CALLBACK)).data
        return JSONResponse(await run_in_threadpool(_heard, hub, request, tenant, instance, body))

    @routes.get("/v1/approve/{token}", include_in_schema=False)
    def look(token: str) -> Response:
        link = hub.approvals.links.read(token)
        found = hub.approvals.one(link.tenant, link.action_id) if link else None
        return link_page(pages, hub.clock(), link, found)

    @routes.post("/v1/approve/{token}", include_in_schema=False)
    async def answer(request: Request, token: str) -> Response:
        form = parse_qs((await read_body(request, _FORM)).data.decode("utf-8", "replace"))
        return await run_in_threadpool(_answered, hub, pages, hub.approvals.links.read(token), form)

    return routes


def _heard(hub: HubView, request: Request, tenant: str, instance: str, body: bytes) -> dict[str, Any]:
    """Answered with 200 once it is proved to be the vendor's: whoever chose learns the rest where they chose."""
    where = request.url.path
    try:
        answers = hub.approvals.hears(tenant, instance).answers(request.headers, body)
    except UnsupportedError as error:
        raise ProblemError(
            404, "not-found", "nothing takes answers here", where=where, what_to_do="check tenant and connector"
        ) from error
    except AuthError as error:
        raise ProblemError(
            401, "unauthenticated", str(error), where=where, what_to_do="sign it with the secret of the connector"
        ) from error
    except MappingError as error:
        raise ProblemError(
            400, "not-an-answer", str(error), where=where, what_to_do="send only answers to the hub's requests here"
        ) from error
    outcomes: list[dict[str, str]] = []
    for one in answers:
        try:
            done = hub.approvals.heard(tenant, instance, one)
        except VoteError as error:
            outcomes.append({"about": one.about, "refused": error.kind.value})
        else:
            outcomes.append({"about": one.about, "state": str(done.state)})
    return {"outcomes": outcomes}


def _answered(hub: HubView, pages: Pages, link: Link | None, form: Mapping[str, list[str]]) -> Response:
    given, comment = form.get("answer", [""])[0], form.get("comment", [""])[0][:4000]
    found = hub.approvals.one(link.tenant, link.action_id) if link else None
    if link is None or given not in set(Choice):
        return link_page(pages, hub.clock(), link, found)
    try:
        hub.approvals.answer(link, Choice(given), comment)
    except VoteError as error:
        return link_page(pages, hub.clock(), link, found, refused=error, status=_STATUS[error.kind])
    return link_page(pages, hub.clock(), link, hub.approvals.one(link.tenant, link.action_id), given=Choice(given))


def _problem(error: VoteError, request: Request) -> ProblemError:
    return ProblemError(
        _STATUS[error.kind],
        f"approval-{error.kind}",
        str(error),
        where=request.url.path,
        what_to_do=REFUSALS[error.kind],
    )
