"""Risks: detections and risky users in time order, one by its id, and the verdicts that an admin gives on them."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from nightdesk.connectors.microsoft_entra_id import triage
from nightdesk.connectors.microsoft_entra_id.client import VENDOR, Graph, decoded, segment
from nightdesk.sdk.errors import (
    CursorExpiredError,
    NotFoundError,
    RejectedError,
    ResponseError,
    UnsupportedError,
)
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, Times
from nightdesk.sdk.triage import Wish
from nightdesk.sdk.verbatim import cut

__all__ = ["STREAMS", "Risks"]

_OVERLAP = timedelta(minutes=20)  # detections appear minutes after their detectedDateTime
_DIGITS = 7
_MOST = 500  # a larger $top is a 400 (microsoftgraph/microsoft-graph-docs-contrib#8886)
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EVENT_WRITE = "IdentityRiskEvent.ReadWrite.All"
_USER_WRITE = "IdentityRiskyUser.ReadWrite.All"


@dataclass(frozen=True, slots=True)
class _Stream:
    """``sweeps`` name the times it is read by; ``sorted`` that Graph is known to sort by them."""

    path: str
    scope: str
    sweeps: tuple[str, ...]
    changed: str
    is_sorted: bool


STREAMS: Mapping[str, _Stream] = {
    # When it was detected, hours or days after activityDateTime where that is offline; then when its state changed.
    "risk_detections": _Stream(
        "/identityProtection/riskDetections",
        "IdentityRiskEvent.Read.All",
        ("detectedDateTime", "lastUpdatedDateTime"),
        "lastUpdatedDateTime",
        is_sorted=True,
    ),
    "risky_users": _Stream(
        "/identityProtection/riskyUsers",
        "IdentityRiskyUser.Read.All",
        ("riskLastUpdatedDateTime",),
        "riskLastUpdatedDateTime",
        is_sorted=False,
    ),
}
"""A detection is one risky sign-in or activity; a risky user is one state, which the next one replaces."""


class Risks:
    """The risks of one tenant."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def pull(self, name: str, cursor: Cursor | None, *, start: int, limit: int) -> AsyncIterator[Batch]:
        """Every sweep to its end. The cursor moves only while pages come in order: Graph's order is no promise."""
        stream = STREAMS[name]
        position = Position.load(cursor, start=start, sweeps=stream.sweeps, overlap=_OVERLAP)
        for sweep in stream.sweeps:
            params: dict[str, Any] | None = {
                "$filter": f"{sweep} ge {iso(position.since(sweep), _DIGITS)}",
                "$top": max(1, min(limit, _MOST)),
                **({"$orderby": sweep} if stream.is_sorted else {}),
            }
            link, newest, in_order = stream.path, 0, True
            while link:
                body, elements = await self._page(stream, link, params)
                moments = [instant(item.get(sweep)) or 0 for item, _ in elements if isinstance(item, dict)]
                in_order = in_order and moments == sorted(moments) and (not moments or moments[0] >= newest)
                newest = max([newest, *moments])
                records, failures = position.page(sweep, elements, _reader(stream))
                following = str(body.get("@odata.nextLink") or "")
                if following == link:
                    raise ResponseError("the next link repeats", vendor=VENDOR, operation=f"pull {name}")
                done = not following and sweep == stream.sweeps[-1]
                if done:
                    position.forget()
                # A short or even empty page with a next link is not the end.
                moved = not following or (stream.is_sorted and in_order)
                yield Batch(records, position.dump() if moved else None, failures, more=not done)
                link, params = following, None

    async def _page(
        self, stream: _Stream, link: str, params: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, Any], list[tuple[Any, bytes]]]:
        operation = f"pull {stream.path.rpartition('/')[2]}"
        try:
            response = await self._graph.ask("GET", link, operation=operation, scope=stream.scope, params=params)
        except RejectedError as error:
            if params is not None or error.status != 400:
                raise
            raise CursorExpiredError(
                "the next link is no longer accepted; restart from the stored time",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
                request_id=error.request_id,
            ) from error
        body = decoded(response, operation)
        try:
            return body, cut(response.content, "value")
        except ValueError as error:
            raise ResponseError(
                f"the answer has no list of values ({error})", vendor=VENDOR, operation=operation
            ) from error

    async def read_one(self, name: str, native_id: str) -> RawRecord:
        """The risk as it is now."""
        stream = STREAMS[name]
        operation = f"read {name}"
        response = await self._graph.ask(
            "GET", f"{stream.path}/{segment(native_id)}", operation=operation, scope=stream.scope
        )
        record, _ = _reader(stream)(decoded(response, operation), response.content)
        return record

    async def write_back(self, command: Command) -> Receipt:
        """Gives the verdict that is still missing; a risk that is already so is left alone."""
        wish = Wish.of(command)
        stream, risk = await self._risk(command.native_id)
        before = triage.state(risk)
        lost = triage.losses(risk, wish, str(command.pre_state.get("status") or before["status"]))
        verdict = triage.verdict(risk, wish)
        if not verdict:
            return Receipt(command.native_id, changed=triage.repeated(command, wish), losses=lost)
        if stream == "risky_users":
            path, body, scope = f"/identityProtection/riskyUsers/{verdict}", {"userIds": [risk["id"]]}, _USER_WRITE
            lost = (*lost, "target: the verdict covers every open detection of the user")
        else:
            # A sign-in's detections share one verdict; one that belongs to no sign-in has none but its user's.
            request_id = risk.get("requestId")
            if not request_id:
                message = (
                    f"{command.native_id} belongs to no sign-in, so Entra ID takes a verdict only on its whole user"
                )
                raise UnsupportedError(f"{VENDOR}: {message} ({risk.get('userId')}); give it on the risky user")
            path, body, scope = f"/auditLogs/signIns/{verdict}", {"requestIds": [request_id]}, _EVENT_WRITE
        # Confirming a user leaves another detection each time, so that one is not sent twice blindly.
        again = not (stream == "risky_users" and verdict == "confirmCompromised")
        await self._graph.ask("POST", path, operation=f"{verdict} risk", scope=scope, json=body, repeatable=again)
        return Receipt(command.native_id, losses=lost, evidence={"before": before, "verdict": verdict})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether no verdict is missing, what an undo needs, and Entra's word for it."""
        wish = Wish.of(command)
        _, risk = await self._risk(command.native_id)
        native = str(risk.get("riskState") or "")
        if not triage.verdict(risk, wish):
            return Effect.IN_EFFECT, triage.state(risk), native
        processing = risk.get("isProcessing") is True  # a user's risk is calculated again, which takes a while
        return (Effect.PENDING if processing else Effect.NOT_IN_EFFECT), triage.state(risk), native

    async def _risk(self, native_id: str) -> tuple[str, Mapping[str, Any]]:
        """The detection or the risky user of that id, and its stream; the form of an id only says which is likelier."""
        names = list(STREAMS)
        if _GUID.fullmatch(native_id):
            names.reverse()
        for name in names:
            try:
                path = f"{STREAMS[name].path}/{segment(native_id)}"
                return name, await self._graph.read(path, operation="read risk", scope=STREAMS[name].scope)
            except NotFoundError:
                continue
        raise NotFoundError(f"no detection or risky user {native_id}", vendor=VENDOR, operation="read risk", status=404)


def _reader(stream: _Stream) -> Callable[[Any, bytes], tuple[RawRecord, Times]]:
    def read(item: Any, raw: bytes) -> tuple[RawRecord, Times]:
        native_id = str(item.get("id") or "")
        version = item.get(stream.changed) or ""
        record = RawRecord(raw, f"{native_id}:{version}:{item.get('riskState')}", native_id, VENDOR)
        return record, {sweep: instant(item.get(sweep)) for sweep in stream.sweeps}

    return read
