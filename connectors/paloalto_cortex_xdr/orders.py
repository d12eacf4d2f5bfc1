"""Response actions: asked of one endpoint, numbered by Cortex, read by number while this process remembers it."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.paloalto_cortex_xdr.client import ENDPOINTS_VIEW, VENDOR, Answer, Cortex
from nightdesk.connectors.paloalto_cortex_xdr.memory import Memory
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Orders", "only"]

_PENDING = frozenset({"PENDING", "IN_PROGRESS", "PENDING_ABORT"})
_DONE = "COMPLETED_SUCCESSFULLY"  # a partial completion is none
_FAILED = frozenset(
    {
        "COMPLETED_PARTIAL",
        "COMPLETED_SUCCESSFULLY_WITH_EXCEPTIONS",
        "FAILED",
        "TIMEOUT",
        "CANCELED",
        "CANCELLED",
        "ABORTED",
        "EXPIRED",
    }
)


def only(endpoint_id: str) -> list[dict[str, Any]]:
    """The filter for one endpoint; without a filter an action would go to all."""
    if not endpoint_id:
        raise RejectedError("no endpoint is named", vendor=VENDOR)
    return [{"field": "endpoint_id_list", "operator": "in", "value": [endpoint_id]}]


class Orders:
    """The actions asked for by this process, by the command's idempotency key."""

    def __init__(self, cortex: Cortex) -> None:
        self._cortex = cortex
        self._numbers: Memory[int] = Memory()

    def again(self, command: Command) -> Receipt | None:
        """The receipt of a command that was asked already; a second action would be a second effect."""
        number = self._numbers.get(command.idempotency_key)
        return None if number is None else Receipt(str(number), evidence={"action_id": number, "asked_before": True})

    def accepted(
        self, command: Command, answer: Answer, losses: tuple[str, ...] = (), evidence: Mapping[str, Any] | None = None
    ) -> Receipt:
        """Notes the number Cortex gave. Raises ResponseError without one, RejectedError when it reached nobody."""
        reply = answer.mapping()
        number, reached = _whole(reply.get("action_id")), reply.get("endpoints_count")
        if reached is not None and _whole(reached) != 1:
            message = f"the action went to {reached} endpoints instead of {command.native_id} alone"
            raise RejectedError(message, vendor=VENDOR, operation=answer.operation)
        if number is None:
            raise answer.broken("the reply has no action_id, so nobody knows whether the action was taken")
        self._numbers.note(command.idempotency_key, number)
        return Receipt(str(number), losses=losses, evidence={"action_id": number, **(evidence or {})})

    async def effect(self, command: Command) -> tuple[Effect, str] | None:
        """How far the action is, and Cortex's word; None when this process did not ask for it."""
        number = self._numbers.get(command.idempotency_key)
        if number is None:
            return None
        answer = await self._cortex.ask(
            "v1/actions/get_action_status/",
            {"group_action_id": number},
            operation="read action",
            scope=ENDPOINTS_VIEW,
            repeatable=True,
        )
        states = answer.mapping().get("data")
        word = str(states.get(command.native_id, "")).upper() if isinstance(states, dict) else ""
        if word == _DONE:
            return Effect.IN_EFFECT, word
        if word in _FAILED:
            return Effect.FAILED, word
        return (Effect.PENDING if word in _PENDING else Effect.UNKNOWN), word

    def number(self, command: Command) -> int | None:
        """Cortex's number of the action, when this process asked for it."""
        return self._numbers.get(command.idempotency_key)


def _whole(value: Any) -> int | None:
    """A number, which older tenants write as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() else None
