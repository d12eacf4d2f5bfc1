"""A server without a mind of its own: for the HTTP edge cases that no simulator of a vendor should know."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

__all__ = ["Scripted"]


class Scripted:
    """An ASGI app that answers what is in ``script``, the last of it for ever, and keeps what it was asked."""

    def __init__(self, *script: Response) -> None:
        self.url = ""
        self.script: list[Response] = list(script)
        self.seen: list[Request] = []
        self.bodies: list[bytes] = []
        if not script:
            self.reset()

    def reset(self) -> None:
        """Forgets everything; answers ``{"ok": true}``."""
        self.script = [JSONResponse({"ok": True})]
        self.seen.clear()
        self.bodies.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        request = Request(scope, receive)
        self.seen.append(request)
        self.bodies.append(await request.body())
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        await answer(scope, receive, send)
