"""The simulated issues: what a create or an edit must look like, what the workflow does, what the index knows when."""

import copy
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.jira.payloads import ISSUE_TYPES, PRIORITIES, PROJECT, RESOLUTIONS, STATUSES, WORKFLOW, Shapes
from nightdesk.connectors.jira.wire import NOT_SEEN, RefusedError, checked_document, stamp
from nightdesk.sdk.context import Clock

__all__ = ["SCREEN", "Issues"]

SCREEN = ("project", "issuetype", "summary", "description", "priority", "labels", "reporter")
_FIXED = frozenset({"project", "issuetype"})  # on the create screen only


class Issues:
    """Every issue by its id; ``lag`` is how long the index takes to know a change."""

    def __init__(self, clock: Clock, shapes: Shapes, lag: timedelta) -> None:
        self.issues: dict[str, dict[str, Any]] = {}
        self.screen = set(SCREEN)
        self.required: set[str] = set()
        self.closing_screen: set[str] = set()
        self.workflow: Mapping[str, Mapping[str, str]] = WORKFLOW
        self._clock = clock
        self._shapes = shapes
        self.lag = lag
        self._history: dict[str, list[tuple[datetime, dict[str, Any]]]] = {}
        self._numbers = 0

    def create(self, given: Mapping[str, Any], properties: Any = ()) -> dict[str, Any]:
        """A new issue. Raises RefusedError with what is wrong with each field."""
        wrong = {name: _unknown(name) for name in given if name not in self.screen}
        wrong |= {name: f"{name.capitalize()} is required." for name in sorted(self.required) if not given.get(name)}
        if _name(given.get("project"), "key") != PROJECT:
            wrong["project"] = "valid project is required"
        if _name(given.get("issuetype"), "name") not in ISSUE_TYPES.values():
            wrong["issuetype"] = "Specify a valid issue type"
        if not given.get("summary"):
            wrong["summary"] = "You must specify a summary of the issue."
        if wrong:
            raise RefusedError(400, **wrong)
        self._numbers += 1
        number, now = self._numbers, stamp(self._clock())
        issue: dict[str, Any] = {
            "id": str(10_000 + number),
            "key": f"{PROJECT}-{number}",
            "summary": "",
            "description": None,
            "labels": [],
            "priority": "Medium",
            "status": next(iter(STATUSES)),
            "resolution": None,
            "created": now,
            "properties": {},
            "comments": [],
        }
        issue |= self._values(given)
        for one in properties or ():
            if not isinstance(one, Mapping) or not isinstance(one.get("key"), str) or "value" not in one:
                raise RefusedError(400, "Invalid entity property")
            issue["properties"][one["key"]] = one["value"]
        self.issues[issue["id"]] = issue
        self._changed(issue)
        return issue

    def edit(self, issue: dict[str, Any], given: Mapping[str, Any], update: Mapping[str, Any]) -> None:
        """A change of fields. Raises RefusedError."""
        shut = {name: _unknown(name) for name in (*given, *update) if name not in self.screen - _FIXED}
        if shut:
            raise RefusedError(400, **shut)
        values = self._values(given)
        for operation in update.get("labels", ()):
            (verb, label), *_ = operation.items()
            there = [one for one in values.get("labels", issue["labels"]) if one != label]
            values["labels"] = [*there, label] if verb == "add" else there
        issue |= values
        self._changed(issue)

    def move(self, issue: dict[str, Any], number: str, fields: Mapping[str, Any]) -> None:
        """A transition. Raises RefusedError for one that the status does not offer, or that lacks its resolution."""
        to = self.workflow.get(issue["status"], {}).get(number)
        if to is None:
            raise RefusedError(400, f"It isn't possible to perform this action: transition '{number}' is not valid.")
        resolution = _name(fields.get("resolution"), "name")
        if to == "Done" and resolution not in RESOLUTIONS:
            raise RefusedError(400, resolution="Please select a valid resolution.")
        lacking = {name: f"{name} is required." for name in self.closing_screen if to == "Done" and name not in fields}
        if lacking:
            raise RefusedError(400, **lacking)
        if to != "Done" and fields:
            raise RefusedError(400, **{name: _unknown(name) for name in fields})
        closed = STATUSES[to] == "done"
        issue |= {"status": to, "resolution": (resolution or "Won't Do") if closed else None}
        self._changed(issue)

    def say(self, issue: dict[str, Any], body: Any, author: Mapping[str, str], properties: Any = ()) -> dict[str, Any]:
        """A new comment; ``sd.public.comment`` makes it internal. Raises RefusedError."""
        number = 20_000 + sum(len(one["comments"]) for one in self.issues.values())
        comment = self._shapes.comment(number, checked_document(body, "comment"), author)
        internal = [one for one in properties or () if one.get("key") == "sd.public.comment"]
        comment["jsdPublic"] = not any(one.get("value", {}).get("internal") for one in internal)
        issue["comments"].append(comment)
        self._changed(issue)
        return comment

    def named(self, name: str) -> dict[str, Any]:
        """The issue of that id or key. Raises RefusedError."""
        for issue in self.issues.values():
            if name in {issue["id"], issue["key"]}:
                return issue
        raise RefusedError(404, NOT_SEEN)

    def indexed(self, reconciled: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
        """Issues as the index has them; those that are named for reconciliation as they are."""
        known = []
        for issue_id, versions in self._history.items():
            lag = timedelta() if issue_id in reconciled else self.lag
            there = [version for at, version in versions if at + lag <= self._clock()]
            if there:
                known.append({**there[-1], "project": PROJECT, "category": STATUSES[there[-1]["status"]]})
        return known

    def _values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields as they are kept. Raises RefusedError with what is wrong with each."""
        values: dict[str, Any] = {}
        wrong: dict[str, str] = {}
        summary, priority, labels = given.get("summary"), given.get("priority"), given.get("labels")
        if summary is not None:
            if "\n" in summary:
                wrong["summary"] = "The summary is invalid because it contains newline characters."
            elif not summary or len(summary) > 255:
                wrong["summary"] = "Summary can't exceed 255 characters."
            values["summary"] = summary
        if priority is not None:
            values["priority"] = _name(priority, "name")
            if values["priority"] not in PRIORITIES:
                wrong["priority"] = "The priority selected is invalid."
        if labels is not None:
            spaced = [label for label in labels if " " in label]
            if spaced:
                wrong["labels"] = f"The label '{spaced[0]}' contains spaces which is invalid."
            values["labels"] = sorted(set(labels))
        if wrong:
            raise RefusedError(400, **wrong)
        if given.get("description") is not None:
            values["description"] = checked_document(given["description"], "description")
        return values

    def _changed(self, issue: dict[str, Any]) -> None:
        issue["updated"] = stamp(self._clock())
        self._history.setdefault(issue["id"], []).append((self._clock(), copy.deepcopy(issue)))


def _unknown(name: str) -> str:
    return f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."


def _name(found: Any, key: str) -> str:
    return str(found.get(key, "")) if isinstance(found, Mapping) else ""
