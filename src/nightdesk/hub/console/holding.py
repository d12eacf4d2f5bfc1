"""The console's pages of what is in force: the list by its end, and one effect with forms to undo or to keep it.

The forms stand beside the part that keeps itself up to date, so that nothing is replaced under somebody's hands.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from nightdesk.autonomy.actions import Action
from nightdesk.hub.api.auth import Sessions
from nightdesk.hub.api.playbooks import ACTS
from nightdesk.hub.api.view import HubView, Principal
from nightdesk.hub.console.door import Door, Page, SignedOut
from nightdesk.hub.console.forms import Forms
from nightdesk.hub.console.lease_models import (
    CHOICES,
    choices_of,
    facts_of,
    lease_row,
    no_undo,
    undo_text,
    version_of,
    whose,
)
from nightdesk.hub.console.pages import HEADERS
from nightdesk.hub.console.presentation import case_url, lease_url
from nightdesk.hub.held import held
from nightdesk.hub.keeping import HELD, action_of, can_be_kept, can_be_undone, in_force, keep_longer, stuck, take_back
from nightdesk.sdk.errors import PolicyError

__all__ = ["PATH", "Holding", "stuck_for"]

PATH = "/console/leases"
_PAGE = 50
_MOST = 1000  # characters of a reason
_NO_REASON = "Nothing was done: say why it is taken back."
_NO_TIME = "Nothing was done: choose one of the times that the form offers."
_MISSING = "This tenant has no such action. It may belong to another tenant, or its address was cut off."

_Wish = Callable[[Principal, str, Mapping[str, str]], tuple[str, int]]


def stuck_for(hub: HubView, caller: Principal | None) -> int:
    """The count beside the page's name in the navigation: what is there though it should be gone."""
    return len(stuck(hub.store, caller.tenant, hub.clock())) if caller else 0


class Holding:
    """The endpoints; what is another tenant's is as absent as what never was."""

    def __init__(self, hub: HubView, sessions: Sessions, page: Page) -> None:
        self._hub = hub
        self._forms = Forms(hub, sessions, "leases")
        self._page = page

    def add_to(self, routes: APIRouter, signed_out: SignedOut) -> None:
        """Its addresses, under the console's."""
        self._door = Door(self._forms, signed_out)
        routes.add_api_route("/leases", self.leases, methods=["GET"])
        routes.add_api_route("/leases/rows", self.rows, methods=["GET"])
        routes.add_api_route("/leases/{action_id}", self.lease, methods=["GET"])
        routes.add_api_route("/leases/{action_id}/live", self.live, methods=["GET"])
        routes.add_api_route("/leases/{action_id}/version", self.version, methods=["GET"])
        routes.add_api_route("/leases/{action_id}/undo", self.undo, methods=["POST"])
        routes.add_api_route("/leases/{action_id}/renew", self.renew, methods=["POST"])

    async def leases(self, request: Request) -> Response:
        """What is held, what is in trouble first."""
        number = _number(request)
        return await self._door.shown(request, lambda caller: self._list(caller, number, "leases.html"))

    async def rows(self, request: Request) -> Response:
        """The part of the list that is fetched again and again."""
        number = _number(request)
        return await self._door.shown(request, lambda caller: self._list(caller, number, "leases_rows.html"), part=True)

    async def lease(self, request: Request, action_id: str) -> Response:
        """One effect, and what may be done with it."""
        return await self._door.shown(request, lambda caller: self._one(request, caller, action_id, "lease.html"))

    async def live(self, request: Request, action_id: str) -> Response:
        """The part of its page that is fetched again and again."""
        return await self._door.shown(
            request, lambda caller: self._one(request, caller, action_id, "lease_live.html"), part=True
        )

    async def version(self, request: Request, action_id: str) -> Response:
        """What an open page compares its forms with."""
        return await self._door.shown(request, lambda caller: self._version(caller, action_id), part=True)

    async def undo(self, request: Request, action_id: str) -> Response:
        """Asks for its undo; the page with the reason when it cannot be."""
        return await self._carry_out(request, action_id, self._take_back)

    async def renew(self, request: Request, action_id: str) -> Response:
        """Keeps it longer; the page with the reason when it cannot be."""
        return await self._carry_out(request, action_id, self._keep)

    async def _carry_out(self, request: Request, action_id: str, take: _Wish) -> Response:
        return await self._door.sent(
            request,
            ACTS,
            lambda caller, form: take(caller, action_id, form),
            lambda caller, problem, status: self._one(
                request, caller, action_id, "lease.html", problem=problem, status=status
            ),
            there=lease_url(action_id),
        )

    def _take_back(self, caller: Principal, action_id: str, form: Mapping[str, str]) -> tuple[str, int]:
        """Why the undo was not asked for, and HTTP's word for it."""
        reason = form.get("reason", "")[:_MOST]
        if not reason:
            return _NO_REASON, 422
        try:
            asked = take_back(
                self._hub.store, self._hub.engine, caller.tenant, action_id, by=caller.name, reason=reason
            )
        except PolicyError as error:
            return f"{error}.", 409
        self._hub.wake()
        return ("", 303) if asked else (_MISSING, 404)

    def _keep(self, caller: Principal, action_id: str, form: Mapping[str, str]) -> tuple[str, int]:
        """Why it is not kept longer, and HTTP's word for it."""
        if form.get("hours", "") not in CHOICES:
            return _NO_TIME, 422
        store, until = self._hub.store, self._hub.clock() + timedelta(hours=int(form["hours"]))
        reason = form.get("reason", "")[:_MOST]
        try:
            kept = keep_longer(store, self._hub.engine, caller.tenant, action_id, until, by=caller.name, reason=reason)
        except PolicyError as error:
            return f"{error}.", 409
        return ("", 303) if kept else (_MISSING, 404)

    def _list(self, caller: Principal, first: int, template: str) -> Response:
        found = in_force(self._hub.store, caller.tenant, self._hub.clock())
        shown = found[first : first + _PAGE]
        model = {
            "caller": caller,
            "here": "leases",
            "rows": [lease_row(*one) for one in shown],
            "held": len(found),
            "may": caller.role in ACTS,
            "rows_url": f"{PATH}/rows{_from(first)}",
            "first_url": PATH if first else "",
            "more_url": f"{PATH}{_from(first + _PAGE)}" if len(found) > first + _PAGE else "",
        }
        return self._page(template, model, 200)

    def _one(
        self,
        request: Request,
        caller: Principal,
        action_id: str,
        template: str,
        *,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        action = action_of(self._hub.store, caller.tenant, action_id)
        if action is None:
            return self._missing(caller)
        may, now = caller.role in ACTS, self._hub.clock()
        there = held([action], now) if action.state in HELD else []
        model = {
            "caller": caller,
            "here": "leases",
            "action": action,
            "row": lease_row(action, there[0]) if there else None,
            "facts": facts_of(action),
            "case_url": case_url(action.case_id),
            "may": may,
            "undo": undo_text(action) if may and can_be_undone(action) else "",
            "again": bool(action.result.get("undo_round")),
            "why_not": no_undo(action),
            "choices": choices_of(action, now) if may and not whose(action, caller.name) else [],
            "kept": may and can_be_kept(action),
            "mine": whose(action, caller.name),
            "form": self._forms.token(request),
            "problem": problem,
            "version": version_of(action),
            "url": lease_url(action.action_id),
        }
        return self._page(template, model, status)

    def _version(self, caller: Principal, action_id: str) -> Response:
        action: Action | None = action_of(self._hub.store, caller.tenant, action_id)
        if action is None:
            return PlainTextResponse("no such action", status_code=404, headers=dict(HEADERS))
        return PlainTextResponse(version_of(action), headers=dict(HEADERS))

    def _missing(self, caller: Principal) -> Response:
        text = "This tenant has no such action. It may belong to another tenant, or its address was cut off."
        return self._page(
            "message.html", {"caller": caller, "here": "", "heading": "No such action", "text": text}, 404
        )


def _number(request: Request) -> int:
    """How many of the list were on the pages before; what is no number begins at the first."""
    given = request.query_params.get("from", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 7 else 0


def _from(first: int) -> str:
    return f"?from={first}" if first else ""
