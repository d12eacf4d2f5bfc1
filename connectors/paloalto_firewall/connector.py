"""The firewall connector: addresses blocked by tag and unblocked, each effect read from table, group and policy."""

from nightdesk.connectors.paloalto_firewall.client import VENDOR, Firewall
from nightdesk.connectors.paloalto_firewall.documents import command as document
from nightdesk.connectors.paloalto_firewall.documents import text_of
from nightdesk.connectors.paloalto_firewall.indicators import Blocks
from nightdesk.connectors.paloalto_firewall.policy import Policy
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Health, Reading, Receipt

__all__ = ["Connector"]

_HEALTH = "check health"


class Connector:
    """One firewall."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._firewall = Firewall(context)
        self._policy = Policy(self._firewall, context.settings, context.instance)
        self._blocks = Blocks(self._firewall, self._policy, context.settings)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._firewall.aclose()

    async def act(self, command: Command) -> Receipt:
        """Blocks or unblocks."""
        match command.verb:
            case "ip.block":
                return await self._blocks.block(command)
            case "ip.unblock":
                return await self._blocks.unblock(command)
        raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")

    async def read_back(self, command: Command) -> Reading:
        """What the firewall does with the address now."""
        if command.verb not in {"ip.block", "ip.unblock"}:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        effect, state, native = await self._blocks.effect(command)
        return Reading(effect, self._context.clock(), state, native)

    async def check_health(self) -> Health:
        """System, high availability, the group and the rules: without them a tag blocks nothing."""
        begin = self._context.clock()
        version, problems = "", []
        try:
            info = await self._firewall.operate(document("show/system/info"), _HEALTH)
            version = text_of(info, "system/sw-version")
            latency = (self._context.clock() - begin).total_seconds()
            problems += await self._shortcomings()
        except VendorError as error:
            latency = (self._context.clock() - begin).total_seconds()
            problems.append(str(error))
        skew = self._firewall.clock_skew
        return Health(not problems, tuple(problems), version=version, clock_skew=skew, latency=latency)

    async def _shortcomings(self) -> list[str]:
        """What is configured so that a tag would have no effect."""
        problems = []
        pair = await self._firewall.operate(document("show/high-availability/state"), _HEALTH)
        state = text_of(pair, "group/local-info/state")
        if text_of(pair, "enabled") == "yes" and not state.startswith("active"):
            problems.append(f"this member of the pair is {state or 'not active'}; set base_url to the active one")
        if await self._policy.members(_HEALTH) is None:
            problems.append(
                f"there is no dynamic address group {self._policy.group!r}; make one that matches the tag, and commit"
            )
        missing = await self._policy.missing_rules(_HEALTH)
        if missing:
            names = ", ".join(map(repr, missing))
            problems.append(f"the running policy has no rule {names}; make a rule that denies the group, and commit")
        return problems
