"""The simulated lists that hold for the whole tenant: blocked and allowed hashes, and the script library."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from nightdesk.connectors.paloalto_cortex_xdr.payload_events import digits
from nightdesk.connectors.paloalto_cortex_xdr.simulated_endpoints import EndpointsApi
from nightdesk.connectors.paloalto_cortex_xdr.wire import BadFilterError, Routes, Tests, Wire, asked, listed

__all__ = ["LibraryApi"]

_MOST = 1000
_TESTS: Tests = {
    "name": ("texts", lambda value, row: row["name"] in value),
    "script_uid": ("texts", lambda value, row: row["script_uid"] in value),
}


class LibraryApi:
    """Hash exceptions, which no call reads back, and scripts by their uid."""

    def __init__(self, wire: Wire, endpoints: EndpointsApi) -> None:
        self.blocked: dict[str, str] = {}
        self.allowed: set[str] = set()
        self.scripts: dict[str, dict[str, Any]] = {}
        self.runs: list[tuple[str, Sequence[str]]] = []
        self._wire = wire
        self._endpoints = endpoints

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("/public_api/v1/hash_exceptions/blocklist", "lists:edit", self._block),
            ("/public_api/v1/hash_exceptions/blocklist/remove", "lists:edit", self._unblock),
            ("/public_api/v1/scripts/get_scripts", "scripts:run", self._get_scripts),
            ("/public_api/v1/scripts/run_script", "scripts:run", self._run),
        )

    def add_script(self, name: str) -> str:
        """Stores a script in the library; gives its uid."""
        uid = digits(f"script {name} {len(self.scripts)}", 32)
        self.scripts[uid] = {
            "script_id": 100 + len(self.scripts),
            "script_uid": uid,
            "name": name,
            "description": name,
            "created_by": "Palo Alto Networks",
            "windows_supported": True,
            "linux_supported": True,
            "macos_supported": True,
            "is_high_risk": False,
        }
        return uid

    async def _block(self, data: Mapping[str, Any]) -> Response:
        hashes = _hashes(data)
        fresh = [each for each in hashes if each not in self.blocked and each not in self.allowed]
        if not fresh:
            raise BadFilterError("All hashes have already been added to the allow or block list")
        self.blocked |= dict.fromkeys(fresh, str(data.get("comment") or ""))
        if data.get("detailed_response"):
            excluded = [each for each in hashes if each not in fresh]
            return self._wire.reply({"added_hashes": fresh, "excluded_hashes": excluded})
        return self._wire.reply(True)

    async def _unblock(self, data: Mapping[str, Any]) -> Response:
        hashes = _hashes(data)
        if not set(hashes) <= set(self.blocked):
            raise BadFilterError(None)
        for each in hashes:
            del self.blocked[each]
        return self._wire.reply(True)

    async def _get_scripts(self, data: Mapping[str, Any]) -> Response:
        question = asked(data, _TESTS, ("name",))
        rows, total = question.rows(self.scripts.values(), _TESTS, lambda row, field: row[field])
        return self._wire.reply({"total_count": total, "result_count": len(rows), "scripts": rows})

    async def _run(self, data: Mapping[str, Any]) -> Response:
        uid, names = data.get("script_uid"), listed(data, _MOST)
        if uid not in self.scripts:
            raise BadFilterError(f"No script {uid!r}")
        if not isinstance(data.get("timeout", 600), int):
            raise BadFilterError("timeout must be an integer")
        self.runs.append((str(uid), names))
        return self._endpoints.ask(names, "script", str(uid))


def _hashes(data: Mapping[str, Any]) -> list[str]:
    strange = set(data) - {"hash_list", "comment", "incident_id", "detailed_response"}
    hashes = data.get("hash_list")
    if strange or not isinstance(hashes, list) or not hashes:
        raise BadFilterError("hash_list is required")
    if not all(isinstance(each, str) and len(each) == 64 for each in hashes):
        raise BadFilterError("hash_list holds SHA-256 hashes only")
    return [each.lower() for each in hashes]
