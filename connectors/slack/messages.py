"""Messages that are posted once: each carries its command's marker as metadata, and is looked for before it is sent.

Slack has no idempotency key. A reply that got lost leaves a message behind, which its marker finds.
"""

from datetime import timedelta
from typing import Any

from nightdesk.connectors.slack.blocks import message
from nightdesk.connectors.slack.client import VENDOR, Slack
from nightdesk.connectors.slack.places import Place, Places
from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["EVENT", "Messages"]

EVENT = "nightdesk_message"
"""The ``event_type`` of our metadata."""

_PARAMETERS = {
    "notify.send": ("title", "text", "severity", "link"),
    "approval.request": ("title", "text", "options", "link", "about"),
}
_EARLIER = timedelta(minutes=10)  # clocks differ; a message of this command is no older than the command


class Messages:
    """Sends and finds."""

    def __init__(self, slack: Slack, places: Places) -> None:
        self._slack = slack
        self._places = places
        self._clock_read = False

    async def send(self, command: Command) -> Receipt:
        """Posts unless the same command's message is there."""
        place = self._place(command)
        mark = _mark(command)
        body, lost = message(command, mark)
        found = await self._find(command, place)
        if found is not None:
            return Receipt(_name(place, found), changed=command.began_otherwise("posted", True), losses=lost)
        metadata = {"event_type": EVENT, "event_payload": {"marker": mark, "case_id": command.case_id}}
        thread = {"thread_ts": place.thread} if place.thread else {}
        ts = await self._slack.post({"channel": place.channel, **thread, **body, "metadata": metadata}, command.verb)
        return Receipt(f"{place.channel}/{ts}", losses=lost, evidence={"channel": place.channel, "ts": ts})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the channel or thread has the message."""
        place = self._place(command)
        found = await self._find(command, place)
        state: dict[str, Any] = {"posted": found is not None, "channel": place.channel}
        if found is None:
            return Effect.NOT_IN_EFFECT, state, ""
        state |= {"ts": str(found.get("ts", "")), "message": _name(place, found)}
        return Effect.IN_EFFECT, state, "posted"

    async def _find(self, command: Command, place: Place) -> dict[str, Any] | None:
        if not self._clock_read:
            await self._slack.scopes(
                "read clock"
            )  # a message by a slower clock would seem to be older than its command
            self._clock_read = True
        begin = command.requested_at - _EARLIER
        oldest = f"{begin.timestamp() + min(self._slack.clock_skew or 0.0, 0.0):.6f}"
        mark = _mark(command)
        async for one in self._slack.messages(place.channel, place.thread, oldest=oldest, operation="find message"):
            metadata = one.get("metadata")
            if isinstance(metadata, dict) and metadata.get("event_type") == EVENT and _marker_in(metadata) == mark:
                return one
        return None

    def _place(self, command: Command) -> Place:
        if command.verb not in _PARAMETERS:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        command.only(*_PARAMETERS[command.verb])
        return self._places.of(command.target.value)


def _mark(command: Command) -> str:
    """The bare number of the command's marker: the metadata's, and the id of the approval that its buttons carry."""
    return marker(command).strip("[]").rpartition(" ")[2]


def _marker_in(metadata: dict[str, Any]) -> object:
    payload = metadata.get("event_payload")
    return payload.get("marker") if isinstance(payload, dict) else None


def _name(place: Place, found: dict[str, Any]) -> str:
    return f"{place.channel}/{found.get('ts', '')}"
