"""Elastic Security's ports: alerts from Elasticsearch, workflow and response through Kibana, one API key for both."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.elastic_security import blocklist, response, tasks, workflow
from nightdesk.connectors.elastic_security.answers import VENDOR
from nightdesk.connectors.elastic_security.cluster import Cluster
from nightdesk.connectors.elastic_security.kibana import Kibana
from nightdesk.connectors.elastic_security.sweep import SWEEPS, Position, Snapshot, drain, key_of, record_of, restore
from nightdesk.connectors.elastic_security.telemetry import Telemetry
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError, UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Health, Reading, Receipt, Sighting
from nightdesk.sdk.records import Batch, Cursor, Failure, RawRecord
from nightdesk.sdk.targets import Asset, AssetQuery, Target

__all__ = ["Connector"]

_PRODUCT = "elastic_security"
_SPACE = re.compile(r"^[a-z0-9_-]+$")
_INDICES = re.compile(r"^[a-z0-9][a-z0-9_.:*-]*(,[a-z0-9][a-z0-9_.:*-]*)*$")
_RELATIVE = re.compile(r"^now-\d+[smhdw]$")
_WINDOW_MOST = 10_000  # index.max_result_window
_REQUESTS_PER_MINUTE = 600
_SKEW_MOST = 30.0
_NEEDED = ("read", "view_index_metadata", "write", "maintenance")
_DISPOSITION = "alert.set_disposition"

_Act = Callable[[Kibana, Command], Awaitable[Receipt]]
_Read = Callable[[Kibana, Command, datetime], Awaitable[Reading]]
_ACTS: Mapping[str, tuple[_Act, _Read]] = {
    **dict.fromkeys(response.HOST_VERBS, (response.act, response.read)),
    **dict.fromkeys(tasks.TASK_VERBS, (tasks.act, tasks.read)),
    **dict.fromkeys(blocklist.HASH_VERBS, (blocklist.act, blocklist.read)),
}


class Connector:
    """One space of one Elastic Security deployment."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._clock = context.clock
        self._space = settings.text("space", "default")
        self._start = settings.text("start", "now-24h")
        self._page_size = settings.integer("page_size", 500)
        self._overlap = timedelta(seconds=settings.integer("overlap", 300))
        self._defend = settings.flag("elastic_defend", True)
        indices = settings.text("telemetry_indices", "logs-*,filebeat-*,packetbeat-*,winlogbeat-*")
        problems = [
            Problem("settings", key, text)
            for key, wrong, text in (
                ("space", not _SPACE.match(self._space), "is no space identifier (a-z, 0-9, _ and -)"),
                ("page_size", not 1 <= self._page_size <= _WINDOW_MOST, f"must be 1 to {_WINDOW_MOST}"),
                ("overlap", self._overlap < timedelta(0), "must be 0 or more seconds"),
                ("start", not _is_start(self._start), "must be like now-24h, or a time with its zone"),
                ("telemetry_indices", not _INDICES.match(indices), "write names of indices, separated by commas"),
            )
            if wrong
        ]
        if problems:
            raise ConfigError(problems)
        # The exact alias: alert indices are hidden, so a wildcard would silently match none of them.
        self._index = f".alerts-security.alerts-{self._space}"
        self._kibana = Kibana(
            context,
            url=settings.text("kibana_url"),
            space=self._space,
            requests_per_minute=_REQUESTS_PER_MINUTE,
        )
        self._cluster = Cluster(context, url=settings.text("elasticsearch_url"), index=self._index)
        self._telemetry = Telemetry(self._cluster, indices)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._cluster.aclose()
        await self._kibana.aclose()

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """New alerts, then workflow changes, then suppressed repetitions; each version of an alert once.

        ``more`` says that the page was full. A changed alert comes again under a new key.
        """
        self._check(stream)
        positions = restore(cursor)
        if SWEEPS[0].name in positions:
            # A sweep that never found anything goes on from here too: a relative start would slide past changes.
            for sweep in SWEEPS:
                positions.setdefault(sweep.name, Position(positions[SWEEPS[0].name].at))
        size = max(1, min(limit, self._page_size))
        sent: set[str] = set()
        async with Snapshot(self._cluster) as snapshot:
            for number, sweep in enumerate(SWEEPS):
                begin = positions.get(sweep.name, Position())
                steps = drain(snapshot, sweep, begin, size=size, overlap=self._overlap, start=self._start)
                async with aclosing(steps):
                    async for step in steps:
                        positions[sweep.name] = step.position
                        found = [(key, hit) for key, hit in step.hits if key not in sent]
                        later = SWEEPS[number + 1 :]
                        sent.update(key for key, hit in found if any(one.concerns(hit) for one in later))
                        cut = [record_of(key, hit, _PRODUCT) for key, hit in found]
                        yield Batch(
                            records=[one for one in cut if isinstance(one, RawRecord)],
                            cursor={name: {"at": one.at, "seen": dict(one.seen)} for name, one in positions.items()},
                            failures=[one for one in cut if isinstance(one, Failure)],
                            more=step.more,
                        )

    async def read_one(self, stream: str, native_id: str) -> RawRecord:
        """The alert as it is now. Raises NotFoundError."""
        self._check(stream)
        hit = await self._cluster.one(native_id)
        record = record_of(key_of(hit), hit, _PRODUCT)
        if isinstance(record, Failure):
            raise record.error
        return record

    async def write_back(self, command: Command) -> Receipt:
        """Sets workflow status and disposition tag. Raises NotFoundError when the space has no such alert."""
        if command.verb != _DISPOSITION:
            raise _unsupported(command.verb)
        return await workflow.set_disposition(self._cluster, self._kibana, command)

    async def act(self, command: Command) -> Receipt:
        """Asks Elastic Defend; safe to repeat with the same idempotency key."""
        act, _ = self._part(command.verb)
        return await act(self._kibana, command)

    async def read_back(self, command: Command) -> Reading:
        """The state of the host, blocklist or alert as Elastic reports it now, or of the action where it keeps none."""
        if command.verb == _DISPOSITION:
            return await workflow.read_disposition(self._cluster, command, self._clock())
        _, read = self._part(command.verb)
        return await read(self._kibana, command, self._clock())

    async def find_asset(self, query: AssetQuery) -> Sequence[Asset]:
        """The hosts with Elastic Defend that the query stands for."""
        return await response.find(self._kibana, query) if self._defend else ()

    async def activity(self, target: Target, since: datetime, until: datetime, *, limit: int) -> Sequence[Sighting]:
        """What the events of ``telemetry_indices`` hold of a host, account, address, domain, URL or file."""
        return await self._telemetry.activity(target, since, until, limit=limit)

    async def check_health(self) -> Health:
        """Asks both services who we are and what we may do; names every privilege that is missing."""
        problems: list[str] = []
        begin = self._clock()
        version = ""
        try:
            await self._cluster.authenticate()
        except VendorError as error:
            problems.append(str(error))
        latency = (self._clock() - begin).total_seconds()
        try:
            problems.extend(self._missing(await self._kibana.privileges()))
            version = await self._kibana.version()
            if self._defend:
                await self._kibana.reads_hosts()
        except VendorError as error:
            problems.append(str(error))
        skew = self._kibana.clock_skew
        if skew is not None and abs(skew) > _SKEW_MOST:
            problems.append(f"{VENDOR}: Kibana's clock is {skew:.0f} s off ours; correct the one that is wrong (NTP)")
        return Health(not problems, tuple(problems), version, skew, latency)

    def _missing(self, privileges: Mapping[str, Any]) -> list[str]:
        indices = privileges.get("index")
        if not isinstance(indices, dict) or not isinstance(indices.get(self._index), dict):
            return [str(ResponseError(f"no privileges told for {self._index}", vendor=VENDOR, operation="privileges"))]
        held = indices[self._index]
        lacking = [name for name in _NEEDED if not held.get(name)]
        if not lacking:
            return []
        return [f"{VENDOR}: the API key lacks {', '.join(lacking)} on {self._index}; grant it to the key"]

    def _check(self, stream: str) -> None:
        if stream != "alerts":
            raise UnsupportedError(f"{VENDOR}: no stream {stream!r}; there is alerts")

    def _part(self, verb: str) -> tuple[_Act, _Read]:
        """What carries the verb out and reads it back. Raises UnsupportedError."""
        if verb not in _ACTS:
            raise _unsupported(verb)
        if not self._defend:
            raise UnsupportedError(
                f"{VENDOR}: {verb} needs Elastic Defend; the setting elastic_defend says it is not used"
            )
        return _ACTS[verb]


def _unsupported(verb: str) -> UnsupportedError:
    return UnsupportedError(f"{VENDOR}: {verb} is not declared; it can {', '.join((*_ACTS, _DISPOSITION))}")


def _is_start(text: str) -> bool:
    try:
        return bool(_RELATIVE.match(text)) or datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
