# requires: qradar4py==3.0
"""Uses the public client that was made from QRadar's own list of endpoints: list, close, note, put a value into a set.

It speaks version 13.1 unless it is told another, sends ranges as headers and everything else as query parameters.
"""

import json
import sys
from typing import Any

from qradar4py.api import QRadarApi


def check(so: object, message: str) -> None:
    if not so:
        sys.exit(f"qradar4py: {message}")


def offenses(api: Any, wanted: set[str]) -> None:
    found: set[str] = set()
    for begin in range(0, 100, 2):
        status, page = api.siem.get_offenses(
            Range=f"items={begin}-{begin + 1}", sort="+id", filter="status = OPEN", fields="id,status,rules(id,type)"
        )
        check(status in {200, 206}, f"the offenses cannot be listed: {page}")
        if not page:
            break
        found |= {str(row["id"]) for row in page}
    check(wanted <= found, f"{len(wanted - found)} of {len(wanted)} offenses are not in the list")
    number = min(wanted)
    status, one = api.siem.get_offenses_by_offense_id(number)
    check(status == 200 and str(one["id"]) == number, f"an offense cannot be read: {one}")
    (source,) = one["source_address_ids"]
    status, row = api.siem.get_source_addresses(filter=f"id in ({source})", fields="id,source_ip")
    check(status == 200 and row[0]["source_ip"], f"its source cannot be looked up: {row}")
    status, reasons = api.siem.get_offense_closing_reasons()
    check(status == 200 and reasons, f"the closing reasons cannot be listed: {reasons}")
    status, refused = api.siem.post_offenses_by_offense_id(number, status="CLOSED")
    check(status == 422, f"an offense is closed without a reason: {refused}")
    reason = reasons[0]["id"]
    status, closed = api.siem.post_offenses_by_offense_id(number, status="CLOSED", closing_reason_id=reason)
    check(status == 200 and closed["closing_reason_id"] == reason, f"an offense cannot be closed: {closed}")
    status, note = api.siem.post_offenses_notes_by_offense_id(number, note_text="looked at")
    check(status == 201 and note["note_text"] == "looked at", f"a note cannot be written: {note}")


def sets(api: Any, name: str) -> None:
    status, _ = api.referencedata.post_sets_by_name(name, value="203.0.113.99", source="client")
    check(status == 200, "an address cannot be put into the set")
    status, found = api.referencedata.get_sets_by_name(name, filter='value = "203.0.113.99"')
    check(status == 200 and found["data"][0]["source"] == "client", f"the address is not in the set: {found}")


def main() -> None:
    given = json.load(sys.stdin)
    api = QRadarApi(given["base_url"] + "/", given["token"], version="20.0")
    offenses(api, set(given["alerts"]))
    sets(api, given["ip_set"])
    status, refused = QRadarApi(given["base_url"] + "/", "wrong").siem.get_offenses()
    check(status == 401, f"a wrong token is accepted: {refused}")


main()
