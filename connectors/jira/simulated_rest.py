"""The simulated REST API: issues, comments, transitions, screens, and the search with its opaque page tokens."""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.jira.jql import Jql
from nightdesk.connectors.jira.payloads import ISSUE_TYPES, ME, PROJECT, Shapes
from nightdesk.connectors.jira.simulated_issues import SCREEN, Issues
from nightdesk.connectors.jira.wire import Call, RefusedError, json_object
from nightdesk.sdk.context import Clock

__all__ = ["PERMISSIONS", "RestApi"]

PERMISSIONS = frozenset({"BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES", "TRANSITION_ISSUES", "ADD_COMMENTS"})
_PLAIN = ("summary", "description", "labels", "created", "updated")
_MOST = 100  # issues a page, when fields are asked for
_REMOVED = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."


class RestApi:
    """The API as one account sees it, which has ``permissions`` in the project."""

    def __init__(self, clock: Clock, issues: Issues, shapes: Shapes, permissions: set[str]) -> None:
        self.deployment = "Cloud"
        self.offset = timedelta()
        self.conflicts = 0
        self._clock = clock
        self._issues = issues
        self._shapes = shapes
        self._permissions = permissions
        self._pages: dict[str, tuple[str, list[str]]] = {}

    def routes(self) -> list[tuple[str, str, str, Call]]:
        """Method, path, the permission without which it is refused, handler."""
        return [
            ("GET", "/serverInfo", "", self._server),
            ("GET", "/myself", "", self._myself),
            ("GET", "/mypermissions", "", self._mypermissions),
            ("GET", "/field", "", self._fields),
            ("GET", "/search", "", self._removed),
            ("POST", "/search", "", self._removed),
            ("GET", "/search/jql", "", self._search),
            ("POST", "/search/jql", "", self._search),
            ("GET", "/issue/createmeta/{project}/issuetypes", "CREATE_ISSUES", self._types),
            ("GET", "/issue/createmeta/{project}/issuetypes/{type}", "CREATE_ISSUES", self._create_screen),
            ("POST", "/issue", "CREATE_ISSUES", self._create),
            ("GET", "/issue/{issue}", "", self._read),
            ("PUT", "/issue/{issue}", "EDIT_ISSUES", self._edit),
            ("GET", "/issue/{issue}/editmeta", "", self._edit_screen),
            ("GET", "/issue/{issue}/comment", "", self._comments),
            ("POST", "/issue/{issue}/comment", "ADD_COMMENTS", self._comment),
            ("GET", "/issue/{issue}/transitions", "", self._transitions),
            ("POST", "/issue/{issue}/transitions", "TRANSITION_ISSUES", self._move),
            ("GET", "/issue/{issue}/properties/{property}", "", self._property),
        ]

    async def _server(self, _: Request) -> Response:
        body = {"deploymentType": self.deployment, "version": "1001.0.0-SNAPSHOT", "versionNumbers": [1001, 0, 0]}
        return JSONResponse(body)

    async def _myself(self, _: Request) -> Response:
        return JSONResponse({**ME, "timeZone": "Etc/UTC", "active": True})

    async def _mypermissions(self, request: Request) -> Response:
        asked = request.query_params.get("permissions")
        if not asked:
            raise RefusedError(400, "The 'permissions' query parameter is required.")
        if request.query_params.get("projectKey", PROJECT) != PROJECT:
            raise RefusedError(404, "No project could be found with key")
        held = {name: {"key": name, "havePermission": name in self._permissions} for name in asked.split(",")}
        return JSONResponse({"permissions": held})

    async def _fields(self, _: Request) -> Response:
        return JSONResponse([{"id": name, "name": name.capitalize(), "clauseNames": [name]} for name in SCREEN])

    async def _removed(self, _: Request) -> Response:
        raise RefusedError(410, _REMOVED)

    async def _search(self, request: Request) -> Response:
        params = request.query_params
        given: Mapping[str, Any] = await json_object(request) if request.method == "POST" else params
        fields, named = (given.get(name) for name in ("fields", "reconcileIssues"))
        if request.method == "GET":
            fields, named = params.getlist("fields"), params.getlist("reconcileIssues")
        jql, token = str(given.get("jql") or ""), given.get("nextPageToken")
        limit = min(int(given.get("maxResults") or 50), _MOST)
        reconciled = frozenset(map(str, named or ()))
        known = {issue["id"]: issue for issue in self._issues.indexed(reconciled)}
        if token:
            asked, ids = self._pages.get(str(token), ("", []))
            if asked != jql:
                raise RefusedError(400, "Invalid nextPageToken")
        else:
            query = Jql(jql, self._clock(), self.offset)
            seen = known.values() if "BROWSE_PROJECTS" in self._permissions else ()
            ids = [issue["id"] for issue in query.select(seen)]
        names = [name for name in ids[:limit] if name in known]
        page = [self._shown(known[name], [*(fields or ())], given.get("properties") or ()) for name in names]
        body: dict[str, Any] = {"issues": page, "isLast": len(ids) <= limit}
        if not body["isLast"]:
            following = sha256(f"{jql} {len(self._pages)}".encode()).hexdigest()[:40]
            self._pages[following] = (jql, ids[limit:])
            body["nextPageToken"] = following
        return JSONResponse(body)

    async def _types(self, request: Request) -> Response:
        if request.path_params["project"] != PROJECT:
            raise RefusedError(404, "No project could be found with key")
        types = [{"id": number, "name": name, "subtask": False} for number, name in ISSUE_TYPES.items()]
        return JSONResponse({"startAt": 0, "maxResults": 50, "total": len(types), "issueTypes": types})

    async def _create_screen(self, request: Request) -> Response:
        if request.path_params["type"] not in ISSUE_TYPES:
            raise RefusedError(404, "The issue type was not found.")
        needed = {"project", "issuetype", "summary", "reporter", *self._issues.required}
        there = sorted(self._issues.screen | self._issues.required)
        start, size = int(request.query_params.get("startAt", "0")), int(request.query_params.get("maxResults", "50"))
        fields = [self._shapes.field(name, required=name in needed) for name in there[start : start + size]]
        return JSONResponse({"startAt": start, "maxResults": size, "total": len(there), "fields": fields})

    async def _edit_screen(self, request: Request) -> Response:
        self._named(request)
        fields = self._issues.screen - {"project", "issuetype"}
        return JSONResponse({"fields": {name: self._shapes.field(name) for name in sorted(fields)}})

    async def _create(self, request: Request) -> Response:
        body = await json_object(request)
        issue = self._issues.create(body.get("fields") or {}, body.get("properties"))
        link = f"{request.base_url}rest/api/3/issue/{issue['id']}"
        return JSONResponse({"id": issue["id"], "key": issue["key"], "self": link}, 201)

    async def _read(self, request: Request) -> Response:
        params = request.query_params
        fields = params.get("fields", "*all").split(",")
        properties = [name for name in params.get("properties", "").split(",") if name]
        return JSONResponse(self._shown(self._named(request), fields, properties))

    async def _edit(self, request: Request) -> Response:
        body = await json_object(request)
        self._issues.edit(self._named(request), body.get("fields") or {}, body.get("update") or {})
        return Response(status_code=204)

    async def _comments(self, request: Request) -> Response:
        params, found = request.query_params, self._named(request)["comments"]
        ordered = found[::-1] if params.get("orderBy") == "-created" else found
        start, size = int(params.get("startAt", "0")), min(int(params.get("maxResults", "100")), 5000)
        page = ordered[start : start + size]
        return JSONResponse({"startAt": start, "maxResults": size, "total": len(found), "comments": page})

    async def _comment(self, request: Request) -> Response:
        body = await json_object(request)
        said = self._issues.say(self._named(request), body.get("body"), ME, body.get("properties"))
        return JSONResponse(said, 201)

    async def _transitions(self, request: Request) -> Response:
        issue, screen = self._named(request), "transitions.fields" in request.query_params.get("expand", "")
        offered = self._issues.workflow.get(issue["status"], {})
        more = self._issues.closing_screen
        shown = [self._shapes.transition(number, to, screen=screen, more=more) for number, to in offered.items()]
        # Who may not move issues is offered nothing, and not refused.
        return JSONResponse({"transitions": shown if "TRANSITION_ISSUES" in self._permissions else []})

    async def _move(self, request: Request) -> Response:
        body = await json_object(request)
        issue = self._named(request)
        if self.conflicts:
            self.conflicts -= 1
            raise RefusedError(409, "The issue could not be updated: another transition is in progress.")
        number = str((body.get("transition") or {}).get("id", ""))
        self._issues.move(issue, number, body.get("fields") or {})
        return Response(status_code=204)

    async def _property(self, request: Request) -> Response:
        name = request.path_params["property"]
        found = self._named(request)["properties"]
        if name not in found:
            raise RefusedError(404, f"The property {name} does not exist.")
        return JSONResponse({"key": name, "value": found[name]})

    def _named(self, request: Request) -> dict[str, Any]:
        name = request.path_params["issue"] if "BROWSE_PROJECTS" in self._permissions else ""
        return self._issues.named(name)

    def _shown(self, issue: Mapping[str, Any], fields: list[str], properties: Any) -> dict[str, Any]:
        shape: dict[str, Any] = {"id": issue["id"], "key": issue["key"], "self": f"/rest/api/3/issue/{issue['id']}"}
        every = {name: issue[name] for name in _PLAIN}
        every |= {
            "status": self._shapes.status(issue["status"]),
            "priority": {"name": issue["priority"]},
            "resolution": issue["resolution"] and {"name": issue["resolution"]},
            "project": {"key": PROJECT},
        }
        whole = any(name in {"*all", "*navigable"} for name in fields)
        asked = every if whole else {name: every[name] for name in fields if name in every}
        if asked:
            shape["fields"] = asked
        names = properties.split(",") if isinstance(properties, str) else properties
        if names:
            shape["properties"] = {name: issue["properties"][name] for name in names if name in issue["properties"]}
        return shape
