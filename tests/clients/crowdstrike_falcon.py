# requires: crowdstrike-falconpy==1.6.6
"""CrowdStrike's own Python library against the simulator: alerts, triage, containment, commands, a scan, an IOC."""

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

falconpy = importlib.import_module("falconpy")

_NOWHERE = {"https": "http://127.0.0.1:9"}  # the discard port: the library must not reach the vendor
_HASH = "cd" * 32


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"falconpy: {message}")


def _done(answer: Mapping[str, Any], what: str, status: int = 200) -> Any:
    """The resources of a call that worked."""
    body = answer["body"]
    errors = body.get("errors") if isinstance(body, dict) else body
    _need(answer["status_code"] == status and not errors, f"{what}: {answer['status_code']} {errors}")
    return body.get("resources")


def _signed_in(given: Mapping[str, Any], secret: str) -> Any:
    """A session of the library.

    It takes the answer's region for a wrong address and moves to that region's; it is told to come back.
    """
    session = falconpy.OAuth2(
        client_id=given["client_id"], client_secret=secret, base_url=given["base_url"], proxy=_NOWHERE, timeout=10
    )
    answer = session.login()
    if answer["status_code"] == 201:
        session.base_url = given["base_url"]
    return session


def _alerts(auth: Any, wanted: set[str]) -> None:
    alerts = falconpy.Alerts(auth_object=auth)
    found: set[str] = set()
    after = None
    for _ in wanted:
        answer = alerts.get_alerts_combined(sort="created_timestamp|asc", limit=1, after=after)
        found |= {alert["composite_id"] for alert in _done(answer, "list alerts")}
        after = answer["body"]["meta"]["pagination"].get("after")
    _need(found == wanted, f"{len(wanted - found)} of {len(wanted)} alerts are not listed")
    _need(after is None, "the last page has a token")
    one = min(wanted)
    changed = alerts.update_alerts_v3(
        composite_ids=[one], update_status="closed", add_tag="false_positive", append_comment="seen by falconpy"
    )
    _done(changed, "close an alert")
    (alert,) = _done(alerts.get_alerts_v2(composite_ids=[one]), "read an alert")
    _need((alert["status"], alert["tags"]) == ("closed", ["false_positive"]), "the alert is not closed and tagged")
    _need(alerts.get_alerts_combined(limit=1001)["status_code"] == 400, "a page of 1001 alerts is given")


def _containment(auth: Any, device_id: str) -> None:
    hosts = falconpy.Hosts(auth_object=auth)
    for action, status in (("contain", "contained"), ("lift_containment", "normal")):
        _done(hosts.perform_action(action_name=action, ids=[device_id]), action, 202)
        (host,) = _done(hosts.get_device_details(ids=[device_id]), "read a host")
        _need(host["status"] == status, f"after {action} the host is {host['status']}")
    _need(hosts.perform_action(action_name="contain", ids=["nobody"])["status_code"] == 404, "nobody is contained")


def _commands(auth: Any, device_id: str, process: Mapping[str, Any], path: str) -> None:
    rtr = falconpy.RealTimeResponse(auth_object=auth)
    opened = _done(rtr.init_session(device_id=device_id, queue_offline=False), "open a session", 201)
    session_id = opened[0]["session_id"]

    def run(base: str, line: str) -> Any:
        ordered = rtr.execute_active_responder_command(base_command=base, command_string=line, session_id=session_id)
        request_id = _done(ordered, line, 201)[0]["cloud_request_id"]
        told = rtr.check_active_responder_command_status(cloud_request_id=request_id, sequence_id=0)
        (status,) = _done(told, f"status of {line}", 201)
        return status

    status = run("get", f'get "{path}"')
    _need(not status["stderr"], f"the file is not fetched: {status}")
    (file,) = _done(rtr.list_files_v2(session_id=session_id), "list files")
    _need((file["complete"], file["sha256"]) == (True, process["sha256"]), f"the file is another one: {file}")
    kill = f"kill {process['local_process_id']}"
    status = run("kill", kill)
    _need(status["complete"] and not status["stderr"], f"the process is not ended: {status}")
    _need(run("kill", kill)["stderr"], "a process that is gone is ended again")
    names = _done(rtr.list_all_sessions(filter=f"aid:'{device_id}'", sort="created_at|desc"), "list sessions")
    (session,) = _done(rtr.list_sessions(ids=names), "read a session")
    _need([entry["base_command"] for entry in session["logs"]] == ["get", "kill", "kill"], "the log is not complete")
    _need(rtr.delete_session(session_id=session_id)["status_code"] == 204, "the session is not closed")


def _scan(auth: Any, device_id: str, path: str) -> None:
    ods = falconpy.ODS(auth_object=auth)
    levels = {f"{where}_ml_level_{what}": 2 for where in ("sensor", "cloud") for what in ("detection", "prevention")}
    lists: dict[str, list[str]] = {"host_groups": [], "scan_inclusions": [], "scan_exclusions": []}
    flags = {"endpoint_notification": False, "quarantine": False, "max_duration": 0, "pause_duration": 0}
    what = {"hosts": [device_id], "file_paths": [path], "description": "seen by falconpy", "cpu_priority": 2}
    body = {**levels, **lists, **flags, **what, "initiated_from": "cloud_adhoc"}
    made = _done(ods.create_scan(body=body), "start a scan", 201)
    (scan,) = _done(ods.get_scans_by_scan_ids_v2(ids=[made[0]["id"]]), "read a scan")
    _need(scan["status"] == "completed", f"the scan is {scan['status']}")


def _quarantine(auth: Any, name: str) -> None:
    files = falconpy.Quarantine(auth_object=auth)
    for action, state in (("unrelease", "quarantined"), ("release", "released")):
        _done(files.update_quarantined_detects_by_id(ids=[name], action=action, comment="falconpy"), action)
        (file,) = _done(files.get_quarantine_files(ids=[name]), "read a quarantined file")
        _need(file["state"] == state, f"after {action} the file is {file['state']}")


def _indicators(auth: Any) -> None:
    ioc = falconpy.IOC(auth_object=auth)
    indicator = {"type": "sha256", "value": _HASH, "action": "prevent", "severity": "high", "platforms": ["windows"]}
    body = {"comment": "falconpy", "indicators": [{**indicator, "applied_globally": True}]}
    (made,) = _done(ioc.indicator_create(body=body), "block a hash", 201)
    found = _done(ioc.indicator_combined(filter=f"type:'sha256'+value:'{_HASH}'"), "find an indicator")
    _need([row["id"] for row in found] == [made["id"]], "the indicator is not found")
    _done(ioc.indicator_delete(ids=[made["id"]], comment="falconpy"), "unblock a hash")


def _main(given: Mapping[str, Any]) -> None:
    _need(not _signed_in(given, "somebody-elses-secret").authenticated(), "another secret is accepted")
    auth = _signed_in(given, given["client_secret"])
    _need(auth.authenticated(), "the client is not signed in")
    (alert,) = _done(
        falconpy.Alerts(auth_object=auth).get_alerts_v2(composite_ids=given["alerts"][:1]), "read an alert"
    )
    path = alert["filepath"].replace("\\Device\\HarddiskVolume3", "C:")
    (device_id,) = given["devices"]
    _alerts(auth, set(given["alerts"]))
    _containment(auth, device_id)
    _commands(auth, device_id, alert, path)
    _scan(auth, device_id, path)
    _quarantine(auth, f"{device_id}_{alert['sha256']}")
    _indicators(auth)


if __name__ == "__main__":
    _main(json.load(sys.stdin))
