"""The console's page of what waits for persons, and the page that a link in a mail leads to."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response

from nightdesk.autonomy.approvals import Ballot, Choice, Refused, VoteError
from nightdesk.hub.api.auth import COOKIE, Sessions
from nightdesk.hub.api.bodies import read_body
from nightdesk.hub.api.view import HubView, Principal
from nightdesk.hub.approvals.desk import Waiting
from nightdesk.hub.approvals.links import Link
from nightdesk.hub.approvals.wording import lines_of, title_of
from nightdesk.hub.console.holding import stuck_for
from nightdesk.hub.console.pages import HEADERS, Pages
from nightdesk.hub.console.run_glances import RunGlances
from nightdesk.hub.console.switchboard import stopped_for

__all__ = ["REFUSALS", "link_page", "router"]

REFUSALS: Mapping[Refused, str] = {
    Refused.UNKNOWN: "look at what waits now; this is not among it",
    Refused.TOO_LATE: "nothing was done; whoever wants it asks for it again",
    Refused.NOT_ENTITLED: "ask somebody with the role approver or admin who did not request it",
    Refused.CHANGED: "look at it again as it is now, and answer that",
    Refused.ANSWERED: "there is nothing left to do",
    Refused.NOT_READY: "wait until its connector is found, or reject it",
}
"""What a person can do next."""

_HEADINGS: Mapping[Refused, str] = {
    Refused.UNKNOWN: "Nothing like this waits",
    Refused.TOO_LATE: "Too late",
    Refused.NOT_ENTITLED: "You may not answer this",
    Refused.CHANGED: "It was changed since you saw it",
    Refused.ANSWERED: "Already answered",
    Refused.NOT_READY: "Not ready to be approved",
}
_FORM = 16 * 1024
_HERE = "/console/approvals"


def router(hub: HubView, sessions: Sessions) -> APIRouter:
    """The page and its forms; no part of the described API."""
    routes = APIRouter(prefix=_HERE, include_in_schema=False)
    page = _Page(hub, sessions)
    routes.add_api_route("", page.show, methods=["GET"])
    routes.add_api_route("/{action_id}", page.answer, methods=["POST"])
    return routes


def link_page(  # what a page shows, each by its name
    pages: Pages,
    now: datetime,
    link: Link | None,
    found: Waiting | None,
    *,
    refused: VoteError | None = None,
    given: Choice | None = None,
    status: int = 200,
) -> Response:
    """What somebody sees who followed a link: the facts and two buttons, or why there are none (any more)."""
    model: dict[str, Any] = {"caller": None, "here": "", "link": link, "lines": [], "title": "", "open": False}
    if refused is not None:
        heading, text = _HEADINGS[refused.kind], f"{refused}. What to do: {REFUSALS[refused.kind]}."
    elif link is None or found is None:
        heading, status = "This link is not good", 404
        text = "It was cut off, nobody here made it, or answers are given at the console now."
    elif given is not None:
        more = f" {found.request.missing} more must agree." if found.is_open else ""
        heading, text = "Thank you", f"Your answer ({given}) was taken.{more}"
    elif why := _closed(link, found, now):
        heading, text = _HEADINGS[why], f"Nothing was done by opening this page: {REFUSALS[why]}."
        status = 410
    else:
        heading, text = title_of(found.facts), f"You answer as {link.person}. Nothing is done by opening this page."
        model |= {"open": True, "lines": _rows(found), "request": found.request, "votes": found.request.votes}
    return pages.page("approve_link.html", {**model, "heading": heading, "text": text}, now=now, status=status)


def _closed(link: Link, found: Waiting, now: datetime) -> Refused | None:
    """Why the link's page has no buttons."""
    if any(link.person in {vote["who"], vote["for"]} for vote in found.request.votes):
        return Refused.ANSWERED
    if not found.is_open:
        return Refused.TOO_LATE if found.action.state == "cancelled" else Refused.ANSWERED
    if now >= min(link.until, found.request.ends):
        return Refused.TOO_LATE
    return Refused.CHANGED if link.digest != found.request.digest else None


def _rows(found: Waiting) -> list[tuple[str, str]]:
    return [(line.label, line.value) for line in lines_of(found.facts)]


class _Page:
    """What waits, and answers to it."""

    def __init__(self, hub: HubView, sessions: Sessions) -> None:
        self._hub = hub
        self._sessions = sessions
        self._pages = Pages()
        self._glances = RunGlances(hub)

    async def show(self, request: Request) -> Response:
        """Everything that waits, with all of its facts."""
        caller = self._signed_in(request)
        if caller is None:
            return RedirectResponse(f"/console/login?next={quote(_HERE, safe='')}", 303, headers=dict(HEADERS))
        return await run_in_threadpool(self._shown, request, caller, "", 200)

    async def answer(self, request: Request, action_id: str) -> Response:
        """One answer, from a form that this session was given."""
        caller = self._signed_in(request)
        if caller is None:
            return RedirectResponse(f"/console/login?next={quote(_HERE, safe='')}", 303, headers=dict(HEADERS))
        form = parse_qs((await read_body(request, _FORM)).data.decode("utf-8", "replace"))
        said = {name: values[0] for name, values in form.items()}
        ours = self._sessions.is_form(said.get("form", ""), request.cookies.get(COOKIE, ""), action_id)
        same = request.headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
        if not ours or not same or said.get("answer") not in set(Choice):
            problem = "This form was not made for your session, so nothing was done. Answer again here."
            return await run_in_threadpool(self._shown, request, caller, problem, 403)
        ballot = Ballot(
            caller.name,
            Choice(said["answer"]),
            said.get("digest", ""),
            "console",
            said.get("on_behalf", ""),
            said.get("comment", "")[:4000],
        )
        try:
            await run_in_threadpool(self._hub.approvals.vote, caller.tenant, action_id, ballot)
        except VoteError as error:
            problem = f"{_HEADINGS[error.kind]}. {error}. What to do: {REFUSALS[error.kind]}."
            return await run_in_threadpool(self._shown, request, caller, problem, 409)
        return RedirectResponse(_HERE, 303, headers=dict(HEADERS))

    def _shown(self, request: Request, caller: Principal, problem: str, status: int) -> Response:
        cookie = request.cookies.get(COOKIE, "")
        rules = self._hub.approvals.rules(caller.tenant)
        rows = [
            {
                "action": one.action,
                "title": title_of(one.facts),
                "lines": _rows(one),
                "request": one.request,
                "asked_at": datetime.fromisoformat(one.request.asked_at),
                "ends": one.request.ends,
                "form": self._sessions.form(cookie, one.action.action_id),
                "mine": rules.is_same(caller.name, one.action.requested_by),
            }
            for one in self._hub.approvals.waiting(caller.tenant)
        ]
        standing_in = self._hub.approvals.delegations(caller.tenant)
        may = rules.entitled(caller.name) or any(rules.is_same(one.taker, caller.name) for one in standing_in)
        model = {"caller": caller, "here": "approvals", "rows": rows, "may": may, "problem": problem}
        model |= {"stopped": stopped_for(self._hub, caller), "waits": self._glances.waiting(caller)}
        model |= {"stuck": stuck_for(self._hub, caller)}
        return self._pages.page("approvals.html", model, now=self._hub.clock(), status=status)

    def _signed_in(self, request: Request) -> Principal | None:
        return self._sessions.caller(request, self._hub)
