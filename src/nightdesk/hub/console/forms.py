"""The console's forms: one counts only with the token that its page was given for this very session."""

from collections.abc import Collection, Mapping
from typing import NamedTuple
from urllib.parse import parse_qs

from fastapi import Request

from nightdesk.hub.api.auth import COOKIE, Sessions
from nightdesk.hub.api.bodies import read_body
from nightdesk.hub.api.view import HubView, Principal, Role

__all__ = ["Forms", "Sent"]

_FORM_LIMIT = 16 * 1024


class Sent(NamedTuple):
    """What a form says, and what is wrong with it before anybody looks at that; ``status`` is HTTP's for it."""

    fields: Mapping[str, str]
    problem: str = ""
    status: int = 200


class Forms:
    """The forms of one page, which ``about`` names."""

    def __init__(self, hub: HubView, sessions: Sessions, about: str) -> None:
        self._hub = hub
        self._sessions = sessions
        self._about = about

    def caller(self, request: Request) -> Principal | None:
        """Who is signed in."""
        return self._sessions.caller(request, self._hub)

    def token(self, request: Request) -> str:
        """What the page's forms have to carry."""
        return self._sessions.form(request.cookies.get(COOKIE, ""), self._about)

    async def sent(self, request: Request, caller: Principal, roles: Collection[Role]) -> Sent:
        """The form that came, refused when it is another site's or the caller lacks the role."""
        body = parse_qs((await read_body(request, _FORM_LIMIT)).data.decode("utf-8", "replace"))
        fields = {name: values[0].strip() for name, values in body.items()}
        cookie = request.cookies.get(COOKIE, "")
        same_site = request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
        if not same_site or not self._sessions.is_form(fields.get("form", ""), cookie, self._about):
            return Sent(fields, "The form came from elsewhere, or its session is over. Send this one instead.", 403)
        if caller.role not in roles:
            needed = " or ".join(sorted(roles))
            return Sent(fields, f"{caller.name} has the role {caller.role}; this needs {needed}.", 403)
        return Sent(fields)
