"""What a write-back means at SentinelOne, the same for threats and unified alerts; they differ in calls and words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nightdesk.sdk.errors import VendorError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.sweep import Times
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["Page", "Surface", "effect", "write"]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of alerts, decoded and verbatim; ``token`` is empty on the last, ``failed`` is set on a partial one."""

    elements: Sequence[tuple[Any, bytes]]
    token: str
    failed: VendorError | None = None


class Surface(Protocol):
    """Where alerts live: the same detection has another id on each surface, so an instance uses one."""

    stream: str
    verdicts: Verdicts

    async def page(self, sweep: str, since: int, limit: int, token: str) -> Page:
        """One page of a sweep."""
        ...

    async def one(self, native_id: str) -> tuple[Mapping[str, Any], bytes]:
        """One alert, decoded and verbatim. Raises NotFoundError."""
        ...

    def record(self, alert: Mapping[str, Any], text: bytes) -> tuple[RawRecord, Times]:
        """The alert as it is passed on."""
        ...

    def status(self, alert: Mapping[str, Any]) -> str:
        """The vendor's word."""
        ...

    def closed(self, alert: Mapping[str, Any]) -> bool:
        """Whether that word means closed."""
        ...

    def verdict(self, alert: Mapping[str, Any]) -> str:
        """The vendor's word."""
        ...

    async def noted(self, native_id: str, marker: str) -> bool:
        """Whether a note holds the marker."""
        ...

    async def change(self, native_id: str, *, closed: bool | None, verdict: str | None, note: str) -> None:
        """Sets what is given."""
        ...


@dataclass(frozen=True, slots=True)
class _Missing:
    closed: bool | None
    verdict: str | None
    note: str

    @property
    def nothing(self) -> bool:
        return self.closed is None and self.verdict is None and not self.note


async def write(surface: Surface, command: Command) -> Receipt:
    """Sets what is still missing; an alert that is already so is left alone."""
    wish = Wish.of(command)
    before, _ = await surface.one(command.native_id)
    missing = await _missing(surface, before, command, wish)
    lost = surface.verdicts.losses(wish)
    evidence = {"before": _state(surface, before)}
    if missing.nothing:
        repeated = bool(wish.comment) or surface.verdicts.repeated(command, wish)
        return Receipt(command.native_id, changed=repeated, losses=lost, evidence=evidence)
    await surface.change(command.native_id, closed=missing.closed, verdict=missing.verdict, note=missing.note)
    return Receipt(command.native_id, losses=lost, evidence=evidence)


async def effect(surface: Surface, command: Command) -> tuple[Effect, dict[str, str], str]:
    """Whether the alert is as wanted, how it is in our words, and the vendor's words for it."""
    wish = Wish.of(command)
    alert, _ = await surface.one(command.native_id)
    missing = await _missing(surface, alert, command, wish)
    native = f"{surface.status(alert)}, {surface.verdict(alert)}"
    return Effect.IN_EFFECT if missing.nothing else Effect.NOT_IN_EFFECT, _state(surface, alert), native


async def _missing(surface: Surface, alert: Mapping[str, Any], command: Command, wish: Wish) -> _Missing:
    closed = None if wish.status is None else wish.status == "closed"
    if closed is surface.closed(alert):
        closed = None
    verdict = None if wish.disposition is None else surface.verdicts.word(wish.disposition)
    if verdict is not None and _same(surface.verdicts, surface.verdict(alert), verdict):
        verdict = None
    note = wish.comment
    if note and await surface.noted(command.native_id, wish.marker):
        note = ""
    return _Missing(closed, verdict, note)


def _same(verdicts: Verdicts, there: str, wanted: str) -> bool:
    """True when the verdict reads the same; a finer word of the vendor's is not overwritten by a coarser one."""
    return there == wanted or verdicts.ours(there) == verdicts.ours(wanted) != ""


def _state(surface: Surface, alert: Mapping[str, Any]) -> dict[str, str]:
    status = "closed" if surface.closed(alert) else "open"
    return {"status": status, "disposition": surface.verdicts.ours(surface.verdict(alert))}
