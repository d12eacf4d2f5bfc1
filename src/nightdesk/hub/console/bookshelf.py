"""The console's pages of playbooks: the shelf, and one playbook drawn. They change nothing."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from nightdesk.autonomy.playbooks.content import called_by
from nightdesk.autonomy.playbooks.run import Run, RunState
from nightdesk.autonomy.playbooks.soundness import faults_in
from nightdesk.hub.api.auth import Sessions
from nightdesk.hub.api.view import HubView, Principal
from nightdesk.hub.console.book_models import book_row, book_url, run_row
from nightdesk.hub.console.door import Door, Page, SignedOut
from nightdesk.hub.console.flow_drawing import draw_flow, in_words
from nightdesk.hub.console.forms import Forms
from nightdesk.hub.store.playbooks import runs

__all__ = ["Bookshelf"]

_MOST = 30


class Bookshelf:
    """The endpoints; what is another tenant's is as absent as what never was."""

    def __init__(self, hub: HubView, sessions: Sessions, page: Page) -> None:
        self._hub = hub
        self._forms = Forms(hub, sessions, "playbooks")
        self._page = page

    def add_to(self, routes: APIRouter, signed_out: SignedOut) -> None:
        """Its addresses, under the console's."""
        self._door = Door(self._forms, signed_out)
        for path, view in (
            ("/playbooks", self.shelf),
            ("/playbooks/runs", self.runs),
            ("/playbooks/books/{playbook_id}", self.book),
            ("/playbooks/books/{playbook_id}/runs", self.book_runs),
        ):
            routes.add_api_route(path, view, methods=["GET"])

    async def shelf(self, request: Request) -> Response:
        """Every playbook, which of them are ready, and the newest runs."""
        return await self._door.shown(request, self._shelf)

    async def runs(self, request: Request) -> Response:
        """The part of the shelf that is fetched again and again."""
        return await self._door.shown(request, lambda caller: self._runs(caller, ""), part=True)

    async def book(self, request: Request, playbook_id: str) -> Response:
        """One playbook, drawn and in words."""
        return await self._door.shown(request, lambda caller: self._book(caller, playbook_id))

    async def book_runs(self, request: Request, playbook_id: str) -> Response:
        """Its runs, fetched again and again."""
        return await self._door.shown(request, lambda caller: self._runs(caller, playbook_id), part=True)

    def _shelf(self, caller: Principal) -> Response:
        service = self._hub.playbooks
        library, tenant = service.library, service.tenants.get(caller.tenant)
        rows = [book_row(book, library, tenant) for book in library.playbooks.values()]
        rows.sort(key=lambda row: (bool(row.problems), row.name.lower()))
        model = {"caller": caller, "here": "playbooks", "books": rows, **self._rows(caller, "")}
        return self._page("playbooks.html", model, 200)

    def _runs(self, caller: Principal, playbook_id: str) -> Response:
        return self._page("playbook_runs.html", {"caller": caller, **self._rows(caller, playbook_id)}, 200)

    def _rows(self, caller: Principal, playbook_id: str) -> dict[str, Any]:
        service = self._hub.playbooks
        with self._hub.store.read() as conn:
            found = runs(conn, caller.tenant, playbook_id=playbook_id, limit=_MOST)
        shown = [run_row(run, service.shown(run)["waiting"] if _goes_on(run) else ()) for run in found]
        url = f"{book_url(playbook_id)}/runs" if playbook_id else "/console/playbooks/runs"
        return {"runs": shown, "runs_url": url, "caption": "Runs, newest first"}

    def _book(self, caller: Principal, playbook_id: str) -> Response:
        service = self._hub.playbooks
        book = service.library.get(playbook_id)
        if book is None:
            return self._missing(caller, "No such playbook", "It may have been taken out of the configuration.")
        called = called_by(book, service.library.get)
        row = book_row(book, service.library, service.tenants.get(caller.tenant))
        sound = not faults_in(book, service.library.get)
        model = {
            "caller": caller,
            "here": "playbooks",
            "book": row,
            "drawing": draw_flow(book) if sound else None,
            "words": in_words(book, called) if sound else [],
            **self._rows(caller, playbook_id),
        }
        return self._page("playbook.html", model, 200)

    def _missing(self, caller: Principal, heading: str, text: str) -> Response:
        return self._page("message.html", {"caller": caller, "here": "", "heading": heading, "text": text}, 404)


def _goes_on(run: Run) -> bool:
    return run.state is RunState.RUNNING
