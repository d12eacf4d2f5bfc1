"""The console's pages of earned autonomy: levels with their evidence, and a queue without a word of the machine."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response

from nightdesk.autonomy.evaluation.curve import sparkline
from nightdesk.autonomy.levels.standing import Level
from nightdesk.autonomy.levels.units import Unit
from nightdesk.hub.api.auth import Sessions
from nightdesk.hub.api.view import HubView, Principal, Role
from nightdesk.hub.console.forms import Forms
from nightdesk.hub.console.pages import HEADERS
from nightdesk.hub.oversight import judging, raising
from nightdesk.hub.oversight.persons import JUDGES, RAISES, WITHDRAWS
from nightdesk.hub.oversight.picture import Picture, picture
from nightdesk.hub.oversight.queue import queue
from nightdesk.sdk.case import Verdict
from nightdesk.sdk.errors import PolicyError

__all__ = ["JUDGE", "PATH", "Overseeing"]

PATH = "/console/autonomy"
JUDGE = "/console/autonomy/judge"

Page = Callable[[str, Mapping[str, Any], int], Response]
Work = Callable[[Principal, Mapping[str, str]], object]


class Overseeing:
    """The endpoints. A form counts only with the token that its page was given for this very session."""

    def __init__(self, hub: HubView, sessions: Sessions, page: Page) -> None:
        self._hub = hub
        self._forms = Forms(hub, sessions, "autonomy")
        self._page = page

    def add_to(self, routes: APIRouter, signed_out: Callable[[Request], Response]) -> None:
        """Its addresses, under the console's."""
        self._signed_out = signed_out
        routes.add_api_route("/autonomy", self.show, methods=["GET"])
        routes.add_api_route("/autonomy/judge", self.waiting, methods=["GET"])
        routes.add_api_route("/autonomy/judge", self.judge, methods=["POST"])
        routes.add_api_route("/autonomy/promote", self.promote, methods=["POST"])
        routes.add_api_route("/autonomy/agree", self.agree, methods=["POST"])
        routes.add_api_route("/autonomy/withdraw", self.withdraw, methods=["POST"])

    async def show(self, request: Request) -> Response:
        """Levels, evidence, samples and canaries."""
        caller = self._forms.caller(request)
        if caller is None:
            return self._signed_out(request)
        return await run_in_threadpool(self._levels, request, caller, "", 200)

    async def waiting(self, request: Request) -> Response:
        """What waits for this person, blind."""
        caller = self._forms.caller(request)
        if caller is None:
            return self._signed_out(request)
        return await run_in_threadpool(self._queue, request, caller, "", 200)

    async def judge(self, request: Request) -> Response:
        """Takes a verdict."""
        return await self._carry_out(request, JUDGES, self._judge, self._queue, JUDGE)

    async def promote(self, request: Request) -> Response:
        """Takes the first person's wish."""
        return await self._carry_out(request, RAISES, self._promote, self._levels, PATH)

    async def agree(self, request: Request) -> Response:
        """Takes the second person's word."""
        return await self._carry_out(request, RAISES, self._agree, self._levels, PATH)

    async def withdraw(self, request: Request) -> Response:
        """Lowers at once."""
        return await self._carry_out(request, WITHDRAWS, self._withdraw, self._levels, PATH)

    def _judge(self, caller: Principal, form: Mapping[str, str]) -> object:
        about, verdict, comment = form.get("item", ""), form.get("verdict", ""), form.get("comment", "")
        return judging.judge(
            self._hub.oversight, caller.tenant, by=caller, about=about, verdict=verdict, comment=comment
        )

    def _promote(self, caller: Principal, form: Mapping[str, str]) -> object:
        unit = _unit(caller, form)
        top = Level.CONTAIN if unit.decides.contains else Level.CLOSE
        return raising.promote(self._hub.oversight, unit, top, by=caller, reason=form.get("reason", ""))

    def _agree(self, caller: Principal, form: Mapping[str, str]) -> object:
        return raising.agree(self._hub.oversight, _unit(caller, form), by=caller, reason=form.get("reason", ""))

    def _withdraw(self, caller: Principal, form: Mapping[str, str]) -> object:
        unit, reason = _unit(caller, form), form.get("reason", "")
        return raising.withdraw(self._hub.oversight, unit, Level.RECOMMEND, by=caller, reason=reason)

    async def _carry_out(
        self,
        request: Request,
        roles: frozenset[Role],
        work: Work,
        again: Callable[[Request, Principal, str, int], Response],
        following: str,
    ) -> Response:
        caller = self._forms.caller(request)
        if caller is None:
            return self._signed_out(request)
        form, problem, status = await self._forms.sent(request, caller, roles)
        if not problem:
            try:
                await run_in_threadpool(work, caller, form)
            except PolicyError as error:
                problem, status = str(error), 409
        if problem:
            return await run_in_threadpool(again, request, caller, problem, status)
        return RedirectResponse(following, status_code=303, headers=dict(HEADERS))

    def _levels(self, request: Request, caller: Principal, problem: str, status: int) -> Response:
        found = picture(self._hub.oversight, caller.tenant)
        model = {
            **self._common(request, caller, problem),
            "picture": found,
            "coverage": sparkline([share for _, share in found.curve.points]),
            "units": _units(found),
            "may_raise": caller.role in RAISES,
            "may_withdraw": caller.role in WITHDRAWS,
            "may_judge": caller.role in JUDGES,
        }
        return self._page("autonomy.html", model, status)

    def _queue(self, request: Request, caller: Principal, problem: str, status: int) -> Response:
        may = caller.role in JUDGES
        items = queue(self._hub.oversight, caller.tenant, by=caller, limit=5) if may else []
        model = {
            **self._common(request, caller, problem),
            "items": items,
            "verdicts": [verdict.value for verdict in Verdict],
            "may_judge": may,
        }
        return self._page("judge.html", model, status)

    def _common(self, request: Request, caller: Principal, problem: str) -> dict[str, Any]:
        return {"caller": caller, "here": "autonomy", "problem": problem, "form": self._forms.token(request)}


def _unit(caller: Principal, form: Mapping[str, str]) -> Unit:
    return Unit.parse(caller.tenant, form.get("rule", ""), form.get("decides", "close"))


def _units(found: Picture) -> list[dict[str, Any]]:
    """What the page draws of each unit; a bar's share is in whole hundredths, which a meter takes."""
    rows = []
    for one in found.units:
        standing = one.look.standing
        lacking = [ask for ask in one.asks if not ask.met]
        rows.append(
            {
                "rule": standing.unit.rule,
                "decides": standing.unit.decides.value,
                "level": one.look.bounds.level.word,
                "tone": "good" if one.look.bounds.level.alone else "calm" if one.look.bounds.level > 1 else "neutral",
                "held_by": one.look.bounds.held_by if one.look.bounds.level < standing.level else "",
                "lost": standing.lost,
                "wish": standing.wish,
                "granted_by": standing.granted_by,
                "granted_at": standing.granted_at,
                "next_level": one.next_level,
                "next_alone": bool(one.asks) and one.next_level.startswith("auto"),
                "ready": bool(one.asks) and not lacking,
                "asks": [(ask.name, ask.have, ask.need, round(100 * ask.share), ask.met) for ask in one.asks],
                "acts": standing.level.alone,
            }
        )
    return rows
