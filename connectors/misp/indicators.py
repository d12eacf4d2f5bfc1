"""Attributes of our own in the event that is ours: added, deleted softly, restored, read back by searching for them."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.misp.client import VENDOR, Misp
from nightdesk.connectors.misp.sweep import is_set
from nightdesk.connectors.misp.values import type_of, value_of
from nightdesk.sdk.errors import RejectedError, ScopeError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import is_ours, marker

__all__ = ["Indicators"]

_Row = dict[str, Any]


class Indicators:
    """What one instance publishes. ``event`` empty: nothing."""

    def __init__(self, misp: Misp, event: str) -> None:
        self._misp = misp
        self._event = event

    async def publish(self, command: Command) -> Receipt:
        """Adds an attribute for detection, or brings back or amends the one that is there."""
        operation = "publish indicator"
        command.only("name", "description", "confidence")
        losses = ("confidence: attributes have none",) if command.parameters.get("confidence") is not None else ()
        rows = await self._rows(command, operation)
        live = next((row for row in rows if _is_live(row)), None)
        if live is not None and self._as_wanted(command, live):
            changed = command.began_otherwise("published", True)
            return Receipt(str(live["uuid"]), changed=changed, losses=losses, evidence=_evidence(live))
        found = live or next((row for row in rows if _is_own(row)), None)
        if found is None:
            made = await self._add(command, operation)
        else:
            made = await self._amend(command, found, operation)
        return Receipt(str(made["uuid"]), losses=losses, evidence=_evidence(made))

    async def withdraw(self, command: Command) -> Receipt:
        """Deletes what is ours, softly; what somebody else put there stays, and is an error."""
        operation = "withdraw indicator"
        command.only()
        live = [row for row in await self._rows(command, operation) if _is_live(row)]
        others = [row for row in live if not _is_own(row)]
        if others:
            message = (
                f"attribute {others[0].get('uuid')} of this value in our event is somebody else's; delete it there"
            )
            raise RejectedError(message, vendor=VENDOR, operation=operation)
        if not live:
            return Receipt(changed=command.began_otherwise("published", False))
        for row in live:
            await self._misp.change(f"attributes/delete/{row['uuid']}", operation)
        return Receipt(str(live[0]["uuid"]), evidence=_evidence(live[0]))

    async def effect(self, command: Command) -> tuple[Effect, Mapping[str, Any], str]:
        """Whether the event has it as wanted; what it has now; the same in MISP's words."""
        rows = await self._rows(command, "read indicator")
        live = next((row for row in rows if _is_live(row)), None)
        reached = live is None
        if command.verb == "indicator.publish":
            reached = live is not None and self._as_wanted(command, live)
        state: dict[str, Any] = {"published": live is not None}
        native = "none" if not rows else "deleted, or not for detection"
        if live is not None:
            state["description"] = str(live.get("comment") or "")
            native = f"attribute {live.get('uuid')} of {live.get('timestamp')}, to_ids"
        return Effect.IN_EFFECT if reached else Effect.NOT_IN_EFFECT, state, native

    async def _rows(self, command: Command, operation: str) -> list[_Row]:
        """Every attribute of that type and value in our event, deleted ones too; our own first."""
        if not self._event:
            raise UnsupportedError(f"{VENDOR}: {command.verb} needs the setting event")
        about = command.target.observable
        kind, value = type_of(about)[0], value_of(about)
        found = await self._misp.attributes(operation, eventid=[self._event], value=[value], deleted=[0, 1])
        rows = [
            row
            for row, _ in found
            if isinstance(row, dict) and row.get("type") == kind and str(row.get("value")).lower() == value.lower()
        ]
        return sorted(rows, key=_is_own, reverse=True)

    async def _add(self, command: Command, operation: str) -> _Row:
        about = command.target.observable
        kind, category = type_of(about)
        comment = f"{_words(command)} {marker(command)}".strip()
        body = {"type": kind, "category": category, "value": value_of(about), "to_ids": True, "comment": comment}
        return self._taken(await self._misp.change(f"attributes/add/{self._event}", operation, body), operation)

    async def _amend(self, command: Command, row: _Row, operation: str) -> _Row:
        """Brings back what was deleted, and sets what is not as wanted."""
        uuid = row["uuid"]
        if is_set(row.get("deleted")):
            row = self._taken(await self._misp.change(f"attributes/restore/{uuid}", operation), operation)
        if self._as_wanted(command, row) and is_set(row.get("to_ids")):
            return row
        changes: dict[str, Any] = {"to_ids": True}
        if _is_own(row) and _words(command):
            changes["comment"] = f"{_words(command)} {marker(command)}"
        return self._taken(await self._misp.change(f"attributes/edit/{uuid}", operation, changes), operation)

    def _as_wanted(self, command: Command, row: _Row) -> bool:
        """Of what somebody else wrote nothing is asked but that it is there."""
        words = _words(command)
        return not words or not _is_own(row) or str(row.get("comment") or "").startswith(f"{words} [nightdesk ")

    def _taken(self, answer: Mapping[str, Any], operation: str) -> _Row:
        made = answer.get("Attribute")
        if isinstance(made, dict) and made.get("uuid"):
            return made
        message = f"the attribute was not taken into the event {self._event}"
        if "ShadowAttribute" in answer:
            # Whoever may not edit an event makes a proposal, and is told that all is well.
            message += ": it became a proposal, because the key's organisation does not own the event; discard it"
        raise ScopeError(message, vendor=VENDOR, operation=operation)


def _words(command: Command) -> str:
    given = (str(command.parameters.get(name) or "").strip() for name in ("name", "description"))
    return ": ".join(text for text in given if text)


def _is_own(row: Mapping[str, Any]) -> bool:
    return is_ours(str(row.get("comment") or ""))


def _is_live(row: Mapping[str, Any]) -> bool:
    return is_set(row.get("to_ids")) and not is_set(row.get("deleted"))


def _evidence(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ("uuid", "event_id", "type", "value", "timestamp")}
