"""The VirusTotal connector: opinions within the quota, analyses when allowed."""

from collections.abc import Sequence

from nightdesk.connectors.virustotal.analyses import Analyses
from nightdesk.connectors.virustotal.client import VENDOR, VirusTotal, used_up
from nightdesk.connectors.virustotal.opinions import Opinions
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import UnsupportedError, VendorError
from nightdesk.sdk.ports import Command, Health, Opinion, Reading, Receipt
from nightdesk.sdk.targets import Target

__all__ = ["Connector"]

_VERB = "artifact.detonate"
_KNOWN_TO_ALL = "8.8.8.8"  # is always known there


class Connector:
    """One API key."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._user = context.settings.text("user")
        self._api = VirusTotal(context)
        self._opinions = Opinions(self._api, context.settings, context.clock)
        self._analyses = Analyses(self._api, context.settings)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def enrich(self, target: Target) -> Sequence[Opinion]:
        """What the engines say of it."""
        return await self._opinions.of(target)

    async def act(self, command: Command) -> Receipt:
        """Has something analysed."""
        if command.verb != _VERB:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        return await self._analyses.detonate(command)

    async def read_back(self, command: Command) -> Reading:
        """What the last analysis is."""
        if command.verb != _VERB:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        effect, state, native = await self._analyses.effect(command)
        return Reading(effect, self._context.clock(), state, native)

    async def check_health(self) -> Health:
        """Asks what is left of the quota; without the setting ``user`` it costs one look-up."""
        begin = self._context.clock()
        problems: list[str] = []
        try:
            if self._user:
                told = used_up(await self._api.quotas(self._user, "check health"))
                problems += [f"{VENDOR}: {text}" for text in told]
            else:
                await self._api.find("ip_addresses", _KNOWN_TO_ALL, "check health")
        except VendorError as error:
            problems.append(str(error))
        closed = self._api.closed()
        if closed and not problems:
            problems.append(f"{VENDOR}: {closed}")
        latency = (self._context.clock() - begin).total_seconds()
        return Health(not problems, tuple(problems), "v3", self._api.clock_skew, latency)
