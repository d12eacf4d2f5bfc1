# requires: pytmv1==0.11.0
"""Trend Micro's own Python library against the simulator: alerts, triage under the etag, notes, isolation, a block."""

import json
import sys
from typing import Any

import pytmv1

BLOCKED = "bad.example.com"


def done(result: Any, what: str) -> Any:
    """The response of a call that worked."""
    if result.result_code.value != "SUCCESS":
        sys.exit(f"pytmv1: {what}: {getattr(result, 'error', None) or getattr(result, 'errors', None)}")
    return result.response


def expect(fine: bool, what: str) -> None:
    """Stops with a message when something is off."""
    if not fine:
        sys.exit(f"pytmv1: {what}")


def main(given: dict[str, Any]) -> None:
    """One walk through what the connector does, with the vendor's models."""
    client = pytmv1.init("nightdesk", given["api_key"], given["base_url"])
    expect(done(client.system.check_connectivity(), "connectivity").status == "available", "it is not available")

    told = (done(client.alert.get(name), "read an alert").data.created_date_time for name in given["alerts"])
    since = min(told)
    found: list[Any] = []
    done(client.alert.consume(found.append, start_time=since), "list alerts")
    missing = set(given["alerts"]) - {alert.id for alert in found}
    expect(not missing, f"{len(missing)} of {len(given['alerts'])} alerts are not listed")
    none: list[Any] = []
    done(client.alert.consume(none.append, start_time=since, status="Closed"), "list closed alerts")
    expect(not none, "the filter lets open alerts through")

    one = given["alerts"][0]
    read = done(client.alert.get(one), "read an alert")
    status, result = pytmv1.AlertStatus.CLOSED, pytmv1.InvestigationResult.FALSE_POSITIVE
    done(client.alert.update_status(one, read.etag, status, result), "close an alert")
    expect(done(client.alert.get(one), "read it again").data.status == status, "the alert is not closed")
    stale = client.alert.update_status(one, read.etag, status, result)
    expect(stale.error is not None and stale.error.status == 412, "a stale etag is accepted")
    note = done(client.note.create(one, "seen by pytmv1"), "add a note").note_id
    notes = done(client.note.list(one), "list notes").items
    expect([str(each.id) for each in notes] == [note], "the note is not listed")

    guid = given["devices"][0]
    order = done(client.endpoint.isolate(pytmv1.EndpointRequest(agent_guid=guid)), "isolate")
    task = done(client.task.get_result(order.items[0].task_id, poll_time_sec=10), "read the task")
    expect(task.status.value == "succeeded", f"the isolation is {task.status.value}")
    expect(done(client.endpoint.get_endpoint(guid), "read the endpoint").data.isolation_status == "on", "not isolated")
    unknown = client.endpoint.isolate(pytmv1.EndpointRequest(agent_guid="00000000-0000-4000-8000-000000000000"))
    expect(unknown.result_code.value == "ERROR", "an unknown endpoint is isolated")
    done(client.endpoint.restore(pytmv1.EndpointRequest(agent_guid=guid)), "restore")

    kind = pytmv1.ObjectType.DOMAIN
    item = pytmv1.SuspiciousObjectRequest(object_type=kind, object_value=BLOCKED, scan_action=pytmv1.ScanAction.BLOCK)
    done(client.object.add_suspicious(item), "block a domain")
    listed = done(client.object.list_suspicious(), "list objects").items
    expect([(each.value, each.scan_action.value) for each in listed] == [(BLOCKED, "block")], "it is not blocked")
    done(client.object.delete_suspicious(pytmv1.ObjectRequest(object_type=kind, object_value=BLOCKED)), "unblock it")


main(json.load(sys.stdin))
