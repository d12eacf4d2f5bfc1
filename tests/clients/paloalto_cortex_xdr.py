# requires: cortex-xdr-client==2.0.0
"""Uses the public client library against the simulator: its signatures, paths, bodies and models are not ours.

Reads one JSON object: the simulator's settings with the key revealed, ``alerts`` and ``devices`` with native ids.
"""

import importlib
import json
import sys
from typing import Any


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"cortex client: {message}")


def _signed_in(given: dict[str, Any]) -> Any:
    """The library's client, pointed at the loopback address that it would refuse as a tenant's name."""
    signing = importlib.import_module("cortex_xdr_client.api.authentication")
    kind = signing.AuthenticationType[given["key_kind"].upper()]
    auth = signing.Authentication(given["api_key"], given["api_key_id"], kind)
    client = importlib.import_module("cortex_xdr_client.client").CortexXDRClient(auth, "tenant.example.com")
    for api in vars(client).values():
        if hasattr(api, "_base_url"):
            api._base_url = given["base_url"]  # there is no other way
    return client


def main() -> None:
    """Lists alerts and incidents, reads one, finds an endpoint, isolates it, closes an alert."""
    given = json.load(sys.stdin)
    client = _signed_in(given)
    number, device = given["alerts"][0], given["devices"][0]

    page = client.alerts_api.get_alerts_multi_events(filters=[])["reply"]["alerts"]
    _need({row["alert_id"] for row in page} >= set(given["alerts"]), "alerts are missing from the list")
    one = [{"field": "alert_id_list", "operator": "in", "value": [int(number)]}]
    found = client.alerts_api.get_alerts_multi_events(filters=one)["reply"]["alerts"]
    _need([row["alert_id"] for row in found] == [number], f"reading {number} gives {len(found)} alerts")
    incidents = client.incidents_api.get_incidents(search_from=0, search_to=100).reply
    _need(incidents.result_count == len(incidents.incidents), "the incidents do not fit their count")

    closed = client.alerts_api.update_alerts(
        alert_id_list=[number], update_data={"status": "resolved_false_positive", "comment": "seen by the library"}
    )
    _need(closed["reply"]["alerts_ids"] == [number], f"{number} was not updated")
    after = client.alerts_api.get_alerts_multi_events(filters=one)["reply"]["alerts"][0]["resolution_status"]
    _need(after.endswith("RESOLVED_FALSE_POSITIVE"), f"{number} is {after} after it was closed")

    listed = client.endpoints_api.get_endpoint(endpoint_id_list=[device]).reply.endpoints
    _need([row.endpoint_id for row in listed] == [device], f"{device} is not found")
    ordered = client.endpoints_api.isolate(endpoint_id=device)["reply"]
    _need(ordered["endpoints_count"] == 1, "the isolation reached nobody")
    states = client.actions_api.get_action_status(group_action_id=ordered["action_id"]).reply.data.root
    _need(states == {device: "COMPLETED_SUCCESSFULLY"}, f"the isolation is {states}")
    shown = client.endpoints_api.get_endpoint(endpoint_id_list=[device]).reply.endpoints[0]
    _need(shown.is_isolated.value == "AGENT_ISOLATED", f"{device} is {shown.is_isolated}")


if __name__ == "__main__":
    main()
