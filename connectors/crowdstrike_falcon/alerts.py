"""Alerts: read by creation and by change without loss, one by one, and changed by one PATCH with what is missing."""

import re
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from typing import Any

from nightdesk.connectors.crowdstrike_falcon import triage
from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Answer, Falcon
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    ConfigError,
    CursorExpiredError,
    NotFoundError,
    Problem,
    RejectedError,
    ResponseError,
)
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, Times, start_of
from nightdesk.sdk.triage import Wish

__all__ = ["READ", "Alerts"]

READ = "Alerts: read"
_WRITE = "Alerts: write"
_CREATED, _UPDATED = "created_timestamp", "updated_timestamp"
_SWEEPS = (_CREATED, _UPDATED)
_MAX_PAGE = 1000  # a larger limit is a 400, not a clamp
_PRODUCT = re.compile(r"[a-z0-9_-]+")


class Alerts:
    """The alerts of one CID."""

    def __init__(self, falcon: Falcon, context: Context) -> None:
        self._falcon = falcon
        self._context = context
        settings = context.settings
        self._page_size = settings.integer("page_size", _MAX_PAGE)
        self._products = [name for name in re.split(r"[,\s]+", settings.text("products")) if name]
        problems = [
            *([] if 1 <= self._page_size <= _MAX_PAGE else [("page_size", f"must be 1 to {_MAX_PAGE}")]),
            *(("products", f"{name!r} is no product slug") for name in self._products if not _PRODUCT.fullmatch(name)),
        ]
        if problems:
            raise ConfigError([Problem(context.instance, key, message) for key, message in problems])
        start_of(context)  # refuses a setting that is no time now, and not at the first pull

    async def pull(self, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """New alerts by creation, then changed ones by update.

        Paging by creation cannot miss an alert that changes meanwhile; paging by update finds its new version.
        """
        position = Position.load(cursor, start=start_of(self._context), sweeps=_SWEEPS)
        size = max(1, min(limit, self._page_size))
        for sweep in _SWEEPS:
            floor, after = iso(position.since(sweep)), ""
            while True:
                answer = await self._page(sweep, floor, size, after)
                last = not answer.after or not answer.elements
                records, failures = position.page(sweep, answer.elements, _read)
                if answer.errors:
                    # Part of the page is missing: what came is kept, but where to go on stays where it was.
                    yield Batch(records, None, failures)
                    raise self._falcon.complaint(answer)
                if not last and answer.after == after:
                    raise ResponseError("the page token repeats", vendor=VENDOR, operation=answer.operation)
                done = last and sweep == _SWEEPS[-1]
                if done:
                    position.forget()
                yield Batch(records, position.dump(), failures, more=not done)
                if last:
                    break
                after = answer.after

    async def record(self, native_id: str) -> RawRecord:
        """One alert as it is now, verbatim."""
        return _read(*await self._one(native_id))[0]

    async def write(self, command: Command) -> Receipt:
        """One PATCH with what is still missing; an alert that is already so is left alone."""
        wish = Wish.of(command)
        before, _ = await self._one(command.native_id)
        wanted, lost = triage.changes(before, wish), triage.VERDICTS.losses(wish)
        if not wanted:
            return Receipt(command.native_id, changed=triage.repeated(before, command, wish), losses=lost)
        answer = await self._falcon.ask(
            "PATCH",
            "/alerts/entities/alerts/v3",
            operation="update alert",
            scope=_WRITE,
            json={"composite_ids": [command.native_id], "action_parameters": wanted},
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        writes = answer.meta.get("writes")
        if isinstance(writes, Mapping) and writes.get("resources_affected", 1) != 1:
            message = f"{writes['resources_affected']} alerts were changed instead of {command.native_id} alone"
            raise ResponseError(message, vendor=VENDOR, operation="update alert", request_id=answer.trace_id)
        evidence = {"before": triage.state(before), "trace_id": answer.trace_id}
        return Receipt(command.native_id, losses=lost, evidence=evidence)

    async def effect(self, command: Command) -> tuple[Effect, Mapping[str, Any], str]:
        """Whether nothing of the command is missing, the state in our words, and Falcon's word for the status."""
        wish = Wish.of(command)
        alert, _ = await self._one(command.native_id)
        state = triage.state(alert)
        effect = Effect.NOT_IN_EFFECT if triage.changes(alert, wish) else Effect.IN_EFFECT
        return effect, state, str(alert.get("status", ""))

    async def _page(self, sweep: str, floor: str, size: int, after: str) -> Answer:
        terms = [f"{sweep}:>='{floor}'"]
        if self._products:
            terms.append("product:[{}]".format(",".join(f"'{name}'" for name in self._products)))
        body = {"filter": "+".join(terms), "sort": f"{sweep}|asc", "limit": size}
        try:
            return await self._falcon.ask(
                "POST",
                "/alerts/combined/alerts/v1",
                operation="pull alerts",
                scope=READ,
                json={**body, "after": after} if after else body,
                repeatable=True,
            )
        except RejectedError as error:
            if not after or error.status != 400:
                raise
            raise CursorExpiredError(
                "the page token is no longer accepted; restart from the stored time",
                vendor=VENDOR,
                operation="pull alerts",
                status=error.status,
                request_id=error.request_id,
            ) from error

    async def _one(self, native_id: str) -> tuple[Mapping[str, Any], bytes]:
        if not native_id:
            raise RejectedError("no alert is named", vendor=VENDOR, operation="read alert")
        answer = await self._falcon.ask(
            "POST",
            "/alerts/entities/alerts/v2",
            operation="read alert",
            scope=READ,
            json={"composite_ids": [native_id]},
            repeatable=True,
        )
        if answer.elements and isinstance(answer.elements[0][0], dict):
            return answer.elements[0]
        if answer.errors:
            raise self._falcon.complaint(answer)
        raise NotFoundError(f"no alert {native_id}", vendor=VENDOR, operation="read alert", status=answer.status)


def _read(alert: Mapping[str, Any], raw: bytes) -> tuple[RawRecord, Times]:
    """The record and its times; the key falls back to the content where an id or a time is missing."""
    native_id = str(alert.get("composite_id") or "")
    version = str(alert.get(_UPDATED) or "") if native_id else ""
    key = f"{native_id}:{version or sha256(raw).hexdigest()}"
    return RawRecord(raw, key, native_id, VENDOR), {name: instant(alert.get(name)) for name in _SWEEPS}
