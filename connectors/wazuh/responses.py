"""Commands to agents, and what agents report of them: that a script began, never how it ended.

Each command carries our marker in the alert that it pretends to answer; an agent's log of what it was asked holds it
again, and comes back through the manager's rules as an alert of the group ``active_response``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightdesk.connectors.wazuh.indexer import Indexer
from nightdesk.connectors.wazuh.server import Answer, Server
from nightdesk.sdk.context import Clock
from nightdesk.sdk.moments import instant
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import marker

__all__ = ["MARK", "Responses"]

_DATA = "data.parameters.alert.data"
_KEY = "nightdesk"
MARK = f"{_DATA}.{_KEY}"
"""Where an agent's report has the marker of the command it is about."""

_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class _Sent:
    """What no report tells yet, or never will after a restart; ``at`` in nanoseconds."""

    script: str
    subject: str
    at: int


class Responses:
    """Sends commands and finds the reports of them."""

    def __init__(self, server: Server, indexer: Indexer, index: str, clock: Clock) -> None:
        self._server = server
        self._indexer = indexer
        self._index = index
        self._clock = clock
        self._sent: dict[tuple[str, str], _Sent] = {}

    async def send(
        self, command: Command, script: str, agents: Sequence[str], data: Mapping[str, str], arguments: Sequence[str]
    ) -> Answer:
        """Sends to these agents. Raises VendorError when none takes it."""
        mark = marker(command)
        answer = await self._server.respond(agents, script, arguments, {**data, _KEY: mark}, f"run {command.verb}")
        now = int(self._clock().timestamp() * 1000) * 1_000_000
        for agent in answer.items:
            self._sent[mark, str(agent)] = _Sent(script.lstrip("!"), "".join(data.values()), now)
        while len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]
        return answer

    async def began(self, command: Command, agents: Sequence[str]) -> set[str]:
        """The agents that have had this command: by their own reports, or by what we sent a moment ago."""
        mark = marker(command)
        told = set()
        for agent in agents:
            if (mark, agent) in self._sent or await self._newest(agent, {MARK: mark}) is not None:
                told.add(agent)
        return told

    async def ours(self, agents: Sequence[str], address: str, undo: str) -> set[str]:
        """The agents whose newest word about that address is that we asked for it; ``undo``: a script that ends it."""
        return {agent for agent in agents if await self._is_ours(agent, address, undo)}

    async def _is_ours(self, agent: str, address: str, undo: str) -> bool:
        report = await self._newest(agent, {f"{_DATA}.srcip": address})
        sent = [one for (_, asked), one in self._sent.items() if asked == agent and one.subject == address]
        last = max(sent, key=lambda one: one.at, default=None)
        if last is not None and (report is None or (instant(report.get("timestamp")) or 0) < last.at):
            return last.script != undo
        if report is None or _at(report, "data", "command") != "add":
            return False
        script = str(_at(report, "data", "parameters", "program")).rpartition("/")[2]
        return script != undo and _at(report, *MARK.split(".")) is not None

    async def _newest(self, agent: str, terms: Mapping[str, str]) -> Mapping[str, Any] | None:
        wanted = {"rule.groups": "active_response", "agent.id": agent, **terms}
        body = {
            "size": 1,
            "sort": [{"timestamp": {"order": "desc", "unmapped_type": "date"}}],
            "query": {"bool": {"filter": [{"term": {name: value}} for name, value in wanted.items()]}},
        }
        found = await self._indexer.search(self._index, body, "read agent reports")
        return next(iter(found.sources), None)


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
