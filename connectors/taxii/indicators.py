"""Indicators of our own: made under an id that follows from what they are about, revised, revoked, read back.

A revoked object must have no further version (STIX 2.1, section 3.6), so what is published again after that has the
next id of its row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from nightdesk.connectors.taxii.client import VENDOR, Taxii
from nightdesk.connectors.taxii.patterns import pattern_of
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Indicators"]

_FIXED = "2026-01-01T00:00:00.000Z"  # when every identity of ours was made, so that it never has a second version
_MILLISECOND = SECOND // 1000
_ROW = 50  # publications of one thing that were each revoked
_TLP = {
    "clear": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "green": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "amber": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "amber+strict": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "red": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
_WORDS = {ref: word for word, ref in _TLP.items()}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the indicator of a thing stands or would stand: its id, and its newest version if it is not revoked."""

    object_id: str
    live: dict[str, Any] | None


class Indicators:
    """What one account publishes to one collection for one tenant. ``collection`` empty: nothing."""

    def __init__(self, taxii: Taxii, collection: str, tenant: str, clock: Clock) -> None:
        self._taxii = taxii
        self._collection = collection
        self._tenant = tenant
        self._clock = clock
        self._space: UUID = uuid5(NAMESPACE_URL, f"nightdesk {tenant} {taxii.account} {collection}")
        self.author = f"identity--{self._space}"

    async def publish(self, command: Command) -> Receipt:
        """Adds the indicator, or a version that says what is wanted."""
        operation = "publish indicator"
        fields = _fields(command)
        place = await self._place(command, operation)
        if place.live is not None and self._as_wanted(place.live, fields):
            return Receipt(place.object_id, changed=command.began_otherwise("published", True))
        made = self._version(command, place, fields)
        return await self._add(command, place, made, operation)

    async def withdraw(self, command: Command) -> Receipt:
        """Adds a version that revokes it."""
        operation = "withdraw indicator"
        command.only()
        place = await self._place(command, operation)
        if place.live is None:
            return Receipt(place.object_id, changed=command.began_otherwise("published", False))
        made = {**place.live, "modified": self._modified(command, place.live), "revoked": True}
        return await self._add(command, place, made, operation)

    async def effect(self, command: Command) -> tuple[Effect, Mapping[str, Any], str]:
        """Whether the collection has it as wanted; what it has now; the same in the vendor's words."""
        place = await self._place(command, "read indicator")
        live = place.live
        if command.verb == "indicator.publish":
            reached = live is not None and self._as_wanted(live, _fields(command))
        else:
            reached = live is None
        state: dict[str, Any] = {"published": live is not None}
        if live is None:
            return _effect(reached), state, f"{place.object_id}: none, or revoked"
        state |= {name: live[name] for name in ("name", "description", "confidence", "valid_until") if name in live}
        state["tlp"] = next((_WORDS[ref] for ref in live.get("object_marking_refs", ()) if ref in _WORDS), "")
        return _effect(reached), state, f"{place.object_id} of {live.get('modified')}"

    async def _place(self, command: Command, operation: str) -> _Place:
        if not self._collection:
            raise UnsupportedError(f"{VENDOR}: {command.verb} needs the setting publish_collection")
        about = command.target.observable
        pattern_of(about)
        for number in range(_ROW):
            object_id = f"indicator--{uuid5(self._space, f'{about.key} {number}')}"
            found = await self._taxii.latest(self._collection, object_id, operation)
            if found is None:
                return _Place(object_id, None)
            newest, _ = found
            if newest.get("created_by_ref") != self.author:
                message = f"{object_id} is there, and made by {newest.get('created_by_ref')}; nothing is done to it"
                raise RejectedError(message, vendor=VENDOR, operation=operation)
            if not newest.get("revoked"):
                return _Place(object_id, newest)
        message = f"{about} was published and revoked {_ROW} times; take another publish_collection"
        raise RejectedError(message, vendor=VENDOR, operation=operation)

    def _version(self, command: Command, place: _Place, fields: Mapping[str, Any]) -> dict[str, Any]:
        if place.live is not None:
            kept = dict(place.live)
            if _is_over(kept, self._clock()):
                del kept["valid_until"]
            return {**kept, **fields, "modified": self._modified(command, place.live)}
        about = command.target.observable
        made = _text(command.requested_at)
        return {
            "type": "indicator",
            "spec_version": "2.1",
            "id": place.object_id,
            "created_by_ref": self.author,
            "created": made,
            "modified": made,
            "name": about.value,
            "indicator_types": ["malicious-activity"],
            "pattern": pattern_of(about),
            "pattern_type": "stix",
            "valid_from": made,
            **fields,
        }

    def _modified(self, command: Command, live: Mapping[str, Any]) -> str:
        """The same for the same command again, so that a repeat is the same version; always newer than the last."""
        asked = int(command.requested_at.timestamp() * 1000) * _MILLISECOND
        before = (instant(live.get("modified")) or 0) // _MILLISECOND * _MILLISECOND
        return iso(max(asked, before + _MILLISECOND), 3)

    def _as_wanted(self, live: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
        if _is_over(live, self._clock()):
            return False
        return all(
            live.get(name) == value or (name == "valid_until" and instant(live.get(name)) == instant(value))
            for name, value in fields.items()
        )

    async def _add(self, command: Command, place: _Place, made: Mapping[str, Any], operation: str) -> Receipt:
        objects = [made]
        if await self._taxii.latest(self._collection, self.author, operation) is None:
            objects.insert(0, self._identity())
        status = await self._taxii.add(self._collection, objects, operation)
        failures = status.get("failures")
        rows = failures if isinstance(failures, list) else []
        said = [str(row.get("message") or "") for row in rows if isinstance(row, dict) and row.get("id") == made["id"]]
        if said or (status.get("failure_count") and not rows):
            found = await self._taxii.latest(self._collection, place.object_id, operation)
            # A version that is there already is a failure too, by the answer of servers.
            if found is None or found[0].get("modified") != made["modified"]:
                message = f"the server did not take {place.object_id}: {' '.join(said) or 'it does not say why'}"
                raise RejectedError(message, vendor=VENDOR, operation=operation)
        evidence = {"status": status.get("id"), "version": made["modified"], "of": command.target.observable.key}
        return Receipt(place.object_id, evidence=evidence)

    def _identity(self) -> dict[str, Any]:
        return {
            "type": "identity",
            "spec_version": "2.1",
            "id": self.author,
            "created": _FIXED,
            "modified": _FIXED,
            "name": f"nightdesk of {self._tenant}",
            "identity_class": "system",
        }


def _fields(command: Command) -> dict[str, Any]:
    """The parameters as properties. Raises RejectedError for what would be no valid indicator: some servers take it."""
    if command.verb != "indicator.publish":
        return {}
    command.only("name", "description", "valid_until", "confidence", "tlp")
    given = {name: value for name, value in command.parameters.items() if value is not None and value != ""}
    fields: dict[str, Any] = {name: str(given[name]) for name in ("name", "description") if name in given}
    if "confidence" in given:
        confidence = given["confidence"]
        if (
            not isinstance(confidence, int) or isinstance(confidence, bool) or not 0 <= confidence <= 100
        ):  # STIX 2.1, appendix A
            raise RejectedError(f"confidence {confidence!r}: write a whole number from 0 to 100")
        fields["confidence"] = confidence
    if "valid_until" in given:
        moment = instant(given["valid_until"])
        if moment is None or moment <= command.requested_at.timestamp() * SECOND:
            raise RejectedError(
                f"valid_until {given['valid_until']!r}: write a time to come, like 2026-12-01T00:00:00Z"
            )
        fields["valid_until"] = iso(moment, 3)
    if "tlp" in given:
        word = str(given["tlp"]).lower().removeprefix("tlp:")
        if word not in _TLP:
            raise RejectedError(f"tlp {given['tlp']!r}: write one of {', '.join(_TLP)}")
        fields["object_marking_refs"] = [_TLP[word]]
    return fields


def _is_over(live: Mapping[str, Any], now: datetime) -> bool:
    end = instant(live.get("valid_until"))
    return end is not None and end <= now.timestamp() * SECOND


def _text(moment: datetime) -> str:
    return iso(int(moment.timestamp() * 1000) * _MILLISECOND, 3)


def _effect(reached: bool) -> Effect:
    return Effect.IN_EFFECT if reached else Effect.NOT_IN_EFFECT
