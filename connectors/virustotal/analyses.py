"""New analyses of URLs, and of files that VirusTotal has: only when a setting allows it, for others can see them."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.virustotal.client import VENDOR, VirusTotal
from nightdesk.connectors.virustotal.places import Place, place_of
from nightdesk.connectors.virustotal.privacy import Privacy
from nightdesk.sdk.context import Settings
from nightdesk.sdk.errors import NotFoundError, RejectedError, UnsupportedError
from nightdesk.sdk.kinds import TargetKind
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Target

__all__ = ["Analyses"]

_REMEMBERED = 1000  # commands


class Analyses:
    """What one key has analysed."""

    def __init__(self, api: VirusTotal, settings: Settings) -> None:
        self._api = api
        self._allowed = settings.flag("detonate")
        self._privacy = Privacy(settings.text("internal_domains"))
        self._asked: dict[str, str] = {}

    async def detonate(self, command: Command) -> Receipt:
        """Submits, unless an analysis that is not older than the command is there."""
        operation = "detonate artifact"
        target, place = self._place(command)
        command.only()
        found = await self._api.find(place.collection, place.object_id, operation)
        if _is_done(command, found):
            return Receipt(self._asked.get(command.idempotency_key, ""), changed=command.began_otherwise("done", True))
        asked = self._asked.get(command.idempotency_key)
        if asked:
            return Receipt(asked)
        try:
            if target.kind is TargetKind.URL:
                analysis = await self._api.submit("urls", operation, {"url": target.value})
            else:
                analysis = await self._api.submit(f"files/{place.object_id}/analyse", operation)
        except NotFoundError as error:
            message = f"VirusTotal does not have {target}, and no file is uploaded from here"
            raise RejectedError(message, vendor=VENDOR, operation=operation, status=error.status) from error
        self._asked[command.idempotency_key] = analysis
        while len(self._asked) > _REMEMBERED:
            del self._asked[next(iter(self._asked))]
        return Receipt(analysis, evidence={"submitted": target.key})

    async def effect(self, command: Command) -> tuple[Effect, Mapping[str, Any], str]:
        """Whether the last analysis is not older than the command; each look costs one look-up."""
        _, place = self._place(command)
        found = await self._api.find(place.collection, place.object_id, "read analysis")
        analysed = instant((found or {}).get("last_analysis_date"), "s")
        native = "never analysed" if analysed is None else f"last_analysis_date {iso(analysed)}"
        is_done = _is_done(command, found)
        state: dict[str, Any] = {"done": is_done}
        if is_done:
            state["last_analysis_stats"] = (found or {}).get("last_analysis_stats")
            return Effect.IN_EFFECT, state, native
        is_waiting = command.idempotency_key in self._asked
        return Effect.PENDING if is_waiting else Effect.NOT_IN_EFFECT, state, native

    def _place(self, command: Command) -> tuple[Target, Place]:
        if not self._allowed:
            raise UnsupportedError(
                f"{VENDOR}: {command.verb} is not allowed: what is submitted can be seen by others; to allow it, set"
                " detonate: true"
            )
        value = command.target.value
        is_url = value.lower().startswith(("http://", "https://"))
        target = Target(TargetKind.URL if is_url else TargetKind.FILE, value)
        place = place_of(target, self._privacy)
        if place is None:
            message = "it names a host of one's own or holds credentials, and is never sent"
            raise RejectedError(message, vendor=VENDOR, operation="detonate artifact")
        return target, place


def _is_done(command: Command, found: Mapping[str, Any] | None) -> bool:
    analysed = instant((found or {}).get("last_analysis_date"), "s")
    return analysed is not None and analysed >= int(command.requested_at.timestamp()) * SECOND
