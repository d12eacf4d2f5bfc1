"""Addresses blocked by a tag: registered at run time, taken up by a dynamic address group, denied by a rule.

No commit is needed for any of it. In effect is what all three say: the tag is in the table of registered addresses, the
group has the address, and the policy denies a connection by one of our rules.
"""

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

from nightdesk.connectors.paloalto_firewall.client import VENDOR, Firewall
from nightdesk.connectors.paloalto_firewall.documents import command as document
from nightdesk.connectors.paloalto_firewall.policy import Network, Policy, covers
from nightdesk.sdk.context import Settings
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Blocks"]

_LONGEST = 2_592_000  # seconds that a tag can last, 30 days
_KEPT = "duration: the tag stands already and the firewall does not tell until when; it was left as it is"
_OPEN = "sessions: those of a network are not ended, the firewall clears them by single addresses alone"


class Blocks:
    """Blocks and unblocks by one tag that nobody else uses."""

    def __init__(self, firewall: Firewall, policy: Policy, settings: Settings) -> None:
        self._firewall = firewall
        self._policy = policy
        self._tag = settings.text("tag", "nightdesk-block")
        self._clears = settings.flag("end_sessions", default=True)

    async def block(self, command: Command) -> Receipt:
        """Registers the tag unless it is there, then ends what is still connected."""
        command.only("duration")
        seconds = _duration(command)
        network = ip_network(command.target.value)
        self._policy.provable(network)
        new = not await self._tagged(network, command.verb)
        if new:  # False again when somebody was faster
            new = await self._firewall.tell("register", _spelled(network), self._tag, command.verb, seconds)
        elif command.renewal and seconds is not None:
            new = await self._firewall.tell("renew", _spelled(network), self._tag, command.verb, seconds)
        changed = new or command.began_otherwise("tagged", True)
        lost = [_KEPT] if seconds is not None and not changed else []
        if self._clears and not command.renewal and network.num_addresses > 1:
            lost.append(_OPEN)
        elif self._clears and not command.renewal:
            for end in ("source", "destination"):
                clear = document("clear/session/all/filter", {end: _spelled(network)})
                await self._firewall.operate(clear, command.verb)
        evidence: dict[str, Any] = {"tag": self._tag, "timeout": seconds or 0}
        if changed and seconds is not None:
            evidence["ends_at"] = (command.requested_at + timedelta(seconds=seconds)).isoformat()
        return Receipt(_spelled(network), changed, tuple(lost), evidence)

    async def unblock(self, command: Command) -> Receipt:
        """Takes the tag from exactly this address. Raises RejectedError when only a wider entry blocks it."""
        command.only()
        network = ip_network(command.target.value)
        tagged = await self._tagged(network, command.verb)
        members = await self._policy.members(command.verb) or ()
        wider = [] if _stood_before(command) else _wider(members, network)
        if wider and not tagged:
            raise RejectedError(
                f"{network} is blocked by {wider[0]}, which stands for more; unblock that one, or change it on the"
                " firewall",
                vendor=VENDOR,
                operation=command.verb,
            )
        ended = tagged and await self._firewall.tell("unregister", _spelled(network), self._tag, command.verb)
        lost = tuple(f"{name} still blocks it: end that one too" for name in wider)
        return Receipt(_spelled(network), ended or command.began_otherwise("tagged", False), lost, {"tag": self._tag})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Table, group and policy as they are now, and what they say together."""
        network = ip_network(command.target.value)
        self._policy.provable(network)
        tagged = await self._tagged(network, "read tags")
        members = await self._policy.members("read group") or ()
        exact = any(covers(name, network) and _is_exact(name, network) for name in members)
        wider = _wider(members, network)
        inside = exact or bool(wider)
        verdicts = await self._policy.verdicts(network, "test policy") if tagged and inside else ()
        denied = bool(verdicts) and all(verdict.ours for verdict in verdicts)
        state = {"tagged": tagged, "in_group": inside, "denied": denied, "covered_by": wider, "tag": self._tag}
        native = "; ".join([f"tag {'set' if tagged else 'not set'}", *(str(verdict) for verdict in verdicts)])
        if command.verb == "ip.unblock":
            if not tagged and (not wider or _stood_before(command)):
                return (Effect.PENDING if exact else Effect.IN_EFFECT), state, native
            return Effect.NOT_IN_EFFECT, state, native
        if tagged and not inside:
            return Effect.PENDING, state, native  # the group is computed anew within seconds
        return (Effect.IN_EFFECT if denied else Effect.NOT_IN_EFFECT), state, native

    async def _tagged(self, network: Network, operation: str) -> bool:
        """Whether the table has the tag on exactly this entry; tag names are case-sensitive."""
        asked = document("show/object/registered-ip", {"ip": _spelled(network)})
        result = await self._firewall.operate(asked, operation)
        return any(
            (member.text or "").strip() == self._tag
            for entry in result.iterfind("entry")
            if _is_exact(entry.get("ip", ""), network)
            for member in entry.iterfind("tag/member")
        )


def _spelled(network: Network) -> str:
    """The one spelling under which we register and ask."""
    return str(network[0]) if network.num_addresses == 1 else str(network)


def _is_exact(name: str, network: Network) -> bool:
    try:
        return ip_network(name.strip(), strict=False) == network
    except ValueError:
        return False


def _wider(members: Sequence[str], network: Network) -> list[str]:
    return [name for name in members if covers(name, network) and not _is_exact(name, network)]


def _stood_before(command: Command) -> bool:
    """An undo's pre-state: a wider entry was there before our tag, and is none of what we take back."""
    return bool(command.pre_state.get("covered_by")) and command.pre_state.get("tagged") is False


def _duration(command: Command) -> int | None:
    raw = command.parameters.get("duration")
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 1 <= raw <= _LONGEST:
        # Zero would be for ever.
        raise RejectedError(f"duration {raw!r}: write seconds, 1 to {_LONGEST} (30 days)", vendor=VENDOR)
    return int(raw)
