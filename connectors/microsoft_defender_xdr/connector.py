"""The Defender XDR connector: alerts in, triage and response out, each effect read from Microsoft's own state."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.microsoft_defender_xdr import triage
from nightdesk.connectors.microsoft_defender_xdr.actions import MachineActions
from nightdesk.connectors.microsoft_defender_xdr.alerts import ALERTS, INCIDENTS, Kind, Listing, kind_of
from nightdesk.connectors.microsoft_defender_xdr.client import VENDOR, Defender, Surface
from nightdesk.connectors.microsoft_defender_xdr.hosts import Hosts
from nightdesk.connectors.microsoft_defender_xdr.indicators import Indicators
from nightdesk.connectors.microsoft_defender_xdr.standing import CALLS
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    ConfigError,
    Problem,
    RejectedError,
    ResponseError,
    ScopeError,
    UnsupportedError,
    VendorError,
)
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import start_of
from nightdesk.sdk.targets import Asset, AssetQuery
from nightdesk.sdk.triage import Wish

__all__ = ["Connector"]

_MAX_SKEW = 120.0  # seconds
_SOURCE = re.compile(r"[A-Za-z0-9]+")
_BLOCKS = frozenset({"hash.block", "ip.block", "domain.block", "url.block"})
_UNBLOCKS = frozenset({"hash.unblock", "ip.unblock", "domain.unblock", "url.unblock"})
_COMMENT = "microsoft.graph.security.alertComment"
_HUNT = "ThreatHunting.Read.All"


class Connector:
    """One Defender XDR tenant."""

    def __init__(self, context: Context) -> None:
        self._context = context
        settings = context.settings
        sources = [name for name in re.split(r"[,\s]+", settings.text("sources")) if name]
        page_size = settings.integer("page_size", ALERTS.most)
        problems = [
            *([] if 1 <= page_size <= ALERTS.most else [("page_size", f"must be 1 to {ALERTS.most}")]),
            *(("sources", f"{name!r} is no service source") for name in sources if not _SOURCE.fullmatch(name)),
        ]
        if problems:
            raise ConfigError([Problem(context.instance, key, message) for key, message in problems])
        start_of(context)  # a start that is none is said now, not at the first pull
        self._with_incidents = settings.flag("incidents")
        self._with_endpoint = settings.flag("endpoint", default=True)
        self._defender = Defender(context)
        self._listings = {
            ALERTS: Listing(self._defender.graph, ALERTS, page_size=page_size, sources=sources),
            INCIDENTS: Listing(self._defender.graph, INCIDENTS, page_size=page_size),
        }
        self._hosts = Hosts(self._defender.endpoint)
        self._actions = MachineActions(self._defender.endpoint)
        self._indicators = Indicators(self._defender.endpoint, context.tenant)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._defender.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """What changed since the cursor, oldest change first; incidents only where they are asked for."""
        kind = _kind(stream)
        if kind is INCIDENTS and not self._with_incidents:
            return
        async for batch in self._listings[kind].pull(cursor, start=start_of(self._context), limit=limit):
            yield batch

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert or incident as it is now."""
        return await self._listings[_kind(stream)].record(native_id)

    async def write_back(self, command: Command) -> Receipt:
        """One PATCH with what is still missing, then the comment; what is already so is left alone."""
        wish, kind = Wish.of(command), kind_of(command.native_id)
        before, _ = await self._listings[kind].one(command.native_id)
        lost = triage.VERDICTS.losses(wish)
        fields = triage.changes(before, command, wish, opened=kind.opened)
        to_say = not triage.commented(before, wish)
        if not fields and not to_say:
            return Receipt(command.native_id, changed=triage.repeated(before, command, wish), losses=lost)
        path = f"{kind.path}/{quote(command.native_id, safe='')}"
        graph, role = self._defender.graph, kind.writes
        if fields:
            # The same values again change nothing, so it may be sent again when the answer is lost.
            await graph.ask("PATCH", path, operation=command.verb, role=role, json=fields, repeatable=True)
        if to_say:
            comment = {"@odata.type": _COMMENT, "comment": wish.comment}
            await graph.ask("POST", f"{path}/comments", operation=command.verb, role=role, json=comment)
        return Receipt(command.native_id, losses=lost, evidence={"before": triage.state(before), "written": fields})

    async def act(self, command: Command) -> Receipt:
        """Asks for a machine action, or makes or deletes an indicator."""
        if command.verb in CALLS:
            return await self._actions.act(command)
        if command.verb in _BLOCKS:
            return await self._indicators.block(command)
        if command.verb in _UNBLOCKS:
            return await self._indicators.unblock(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """The machine's actions, the indicator, or the alert, as Microsoft shows them now."""
        state: Mapping[str, Any]
        if command.verb in CALLS:
            effect, state, native = await self._actions.effect(command)
        elif command.verb in _BLOCKS | _UNBLOCKS:
            effect, state, native = await self._indicators.effect(command)
        elif command.verb.startswith("alert."):
            wish = Wish.of(command)
            row, _ = await self._listings[kind_of(command.native_id)].one(command.native_id)
            effect = Effect.IN_EFFECT if triage.settled(row, command, wish) else Effect.NOT_IN_EFFECT
            state, native = triage.state(row), str(row.get("status") or "")
        else:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        return Reading(effect, self._context.clock(), state, native)

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """By machine id or Entra device id, else by name, else by local address."""
        return await self._hosts.find(query)

    async def search(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """Advanced hunting: a KQL query over the last 30 days."""
        text = query.strip().rstrip(";")
        if not text or limit < 1:
            raise RejectedError("write a query and a limit of at least 1", vendor=VENDOR, operation="hunt")
        answer = await self._defender.graph.read(
            "POST",
            "/v1.0/security/runHuntingQuery",
            operation="hunt",
            role=_HUNT,
            json={"Query": f"{text}\n| take {limit}"},
            repeatable=True,
        )
        rows = answer.get("results")
        if not isinstance(rows, list):
            raise ResponseError("the answer has no 'results'", vendor=VENDOR, operation="hunt")
        return [row for row in rows if isinstance(row, dict)][:limit]

    async def check_health(self) -> Health:
        """One row of each list that normal operation reads: a missing permission shows only on use."""
        problems: list[str] = []
        begin = self._context.clock()
        probes = self._probes()
        for surface, path, role in probes:
            try:
                await surface.rows(path, operation="check health", role=role, params={"$top": 1})
            except VendorError as error:
                problems.append(str(error))
                if not isinstance(error, ScopeError):
                    break  # it would be the same again, and wrong credentials lock an application out
        latency = (self._context.clock() - begin).total_seconds() / len(probes)
        skew = self._defender.graph.clock_skew
        if skew is not None and abs(skew) > _MAX_SKEW:
            problems.append(f"the vendor's clock differs by {skew:.0f} s from ours; correct the clock of this machine")
        return Health(not problems, tuple(problems), version="Graph v1.0", clock_skew=skew, latency=latency)

    def _probes(self) -> list[tuple[Surface, str, str]]:
        kinds = [ALERTS, *([INCIDENTS] if self._with_incidents else [])]
        graph, endpoint = self._defender.graph, self._defender.endpoint
        # Not the machines: where there are none yet their list is a 404, as a wrong address is.
        lists = (("/api/machineactions", "Machine.Read.All"), ("/api/indicators", "Ti.ReadWrite.All"))
        return [
            *((graph, kind.path, kind.reads) for kind in kinds),
            *((endpoint, path, role) for path, role in lists if self._with_endpoint),
        ]


def _kind(stream: str) -> Kind:
    for kind in (ALERTS, INCIDENTS):
        if kind.stream == stream:
            return kind
    raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there are {ALERTS.stream}, {INCIDENTS.stream}")
