"""An alert is open or gone: acknowledging takes it off the list, and no call brings it back."""

import re
from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.sophos_central.client import MANAGE, VENDOR, Central, broken, document
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import Wish

__all__ = ["ALERTS", "Triage"]

ALERTS = "/common/v1/alerts"
_ACKNOWLEDGE = "acknowledge"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Triage:
    """The open alerts of one tenant, under the ids that the feed gives them."""

    def __init__(self, central: Central) -> None:
        self._central = central

    async def acknowledge(self, command: Command) -> Receipt:
        """Takes the alert off the list with the comment as its message; one that is gone is what was wanted.

        Raises RejectedError for everything else that a write-back can wish.
        """
        wish = Wish.of(command)
        if wish.status is None:
            raise _refused("Sophos Central can only acknowledge an alert: ask for status closed", command)
        lost = _losses(wish)
        alert = await self._open(command.native_id)
        if wish.status == "open":
            if alert is None:
                raise _refused(f"alert {command.native_id} is acknowledged, and no call brings it back", command)
            unsaid = ("comment: a message goes with acknowledging only",) if wish.comment else ()
            return Receipt(command.native_id, changed=False, losses=(*lost, *unsaid))
        ours = command.began_otherwise("status", "closed")
        if alert is None:
            return Receipt(command.native_id, changed=ours, losses=lost)
        allowed = alert.get("allowedActions")
        if not isinstance(allowed, list) or _ACKNOWLEDGE not in allowed:
            can = ", ".join(map(str, allowed or ())) or "nothing"
            raise _refused(f"alert {command.native_id} cannot be acknowledged; its allowedActions: {can}", command)
        operation = "acknowledge alert"
        body = {"action": _ACKNOWLEDGE, "message": wish.comment or wish.marker}
        try:
            response = await self._central.ask(
                "POST", f"{ALERTS}/{command.native_id}/actions", operation=operation, role=MANAGE, json=body
            )
        except NotFoundError:  # somebody was faster
            return Receipt(command.native_id, changed=ours, losses=lost)
        made = document(response, operation)
        if made.get("status") == "failed":
            raise broken(f"the action was taken and failed: {made.get('result') or 'no reason given'}", operation)
        evidence = {"status": made.get("status"), "requested_at": made.get("requestedAt")}
        return Receipt(str(made.get("id") or ""), losses=lost, evidence=evidence)

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the alert is open or gone, as wished. The vendor keeps neither verdict nor message to be read."""
        wish = Wish.of(command)
        status = "closed" if await self._open(command.native_id) is None else "open"
        state = {"status": status, "disposition": ""}
        native = "open" if status == "open" else "not among the open alerts"
        return (Effect.IN_EFFECT if wish.status in {None, status} else Effect.NOT_IN_EFFECT), state, native

    async def _open(self, native_id: str) -> Mapping[str, Any] | None:
        """The alert while it is open, else None."""
        operation = "read alert"
        if not _ID.fullmatch(native_id):
            raise RejectedError(f"{native_id!r} is no id of an alert", vendor=VENDOR, operation=operation)
        try:
            alert = await self._central.read(f"{ALERTS}/{native_id}", operation=operation)
        except NotFoundError:
            return None
        if str(alert.get("id", "")).lower() != native_id.lower():
            raise broken(f"another alert came instead of {native_id}", operation)
        return alert


def _losses(wish: Wish) -> tuple[str, ...]:
    return (f"disposition={wish.disposition}: Sophos Central keeps no verdict",) if wish.disposition else ()


def _refused(message: str, command: Command) -> RejectedError:
    return RejectedError(message, vendor=VENDOR, operation=command.verb)
