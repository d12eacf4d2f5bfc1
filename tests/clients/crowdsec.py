# requires: pycrowdsec==0.0.5
"""Asks the simulated Local API as a bouncer of the vendor's own library does, while another client bans and lifts."""

import json
import sys
import time
from typing import Any

import requests
from pycrowdsec.client import QueryClient, StreamClient

ADDRESS = "203.0.113.77"


def main() -> None:
    """Reads the settings from standard input; ends with a message when something is off."""
    given = json.load(sys.stdin)
    base = given["base_url"].rstrip("/") + "/"
    machine = _signed_in(base, given)
    _alerts(machine, base, given.get("alerts", []))
    query = QueryClient(api_key=given["bouncer_key"], lapi_url=base)
    stream = StreamClient(api_key=given["bouncer_key"], lapi_url=base)
    stream.cycle("true")
    _expect("nobody is banned yet", query.get_decisions_for(ADDRESS), None)
    decision = _ban(machine, base)
    _expect("the library bans", query.get_action_for(ADDRESS), "ban")
    stream.cycle("false")
    _expect("the stream bans", stream.get_action_for(ADDRESS), "ban")
    _expect("one is ended", machine.delete(f"{base}v1/decisions/{decision}").json(), {"nbDeleted": "1"})
    _expect("nobody is banned any more", query.get_decisions_for(ADDRESS), None)
    stream.cycle("false")
    _expect("the stream lifts it", stream.get_action_for(ADDRESS), None)
    try:
        QueryClient(api_key="wrong", lapi_url=base).get_decisions_for(ADDRESS)
    except requests.HTTPError as error:
        _expect("a wrong key is refused", error.response.status_code, 403)
    else:
        sys.exit("a wrong key is taken")


def _signed_in(base: str, given: dict[str, Any]) -> requests.Session:
    body = {"machine_id": given["machine_id"], "password": given["machine_password"], "scenarios": []}
    answer = requests.post(f"{base}v1/watchers/login", json=body, timeout=10)
    answer.raise_for_status()
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    return session


def _alerts(machine: requests.Session, base: str, wanted: list[str]) -> None:
    rows = machine.get(f"{base}v1/alerts", timeout=10).json() or []
    listed = {str(row["id"]) for row in rows}
    if len(wanted) <= len(rows):
        _expect("the alerts are listed", set(wanted) - listed, set())
    for native_id in wanted[:1]:
        one = machine.get(f"{base}v1/alerts/{native_id}", timeout=10).json()
        _expect("one alert is read", str(one["id"]), native_id)


def _ban(machine: requests.Session, base: str) -> int:
    source = {"scope": "Ip", "value": ADDRESS}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    alert = {
        **dict.fromkeys(("scenario_hash", "scenario_version"), ""),
        "scenario": "a client of its own",
        "message": "a ban",
        "events_count": 1,
        "start_at": now,
        "stop_at": now,
        "capacity": 0,
        "leakspeed": "0",
        "simulated": False,
        "events": [],
        "source": source,
        "decisions": [{"origin": "client", "type": "ban", "duration": "1h", "scenario": "a client", **source}],
    }
    answer = machine.post(f"{base}v1/alerts", json=[alert], timeout=10)
    _expect("an alert is stored", answer.status_code, 201)
    (number,) = answer.json()
    (decision,) = machine.get(f"{base}v1/alerts/{number}", timeout=10).json()["decisions"]
    return int(decision["id"])


def _expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        sys.exit(f"{what}: {found!r} instead of {wanted!r}")


main()
