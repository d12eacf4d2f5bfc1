"""The simulated quarantine: records of what sensors quarantined, released and taken back by id."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.crowdstrike_falcon.payloads import timestamp
from nightdesk.connectors.crowdstrike_falcon.wire import BadRequestError, Routes, Wire, json_object, names_in
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Fleet
from nightdesk.sdk.testing.estate import OrderKind

__all__ = ["QuarantineApi"]

_ROOT = "/quarantine/entities/quarantined-files"
_ACTIONS = frozenset({"release", "unrelease", "delete"})


class QuarantineApi:
    """The records of a CID, by host and hash; a file's state is what is really done to it on its host."""

    def __init__(self, wire: Wire, clock: Clock, fleet: Fleet) -> None:
        self.comments: list[str] = []
        self._records: dict[str, dict[str, Any]] = {}
        self._deleted: set[str] = set()
        self._wire = wire
        self._clock = clock
        self._fleet = fleet

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("POST", f"{_ROOT}/GET/v1", "quarantine:read", self._read),
            ("PATCH", f"{_ROOT}/v1", "quarantine:write", self._update),
        )

    def note(self, device_id: str, path: str) -> None:
        """A sensor quarantined that file at some time; whether it still is, the device says."""
        found = self._fleet.devices[device_id].files[path]
        name, now = f"{device_id}_{found.sha256}", timestamp(self._clock())
        row = {"id": name, "aid": device_id, "sha256": found.sha256, "date_created": now, "date_updated": now}
        self._records.setdefault(name, {**row, "paths": [{"path": path}]})

    async def _read(self, request: Request) -> Response:
        names = names_in(await json_object(request), "ids", 5000)
        missing = self._missing(names)
        known = [name for name in names if name in self._records]
        return self._wire.envelope([self._shown(name) for name in known], status=200 if known else 404, errors=missing)

    async def _update(self, request: Request) -> Response:
        body = await json_object(request)
        names = names_in(body, "ids", 5000)
        if set(body) - {"ids", "action", "comment"} or body.get("action") not in _ACTIONS:
            raise BadRequestError("action must be release, unrelease or delete")
        missing = self._missing(names)
        if missing:
            return self._wire.envelope(status=404, errors=missing)
        self.comments.append(str(body.get("comment", "")))
        for name in names:
            row = self._records[name]
            if body["action"] == "delete":
                self._deleted.add(name)
            elif name in self._deleted:
                raise BadRequestError(f"{name} is deleted")
            else:
                kind: OrderKind = "restore" if body["action"] == "release" else "quarantine"
                self._fleet.ask(row["aid"], kind, row["paths"][0]["path"])
        return self._wire.envelope([], writes={"resources_affected": len(names)})

    def _shown(self, name: str) -> dict[str, Any]:
        self._fleet.settle()
        row = self._records[name]
        device = self._fleet.devices[row["aid"]]
        path = row["paths"][0]["path"]
        state = "quarantined" if device.files[path].quarantined else "released"
        state = "deleted" if name in self._deleted else state
        return {**row, "hostname": device.hostname, "state": state, "paths": [{"path": path, "state": state}]}

    def _missing(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"code": 404, "message": f"{name} not found"} for name in names if name not in self._records]
