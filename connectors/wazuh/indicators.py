"""Addresses: blocked by the firewalls of the agents that the operator named, and read back from those firewalls.

The manager only says that a command was sent, and an agent's report (rule 651) is written before its script touches the
firewall. So the truth here is a listing of the firewall that each of these agents sends by itself every minute, as the
README sets up: an alert whose ``location`` is the setting ``firewall_report``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from nightdesk.connectors.wazuh.indexer import VENDOR, Indexer
from nightdesk.connectors.wazuh.options import Options, Timed
from nightdesk.connectors.wazuh.responses import Responses
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["COMPLETE", "Indicators", "drops"]

COMPLETE = "nightdesk-complete"
"""The line a listing ends with: without it the command failed, or the listing was cut off on its way."""

_STALE = timedelta(minutes=5)  # of a listing that comes every minute
_LONGEST = 8760 * 3600  # seconds
_RULE = re.compile(r"-A INPUT(?: -s (\S+))?((?: .+?)?) -j (\S+)(?: --reject-with \S+)?")
_WORDS: Mapping[bool | None, str] = {True: "drops", False: "passes", None: "unknown"}
_PASSES_ON = frozenset({"LOG", "NFLOG"})
_Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class _Listing:
    """One firewall: whether it drops the address, None when nothing usable was heard; ``at`` in nanoseconds."""

    drops: bool | None
    at: int = 0


class Indicators:
    """Blocks and unblocks on the configured agents."""

    def __init__(self, responses: Responses, indexer: Indexer, options: Options, clock: Clock) -> None:
        self._responses = responses
        self._indexer = indexer
        self._options = options
        self._clock = clock

    async def block(self, command: Command) -> Receipt:
        """Asks each agent whose firewall does not drop the address yet, and that has not had this command."""
        command.only("duration")
        address = _address(command)
        seconds = _duration(command)
        agents = self._agents(command)
        if not self._options.block_commands:
            raise UnsupportedError(f"{VENDOR}: ip.block needs the setting block_commands, such as firewall-drop3600")
        chosen = self._options.timed(seconds)
        listings = await self._listings(agents, address)
        # A renewal goes to all: an agent that counts already counts anew, and runs nothing a second time.
        missing = [agent for agent in agents if command.renewal or listings[agent].drops is not True]
        began = await self._responses.began(command, missing) if missing else set()
        asked = [agent for agent in missing if agent not in began]
        losses = _losses(seconds, chosen.seconds)
        if not asked:
            changed = bool(began) or command.began_otherwise("blocked", True)
            return Receipt(
                changed=changed, losses=losses if changed else (), evidence=_end(command, chosen, sent=changed)
            )
        text = str(address)
        answer = await self._responses.send(command, chosen.name, asked, {"srcip": text}, ("-", text))
        return Receipt(
            losses=(*losses, *map(str, answer.failed.values())),
            evidence={
                "command": chosen.name,
                "sent_to": list(map(str, answer.items)),
                **_end(command, chosen, sent=True),
            },
        )

    async def unblock(self, command: Command) -> Receipt:
        """Runs the operator's script where we blocked. Raises RejectedError when only somebody else did."""
        command.only()
        address = _address(command)
        agents = self._agents(command)
        script = self._options.unblock_script
        if not script:
            raise UnsupportedError(
                f"{VENDOR}: its API cannot end a block, which ends by itself when its command's seconds are over; to"
                " end it earlier deploy a script as the README says and set unblock_script"
            )
        listings = await self._listings(agents, address)
        dropping = [agent for agent in agents if listings[agent].drops is not False]
        if not dropping:
            return Receipt(changed=command.began_otherwise("blocked", False))
        ours = await self._responses.ours(dropping, str(address), self._options.unblock_script)
        others = [agent for agent in dropping if agent not in ours and listings[agent].drops]
        others = sorted(set(others) - _stood(command))
        if not ours:
            if not others:
                return Receipt(changed=False)
            message = f"{address} is blocked on agent {', '.join(others)}, and not by us; lift it there"
            raise RejectedError(message, vendor=VENDOR, operation="run ip.unblock")
        began = await self._responses.began(command, sorted(ours))
        asked = sorted(ours - began)
        if not asked:
            return Receipt()
        text = str(address)
        answer = await self._responses.send(command, f"!{script}", asked, {"srcip": text}, ("-", text))
        return Receipt(
            losses=(
                *(f"agent {agent} blocks it too, and not by us; lift it there" for agent in others),
                *map(str, answer.failed.values()),
            ),
            evidence={"sent_to": list(map(str, answer.items))},
        )

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """What the firewalls list: all must agree, and have been listed after the request."""
        agents = self._agents(command)
        address = _address(command)
        listings = await self._listings(agents, address)
        wanted = command.verb == "ip.block"
        dropping = [agent for agent in agents if listings[agent].drops]
        ours = await self._responses.ours(dropping, str(address), self._options.unblock_script) if dropping else set()
        state = {
            "blocked": len(dropping) == len(agents),
            "ours": bool(ours),
            "agents": {agent: _WORDS[listing.drops] for agent, listing in listings.items()},
        }
        if ours and wanted and self._options.block_commands:
            state |= _end(command, self._options.timed(_duration(command)), sent=True)
        native = ", ".join(f"{agent} {_WORDS[listing.drops]}" for agent, listing in listings.items())
        left = [agent for agent in dropping if agent in ours or agent not in _stood(command)]
        unknown = any(listing.drops is None for listing in listings.values())
        if (left and not wanted) or (wanted and any(listing.drops is False for listing in listings.values())):
            return Effect.NOT_IN_EFFECT, state, native
        if unknown:
            return Effect.UNKNOWN, state, native
        asked = int(command.requested_at.timestamp() * 1000) * 1_000_000
        late = all(listing.at >= asked for listing in listings.values())
        return (Effect.IN_EFFECT if late else Effect.PENDING), state, native

    def _agents(self, command: Command) -> Sequence[str]:
        if not self._options.block_agents:
            raise UnsupportedError(f"{VENDOR}: {command.verb} needs the setting block_agents: whose firewalls block")
        return self._options.block_agents

    async def _listings(self, agents: Sequence[str], address: _Address) -> Mapping[str, _Listing]:
        return {agent: await self._listing(agent, address) for agent in agents}

    async def _listing(self, agent: str, address: _Address) -> _Listing:
        needed = [{"term": {"location": self._options.firewall_report}}, {"term": {"agent.id": agent}}]
        newest = [{"timestamp": {"order": "desc", "unmapped_type": "date"}}]
        body = {"size": 1, "sort": newest, "query": {"bool": {"filter": needed}}}
        found = await self._indexer.search(self._options.index, body, "read firewall listings")
        source = next(iter(found.sources), {})
        at, text = instant(source.get("timestamp")), source.get("full_log")
        if at is None or not isinstance(text, str) or text.rstrip().rpartition("\n")[2] != COMPLETE:
            return _Listing(None)
        stale = (self._clock() - _STALE).timestamp() * 1000 > at // 1_000_000
        return _Listing(None if stale else drops(text, address), at)


def drops(listing: str, address: _Address) -> bool | None:
    """Whether the first rule that could be about the address drops it whatever else the packet is.

    A rule for everybody is no block of this address. None when the listing of its family is missing.
    """
    tables = listing.split("\n-P INPUT ")[1:]  # IPv4 first
    if len(tables) != 2:
        return None
    for line in tables[0 if address.version == 4 else 1].splitlines()[1:]:
        rule = _RULE.fullmatch(line.strip())
        if rule is None or rule[3] in _PASSES_ON or " -i lo" in rule[2]:
            continue
        source, conditions, drop = rule[1], rule[2], rule[3] in {"DROP", "REJECT"}
        try:
            covers = source is None or address in ip_network(source, strict=False)
        except ValueError:
            covers = True  # a source we cannot read might be it
        if covers and (source is not None or conditions or not drop):
            return drop and not conditions
    return False


def _address(command: Command) -> _Address:
    text = command.target.value
    try:
        return ip_address(text)
    except ValueError:
        message = f"{text}: the agents' scripts block one address at a time, no network"
        raise RejectedError(message, vendor=VENDOR, operation=f"run {command.verb}") from None


def _duration(command: Command) -> float | None:
    raw = command.parameters.get("duration")
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= _LONGEST:
        raise RejectedError(f"duration {raw!r}: write seconds, at most 8760 hours", vendor=VENDOR)
    return float(raw)


def _end(command: Command, chosen: Timed, *, sent: bool) -> dict[str, str]:
    """When the first agent lets go: its seconds count from the request at the earliest."""
    if not sent or chosen.seconds is None:
        return {}
    return {"ends_at": (command.requested_at + timedelta(seconds=chosen.seconds)).isoformat()}


def _losses(wanted: float | None, given: int | None) -> tuple[str, ...]:
    if wanted == given:
        return ()
    asked = "no duration" if wanted is None else f"duration={wanted:g}"
    return (f"{asked}: the agents end it {'never' if given is None else f'after {given} seconds'}",)


def _stood(command: Command) -> set[str]:
    """An undo's pre-state: where somebody else's block was before ours, which is none of what we take back."""
    agents = command.pre_state.get("agents")
    if command.pre_state.get("ours") is not False or not isinstance(agents, Mapping):
        return set()
    return {str(agent) for agent, word in agents.items() if word == _WORDS[True]}
