"""The Wazuh server API: who the agents are, and active responses, sent on without knowing what became of them.

A 200 may carry errors: ``error`` is 1 when all failed and 2 when some did, and ``failed_items`` says which and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightdesk.connectors.wazuh.indexer import VENDOR
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    NotFoundError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
    VendorError,
)
from nightdesk.sdk.http import HttpClient, LoginAuth

__all__ = ["Answer", "Server"]

_TOKEN_LIFE = 900.0  # seconds; auth_token_exp_timeout may be shorter, then a 401 renews it
_REQUESTS_PER_MINUTE = 300  # max_request_per_minute of the API, which all its users share
_CHUNK = 100  # agents in one query string
_LAST_MAJOR = 4
_CODES: Mapping[int, tuple[type[VendorError], str]] = {
    1651: (UnavailableError, "it is not active; try again once it reports"),
    1652: (RejectedError, "the manager has no such command; add <command> and <active-response> to its ossec.conf"),
    1701: (NotFoundError, "there is no such agent"),
    1703: (RejectedError, "the manager itself runs no active response"),
    1707: (UnavailableError, "it is not active; try again once it reports"),
    1750: (RejectedError, "active response is disabled on it; enable it in the agent's ossec.conf"),
    4000: (ScopeError, "the API user's policies do not cover it; add {scope} for it"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer holds, and what of it failed: by id the error it means."""

    items: Sequence[Any]
    failed: Mapping[str, VendorError]


class Server:
    """One server API as one user. What it is asked raises VendorError."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._client = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("server_url"),
            auth=LoginAuth(
                path="/security/user/authenticate",
                username=settings.text("server_username"),
                password=settings.secret("server_password"),
                token=("data", "token"),
                lifetime=_TOKEN_LIFE,
            ),
            requests_per_minute=_REQUESTS_PER_MINUTE,
        )
        self._version = ""

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def version(self, operation: str) -> str:
        """The API's version, asked once."""
        if not self._version:
            answer = await self._client.json("GET", "/", operation=operation)
            data = answer.get("data") if isinstance(answer, dict) else None
            found = data.get("api_version") if isinstance(data, dict) else None
            if not isinstance(found, str) or not found.partition(".")[0].isdecimal():
                raise _unusable("it names no api_version", operation)
            self._version = found
        return self._version

    async def agents(self, operation: str, **filters: str) -> list[Mapping[str, Any]]:
        """The agents that ``name``, ``ip`` or ``agents_list`` select; one that is not there is not among them."""
        if not any(filters.values()):
            raise RejectedError("no agent is named; this would list all", vendor=VENDOR, operation=operation)
        answer = await self._ask("GET", "/agents", operation, "agent:read", params=filters)
        for error in answer.failed.values():
            if not isinstance(error, NotFoundError):
                raise error
        return [item for item in answer.items if isinstance(item, dict)]

    async def may_read_agents(self, operation: str) -> None:
        """Returns when the user may read an agent at all."""
        await self._ask("GET", "/agents", operation, "agent:read", params={"limit": 1})

    async def respond(
        self, agents: Sequence[str], command: str, arguments: Sequence[str], data: Mapping[str, str], operation: str
    ) -> Answer:
        """Sends a command to these agents. Raises the error of the first when none of them took it.

        ``data`` is where scripts of agents since 4.2 look, ``arguments`` what older ones are called with.
        """
        if not agents or not all(agent.isdecimal() and int(agent) for agent in agents):
            # Without ids in the query the API asks every agent there is.
            raise RejectedError("no agent is named; nothing was sent", vendor=VENDOR, operation=operation)
        version = await self.version(operation)
        if int(version.partition(".")[0]) > _LAST_MAJOR:
            raise UnsupportedError(f"{VENDOR}: version {version} has no active response in its API; 4.x has")
        body = {"command": command, "arguments": list(arguments), "alert": {"data": dict(data)}}
        taken: list[Any] = []
        failed: dict[str, VendorError] = {}
        for start in range(0, len(agents), _CHUNK):
            params = {"agents_list": ",".join(agents[start : start + _CHUNK])}
            answer = await self._ask(
                "PUT",
                "/active-response",
                operation,
                "active-response:command",
                params=params,
                json=body,
                repeatable=False,
            )
            taken += answer.items
            failed |= answer.failed
        if not taken:
            raise next(iter(failed.values()), _unusable("it names no agent", operation))
        return Answer(taken, failed)

    async def _ask(self, method: str, path: str, operation: str, scope: str, **options: Any) -> Answer:
        try:
            answer = await self._client.json(method, path, operation=operation, **options)
        except ScopeError as error:
            message = f"the API user's policies lack {scope}; grant it for the agents that nightdesk is to see"
            raise ScopeError(message, vendor=VENDOR, operation=operation, status=error.status) from error
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict) or not isinstance(data.get("affected_items"), list):
            raise _unusable("it holds no affected_items", operation)
        failed: dict[str, VendorError] = {}
        for item in data.get("failed_items") or ():
            failed |= _failures(item, operation, scope)
        if answer.get("error") and not failed:
            raise RejectedError(str(answer.get("message", "refused")), vendor=VENDOR, operation=operation)
        return Answer(data["affected_items"], failed)


def _failures(item: Any, operation: str, scope: str) -> dict[str, VendorError]:
    error = item.get("error") if isinstance(item, dict) else None
    if not isinstance(error, dict) or not isinstance(item.get("id"), list):
        raise _unusable("a failed item has no error or no id", operation)
    code = error.get("code")
    kind, advice = _CODES.get(code if isinstance(code, int) else 0) or (RejectedError, str(error.get("message", "")))
    advice = advice.replace("{scope}", scope)
    return {
        str(name): kind(f"agent {name}: {advice} (code {code})", vendor=VENDOR, operation=operation, status=200)
        for name in item["id"]
    }


def _unusable(what: str, operation: str) -> ResponseError:
    return ResponseError(f"{what}; check that server_url is the server API's", vendor=VENDOR, operation=operation)
