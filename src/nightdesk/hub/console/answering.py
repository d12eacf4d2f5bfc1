"""The console's pages of runs: the list, one run as it goes on, and a form for each step that waits for a person.

The forms stand beside the part that keeps itself up to date, so that nothing is replaced under somebody's hands.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.run import Run
from nightdesk.hub.api.auth import Sessions
from nightdesk.hub.api.playbooks import ACTS
from nightdesk.hub.api.view import HubView, Principal
from nightdesk.hub.console.book_models import (
    book_url,
    books_of,
    run_row,
    run_url,
    standings_of,
    waiting_rows,
    waits_of,
)
from nightdesk.hub.console.door import Door, Page, SignedOut
from nightdesk.hub.console.flow_drawing import draw_flow, in_words
from nightdesk.hub.console.forms import Forms
from nightdesk.hub.console.pages import HEADERS
from nightdesk.hub.console.paging import place_of, token_for
from nightdesk.hub.console.run_glances import Place, RunGlances
from nightdesk.hub.console.run_models import forms_of, happenings_of, steps_of, version_of
from nightdesk.hub.console.veil import Veil
from nightdesk.hub.playbooks.questions import asked_of
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.playbooks import run_of
from nightdesk.hub.store.run_list import action_states, runs_named
from nightdesk.sdk.errors import PolicyError, UnsupportedError

__all__ = ["PATH", "Answering"]

PATH = "/console/runs"
_PAGE = 30


class Answering:
    """The endpoints; what is another tenant's is as absent as what never was."""

    def __init__(self, hub: HubView, sessions: Sessions, page: Page, glances: RunGlances) -> None:
        self._hub = hub
        self._forms = Forms(hub, sessions, "runs")
        self._page = page
        self._glances = glances

    def add_to(self, routes: APIRouter, signed_out: SignedOut) -> None:
        """Its addresses, under the console's."""
        self._door = Door(self._forms, signed_out)
        routes.add_api_route("/runs", self.runs, methods=["GET"])
        routes.add_api_route("/runs/rows", self.rows, methods=["GET"])
        routes.add_api_route("/playbooks/runs/{run_id}", self.run, methods=["GET"])
        routes.add_api_route("/playbooks/runs/{run_id}/live", self.live, methods=["GET"])
        routes.add_api_route("/playbooks/runs/{run_id}/version", self.version, methods=["GET"])
        routes.add_api_route("/playbooks/runs/{run_id}/answers", self.answer, methods=["POST"])

    async def runs(self, request: Request) -> Response:
        """The tenant's runs, those first that wait for a person."""
        before = request.query_params.get("before", "")
        return await self._door.shown(request, lambda caller: self._list(caller, before, "runs.html"))

    async def rows(self, request: Request) -> Response:
        """The part of the list that is fetched again and again."""
        before = request.query_params.get("before", "")
        return await self._door.shown(request, lambda caller: self._list(caller, before, "runs_rows.html"), part=True)

    async def run(self, request: Request, run_id: str) -> Response:
        """One run with the state of each step, and what may be answered."""
        return await self._door.shown(request, lambda caller: self._run(request, caller, run_id, "playbook_run.html"))

    async def live(self, request: Request, run_id: str) -> Response:
        """The part of the run's page that is fetched again and again."""
        return await self._door.shown(
            request, lambda caller: self._run(request, caller, run_id, "playbook_live.html"), part=True
        )

    async def version(self, request: Request, run_id: str) -> Response:
        """What an open page compares its forms with."""
        return await self._door.shown(request, lambda caller: self._version(caller, run_id), part=True)

    async def answer(self, request: Request, run_id: str) -> Response:
        """Takes one answer; the page with the reason when it cannot."""
        return await self._door.sent(
            request,
            ACTS,
            lambda caller, form: self._take(caller, run_id, form),
            lambda caller, problem, status: self._run(
                request, caller, run_id, "playbook_run.html", problem=problem, status=status
            ),
            there=run_url(run_id),
        )

    def _take(self, caller: Principal, run_id: str, form: Mapping[str, str]) -> tuple[str, int]:
        """Why the answer was not taken, and HTTP's word for it."""
        service, done = self._hub.playbooks, "failed" not in form
        if not form.get("key") or not form.get("digest"):
            return "Nothing was done: the form names no question. Send one of these instead.", 422
        try:
            text = _answer(service.run(caller.tenant, run_id), form) if done else ""
            facts: dict[str, Any] = {"by": caller.name, "text": text, "done": done, "shown": form["digest"]}
            service.answer(caller.tenant, run_id, form["key"], **facts)
        except (PolicyError, UnsupportedError) as error:
            return f"{error}.", 409
        self._hub.wake()
        return "", 303

    def _list(self, caller: Principal, before: str, template: str) -> Response:
        found = place_of(before, 3)
        last = Place(*found) if found else None
        with self._hub.store.read() as conn:
            places = self._glances.page(conn, caller.tenant, before=last, limit=_PAGE + 1)
            known = runs_named(conn, caller.tenant, [place.run_id for place in places[:_PAGE]])
            actions = {one.action_id for _, run in known.values() for one in run.branches.values() if one.action_id}
            states = action_states(conn, caller.tenant, actions)
        shown = [known[place.run_id][1] for place in places[:_PAGE] if place.run_id in known]
        here = {"before": before} if last else {}
        model = {
            "caller": caller,
            "here": "runs",
            "runs": [run_row(run, waits_of(run, states)) for run in shown],
            "caption": "Runs: what waits for a person, what goes on, what is over; each newest first",
            "runs_url": _address(f"{PATH}/rows", here),
            "newest_url": PATH if last else "",
            "older_url": _address(PATH, {"before": token_for(places[_PAGE - 1])}) if len(places) > _PAGE else "",
        }
        return self._page(template, model, 200)

    def _run(
        self, request: Request, caller: Principal, run_id: str, template: str, *, problem: str = "", status: int = 200
    ) -> Response:
        run = self._read(caller, run_id)
        if run is None:
            return self._missing(caller)
        journal, veil, may = SqlJournal(self._hub.store), Veil(run), caller.role in ACTS
        shown = self._hub.playbooks.shown(run)
        standings = standings_of(run, journal)
        actions = {one: action for one in run.actions if (action := journal.get(run.tenant, one)) is not None}
        history = {one: journal.history(run.tenant, one) for one in actions}
        happenings, left_out = happenings_of(run, actions, history, veil)
        books = books_of(run)
        called: dict[str, Playbook] = {book.id: book for book in books[1:]}
        waiting = [{**row, "text": veil.text(row["text"])} for row in waiting_rows(run, shown, journal, may=may)]
        model = {
            "caller": caller,
            "here": "runs",
            "run": run,
            "row": run_row(run, shown["waiting"]),
            "waiting": waiting,
            "variables": veil.variables(shown["variables"]),
            "drawings": [draw_flow(book, standings, of_run=True) for book in books],
            "titles": [book.name for book in books],
            "words": in_words(books[0], called, standings),
            "steps": steps_of(run, standings, actions, veil),
            "happenings": happenings,
            "left_out": left_out,
            "forms": forms_of(run, veil) if may else [],
            "may": may,
            "form": self._forms.token(request),
            "problem": veil.text(problem),
            "version": version_of(run),
            "book_url": book_url(run.playbook_id),
            "url": run_url(run_id),
            "live_url": f"{run_url(run_id)}/live",
        }
        return self._page(template, model, status)

    def _version(self, caller: Principal, run_id: str) -> Response:
        run = self._read(caller, run_id)
        if run is None:
            return PlainTextResponse("no such run", status_code=404, headers=dict(HEADERS))
        return PlainTextResponse(version_of(run), headers=dict(HEADERS))

    def _read(self, caller: Principal, run_id: str) -> Run | None:
        with self._hub.store.read() as conn:
            stored = run_of(conn, caller.tenant, run_id)
        return stored.run if stored else None

    def _missing(self, caller: Principal) -> Response:
        text = "This tenant has no such run of a playbook."
        return self._page("message.html", {"caller": caller, "here": "", "heading": "No such run", "text": text}, 404)


def _answer(run: Run, form: Mapping[str, str]) -> str:
    """The answer as the playbook has it: forms name it by its number, which says nothing but to the question shown."""
    question = next((one for one in asked_of(run) if one.digest == form["digest"]), None)
    by_number = {str(number): text for number, text in enumerate(question.answers if question else ())}
    return by_number.get(form.get("choice", ""), form.get("answer", "").replace("\r\n", "\n"))


def _address(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
