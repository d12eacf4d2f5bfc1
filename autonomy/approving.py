"""What approvals need the connectors for: the one that people are shown, and the last look before anything is sent."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.admission import losses
from nightdesk.autonomy.approvals import Request, digest_of
from nightdesk.autonomy.asking import Requests
from nightdesk.autonomy.ledger import Ledger
from nightdesk.autonomy.pacing import Limits, Pace
from nightdesk.autonomy.proposals import Approval
from nightdesk.autonomy.routing import Route, Router, after, answer
from nightdesk.sdk.errors import NightdeskError

__all__ = ["Approvals"]


class Approvals:
    """Finds the connector that people are shown, and compares it before anything is sent."""

    def __init__(self, ledger: Ledger, requests: Requests, router: Router, pace: Pace, limits: Limits) -> None:
        self._ledger = ledger
        self._requests = requests
        self._router = router
        self._pace = pace
        self._limits = limits

    def needs_care(self, action: Action) -> bool:
        """True when waiting is not all there is to do: asked by nobody yet, over, or its connector not looked up."""
        request = Request.of(action)
        if request is None or request.state != "open" or self._ledger.clock() >= request.ends:
            return True
        return not request.connector and not request.votes and self._pace.is_due(action)

    async def tend(self, action: Action) -> Action:
        """Asks, ends what nobody answered in time, finds the connector that people are shown."""
        if not self.needs_care(action):
            return action
        request = Request.of(action)
        if request is None or request.state != "open":
            return self._requests.ask(action, self._requests.doubt(action))
        if self._ledger.clock() >= request.ends:
            return self._requests.expire(action, request)
        try:
            found = self._router.route(action.tenant, action.verb, action.target, action.instance or None)
            route = await answer(found, operation="route", within=self._limits.answer)
            lost = losses(action, route)
        except NightdeskError as error:
            self._pace.pause(action, after(error))
            if request.problem == str(error):
                return action
            return self._requests.record(
                action, action.state, replace(request, shown={"problem": str(error)}), str(error)
            )
        self._pace.forget(action)
        request = replace(request, shown=_shown(route, lost))
        return self._requests.record(action, action.state, replace(request, digest=digest_of(action, request)))

    def otherwise(self, action: Action, route: Route, lost: Sequence[str]) -> str:
        """What about the action is not as persons approved it, or nothing; asked right before it is sent."""
        if action.approval != Approval.HUMAN or action.result.get("repeats"):
            return ""
        request = Request.of(action)
        if request is None or request.state != "given":
            return "no person's approval is on record for it"
        if digest_of(action, request) != request.digest:
            return "it was changed after it was approved"
        now = _shown(route, lost)
        if request.connector and now != dict(request.shown):
            said = request.shown
            return (
                f"approved was {said['connector']} ({said['native_id']}), without {_list(said['losses'])};"
                f" now it would be {route.instance} ({route.native_id}), without {_list(now['losses'])}"
            )
        return ""

    def ask_again(self, action: Action, because: str, route: Route, lost: Sequence[str]) -> Action:
        """Approved, but not as it would be done now: it goes back to persons with what is so now."""
        return self._requests.ask(action, because, shown=_shown(route, lost))


def _shown(route: Route, lost: Sequence[str]) -> dict[str, Any]:
    return {"connector": route.instance, "native_id": route.native_id, "losses": sorted(lost)}


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "losses"
