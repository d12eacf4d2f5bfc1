"""The Kibana half: alert workflow, response actions of Elastic Defend, and the hosts that it runs on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.elastic_security.answers import VENDOR
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError, ScopeError, UnavailableError
from nightdesk.sdk.http import HeaderAuth, HttpClient

__all__ = ["Kibana", "phrase"]

_HOSTS_A_PAGE = 100
_HOST_PAGES_MOST = 10  # a selector that matches a thousand hosts is no selector
_ACTIONS_MOST = 100  # the vendor's own limit of one page
_ITEMS = "/api/exception_lists/items"
_BLOCKLIST = {"list_id": "endpoint_blocklists", "namespace_type": "agnostic"}
_ENTRIES_A_PAGE = 1000
_ENTRY_PAGES_MOST = 10  # beyond it the index gives no more
_CONFLICT = 409
_API = "2023-10-31"


class Kibana:
    """What is asked of Kibana in one space, one method a question. Raises VendorError."""

    def __init__(self, context: Context, *, url: str, space: str, requests_per_minute: int) -> None:
        self._space = space
        self._prefix = "" if space == "default" else f"/s/{space}"
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=url,
            auth=HeaderAuth("Authorization", context.settings.secret("api_key"), prefix="ApiKey "),
            headers={"kbn-xsrf": "nightdesk", "elastic-api-version": _API},
            requests_per_minute=requests_per_minute,
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    @property
    def clock_skew(self) -> float | None:
        """Seconds that Kibana's clock is ahead of ours, as of its last answer."""
        return self._http.clock_skew

    async def set_status(self, native_id: str, status: str) -> None:
        """Sets the workflow status of one alert. Raises NotFoundError when this space has no such alert."""
        body = {"signal_ids": [native_id], "status": status}
        answer = await self._write("/api/detection_engine/signals/status", body, "set alert status")
        self._updated_one(answer, native_id, "set alert status")

    async def set_tags(self, native_id: str, *, add: Sequence[str], remove: Sequence[str]) -> None:
        """Adds and removes tags of one alert. Raises NotFoundError when this space has no such alert."""
        body = {"ids": [native_id], "tags": {"tags_to_add": list(add), "tags_to_remove": list(remove)}}
        answer = await self._write("/api/detection_engine/signals/tags", body, "set alert tags")
        self._updated_one(answer, native_id, "set alert tags")

    async def dispatch(
        self, action: str, agent_id: str, *, comment: str, parameters: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Asks for a response action on one host; the accepted action. Raises RejectedError if it was dropped."""
        body = {"endpoint_ids": [agent_id], "comment": comment, **({"parameters": parameters} if parameters else {})}
        try:
            answer = await self._ask(
                "POST", f"/api/endpoint/action/{action}", action, _PRIVILEGES.get(action, "response actions"), json=body
            )
        except RejectedError as error:
            text = (
                f"Kibana refused {action} on agent {agent_id}: Elastic Defend is not enrolled there, or the licence "
                "does not include this response action"
            )
            raise RejectedError(text, vendor=VENDOR, operation=action, status=error.status) from error
        data: Mapping[str, Any] = _data(answer, dict, action)
        # Ids that are not enrolled are dropped and not refused: only this list says who was asked.
        if agent_id not in (data.get("agents") or []):
            text = f"Kibana dropped agent {agent_id} from the request: Elastic Defend is not enrolled there"
            raise RejectedError(text, vendor=VENDOR, operation=action)
        return data

    async def actions(self, agent_id: str, command: str, since: datetime) -> Sequence[Mapping[str, Any]]:
        """The response actions of one kind on one host since then, newest first."""
        params = {
            "agentIds": [agent_id],
            "commands": [command],
            "startDate": since.isoformat(),
            "page": 1,
            "pageSize": _ACTIONS_MOST,
        }
        answer = await self._ask(
            "GET", "/api/endpoint/action", "list actions", "Response actions history", params=params
        )
        return [row for row in _data(answer, list, "list actions") if isinstance(row, dict)]

    async def pending(self, agent_id: str) -> Mapping[str, int]:
        """How many response actions of each kind are under way on one host."""
        params = {"agent_ids": [agent_id]}
        answer = await self._ask("GET", "/api/endpoint/action_status", "action status", "Endpoint list", params=params)
        rows = [row for row in _data(answer, list, "action status") if isinstance(row, dict)]
        return next((row.get("pending_actions") or {} for row in rows if row.get("agent_id") == agent_id), {})

    async def host(self, agent_id: str) -> Mapping[str, Any]:
        """What is known of one host. Raises NotFoundError."""
        path = f"/api/endpoint/metadata/{quote(agent_id, safe='')}"
        try:
            answer = await self._ask("GET", path, "read host", "Endpoint list")
        except NotFoundError as error:
            text = f"no host with Elastic Defend has the agent id {agent_id}"
            raise NotFoundError(text, vendor=VENDOR, operation="read host", status=error.status) from error
        if not isinstance(answer, dict) or not isinstance(answer.get("metadata"), dict):
            raise ResponseError("the answer has no metadata", vendor=VENDOR, operation="read host")
        return answer

    async def hosts(self, kuery: str) -> Sequence[Mapping[str, Any]]:
        """Every host that the query selects."""
        found: list[Mapping[str, Any]] = []
        for page in range(_HOST_PAGES_MOST):
            params = {"page": page, "pageSize": _HOSTS_A_PAGE, "kuery": kuery}
            answer = await self._ask("GET", "/api/endpoint/metadata", "find hosts", "Endpoint list", params=params)
            rows = _data(answer, list, "find hosts")
            found.extend(row for row in rows if isinstance(row, dict) and isinstance(row.get("metadata"), dict))
            if len(rows) < _HOSTS_A_PAGE:
                return found
        text = f"more than {_HOSTS_A_PAGE * _HOST_PAGES_MOST} hosts match; name the host more exactly"
        raise RejectedError(text, vendor=VENDOR, operation="find hosts")

    async def blocklist(self) -> Sequence[Mapping[str, Any]]:
        """Every entry of Elastic Defend's blocklist; none when nobody made the list yet."""
        found: list[Mapping[str, Any]] = []
        for page in range(1, _ENTRY_PAGES_MOST + 1):
            params = {**_BLOCKLIST, "page": page, "per_page": _ENTRIES_A_PAGE}
            try:
                answer = await self._ask("GET", f"{_ITEMS}/_find", "read blocklist", "Blocklist", params=params)
            except NotFoundError:
                return ()
            rows = _data(answer, list, "read blocklist")
            found.extend(row for row in rows if isinstance(row, dict))
            if len(rows) < _ENTRIES_A_PAGE:
                return found
        text = f"the blocklist has more than {_ENTRIES_A_PAGE * _ENTRY_PAGES_MOST} entries; it cannot be read whole"
        raise RejectedError(text, vendor=VENDOR, operation="read blocklist")

    async def add_to_blocklist(self, item: Mapping[str, Any]) -> None:
        """Adds one entry. Raises RejectedError when there is no list, or another entry of that id."""
        operation = "add to blocklist"
        try:
            await self._ask("POST", _ITEMS, operation, "Blocklist", json={**_BLOCKLIST, **item})
        except NotFoundError as error:
            text = "this Kibana has no blocklist yet; open Security, Manage, Blocklist once, which makes it"
            raise RejectedError(text, vendor=VENDOR, operation=operation, status=error.status) from error
        except RejectedError as error:
            if error.status != _CONFLICT:
                raise
            text = f"the blocklist entry {item['name']} was changed by somebody and blocks no longer; remove it"
            raise RejectedError(text, vendor=VENDOR, operation=operation, status=error.status) from error

    async def remove_from_blocklist(self, item_id: str) -> None:
        """Removes one entry. Raises NotFoundError."""
        params = {"item_id": item_id, "namespace_type": _BLOCKLIST["namespace_type"]}
        await self._ask("DELETE", _ITEMS, "remove from blocklist", "Blocklist", params=params)

    async def privileges(self) -> Mapping[str, Any]:
        """What the API key may do with the space's alerts, as Kibana sees it."""
        answer = await self._ask("GET", "/api/detection_engine/privileges", "privileges", "Security: Read")
        if not isinstance(answer, dict):
            raise ResponseError("the answer is no object", vendor=VENDOR, operation="privileges")
        return answer

    async def reads_hosts(self) -> None:
        """Returns when the API key may list hosts."""
        params = {"page": 0, "pageSize": 1}
        await self._ask("GET", "/api/endpoint/metadata", "find hosts", "Endpoint list", params=params)

    async def version(self) -> str:
        """Kibana's version number."""
        answer = await self._ask("GET", "/api/status", "status", "monitor")
        version = answer.get("version") if isinstance(answer, dict) else None
        return str(version.get("number", "")) if isinstance(version, dict) else ""

    async def _write(self, path: str, body: Mapping[str, Any], operation: str) -> Any:
        # The same status or tags twice are the same as once, so a lost reply may be asked again.
        return await self._ask("POST", path, operation, "Security: All", json=body, repeatable=True)

    async def _ask(self, method: str, path: str, operation: str, needs: str, **options: Any) -> Any:
        try:
            return await self._http.json(method, f"{self._prefix}{path}", operation=operation, **options)
        except ScopeError as error:
            text = f"the API key lacks the Kibana privilege {needs} in space {self._space}, or the licence does"
            raise ScopeError(
                text, vendor=VENDOR, operation=operation, status=error.status, request_id=error.request_id
            ) from error

    def _updated_one(self, answer: Any, native_id: str, operation: str) -> None:
        """An update by query is a 200 whatever it did: its counts say what happened."""
        counts = answer if isinstance(answer, dict) else {}
        if counts.get("version_conflicts"):
            text = f"alert {native_id} was changed by somebody else at the same moment; it will be tried again"
            raise UnavailableError(text, vendor=VENDOR, operation=operation)
        if counts.get("failures"):
            raise RejectedError(f"alert {native_id} could not be updated", vendor=VENDOR, operation=operation)
        if counts.get("updated") == 0:
            text = f"space {self._space} has no alert {native_id}: it is in another space or deleted; check space"
            raise NotFoundError(text, vendor=VENDOR, operation=operation)
        if counts.get("updated") != 1:
            raise ResponseError("the answer does not say updated: 1", vendor=VENDOR, operation=operation)


_PRIVILEGES = {
    "isolate": "Host isolation",
    "unisolate": "Host isolation",
    "kill_process": "Process operations",
    "suspend_process": "Process operations",
    "running_procs": "Process operations",
    "get_file": "File operations",
    "execute": "Execute operations",
    "scan": "Scan operations",
}


def _data(answer: Any, kind: type, operation: str) -> Any:
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, kind):
        raise ResponseError(f"the answer has no data of type {kind.__name__}", vendor=VENDOR, operation=operation)
    return data


def phrase(text: str) -> str:
    """A value as one exact phrase of Kibana's query language, whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
