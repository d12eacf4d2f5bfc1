"""The console's addresses: sign in, the queue of cases, one case; each shows only the signed-in tenant's."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles

from nightdesk.hub.api.auth import CONSOLE_ROLES, COOKIE, SESSION_HOURS, Sessions
from nightdesk.hub.api.bodies import read_body
from nightdesk.hub.api.playbooks import ACTS
from nightdesk.hub.api.view import HubView, Principal
from nightdesk.hub.console.answering import Answering
from nightdesk.hub.console.bookshelf import Bookshelf
from nightdesk.hub.console.download import case_bundle
from nightdesk.hub.console.enriched import known_of
from nightdesk.hub.console.holding import Holding, stuck_for
from nightdesk.hub.console.overseeing import Overseeing
from nightdesk.hub.console.pages import FOLDER, HEADERS, Pages
from nightdesk.hub.console.paging import place_of, token_for
from nightdesk.hub.console.presentation import PAGE, case_page_model, queue_model, version
from nightdesk.hub.console.run_glances import RunGlances
from nightdesk.hub.console.switchboard import Switchboard, stopped_for
from nightdesk.hub.store.decisions import latest_decisions
from nightdesk.hub.store.queries import CasePage, case_list, case_page, status_counts
from nightdesk.sdk.case import CaseStatus

__all__ = ["router", "static_files"]

_FORM_LIMIT = 16 * 1024
_STATUSES = frozenset(CaseStatus)


def static_files() -> StaticFiles:
    """Style sheet, script and mark; our own, so that the console works without any other host."""
    return StaticFiles(directory=FOLDER / "static")


def router(hub: HubView, sessions: Sessions) -> APIRouter:
    """Everything under ``/console``; no part of the described API."""
    routes = APIRouter(prefix="/console", include_in_schema=False)
    console = _Console(hub, sessions)
    for path, view, method in (
        ("/login", console.login, "GET"),
        ("/login", console.sign_in, "POST"),
        ("/logout", console.sign_out, "POST"),
        ("/", console.queue, "GET"),
        ("/rows", console.rows, "GET"),
        ("/cases/{case_id}", console.case, "GET"),
        ("/cases/{case_id}/version", console.case_version, "GET"),
        ("/cases/{case_id}/bundle", console.case_bundle, "GET"),
    ):
        routes.add_api_route(path, view, methods=[method])
    console.switchboard.add_to(routes, _to_sign_in)
    console.bookshelf.add_to(routes, _to_sign_in)
    console.answering.add_to(routes, _to_sign_in)
    console.overseeing.add_to(routes, _to_sign_in)
    console.holding.add_to(routes, _to_sign_in)
    return routes


class _Console:
    """The endpoints."""

    def __init__(self, hub: HubView, sessions: Sessions) -> None:
        self._hub = hub
        self._sessions = sessions
        self._pages = Pages()
        self.switchboard = Switchboard(hub, sessions, self._page)
        self._glances = RunGlances(hub)
        self.answering = Answering(hub, sessions, self._page, self._glances)
        self.bookshelf = Bookshelf(hub, sessions, self._page)
        self.overseeing = Overseeing(hub, sessions, self._page)
        self.holding = Holding(hub, sessions, self._page)

    async def login(self, request: Request) -> Response:
        """The form."""
        return self._form("", _following(request.query_params.get("next", "")), 200)

    async def sign_in(self, request: Request) -> Response:
        """Takes the form's token and gives a session for it."""
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return self._form("The form came from another site. Sign in here instead.", "/console/", 403)
        form = parse_qs((await read_body(request, _FORM_LIMIT)).data.decode("utf-8", "replace"))
        token, following = form.get("token", [""])[0].strip(), _following(form.get("next", [""])[0])
        found = self._hub.authenticate(token) if token else None
        if found is None:
            return self._form("This token is unknown, expired or revoked.", following, 401)
        if found.role not in CONSOLE_ROLES:
            return self._form("This token delivers alerts; it cannot look at the console.", following, 403)
        answer = RedirectResponse(following, status_code=303, headers=dict(HEADERS))
        answer.set_cookie(
            COOKIE,
            self._sessions.issue(found, self._hub.clock()),
            max_age=SESSION_HOURS * 3600,
            path="/console",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    async def sign_out(self) -> Response:
        """Ends the session in this browser."""
        answer = RedirectResponse("/console/login", status_code=303, headers=dict(HEADERS))
        answer.delete_cookie(COOKIE, path="/console", httponly=True, samesite="strict")
        return answer

    async def queue(self, request: Request) -> Response:
        """The cases of the tenant, newest change first."""
        caller = self._signed_in(request)
        if caller is None:
            return _to_sign_in(request)
        return self._page("queue.html", await self._queue(request, caller))

    async def rows(self, request: Request) -> Response:
        """The part of the queue that is fetched again and again."""
        caller = self._signed_in(request)
        if caller is None:
            return _over()
        return self._page("queue_rows.html", await self._queue(request, caller))

    async def case(self, request: Request, case_id: str) -> Response:
        """One case; another tenant's is as absent as one that never was."""
        caller = self._signed_in(request)
        if caller is None:
            return _to_sign_in(request)
        found = await self._read(caller, case_id)
        if found is None:
            return self._no_case(caller)

        def work() -> Response:
            now = self._hub.clock()
            with self._hub.store.read() as connection:
                model = case_page_model(found, now, known_of(connection, found, now))
            return self._page("case.html", {"caller": caller, "here": "case", "may": caller.role in ACTS, **model})

        return await run_in_threadpool(work)

    async def case_version(self, request: Request, case_id: str) -> Response:
        """What an open case page compares itself with."""
        caller = self._signed_in(request)
        if caller is None:
            return _over()
        found = await self._read(caller, case_id)
        if found is None:
            return PlainTextResponse("no such case", status_code=404, headers=dict(HEADERS))
        return PlainTextResponse(version(found), headers=dict(HEADERS))

    async def case_bundle(self, request: Request, case_id: str) -> Response:
        """The case's STIX objects as a file."""
        caller = self._signed_in(request)
        if caller is None:
            return _to_sign_in(request)
        found = await self._read(caller, case_id)
        if found is None:
            return self._no_case(caller)
        name = quote(f"{caller.tenant}-{case_id}.stix.json", safe="")
        return StreamingResponse(
            case_bundle(self._hub.store, found.case),
            media_type="application/stix+json;version=2.1",
            headers={**HEADERS, "Content-Disposition": f"attachment; filename*=UTF-8''{name}"},
        )

    def _signed_in(self, request: Request) -> Principal | None:
        return self._sessions.caller(request, self._hub)

    def _page(self, template: str, model: Mapping[str, Any], status: int = 200) -> Response:
        stopped = stopped_for(self._hub, model["caller"])
        waits = self._glances.waiting(model["caller"])
        stuck = stuck_for(self._hub, model["caller"])
        return self._pages.page(
            template,
            {"stopped": stopped, "waits": waits, "stuck": stuck, **model},
            now=self._hub.clock(),
            status=status,
        )

    def _form(self, problem: str, following: str, status: int) -> Response:
        model = {"caller": None, "here": "", "hours": SESSION_HOURS, "problem": problem, "next": following}
        return self._page("login.html", model, status)

    def _no_case(self, caller: Principal) -> Response:
        text = "This tenant has no such case. It may belong to another tenant, or its address was cut off."
        model = {"caller": caller, "here": "", "heading": "No such case", "text": text}
        return self._page("message.html", model, 404)

    async def _read(self, caller: Principal, case_id: str) -> CasePage | None:
        def work() -> CasePage | None:
            with self._hub.store.read() as connection:
                return case_page(connection, caller.tenant, case_id)

        return await run_in_threadpool(work)

    async def _queue(self, request: Request, caller: Principal) -> dict[str, Any]:
        given = request.query_params
        status = given["status"] if given.get("status") in _STATUSES else ""
        before = given.get("before", "")
        found = place_of(before, 2)
        position = (found[0], found[1]) if found else None

        def work() -> dict[str, Any]:
            with self._hub.store.read() as connection:
                counts = status_counts(connection, caller.tenant)
                rows = case_list(connection, caller.tenant, status=status or None, limit=PAGE + 1, before=position)
                latest = latest_decisions(connection, caller.tenant, [row.case_id for row in rows[:PAGE]])
            older = token_for(rows[PAGE - 1].position) if len(rows) > PAGE else ""
            here = before if position else ""
            return queue_model(rows[:PAGE], latest, counts, status=status, before=here, older=older)

        notices = self._hub.notices.standing(caller.tenant)
        return {"caller": caller, "here": "queue", "notices": notices, **await run_in_threadpool(work)}


def _over() -> Response:
    return PlainTextResponse("the session is over", status_code=401, headers=dict(HEADERS))


def _to_sign_in(request: Request) -> Response:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/console/login?next={quote(here, safe='')}", status_code=303, headers=dict(HEADERS))


def _following(given: str) -> str:
    """Where to go after signing in: a path of the console, never another host."""
    parts = urlsplit(given)
    inside = not parts.scheme and not parts.netloc and parts.path.startswith("/console/") and "\\" not in given
    return given if inside else "/console/"
