"""The tenant's block list of hashes, which takes and drops entries but shows them to no call of the API."""

from nightdesk.connectors.paloalto_cortex_xdr.client import VENDOR, Cortex
from nightdesk.connectors.paloalto_cortex_xdr.files import sha256_of
from nightdesk.connectors.paloalto_cortex_xdr.memory import Memory
from nightdesk.sdk.errors import ResponseError, UnavailableError
from nightdesk.sdk.ports import Command, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["Indicators"]

_LISTS = "Block List: edit"
_KNOWN = "already been added"  # "... to the allow or block list"
_ENVELOPE = "XDR public API"  # in err_msg of every error that Cortex itself wrote; a gateway's has none


class Indicators:
    """Blocks and unblocks hashes for every endpoint of the tenant."""

    def __init__(self, cortex: Cortex) -> None:
        self._cortex = cortex
        self._made: Memory[bool] = Memory()

    async def block(self, command: Command) -> Receipt:
        """Puts the hash on the block list. That it is listed already may mean the allow list: a named loss."""
        command.only()
        value = sha256_of(command)
        if self._made.get(command.idempotency_key):
            return Receipt(value)
        comment = " ".join(filter(None, (command.reason, command.case_id, marker(command))))
        data = {"hash_list": [value], "comment": comment, "detailed_response": True}
        try:
            answer = await self._cortex.ask("v1/hash_exceptions/blocklist/", data, operation=command.verb, scope=_LISTS)
        except UnavailableError as error:
            if _KNOWN not in str(error):
                raise
            return _listed(value)
        if isinstance(answer.reply, dict) and value in _lower(answer.reply.get("excluded_hashes")):
            return _listed(value)
        if answer.reply is not True and value not in _lower(answer.mapping().get("added_hashes")):
            message = "the reply does not say that the hash was added"
            raise ResponseError(message, vendor=VENDOR, operation=command.verb)
        self._made.note(command.idempotency_key, True)
        return Receipt(value)

    async def unblock(self, command: Command) -> Receipt:
        """Takes the hash off the block list. Cortex answers 500 for one that is not there, and for its own troubles."""
        command.only()
        value = sha256_of(command)
        if self._made.get(command.idempotency_key):
            return Receipt(value)
        try:
            answer = await self._cortex.ask(
                "v1/hash_exceptions/blocklist/remove/",
                {"hash_list": [value], "comment": f"nightdesk {command.action_id}"},
                operation=command.verb,
                scope=_LISTS,
            )
        except UnavailableError as error:
            if error.status != 500 or _ENVELOPE not in str(error):
                raise
            loss = "hash.unblock: Cortex answered 500, as for a hash that is not on the block list; look at the list"
            return Receipt(value, changed=False, losses=(loss,))
        if answer.reply is not True:
            raise answer.broken("the reply does not say that the hash was removed")
        self._made.note(command.idempotency_key, True)
        return Receipt(value)


def _listed(value: str) -> Receipt:
    loss = "hash.block: the hash is on the allow or the block list already, Cortex does not say on which; look there"
    return Receipt(value, changed=False, losses=(loss,))


def _lower(hashes: object) -> set[str]:
    return {str(each).lower() for each in hashes} if isinstance(hashes, list) else set()
