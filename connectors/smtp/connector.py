"""The SMTP connector: each command is one mail, handed to the relay once while this process remembers that it was."""

import asyncio
from collections import OrderedDict

from nightdesk.connectors.smtp.client import Relay
from nightdesk.connectors.smtp.faults import VENDOR
from nightdesk.connectors.smtp.messages import Mail, compose
from nightdesk.connectors.smtp.recipients import Recipients
from nightdesk.connectors.smtp.site import Site
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NightdeskError, UnsupportedError
from nightdesk.sdk.ports import Command, Health, Receipt
from nightdesk.sdk.retry import RateBudget

__all__ = ["Connector"]

_HEALTH = "check health"
_PARAMETERS = {
    "notify.send": ("title", "text", "severity", "link"),
    "approval.request": ("title", "text", "options", "link"),
}
_PER_MINUTE = 30  # as in the manifest
_REMEMBERED = 1000  # receipts


class Connector:
    """One relay, one sender."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._site = Site.of(context)
        self._relay = Relay(self._site)
        self._recipients = Recipients(context.settings, context.instance)
        self._budget = RateBudget(_PER_MINUTE, context.clock, context.sleep)
        self._sending: dict[str, asyncio.Task[Receipt]] = {}
        self._taken: OrderedDict[str, Receipt] = OrderedDict()

    async def aclose(self) -> None:
        """Waits for what is on its way; no connection is kept between two mails."""
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    async def act(self, command: Command) -> Receipt:
        """Sends the mail, unless the relay has taken it already.

        A caller that stops waiting stops nothing: the mail is on its way, and who asks again waits for the same one.
        """
        if command.verb not in _PARAMETERS:
            raise UnsupportedError(f"{VENDOR}: {command.verb} is not declared")
        command.only(*_PARAMETERS[command.verb])
        recipients = self._recipients.of(command.target.value)
        mail = compose(command, self._site.sender, recipients, self._context.clock())
        key = f"{mail.message_id} {' '.join(recipients)}"
        if key in self._taken:
            return self._taken[key]
        task = self._sending.get(key)
        if task is None:
            task = self._sending[key] = asyncio.create_task(self._send(key, mail, command.verb))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting any more
        return await asyncio.shield(task)

    async def check_health(self) -> Health:
        """All that a mail needs up to its sender, which is then taken back: nothing is sent."""
        begin = self._context.clock()
        problems: tuple[str, ...] = ()
        try:
            await asyncio.to_thread(self._relay.probe, _HEALTH)
        except NightdeskError as error:
            problems = (str(error),)
        latency = (self._context.clock() - begin).total_seconds()
        return Health(not problems, problems, latency=latency)

    async def _send(self, key: str, mail: Mail, operation: str) -> Receipt:
        try:
            await self._budget.take()
            given = await asyncio.to_thread(self._relay.deliver, mail, operation)
            lost = tuple(f"recipient {address}: refused ({why})" for address, why in given.refused.items())
            evidence = {
                "message_id": mail.message_id,
                "relay": self._site.peer,
                "recipients": [address for address in mail.recipients if address not in given.refused],
                "said": given.said,
            }
            receipt = Receipt(mail.message_id, losses=(*mail.losses, *lost), evidence=evidence)
            self._taken[key] = receipt
            while len(self._taken) > _REMEMBERED:
                self._taken.popitem(last=False)
            return receipt
        finally:
            del self._sending[key]
