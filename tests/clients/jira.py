# requires: jira==3.10.5
"""The Jira library of the Python community against the simulator: makes, searches, moves and comments on issues."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

_JQL = 'labels = "client" ORDER BY created ASC'


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"jira client: {message}")


def _text(words: str) -> dict[str, Any]:
    paragraph = {"type": "paragraph", "content": [{"type": "text", "text": words}]}
    return {"type": "doc", "version": 1, "content": [paragraph]}


def _issues(client: Any, project: str) -> list[Any]:
    place = {"project": {"key": project}, "issuetype": {"name": "Task"}, "labels": ["client"]}
    made = [
        client.create_issue({**place, "summary": f"number {number}", "description": _text("made by the library")})
        for number in range(3)
    ]
    _need(made[0].fields.summary == "number 0", "a new issue is read back without its summary")
    asked: dict[str, Any] = {"maxResults": 2, "fields": "summary", "reconcileIssues": [int(one.id) for one in made]}
    found = client.enhanced_search_issues(_JQL, use_post=True, **asked)
    _need(
        len(found) == 2 and found.nextPageToken, f"{len(found)} issues are on the first page, and its token is missing"
    )
    last = client.enhanced_search_issues(_JQL, nextPageToken=found.nextPageToken, **asked)
    keys = [issue.key for issue in [*found, *last]]
    _need(keys == [issue.key for issue in made], f"{keys} are found, not what was made")
    return made


def _one(client: Any, issue: Any, error: type[Exception]) -> None:
    try:
        issue.update(fields={"status": {"name": "Done"}})
    except error:
        pass
    else:
        _need(False, "a status is set without a transition")
    offered = {one["to"]["name"]: one["id"] for one in client.transitions(issue)}
    client.transition_issue(issue, offered["Done"], resolution={"name": "Duplicate"})
    again = client.issue(issue.key)
    _need(again.fields.status.statusCategory.key == "done", f"the moved issue is {again.fields.status.name}")
    _need(again.fields.resolution.name == "Duplicate", "the resolution was not taken")
    client.add_comment(issue, _text("seen by the library"))
    said = client.comments(issue)
    _need([one.body.content[0].content[0].text for one in said] == ["seen by the library"], "the comment is another")
    issue.update(update={"labels": [{"add": "seen"}]})
    _need("seen" in client.issue(issue.key).fields.labels, "a label cannot be added")


def _main(given: dict[str, Any]) -> None:
    here = Path(__file__).resolve().parent  # this file is called like the library, and its folder is searched first
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != here]
    library = importlib.import_module("jira")

    options = {"rest_api_version": "3", "check_update": False}
    client = library.JIRA(given["base_url"], options, basic_auth=(given["email"], given["api_token"]), max_retries=0)
    _need(client.myself()["accountId"], "the account has no id")
    made = _issues(client, given["project"])
    _one(client, made[0], library.JIRAError)
    try:
        library.JIRA(given["base_url"], options, basic_auth=(given["email"], "another"), max_retries=0).myself()
    except library.JIRAError as error:
        _need(error.status_code == 401, f"another token gives {error.status_code}")
    else:
        _need(False, "another token is accepted")


if __name__ == "__main__":
    _main(json.load(sys.stdin))
