"""What can be set at all: the fields of a project's create and edit screens, which differ by project and issue type."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.jira.adf import document
from nightdesk.connectors.jira.client import VENDOR, Rest
from nightdesk.connectors.jira.lookup import BROWSE
from nightdesk.connectors.jira.triage import NAMES
from nightdesk.sdk.errors import NotFoundError, RejectedError

__all__ = ["Screen", "Screens"]

Screen = Mapping[str, Mapping[str, Any]]
"""What is known of each field, by its id."""

_GIVEN = frozenset({"project", "issuetype", "summary", "description", "labels", "priority"})
_CREATEMETA = "/issue/createmeta"


class Screens:
    """The screens of one project and issue type."""

    def __init__(self, rest: Rest, project: str, issue_type: str) -> None:
        self._rest = rest
        self._project = project
        self._issue_type = issue_type

    async def of_create(self) -> Screen:
        """The fields of a new issue. Raises NotFoundError for a project or issue type that is not there for us.

        Raises RejectedError when the project wants more of an issue than we can know, or has no labels.
        """
        operation = "read create screen"
        project = quote(self._project, safe="")
        types = await self._list(f"{_CREATEMETA}/{project}/issuetypes", "issueTypes", operation)
        there = [(str(one.get("name", "")), str(one.get("id", ""))) for one in types]
        found = next((name for title, name in there if title.casefold() == self._issue_type.casefold()), None)
        if found is None:
            names = ", ".join(title for title, _ in there) or "none; grant Create Issues"
            message = f"{self._project} has no issue type {self._issue_type!r} for us; it has {names}"
            raise NotFoundError(message, vendor=VENDOR, operation=operation)
        fields = await self._list(f"{_CREATEMETA}/{project}/issuetypes/{quote(found, safe='')}", "fields", operation)
        screen = {str(field.get("fieldId") or field.get("key") or ""): field for field in fields}
        wanted = [
            f"{field.get('name', name)} ({name})"
            for name, field in screen.items()
            if field.get("required") and not field.get("hasDefaultValue") and name not in _GIVEN
        ]
        if wanted or "labels" not in screen:
            problem = (
                f"wants {', '.join(wanted)} of every new issue" if wanted else "has no labels on its create screen"
            )
            message = f"{self._project} {problem}; give the field a default, or configure another project or issue type"
            raise RejectedError(message, vendor=VENDOR, operation=operation)
        return screen

    async def of_edit(self, issue_id: str) -> Screen:
        """The fields of an issue that can be changed."""
        answer = await self._rest.read(f"/issue/{issue_id}/editmeta", operation="read edit screen", scope=BROWSE)
        fields = answer.get("fields")
        return fields if isinstance(fields, Mapping) else {}

    async def _list(self, path: str, name: str, operation: str) -> list[Mapping[str, Any]]:
        """All pages of a list that is asked for by offset."""
        rows: list[Mapping[str, Any]] = []
        while True:
            params = {"startAt": len(rows), "maxResults": 50}
            answer = await self._rest.read(path, operation=operation, scope=BROWSE, params=params)
            found = [row for row in answer.get(name) or answer.get("values") or () if isinstance(row, Mapping)]
            rows += found
            total = answer.get("total")
            if not found or not isinstance(total, int) or len(rows) >= total:
                return rows


def fitting(screen: Screen, wanted: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields that the screen takes, in Jira's form, and a loss for each parameter that it does not."""
    body: dict[str, Any] = {}
    lost = []
    for parameter, name in NAMES.items():
        if name not in wanted:
            continue
        allowed = screen.get(name, {}).get("allowedValues")
        names = {str(one.get("name", "")).casefold() for one in allowed or () if isinstance(one, Mapping)}
        if name not in screen:
            lost.append(f"{parameter}: the project's screen has no {name}")
        elif name == "priority" and names and wanted[name].casefold() not in names:
            lost.append(f"{parameter}: the project has no priority {wanted[name]!r}; set priorities to its names")
        else:
            forms = {"description": document(wanted[name]), "priority": {"name": wanted[name]}}
            body[name] = forms.get(name, wanted[name])
    return body, tuple(lost)
