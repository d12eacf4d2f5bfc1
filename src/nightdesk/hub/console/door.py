"""Who is let in to a page of the console, and what a form that was sent comes to."""

from collections.abc import Callable, Collection, Mapping

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.console.forms import Forms
from nightdesk.hub.console.pages import HEADERS

__all__ = ["Door", "Page", "SignedOut", "Take", "Work"]

Page = Callable[[str, Mapping[str, object], int], Response]
"""A template, what it shows, and HTTP's status."""
SignedOut = Callable[[Request], Response]
Work = Callable[[Principal], Response]
Take = Callable[[Principal, Mapping[str, str]], tuple[str, int]]
"""Why what a form wants was not done, or nothing, and HTTP's word for it."""


class Door:
    """One page's; whoever is not signed in is shown the way, or told that a part's session is over."""

    def __init__(self, forms: Forms, signed_out: SignedOut) -> None:
        self._forms = forms
        self._signed_out = signed_out

    async def shown(self, request: Request, work: Work, *, part: bool = False) -> Response:
        """What ``work`` makes for who is signed in. ``part``: it is fetched by a page that is open."""
        caller = self._forms.caller(request)
        if caller is None:
            over = PlainTextResponse("the session is over", status_code=401, headers=dict(HEADERS))
            return over if part else self._signed_out(request)
        return await run_in_threadpool(work, caller)

    async def sent(
        self,
        request: Request,
        roles: Collection[Role],
        take: Take,
        refused: Callable[[Principal, str, int], Response],
        *,
        there: str,
    ) -> Response:
        """Does what the form wants and goes ``there``; the page that ``refused`` makes, with the reason, where not."""
        caller = self._forms.caller(request)
        if caller is None:
            return self._signed_out(request)
        form, problem, status = await self._forms.sent(request, caller, roles)
        if not problem:
            problem, status = await run_in_threadpool(take, caller, form)
        if not problem:
            return RedirectResponse(there, status_code=303, headers=dict(HEADERS))
        return await run_in_threadpool(refused, caller, problem, status)
