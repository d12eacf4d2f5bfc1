"""The console's page of switches: what is stopped, a form to stop, and forms to ask for or confirm a start."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response

from nightdesk.autonomy.switches import Position, Scope, Switch
from nightdesk.hub import switching
from nightdesk.hub.api.auth import Sessions
from nightdesk.hub.api.view import HubView, Principal
from nightdesk.hub.console.forms import Forms
from nightdesk.hub.console.pages import HEADERS
from nightdesk.hub.store import switches
from nightdesk.sdk.errors import PolicyError

__all__ = ["PATH", "Switchboard", "stopped_for"]

PATH = "/console/switches"
_SCOPES = (Scope.TENANT, Scope.RULE, Scope.VENDOR_ACTION)

Page = Callable[[str, Mapping[str, Any], int], Response]


def stopped_for(hub: HubView, caller: Principal | None) -> list[Position]:
    """What the banner of every page tells."""
    if caller is None:
        return []
    with hub.store.read() as conn:
        return [one.told() for one in switches.positions(conn, caller.tenant)]


class Switchboard:
    """The endpoints. A form counts only with the token that its page was given for this very session."""

    def __init__(self, hub: HubView, sessions: Sessions, page: Page) -> None:
        self._hub = hub
        self._forms = Forms(hub, sessions, "switches")
        self._page = page

    def add_to(self, routes: APIRouter, signed_out: Callable[[Request], Response]) -> None:
        """Its addresses, under the console's."""
        self._signed_out = signed_out
        routes.add_api_route("/switches", self.show, methods=["GET"])
        routes.add_api_route("/switches/stop", self.stop, methods=["POST"])
        routes.add_api_route("/switches/start", self.start, methods=["POST"])

    async def show(self, request: Request) -> Response:
        """The page."""
        caller = self._forms.caller(request)
        if caller is None:
            return self._signed_out(request)
        return await run_in_threadpool(self._shown, request, caller, "", 200)

    async def stop(self, request: Request) -> Response:
        """Stops what the form names."""
        return await self._carry_out(request, switching.STOPS, self._stop)

    async def start(self, request: Request) -> Response:
        """Asks for a start, or confirms what another person asked for."""
        return await self._carry_out(request, switching.STARTS, self._start)

    def _stop(self, caller: Principal, switch: Switch, reason: str) -> None:
        missing = self._hub.missing(switch)
        switching.stop(self._hub.store, switch, by=caller.name, reason=reason, missing=missing)

    def _start(self, caller: Principal, switch: Switch, reason: str) -> None:
        known, rules = self._hub.principal, self._hub.oversight.rules
        switching.start(self._hub.store, switch, by=caller, reason=reason, known=known, rules=rules)

    async def _carry_out(
        self, request: Request, roles: frozenset[Any], work: Callable[[Principal, Switch, str], None]
    ) -> Response:
        caller = self._forms.caller(request)
        if caller is None:
            return self._signed_out(request)
        form, problem, status = await self._forms.sent(request, caller, roles)
        if not problem and form.get("sure") != "yes":
            problem, status = "Nothing was done: tick the box that says you mean it.", 422
        if not problem:
            try:
                switch = Switch(caller.tenant, _scope(form), form.get("subject", ""))
                await run_in_threadpool(work, caller, switch, form.get("reason", ""))
            except PolicyError as error:
                problem, status = str(error), 409
        if problem:
            return await run_in_threadpool(self._shown, request, caller, problem, status)
        return RedirectResponse(PATH, status_code=303, headers=dict(HEADERS))

    def _shown(self, request: Request, caller: Principal, problem: str, status: int) -> Response:
        with self._hub.store.read() as conn:
            known = switches.known(conn, caller.tenant)
            lines = switches.history(conn, caller.tenant)
        model = {
            "caller": caller,
            "here": "switches",
            "problem": problem,
            "form": self._forms.token(request),
            "known": [one.told() for one in known],
            "history": lines,
            "scopes": [scope.value for scope in _SCOPES],
            "may_stop": caller.role in switching.STOPS,
            "may_start": caller.role in switching.STARTS,
        }
        return self._page("switches.html", model, status)


def _scope(form: Mapping[str, str]) -> Scope:
    """The form's scope. Raises PolicyError for one that a tenant's person has no switch of."""
    given = form.get("scope", "")
    if given not in _SCOPES:
        raise PolicyError(f"{given!r} cannot be stopped here; choose {', '.join(_SCOPES)}")
    return Scope(given)
