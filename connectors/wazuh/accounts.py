"""Local accounts on the hosts that the operator named: locked by an agent's script, read back from its inventory.

The report of the script is written before it does anything, and a failing ``passwd`` leaves no trace; the inventory of
users (agents since 4.14, every hour or as configured) has the status of the password itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.wazuh.indexer import VENDOR, Indexer
from nightdesk.connectors.wazuh.options import Options
from nightdesk.connectors.wazuh.responses import Responses
from nightdesk.sdk.errors import NotFoundError, RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Account, AccountQuery

__all__ = ["INVENTORY", "Accounts"]

INVENTORY = "wazuh-states-inventory-users-*"
"""The indices of what agents find of their users."""

_LOCK = "!disable-account"
_ENABLED: Mapping[str, bool] = {"locked": False, "active": True}
_ADMINISTRATORS = frozenset({"root", "sudo", "wheel", "admin", "Administrators"})
_MOST = 100


class Accounts:
    """The accounts on the configured agents. An account's id is NUMBER/LOGIN."""

    def __init__(self, responses: Responses, indexer: Indexer, options: Options) -> None:
        self._responses = responses
        self._indexer = indexer
        self._options = options

    async def find(self, query: AccountQuery) -> Sequence[Account]:
        """The accounts of that id, or of that login when its domain is one that the settings or a host name."""
        agents = self._options.account_agents
        if not agents:
            return ()
        if query.native_id:
            number, _, login = query.native_id.partition("/")
            rows = await self._rows([number], login) if number in agents and login else []
            return [_account(row) for row in rows]
        login = query.name or query.email.partition("@")[0]
        if not login:
            return ()
        rows = await self._rows(agents, login)
        return [_account(row) for row in rows if self._is_meant(query, login, str(_of(row, "agent", "name")))]

    async def change(self, command: Command) -> Receipt:
        """Locks or unlocks the password, unless it is so or the agent has had this command."""
        command.only()
        wanted = command.verb == "account.enable"
        operation = f"run {command.verb}"
        number, _, login = command.native_id.partition("/")
        if wanted and not self._options.enable_script:
            raise UnsupportedError(
                f"{VENDOR}: its API cannot unlock an account; deploy a script as the README says and set enable_script"
            )
        if login == "root":
            raise RejectedError(
                "root is never locked: the agents' script refuses it", vendor=VENDOR, operation=operation
            )
        enabled = _account(await self._row(number, login, operation)).enabled
        if enabled is wanted:
            return Receipt(command.native_id, changed=command.began_otherwise("enabled", wanted))
        if await self._responses.began(command, [number]):
            return Receipt(command.native_id)
        script = f"!{self._options.enable_script}" if wanted else _LOCK
        answer = await self._responses.send(command, script, [number], {"dstuser": login}, (login, "-"))
        return Receipt(command.native_id, evidence={"script": script, "sent_to": list(map(str, answer.items))})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """What the host's inventory says of the password; what is neither active nor locked is not known."""
        number, _, login = command.native_id.partition("/")
        row = await self._row(number, login, "read account")
        enabled, native = _account(row).enabled, str(_status(row))
        if enabled is None:
            return Effect.UNKNOWN, {}, native
        done = enabled is (command.verb == "account.enable")
        return (Effect.IN_EFFECT if done else Effect.NOT_IN_EFFECT), {"enabled": enabled}, native

    async def _row(self, number: str, login: str, operation: str) -> Mapping[str, Any]:
        if number not in self._options.account_agents:
            message = f"agent {number or 'of no number'} is not in the setting account_agents"
            raise RejectedError(message, vendor=VENDOR, operation=operation)
        rows = await self._rows([number], login)
        if not rows:
            message = f"no account {login} in the inventory of agent {number}, which agents since 4.14 send"
            raise NotFoundError(message, vendor=VENDOR, operation=operation)
        return rows[0]

    async def _rows(self, agents: Sequence[str], login: str) -> list[Mapping[str, Any]]:
        needed = [{"terms": {"agent.id": list(agents)}}, {"term": {"user.name": login}}]
        body = {"size": _MOST, "query": {"bool": {"filter": needed}}}
        found = await self._indexer.search(INVENTORY, body, "read account inventory")
        return [row for row in found.sources if _of(row, "user", "name") == login]

    def _is_meant(self, query: AccountQuery, login: str, host: str) -> bool:
        """A login is a person's only where somebody said so: a domain of the settings, or the host itself."""
        name, _, place = query.email.rpartition("@")
        if place and (name.casefold() != login.casefold() or not self._is_domain(place, host)):
            return False
        return not query.domain or bool(place) or self._is_domain(query.domain, host)

    def _is_domain(self, text: str, host: str) -> bool:
        return text.lower() in self._options.account_domains or text.casefold() == host.casefold()


def _of(row: Mapping[str, Any], part: str, name: str) -> Any:
    inner = row.get(part)
    return inner.get(name) if isinstance(inner, Mapping) else None


def _status(row: Mapping[str, Any]) -> Any:
    password = _of(row, "user", "password")
    return password.get("status") if isinstance(password, Mapping) else None


def _account(row: Mapping[str, Any]) -> Account:
    given = _of(row, "user", "groups")
    groups = tuple(map(str, given)) if isinstance(given, list) else tuple(filter(None, str(given or "").split(":")))
    mighty = str(_of(row, "user", "id")) == "0" or bool(_ADMINISTRATORS & set(groups))
    login = str(_of(row, "user", "name"))
    return Account(
        native_id=f"{_of(row, 'agent', 'id')}/{login}",
        name=login,
        domain=str(_of(row, "agent", "name") or ""),
        enabled=_ENABLED.get(str(_status(row))),
        privileged=True if mighty else None,  # sudoers may name an account without a group
        groups=groups,
    )
