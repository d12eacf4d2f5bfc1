# requires: taxii2-client==2.3.0
"""OASIS's own TAXII client against the simulator: pages through a collection, reads one, publishes and looks again."""

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent  # this file may be called like a library, and its folder is searched first
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != HERE]

import requests  # noqa: E402  # after the path is right
from taxii2client.exceptions import TAXIIServiceException  # noqa: E402  # after the path is right
from taxii2client.v21 import ApiRoot, Collection, as_pages  # noqa: E402  # after the path is right


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"taxii client: {message}")


def _collection(given: dict[str, Any], name: str) -> Collection:
    url = f"{given['base_url']}/collections/{given[name]}/"
    return Collection(url, user=given["username"], password=given["password"])


def main() -> None:
    """Reads the settings from standard input; ends with a message when something is off."""
    given = json.load(sys.stdin)
    root = ApiRoot(f"{given['base_url']}/", user=given["username"], password=given["password"])
    rights = {one.id: (one.can_read, one.can_write) for one in root.collections}
    _need(rights == {given["collection"]: (True, False), given["publish_collection"]: (True, True)}, f"rights {rights}")
    shared = _collection(given, "collection")
    pages = list(as_pages(shared.get_objects, per_request=2, type="indicator"))
    found = [entry["id"] for page in pages for entry in page.get("objects", ())]
    _need(sorted(found) == sorted(given["alerts"]), f"{len(found)} objects, {len(given['alerts'])} were shared")
    _need(len(pages) > 1, "three objects came in one page of two")
    (one,) = shared.get_object(given["alerts"][0])["objects"]
    _need(one["type"] == "indicator", f"the object is {one['type']}")
    ours = _collection(given, "publish_collection")
    made = {**one, "id": "indicator--00000000-0000-4000-8000-000000000001"}
    status = ours.add_objects({"objects": [made]})
    _need((status.status, status.success_count) == ("complete", 1), f"the object was not taken: {status.failures}")
    _need(ours.add_objects({"objects": [made]}).failure_count == 1, "the same version was taken twice")
    _need(ours.get_object(made["id"])["objects"] == [made], "what was published comes back changed")
    _need(ours.object_versions(made["id"])["versions"] == [made["modified"]], "the versions are others")
    try:
        shared.add_objects({"objects": [made]})
    except (requests.HTTPError, TAXIIServiceException):
        pass
    else:
        sys.exit("taxii client: a collection without can_write was written to")


if __name__ == "__main__":
    main()
