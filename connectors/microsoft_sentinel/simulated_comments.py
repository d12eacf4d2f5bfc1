"""The simulated comments of incidents: under a name of the caller's choice, and each moves the incident's etag."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.microsoft_sentinel.payloads import guid, timestamp
from nightdesk.connectors.microsoft_sentinel.simulated_arm import Arm, RefusedError, Routes, json_object
from nightdesk.connectors.microsoft_sentinel.simulated_incidents import IncidentsApi
from nightdesk.sdk.context import Clock

__all__ = ["CommentsApi"]

_MAX_MESSAGE, _MAX_COMMENTS = 30_000, 100
_ALL = "/incidents/{name}/comments"
_ONE = _ALL + "/{comment}"
_ACTION = "Microsoft.SecurityInsights/incidents/comments"


class CommentsApi:
    """Comments by incident and name."""

    def __init__(self, arm: Arm, clock: Clock, incidents: IncidentsApi) -> None:
        self.comments: dict[str, dict[str, dict[str, Any]]] = {}
        self._arm = arm
        self._clock = clock
        self._incidents = incidents

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", _ALL, f"{_ACTION}/read", self._list),
            ("GET", _ONE, f"{_ACTION}/read", self._get),
            ("PUT", _ONE, f"{_ACTION}/write", self._put),
            ("DELETE", _ONE, f"{_ACTION}/delete", self._delete),
        )

    def texts(self, name: str) -> list[str]:
        """What is said at an incident, oldest first."""
        return [str(comment["properties"]["message"]) for comment in self.comments.get(name, {}).values()]

    def _of(self, request: Request) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        incident = self._incidents.named(request)
        return incident, self.comments.setdefault(incident["name"], {})

    async def _list(self, request: Request) -> Response:
        return self._arm.answer({"value": list(self._of(request)[1].values())})

    async def _get(self, request: Request) -> Response:
        comments, name = self._of(request)[1], request.path_params["comment"]
        if name not in comments:
            raise RefusedError(404, "NotFound", f"Incident comment '{name}' was not found.")
        return self._arm.answer(comments[name])

    async def _put(self, request: Request) -> Response:
        (incident, comments), name = self._of(request), request.path_params["comment"]
        now = timestamp(self._clock())
        properties = (await json_object(request)).get("properties")
        message = properties.get("message") if isinstance(properties, dict) else None
        if not isinstance(message, str) or not message or len(message) > _MAX_MESSAGE:
            raise RefusedError(400, "BadRequest", f"The comment's message must have 1 to {_MAX_MESSAGE} characters.")
        made = name not in comments
        if made and len(comments) >= _MAX_COMMENTS:
            raise RefusedError(400, "BadRequest", f"An incident has at most {_MAX_COMMENTS} comments.")
        created = now if made else comments[name]["properties"]["createdTimeUtc"]
        comments[name] = {
            "id": f"{incident['id']}/Comments/{name}",
            "name": name,
            "type": "Microsoft.SecurityInsights/Incidents/Comments",
            "etag": f'"{guid(name, now, message)}"',
            "properties": {
                "message": message,
                "createdTimeUtc": created,
                "lastModifiedTimeUtc": now,
                "author": {
                    "objectId": guid("principal"),
                    "email": None,
                    "name": "nightdesk",
                    "userPrincipalName": None,
                },
            },
        }
        self._recount(incident)
        return self._arm.answer(comments[name], 201 if made else 200)

    async def _delete(self, request: Request) -> Response:
        incident, comments = self._of(request)
        gone = comments.pop(request.path_params["comment"], None)
        self._recount(incident)
        return self._arm.answer(None, 204 if gone is None else 200)

    def _recount(self, incident: Mapping[str, Any]) -> None:
        name = incident["name"]
        data = {**incident["properties"]["additionalData"], "commentsCount": len(self.comments[name])}
        self._incidents.change(name, additionalData=data)
