"""One simulated workspace and its app: a token with scopes, methods that say ``ok``, clicks that are signed.

Sources: https://docs.slack.dev/apis/web-api/ and, for what is posted on a click,
https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.slack.simulated_channels import Channels, SlackError
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest

__all__ = ["Simulator"]

_TEAM = "T0123456789"
_READS = frozenset({"auth.test", "conversations.history", "conversations.replies"})
_WORDS = {401: "token_expired", 403: "missing_scope", 429: "ratelimited"}
_Call = Callable[[Mapping[str, Any]], dict[str, Any]]


class Simulator(testing.Simulator):
    """One workspace with a channel ``soc-alerts`` that the app is in."""

    vendor = "slack"

    def __init__(self, *, clock: Clock = utc_now, faults: FaultPlan | None = None, secret: str = "") -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.token = f"xoxb-{self.secret}"
        self.signing_secret = hashlib.sha256(f"signing {self.secret}".encode()).hexdigest()[:32]
        self.scopes = {"chat:write", "channels:history", "groups:history"}
        self.channels = Channels(self.now, _TEAM)
        self.channels.make("C0123456789", "soc-alerts")
        self._calls: dict[str, tuple[str, _Call]] = {
            "auth.test": ("", self._test),
            "chat.postMessage": ("chat:write", self._post),
            "chat.update": ("chat:write", lambda given: self._changed(given, delete=False)),
            "chat.delete": ("chat:write", lambda given: self._changed(given, delete=True)),
            "conversations.history": ("history", self.channels.history),
            "conversations.replies": ("history", self.channels.replies),
        }

    def routes(self) -> list[BaseRoute]:
        """One route: an unknown method is answered in this vendor's way too."""
        return [Route("/api/{method}", self._answer, methods=["GET", "POST"])]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        named = ", ".join(f"{channel.name}={name}" for name, channel in self.channels.channels.items())
        return {
            "base_url": f"{base_url}/api",
            "bot_token": Secret.literal(self.token),
            "signing_secret": Secret.literal(self.signing_secret),
            "team_id": _TEAM,
            "channels": named,
        }

    def messages(self) -> Sequence[Mapping[str, Any]]:
        """What the app has posted."""
        posted = [
            (channel.name, one)
            for channel in self.channels.channels.values()
            for one in channel.messages
            if "bot_id" in one
        ]
        posted.sort(key=lambda pair: float(pair[1]["ts"]))
        return [{"to": name, "text": unescape(one["text"]), "ts": one["ts"]} for name, one in posted]

    def mutations(self) -> list[SeenRequest]:
        """Reads may be POSTs."""
        return [request for request in super().mutations() if request.path.rpartition("/")[2] not in _READS]

    def click(self, channel_id: str, ts: str, option: int, *, user: str = "U0PERSON") -> tuple[dict[str, str], bytes]:
        """What Slack posts when a person clicks a button of that message: headers and raw body."""
        channel = self.channels.channels[channel_id]
        message = self.channels.one(channel, ts)
        found = [block for block in (message or {}).get("blocks", []) if block["type"] == "actions"]
        element = found[0]["elements"][option]
        moment = self.now().timestamp()
        payload = {
            "type": "block_actions",
            "token": "legacy-and-not-to-be-trusted",
            "api_app_id": self.channels.bot["app_id"],
            "team": {"id": _TEAM, "domain": "example"},
            "user": {"id": user, "username": "jdoe", "team_id": _TEAM},
            "container": {"type": "message", "channel_id": channel_id, "message_ts": ts, "is_ephemeral": False},
            "channel": {"id": channel_id, "name": channel.name},
            "message": message,
            "trigger_id": "1.2.abc",
            "response_url": "https://hooks.slack.example.com/actions/T0123456789/1/abc",
            "actions": [{**element, "block_id": "b1", "action_ts": f"{moment:.6f}"}],
        }
        body = urlencode({"payload": json.dumps(payload)}).encode()
        return self.signed(body), body

    def answer(self, option: int, *, account: str) -> tuple[dict[str, str], bytes]:
        """A click on the newest message with buttons."""
        asked = [
            (channel_id, one)
            for channel_id, channel in self.channels.channels.items()
            for one in channel.messages
            if any(block["type"] == "actions" for block in one.get("blocks", ()))
        ]
        channel_id, message = max(asked, key=lambda pair: float(pair[1]["ts"]))
        return self.click(channel_id, str(message["ts"]), option, user=account)

    def signed(self, body: bytes) -> dict[str, str]:
        """The headers of a request that Slack makes now."""
        stamp = str(int(self.now().timestamp()))
        base = b"v0:" + stamp.encode() + b":" + body
        digest = hmac.new(self.signing_secret.encode(), base, hashlib.sha256).hexdigest()
        return {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={digest}",
        }

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The envelope, which has words and no sentences: what is wrong with a token comes with status 200."""
        word = _WORDS.get(status, "fatal_error" if message else "internal_error")
        more = {"needed": "chat:write", "provided": "identify"} if status == 403 else {}
        kept = 200 if status in {401, 403} else status
        return JSONResponse({"ok": False, "error": word, **more}, kept, headers=dict(headers or {}))

    async def _answer(self, request: Request) -> Response:
        try:
            body = {"ok": True, **self._carried_out(request, await _given(request))}
        except SlackError as error:
            body = {"ok": False, "error": str(error), **error.fields}
        return JSONResponse(body, headers={"X-OAuth-Scopes": ",".join(sorted(self.scopes))})

    def _carried_out(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        method = request.path_params["method"]
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        token = token if kind == "Bearer" else str(given.pop("token", ""))
        if token != self.token:
            raise SlackError("invalid_auth" if token else "not_authed")
        if method not in self._calls:
            raise SlackError("unknown_method", req_method=method)
        scope, call = self._calls[method]
        self._allow(scope, given)
        return call(given)

    def _allow(self, scope: str, given: Mapping[str, Any]) -> None:
        if scope == "history":
            found = self.channels.channels.get(str(given.get("channel", "")))
            scope = found.history_scope if found else ""
        if scope and scope not in self.scopes:
            raise SlackError("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))

    def _test(self, _: Mapping[str, Any]) -> dict[str, Any]:
        bot = self.channels.bot
        return {"url": "https://example.slack.example.com/", "team": "Example", "team_id": _TEAM,
                "user": "nightdesk", "user_id": bot["user"], "bot_id": bot["bot_id"]}  # fmt: skip

    def _post(self, given: Mapping[str, Any]) -> dict[str, Any]:
        message = self.channels.post(given, keep=self.faults.standing("accepted_then_failed") is None)
        return {"channel": given["channel"], "ts": message["ts"], "message": message}

    def _changed(self, given: Mapping[str, Any], *, delete: bool) -> dict[str, Any]:
        message = self.channels.change(given, delete=delete)
        return {"channel": given["channel"], "ts": message["ts"], **({} if delete else {"text": message["text"]})}


async def _given(request: Request) -> dict[str, Any]:
    """The arguments: JSON for what writes, a query or a form for all; reads take no JSON."""
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    body = await request.body()
    if media != "application/json":
        return {**request.query_params, **dict(parse_qsl(body.decode()))}
    if request.url.path.rpartition("/")[2] in _READS - {"auth.test"}:
        return dict(request.query_params)  # the body is not looked at
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(found, dict):
        raise SlackError("json_not_object")
    found.pop("token", None)  # a token in JSON counts for nothing
    return found
