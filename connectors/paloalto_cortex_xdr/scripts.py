"""Scripts of the tenant's own library, found by name or uid; code that somebody sends along is not run."""

from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.paloalto_cortex_xdr.client import VENDOR, Cortex
from nightdesk.connectors.paloalto_cortex_xdr.hosts import Hosts, connected
from nightdesk.connectors.paloalto_cortex_xdr.orders import Orders, only
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.ports import Command, Receipt

__all__ = ["Scripts"]

_SCOPE = "Scripts: run"
_TIMEOUT = 600  # seconds a script may run; the vendor's default


class Scripts:
    """Runs library scripts on one endpoint."""

    def __init__(self, cortex: Cortex, orders: Orders, hosts: Hosts) -> None:
        self._cortex = cortex
        self._orders = orders
        self._hosts = hosts

    async def run(self, command: Command) -> Receipt:
        """Starts the script once a command; what comes of it stands in the Action Center under the action's number."""
        command.only("script")
        again = self._orders.again(command)
        if again is not None:
            return again
        script = await self._find(command)
        connected(command, await self._hosts.read(command.native_id))
        answer = await self._cortex.ask(
            "v1/scripts/run_script/",
            {
                "script_uid": script["script_uid"],
                "filters": only(command.native_id),
                "timeout": _TIMEOUT,
                "parameters_values": {},
            },
            operation=command.verb,
            scope=_SCOPE,
        )
        return self._orders.accepted(
            command, answer, evidence={name: script.get(name) for name in ("name", "script_uid")}
        )

    async def _find(self, command: Command) -> Mapping[str, Any]:
        wanted = str(command.parameters.get("script") or "").strip()
        if not wanted:
            raise RejectedError("no script is named", vendor=VENDOR, operation=command.verb)
        for field in ("script_uid", "name"):
            answer = await self._cortex.ask(
                "v1/scripts/get_scripts/",
                {"filters": [{"field": field, "operator": "in", "value": [wanted]}]},
                operation="find script",
                scope=_SCOPE,
                repeatable=True,
            )
            # Held against what was asked: a filter that Cortex ignored must not make us run another script.
            found = [row for row in answer.rows("scripts") if row.get(field) == wanted and row.get("script_uid")]
            if len(found) > 1:
                raise RejectedError(f"{len(found)} scripts are called {wanted!r}; give the uid", vendor=VENDOR)
            if found:
                return found[0]
        raise NotFoundError(f"no script {wanted!r} in the library", vendor=VENDOR, operation=command.verb)
