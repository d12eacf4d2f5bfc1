"""The Falcon connector: alerts in, triage and containment out, each effect read from the vendor's own state."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

from nightdesk.connectors.crowdstrike_falcon import triage
from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Answer, Falcon
from nightdesk.connectors.crowdstrike_falcon.hosts import Hosts
from nightdesk.connectors.crowdstrike_falcon.indicators import Indicators
from nightdesk.connectors.crowdstrike_falcon.sweep import SWEEPS, Position, instant, record_of
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    ConfigError,
    CursorExpiredError,
    NotFoundError,
    Problem,
    RejectedError,
    ResponseError,
    ScopeError,
    UnsupportedError,
    VendorError,
)
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["Connector"]

_STREAM = "alerts"
_READ = "Alerts: read"
_WRITE = "Alerts: write"
_MAX_PAGE = 1000  # a larger limit is a 400, not a clamp
_MAX_SKEW = 120.0  # seconds; tokens are renewed that early
_PRODUCT = re.compile(r"[a-z0-9_-]+")
_PROBES = (
    ("/alerts/queries/alerts/v2", _READ),
    ("/devices/queries/devices/v1", "Hosts: read"),
    ("/iocs/combined/indicator/v1", "IOC Management: read"),
)


class Connector:
    """One Falcon CID."""

    def __init__(self, context: Context) -> None:
        self._context = context
        settings = context.settings
        self._page_size = settings.integer("page_size", _MAX_PAGE)
        self._products = [name for name in re.split(r"[,\s]+", settings.text("products")) if name]
        self._start = settings.text("start")
        problems = [
            *([] if 1 <= self._page_size <= _MAX_PAGE else [("page_size", f"must be 1 to {_MAX_PAGE}")]),
            *(
                []
                if not self._start or instant(self._start) is not None
                else [("start", "write a time like 2026-11-01T00:00:00Z")]
            ),
            *(("products", f"{name!r} is no product slug") for name in self._products if not _PRODUCT.fullmatch(name)),
        ]
        if problems:
            raise ConfigError([Problem(context.instance, key, message) for key, message in problems])
        self._falcon = Falcon(context)
        self._hosts = Hosts(self._falcon)
        self._indicators = Indicators(self._falcon, context.tenant)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._falcon.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """New alerts by creation, then changed ones by update.

        Paging by creation cannot miss an alert that changes meanwhile; paging by update finds its new version.
        """
        _alerts(stream)
        position = Position.load(cursor, self._start or self._yesterday())
        size = max(1, min(limit, self._page_size))
        for sweep in SWEEPS:
            floor, after = position.floor(sweep), ""
            while True:
                answer = await self._page(sweep, floor, size, after)
                last = not answer.after or not answer.resources
                records, failures = position.page(sweep, answer)
                if answer.errors:
                    # Part of the page is missing: what came is kept, but where to go on stays where it was.
                    yield Batch(records, None, failures)
                    raise self._falcon.complaint(answer)
                if not last and answer.after == after:
                    raise ResponseError("the page token repeats", vendor=VENDOR, operation=answer.operation)
                done = last and sweep == SWEEPS[-1]
                if done:
                    position.forget()
                yield Batch(records, position.dump(), failures, more=not done)
                if last:
                    break
                after = answer.after

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert as it is now."""
        _alerts(stream)
        answer = await self._entities(native_id)
        return record_of(answer.resources[0], answer.texts[0])

    async def write_back(self, command: Command) -> Receipt:
        """One PATCH with what is still missing; an alert that is already so is left alone."""
        before = (await self._entities(command.native_id)).resources[0]
        wanted = triage.changes(before, command)
        lost = triage.losses(command)
        if not wanted:
            return Receipt(command.native_id, changed=triage.repeated(before, command), losses=lost)
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

    async def act(self, command: Command) -> Receipt:
        """Contains or lifts, blocks or unblocks."""
        match command.verb:
            case "host.isolate" | "host.release":
                return await self._hosts.contain(command)
            case "hash.block":
                return await self._indicators.block(command)
            case "hash.unblock":
                return await self._indicators.unblock(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """The device's status, the indicator, or the alert, as Falcon shows it now."""
        state: Mapping[str, Any]
        match command.verb:
            case "host.isolate" | "host.release":
                effect, state, native = await self._hosts.effect(command)
            case "hash.block" | "hash.unblock":
                effect, state, native = await self._indicators.effect(command)
            case "alert.set_disposition" | "alert.comment":
                alert = (await self._entities(command.native_id)).resources[0]
                effect = Effect.IN_EFFECT if triage.settled(alert, command) else Effect.NOT_IN_EFFECT
                state, native = triage.state(alert), str(alert.get("status", ""))
            case _:
                raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        return Reading(effect, self._context.clock(), state, native)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """By device id, else by name, else by local address; of a reinstalled sensor's records the live one."""
        return await self._hosts.find(query)

    async def check_health(self) -> Health:
        """A token, then one record of each API: a missing scope shows only on use."""
        problems: list[str] = []
        begin = self._context.clock()
        for path, scope in _PROBES:
            try:
                answer = await self._falcon.ask("GET", path, operation="check health", scope=scope, params={"limit": 1})
                if answer.errors:
                    problems.append(str(self._falcon.complaint(answer)))
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again, and wrong credentials lock a client out
        latency = (self._context.clock() - begin).total_seconds() / len(_PROBES)
        elsewhere = "" if problems else await self._falcon.other_cloud()
        skew = self._falcon.clock_skew
        if elsewhere:
            problems.append(elsewhere)
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), version="alerts v2", clock_skew=skew, latency=latency)

    def _yesterday(self) -> str:
        return f"{self._context.clock().astimezone(UTC) - timedelta(hours=24):%Y-%m-%dT%H:%M:%S}Z"

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
                scope=_READ,
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

    async def _entities(self, native_id: str) -> Answer:
        if not native_id:
            raise RejectedError("no alert is named", vendor=VENDOR, operation="read alert")
        answer = await self._falcon.ask(
            "POST",
            "/alerts/entities/alerts/v2",
            operation="read alert",
            scope=_READ,
            json={"composite_ids": [native_id]},
            repeatable=True,
        )
        if answer.resources and isinstance(answer.resources[0], dict):
            return answer
        if answer.errors:
            raise self._falcon.complaint(answer)
        raise NotFoundError(f"no alert {native_id}", vendor=VENDOR, operation="read alert", status=answer.status)


def _alerts(stream: str) -> None:
    if stream != _STREAM:
        raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is {_STREAM}")
