# requires: pymisp==2.5.34.4
"""MISP's own library against the simulator: searches, adds an attribute, deletes and restores it, checks a value."""

import importlib
import json
import sys
from typing import Any

ADDRESS = "203.0.113.99"


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"misp client: {message}")


def main() -> None:
    """Reads the settings from standard input; ends with a message when something is off."""
    given = json.load(sys.stdin)
    pymisp = importlib.import_module("pymisp")
    misp = pymisp.PyMISP(given["base_url"], given["auth_key"])
    _need(misp.misp_instance_version["version"].startswith("2."), "the version is no version of MISP")
    found: list[Any] = []
    for page in range(1, 10):
        rows = misp.search(controller="attributes", timestamp="30d", published=True, page=page, limit=2, pythonify=True)
        if not rows:
            break
        found += rows
    _need(sorted(one.uuid for one in found) == sorted(given["alerts"]), f"{len(found)} attributes are found")
    one = misp.get_attribute(given["alerts"][0], pythonify=True)
    _need(one.uuid == given["alerts"][0] and one.to_ids, f"the attribute reads {one}")
    made = pymisp.MISPAttribute()
    made.from_dict(type="ip-dst", value=ADDRESS, to_ids=True, comment="from the library")
    added = misp.add_attribute(given["event"], made, pythonify=True)
    _need(getattr(added, "value", "") == ADDRESS, f"the attribute was not added: {added}")
    again = misp.add_attribute(given["event"], made)
    _need("errors" in again and again["errors"][0] == 403, f"a duplicate was taken: {again}")
    gone = misp.delete_attribute(added.uuid)
    _need(gone.get("message") == "Attribute deleted.", f"the attribute was not deleted: {gone}")
    _need(not misp.search(controller="attributes", value=ADDRESS, pythonify=True), "a deleted attribute is found")
    _need(len(misp.search(controller="attributes", value=ADDRESS, deleted=[0, 1], pythonify=True)) == 1, "it is gone")
    back = misp.restore_attribute(added.uuid, pythonify=True)
    _need(not getattr(back, "deleted", True), f"the attribute was not restored: {back}")
    _need(misp.values_in_warninglist([ADDRESS]) in ([], {}), "the address is on a list of good ones")
    try:
        pymisp.PyMISP(given["base_url"], "somebody-elses-key")
    except pymisp.PyMISPError:
        return
    sys.exit("misp client: another key is accepted")


if __name__ == "__main__":
    main()
