# requires: secops==0.44.1
"""Google's own Python wrapper against the simulator: lists, reads and closes an alert, keeps rows, searches."""

import importlib
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"secops: {message}")


def _here(client: Any, base_url: str) -> None:
    """The wrapper builds https addresses from the region; its property for them is replaced by one of ours."""
    made = importlib.import_module("secops.chronicle.client")

    class Here(made.BaseUrl):  # type: ignore[misc, name-defined]
        def __new__(cls, version: str) -> Any:
            return str.__new__(cls, f"{base_url}/{version}")

        def __init__(self, version: str) -> None:
            self._version = version

        def __call__(self, version: Any = None, allowed: Any = None) -> str:
            _need(not allowed or (version or self._version) in allowed, f"{version} is not among {allowed}")
            return f"{base_url}/{version or self._version}"

    client.base_url = Here("v1alpha")


def _alerts(client: Any, wanted: set[str]) -> None:
    now = datetime.now(UTC)
    found, token = set(), None
    for _ in range(100):
        page = client.list_detections(
            "-",
            start_time=now - timedelta(hours=1),
            list_basis="CREATED_TIME",
            alert_state="ALERTING",
            page_size=2,
            page_token=token,
        )
        found |= {row["id"] for row in page.get("detections", ())}
        token = page.get("nextPageToken")
        if not token:
            break
    _need(wanted == found, f"{len(wanted - found)} of {len(wanted)} alerts are not listed")
    one = min(wanted)
    _need(client.get_alert(one, include_detections=True)["alert"]["id"] == one, "another alert is read")
    client.update_alert(
        one,
        status="CLOSED",
        verdict="FALSE_POSITIVE",
        reason="REASON_NOT_MALICIOUS",
        confidence_score=70,
        comment="seen",
    )
    summary = client.get_alert(one)["alert"]["feedbackSummary"]
    _need((summary["status"], summary["confidenceScore"]) == ("CLOSED", 70), f"the alert is not closed: {summary}")
    client.update_alert(one, comment="")
    summary = client.get_alert(one)["alert"]["feedbackSummary"]
    _need("comment" not in summary and summary["status"] == "CLOSED", f"clearing a comment leaves {summary}")


def _rows(client: Any, table: str) -> None:
    columns = client.get_data_table(table)["columnInfo"]
    first = [column["originalColumn"] for column in columns if not column.get("columnIndex")]
    _need(first == ["value"], f"the first column is {first}")
    made = client.create_data_table_rows(table, [["bad.example.com", *[""] * (len(columns) - 1)]])
    row_id = made[0]["dataTableRows"][0]["name"].rpartition("/")[2]
    rows = client.list_data_table_rows(table, order_by="createTime asc")
    _need([row["values"][0] for row in rows] == ["bad.example.com"], f"the table holds {rows}")
    client.delete_data_table_rows(table, [row_id])
    _need(client.list_data_table_rows(table) == [], "the row is still there")


def _search(client: Any) -> None:
    now = datetime.now(UTC)
    query = 'metadata.event_type = "PROCESS_LAUNCH"'
    found = client.search_udm(query, now - timedelta(hours=1), now + timedelta(minutes=1), max_events=2)
    _need(found["total_events"] == 2 and found["more_data_available"], f"the search finds {found['total_events']}")
    _need(found["events"][0]["udm"]["principal"]["hostname"], "an event has no host")


def _main(given: dict[str, Any]) -> None:
    secops = importlib.import_module("secops")
    # The key came in one line; the library wants the lines of PEM.
    parts = re.fullmatch(r"(-----BEGIN [A-Z ]+-----) (.*) (-----END [A-Z ]+-----)", given["private_key"])
    _need(parts, "the private key is no PEM in one line")
    account = {
        "type": "service_account",
        "client_email": given["client_email"],
        "private_key": "\n".join([parts[1], *parts[2].split(), parts[3]]) if parts else "",
        "private_key_id": given["private_key_id"],
        "token_uri": given["token_url"],
    }

    def chronicle(info: dict[str, Any]) -> Any:
        made = secops.SecOpsClient(service_account_info=info, retry_config=False).chronicle(
            customer_id=given["customer_id"], project_id=given["project_id"], region=given["region"]
        )
        _here(made, given["base_url"])
        return made

    client = chronicle(account)
    _alerts(client, set(given["alerts"]))
    _rows(client, given["indicator_table"])
    _search(client)
    error = importlib.import_module("secops.exceptions").APIError
    try:
        client.get_alert("de_nothing")
    except error as refused:
        _need("404" in str(refused), f"an unknown alert gives {refused}")
    else:
        sys.exit("secops: an unknown alert is read")
    try:
        chronicle({**account, "client_email": "somebody@example.com"}).list_detections("-", page_size=1)
    except error as refused:
        _need("invalid_grant" in str(refused), f"another account gives {refused}")
    else:
        sys.exit("secops: another account is accepted")


if __name__ == "__main__":
    _main(json.load(sys.stdin))
