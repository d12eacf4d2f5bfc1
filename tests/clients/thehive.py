# requires: thehive4py==2.1.0
"""TheHive's own Python client against the simulator: raises an alert, makes it a case, finds, closes and comments."""

import importlib
import json
import sys
from typing import Any


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"thehive4py: {message}")


def _refused(call: Any, error: type[Exception], status: int, message: str) -> None:
    try:
        call()
    except error as found:
        _need(found.response.status_code == status, f"{message}: HTTP {found.response.status_code}")
        return
    _need(False, message)


def _cases(api: Any, error: type[Exception]) -> dict[str, Any]:
    triple = {"type": "edr", "source": "library"}
    cases = []
    for number in range(3):
        fields = {
            **triple,
            "sourceRef": f"ref-{number}",
            "title": f"number {number}",
            "description": "x",
            "severity": 3,
        }
        alert = api.alert.create(alert=fields)
        _refused(lambda again=fields: api.alert.create(alert=again), error, 400, "an alert is raised twice")
        cases.append(api.alert.promote_to_case(alert["_id"]))
    query = importlib.import_module("thehive4py.query")
    found = api.alert.find(
        filters=query.Eq("source", "library") & query.Gte("severity", 3),
        sortby=query.Asc("sourceRef"),
        paginate=query.Paginate(start=1, end=3),
    )
    _need([one["sourceRef"] for one in found] == ["ref-1", "ref-2"], f"{len(found)} alerts are on the second page")
    _need(found[0]["caseId"] == cases[1]["_id"], "an alert does not name its case")
    _need(api.alert.count(filters=query.Eq("source", "library")) == len(cases), "the alerts are counted otherwise")
    made: dict[str, Any] = cases[0]
    return made


def _close(api: Any, case: dict[str, Any], error: type[Exception]) -> None:
    query = importlib.import_module("thehive4py.query")
    api.case.close(case["_id"], status="FalsePositive", summary="nothing")
    again = api.case.get(case["number"])
    _need(again["stage"] == "Closed" and "_updatedAt" in again, f"the closed case is in the stage {again['stage']}")
    _refused(lambda: api.case.update(case["_id"], {"status": "Gone"}), error, 400, "an unknown label is accepted")
    changed = api.case.find(filters=query.Has("_updatedAt"), sortby=query.Desc("number"))
    _need([one["_id"] for one in changed] == [case["_id"]], f"{len(changed)} cases were changed")
    said = api.comment.create_in_case(case["_id"], {"message": "seen by the library"})
    api.comment.update(said["_id"], {"message": "seen again"})
    found = api.case.find_comments(case["_id"], sortby=query.Desc("createdAt"))
    _need([(one["message"], one["isEdited"]) for one in found] == [("seen again", True)], "the comment is another")
    api.comment.delete(said["_id"])
    _need(not api.case.find_comments(case["_id"]), "a deleted comment is still there")


def _main(given: dict[str, Any]) -> None:
    library = importlib.import_module("thehive4py.client")
    error = importlib.import_module("thehive4py.errors").TheHiveError
    where = {"url": given["base_url"], "organisation": given["organisation"], "max_retries": 0}
    api = library.TheHiveApi(apikey=given["api_key"], **where)
    _need(api.user.get_current()["organisation"] == given["organisation"], "the user is in another organisation")
    _close(api, _cases(api, error), error)
    wrong = library.TheHiveApi(apikey="somebody-elses-key", **where)
    _refused(wrong.user.get_current, error, 401, "another key is accepted")


if __name__ == "__main__":
    _main(json.load(sys.stdin))
