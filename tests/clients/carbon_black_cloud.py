# requires: carbon-black-cloud-sdk==1.5.10, boto3==1.44.5
"""Broadcom's own library against the simulator: alerts, a workflow job, a note, a quarantine, a ban, Live Response.

It insists on https; a session of its own, which it takes for proxies, writes http instead. boto3 is named because the
newest versions of what both need do not fit together, and a resolver then takes one that is years old.
"""

import json
import sys
from typing import Any

import requests
from cbc_sdk import CBCloudAPI
from cbc_sdk.errors import ObjectNotFoundError
from cbc_sdk.platform import Alert, Device, ReputationOverride

_HASH = "c0de" * 16


class Loopback(requests.Session):
    """Speaks http to a server that was named with https."""

    def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:
        """One call."""
        return super().request(method, url.replace("https://", "http://", 1), *args, **options)


def expect(fine: object, what: str) -> None:
    """Stops with a message when something is off."""
    if not fine:
        sys.exit(f"carbon-black-cloud-sdk: {what}")


def alerts(api: CBCloudAPI, wanted: set[str]) -> None:
    """Lists alerts, closes one by a job, opens it again, writes a note."""
    # Not in pages: the library leaves out the last alert when it alone stands on the next one.
    search = api.select(Alert).set_time_range(range="-1d").sort_by("backend_timestamp", "ASC")
    found = {alert.id for alert in search}
    expect(wanted <= found, f"{len(wanted - found)} of {len(wanted)} alerts are not listed")
    one = min(wanted)
    job = api.select(Alert).add_criteria("id", [one]).close("RESOLVED", "FALSE_POSITIVE", "seen by the library")
    expect(job.await_completion().result().status == "COMPLETED", "the job does not complete")
    expect(job.get_progress()[:2] == (1, 1), f"the job's progress is {job.get_progress()}")
    alert = api.select(Alert, one)
    expect(alert.workflow["status"] == "CLOSED", "the alert is not closed")
    expect(alert.workflow["closure_reason"] == "RESOLVED", "the reason to close is lost")
    expect(alert.determination["value"] == "FALSE_POSITIVE", "the determination is lost")
    others = [api.select(Alert, other).workflow["status"] for other in wanted - {one}]
    expect(set(others) == {"OPEN"}, f"other alerts were closed too: {others}")
    expect([note.note for note in alert.notes_()] == ["seen by the library"], "the job's note is lost")
    alert.create_note("another").delete()
    expect(len(alert.notes_()) == 1, "a note is not deleted")
    api.select(Alert).add_criteria("id", [one]).update("OPEN", determination="NONE").await_completion().result()
    alert.refresh()
    expect(alert.determination["value"] == "NONE", "the determination is not taken back")
    try:
        api.select(Alert, "00000000-0000-0000-0000-000000000000")
    except ObjectNotFoundError:
        return
    expect(False, "an unknown alert is found")


def device(api: CBCloudAPI, number: int) -> None:
    """Finds a device, quarantines and releases it, fetches a file from it and kills a process."""
    found = api.select(Device, number)
    expect(
        [each.id for each in api.select(Device).where(found.name)] == [number], "the device is not found by its name"
    )
    for wanted in (True, False):
        api.device_quarantine([number], wanted)
        found.refresh()
        expect(found.quarantined is wanted, f"quarantined is {found.quarantined} after {wanted} was asked for")
    session = found.lr_session()
    running = session.list_processes()
    expect(running, "no process is listed")
    expect(session.get_file(running[0]["process_path"]), "the fetched file is empty")
    expect(session.kill_process(running[0]["process_pid"]), "the process is not killed")
    left = {process["process_pid"] for process in session.list_processes()}
    expect(running[0]["process_pid"] not in left, "the killed process is still listed")
    session.close()


def ban(api: CBCloudAPI) -> None:
    """Bans a hash, finds the ban, lifts it."""
    fields = {"override_list": "BLACK_LIST", "override_type": "SHA256", "sha256_hash": _HASH, "filename": "x.exe"}
    made = ReputationOverride.create(api, fields)
    query = api.select(ReputationOverride).set_override_list("BLACK_LIST").set_override_type("SHA256").where(_HASH)
    expect([each.id for each in query] == [made.id], "the ban is not found")
    made.delete()
    expect(not list(api.select(ReputationOverride).where(_HASH)), "the ban is not lifted")


def main(given: dict[str, Any]) -> None:
    """One walk through what the connector does, with the vendor's models."""
    api = CBCloudAPI(
        url=given["base_url"].replace("http://", "https://", 1),
        token=f"{given['api_secret']}/{given['api_id']}",
        org_key=given["org_key"],
        proxy_session=Loopback(),
    )
    alerts(api, set(given["alerts"]))
    device(api, int(given["devices"][0]))
    ban(api)


main(json.load(sys.stdin))
