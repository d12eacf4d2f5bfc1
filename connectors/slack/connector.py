"""The Slack connector: messages and approval buttons out, each read back from the channel that has it."""

from collections.abc import Mapping, Sequence

from nightdesk.connectors.slack.callbacks import verified
from nightdesk.connectors.slack.client import VENDOR, Slack
from nightdesk.connectors.slack.messages import Messages
from nightdesk.connectors.slack.places import Places
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import AuthError, VendorError
from nightdesk.sdk.ports import Answer, Command, Health, Reading, Receipt

__all__ = ["Connector"]

_HEALTH = "check health"
_WRITE = "chat:write"
_MAX_SKEW = 240.0  # seconds; a click is good for 300


class Connector:
    """One app in one workspace."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._slack = Slack(context)
        self._places = Places(context.settings.text("channels"), context.instance)
        self._messages = Messages(self._slack, self._places)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._slack.aclose()

    async def act(self, command: Command) -> Receipt:
        """Sends a message, or a request with buttons."""
        return await self._messages.send(command)

    async def read_back(self, command: Command) -> Reading:
        """Whether the message is in its channel."""
        effect, state, native = await self._messages.effect(command)
        return Reading(effect, self._context.clock(), state, native)

    def answers(self, headers: Mapping[str, str], body: bytes) -> Sequence[Answer]:
        """The click in a request that Slack signed within the last five minutes, of our workspace when it is named."""
        if not self._context.settings.has("signing_secret"):
            raise AuthError(
                "set signing_secret (Basic Information): without it nobody can tell whose click this is",
                vendor=VENDOR,
                operation="verify click",
            )
        click = verified(headers, body, self._context.settings.secret("signing_secret"), self._context.clock())
        team = self._context.settings.text("team_id")
        if team and click.team_id != team:
            raise AuthError(
                f"the click comes from the workspace {click.team_id}, and team_id is {team}",
                vendor=VENDOR,
                operation="verify click",
            )
        place = f"{click.channel_id}/{click.message_ts}"
        return [Answer(click.approval_id, click.label, click.user_id, f"{place}/{click.clicked_at}", place)]

    async def check_health(self) -> Health:
        """The token and its scopes, and one look into every configured channel, where a repeat would look."""
        begin = self._context.clock()
        problems: list[str] = []
        try:
            scopes = await self._slack.scopes(_HEALTH)
        except VendorError as error:
            problems.append(str(error))
        else:
            if scopes and _WRITE not in scopes:
                problems.append(f"{VENDOR}: add the scope {_WRITE} to the app and install it again")
            problems += await self._unreadable()
        latency = (self._context.clock() - begin).total_seconds()
        skew = self._slack.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"Slack's clock differs by {skew:.0f} s from ours: clicks will be refused as replays")
        return Health(not problems, tuple(problems), clock_skew=skew, latency=latency)

    async def _unreadable(self) -> list[str]:
        problems = []
        now = int(self._context.clock().timestamp())
        for name, channel in self._places.named.items():
            try:
                async for _ in self._slack.messages(channel, "", oldest=f"{now}.000000", operation=_HEALTH):
                    break
            except VendorError as error:
                problems.append(f"#{name}: {error}")
        return problems
