"""A sender: renders a story's alerts, signs each post, and posts it to whoever takes it."""

import hashlib
import hmac
import json
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.webhook.payloads import document
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import Simulator as _Simulator
from nightdesk.sdk.testing import StoryAlert

__all__ = ["Simulator"]


class Simulator(_Simulator):
    """One sender with its secret; ``outbox`` holds the alerts not yet posted."""

    vendor: ClassVar[str] = "webhook"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.outbox: list[dict[str, Any]] = []

    def routes(self) -> list[BaseRoute]:
        """What it has not posted yet, for people who look."""
        return [Route("/outbox", self._shown)]

    def settings(self, base_url: str) -> dict[str, Any]:
        """The secret; nobody is called, so the address says nothing."""
        _ = base_url
        return {"secret": Secret.literal(self.secret)}

    def add(self, alert: StoryAlert) -> str:
        """Raises one alert; ``post`` takes it along."""
        self.outbox.append(self.drift(document(alert)))
        return alert.uid

    def post(self, *, lines: bool = False) -> tuple[dict[str, str], bytes]:
        """Headers and body of a post with all that waits: one object, an array, or one object a line."""
        waiting, self.outbox = self.outbox, []
        if lines:
            body = "".join(f"{json.dumps(one)}\n" for one in waiting).encode()
        else:
            body = json.dumps(waiting[0] if len(waiting) == 1 else waiting).encode()
        return self.signed(body), body

    def signed(self, body: bytes) -> dict[str, str]:
        """The headers that vouch for a body now."""
        moment = int(self.now().timestamp())
        signature = hmac.new(self.secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
        return {"content-type": "application/json", "x-nightdesk-signature": f"t={moment},v1={signature}"}

    async def _shown(self, _: Request) -> Response:
        return JSONResponse(self.outbox)
