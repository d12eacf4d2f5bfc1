"""Bans of addresses and ranges: decisions under an origin of our own, so that nobody else's is ever ended.

Every ban is a decision that an alert brings along. Decisions of one address stand beside each other until they end; the
longest holds. In force is what a bouncer is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from nightdesk.connectors.crowdsec.client import VENDOR, Lapi
from nightdesk.connectors.crowdsec.durations import duration_text, seconds_of
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.moments import SECOND, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["SCENARIO", "Decisions"]

SCENARIO = "nightdesk/ip.block"
"""The scenario of every alert that is a block of ours."""

_LONGEST = 8760 * 3600  # seconds; there is no ban without an end
_AS_GOOD_AS_ENDLESS = 30 * 86_400  # seconds a ban must still last for a block that names no duration
_NEARLY = 60.0  # seconds, or a tenth: a ban that ends so much sooner is no reason for a second one
_MESSAGE = 255  # letters that every database of CrowdSec takes
_SCOPES = frozenset({"ip", "range"})


@dataclass(frozen=True, slots=True)
class _Ban:
    number: int
    origin: str
    scenario: str
    network: IPv4Network | IPv6Network
    left: float

    def __str__(self) -> str:
        return f"decision {self.number} of {self.origin or 'nobody'} on {self.network}"


class Decisions:
    """Blocks and unblocks for one tenant."""

    def __init__(self, lapi: Lapi, tenant: str, clock: Clock) -> None:
        self._lapi = lapi
        self._clock = clock
        self._origin = f"nightdesk:{tenant}"

    async def block(self, command: Command) -> Receipt:
        """Adds a ban unless one holds as long as is wanted."""
        command.only("duration")
        seconds = _duration(command)
        network = _network(command.target.value)
        holding = self._holding(await self._bans(network, "block address"), command)
        if holding is not None:
            changed = command.began_otherwise("as_wanted", True)
            end = {"ends_at": self._ends(holding.left)}
            return Receipt(str(holding.number), changed=changed, evidence={"ban": str(holding), **end})
        single = network.num_addresses == 1
        value = str(network.network_address) if single else str(network)
        scope = "Ip" if single else "Range"
        # The seconds count from stop_at, so that is the server's present and not ours.
        now = f"{self._lapi.now():%Y-%m-%dT%H:%M:%S.%f}Z"
        decision = {
            "origin": self._origin,
            "type": "ban",
            "scope": scope,
            "value": value,
            "duration": duration_text(seconds or _LONGEST),
            "scenario": _signed(command),
        }
        alert = {
            "scenario": SCENARIO,
            "scenario_hash": "",
            "scenario_version": "",
            "message": _message(command),
            "events_count": 0,
            "start_at": now,
            "stop_at": now,
            "capacity": 0,
            "leakspeed": "0",
            "simulated": False,
            "events": [],
            "source": {"scope": scope, "value": value, scope.lower(): value},
            "decisions": [decision],
        }
        number = await self._lapi.push(alert, "block address")
        return Receipt(
            number,
            evidence={
                "alert": number,
                "duration": decision["duration"],
                "ends_at": self._ends(seconds or _LONGEST),
            },
        )

    async def unblock(self, command: Command) -> Receipt:
        """Ends our bans of exactly this address. Raises RejectedError when only somebody else's are there."""
        command.only()
        network = _network(command.target.value)
        bans = await self._bans(network, "unblock address")
        ours = [ban for ban in bans if ban.origin == self._origin and ban.network == network]
        others = [] if command.undoes else [ban for ban in bans if ban not in ours]
        said = tuple(f"{ban} stays: end it in CrowdSec" for ban in others)
        if others and not ours:
            message = f"{command.target.value} is not banned by nightdesk's own decision; {'; '.join(said)}"
            raise RejectedError(message, vendor=VENDOR, operation="unblock address")
        for ban in ours:
            await self._lapi.end_decision(ban.number, "unblock address")
        if not ours:
            return Receipt(changed=command.began_otherwise("ours", False))
        return Receipt(str(ours[0].number), losses=said, evidence={"ended": [str(ban) for ban in ours]})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """What bouncers are told of the address, whose bans these are, and when the last one ends."""
        network = _network(command.target.value)
        bans = await self._bans(network, "read decisions")
        ours = [ban for ban in bans if ban.origin == self._origin and ban.network == network]
        as_wanted = self._holding(bans, command) is not None
        until = self._ends(max(ban.left for ban in bans)) if bans else ""
        state = {
            "blocked": bool(bans),
            "as_wanted": as_wanted,
            "ours": bool(ours),
            "bans": [str(ban) for ban in bans],
            "until": until,
            "ends_at": until,
        }
        # What others ban beside us, before or since, is not ours to lift.
        lifted = not bans or (not ours and command.undoes)
        done = lifted if command.verb == "ip.unblock" else as_wanted
        return (Effect.IN_EFFECT if done else Effect.NOT_IN_EFFECT), state, "ban" if bans else ""

    def _ends(self, left: float) -> str:
        return iso(int((self._clock() + timedelta(seconds=left)).timestamp()) * SECOND)

    def _holding(self, bans: Sequence[_Ban], command: Command) -> _Ban | None:
        """A ban that is this command's own, or anybody's that lasts as long as it wants."""
        signed = _signed(command)
        own = next((ban for ban in bans if ban.origin == self._origin and ban.scenario == signed), None)
        if own is not None or command.verb != "ip.block":
            return own
        wanted = _duration(command) or _AS_GOOD_AS_ENDLESS
        passed = (self._clock() - command.requested_at).total_seconds()
        needed = wanted - passed - min(_NEARLY, wanted / 10)
        return next((ban for ban in bans if ban.left >= needed), None)

    async def _bans(self, network: IPv4Network | IPv6Network, operation: str) -> list[_Ban]:
        """Every ban in force that covers all of the network, the longest first."""
        single = network.num_addresses == 1
        asked = {"ip": str(network.network_address)} if single else {"range": str(network)}
        rows = await self._lapi.decisions(operation, **asked)
        bans = [ban for row in rows if (ban := _ban(row)) is not None and _covers(ban.network, network)]
        return sorted(bans, key=lambda ban: ban.left, reverse=True)


def _ban(row: Any) -> _Ban | None:
    """Held against what was asked: the server ignores a parameter that it does not know."""
    if not isinstance(row, Mapping) or row.get("type") != "ban" or row.get("simulated") is True:
        return None
    number, left = row.get("id"), seconds_of(row.get("duration"))
    if not isinstance(number, int) or left is None or left <= 0 or str(row.get("scope", "")).lower() not in _SCOPES:
        return None
    try:
        network = _network(str(row.get("value", "")))
    except ValueError:
        return None
    return _Ban(number, str(row.get("origin") or ""), str(row.get("scenario") or ""), network, left)


def _network(text: str) -> IPv4Network | IPv6Network:
    """The network; an IPv4 address inside IPv6 is the IPv4 address, as it is to the server. Raises ValueError."""
    network = ip_network(text, strict=False)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((int(mapped), network.prefixlen - 96))


def _covers(ban: IPv4Network | IPv6Network, network: IPv4Network | IPv6Network) -> bool:
    # Spelled out: subnet_of takes two of one kind, and the checker cannot see that they are.
    return ban.version == network.version and (
        int(ban.network_address) <= int(network.network_address)
        and int(ban.broadcast_address) >= int(network.broadcast_address)
    )


def _signed(command: Command) -> str:
    """The scenario of a decision: shown to people, and by what a repeat of the command finds it."""
    return f"{SCENARIO} {marker(command)}"


def _message(command: Command) -> str:
    mark = marker(command)
    said = " ".join(filter(None, (command.reason, command.case_id)))[: _MESSAGE - len(mark) - 1]
    return f"{said} {mark}".strip()


def _duration(command: Command) -> float | None:
    raw = command.parameters.get("duration")
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= _LONGEST:
        # The server takes a negative one, answers 201, and bans nobody.
        raise RejectedError(f"duration {raw!r}: write seconds, at most 8760 hours", vendor=VENDOR)
    return float(raw)
