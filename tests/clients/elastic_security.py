# requires: elasticsearch==8.19.3
"""Elastic's own Python client against the simulator: sweeps the alerts over a point in time, reads one, is refused."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

_SORT = [
    {"@timestamp": {"order": "asc", "format": "strict_date_optional_time_nanos"}},
    {"_shard_doc": {"order": "asc"}},
]


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"elasticsearch client: {message}")


def _refused(library: Any, call: Any, status: int, kind: str, what: str) -> None:
    try:
        call()
    except library.ApiError as error:
        body = error.body if isinstance(error.body, dict) else {}
        named = (body.get("error") or {}).get("root_cause", [{}])[0].get("type")
        _need((error.meta.status, named) == (status, kind), f"{what}: {error.meta.status} {named}")
        return
    _need(False, f"{what}: nothing refuses it")


def _sweep(library: Any, client: Any, index: str, wanted: set[str]) -> None:
    found: list[str] = []
    snapshot = client.open_point_in_time(index=index, keep_alive="2m")["id"]
    after = None
    for _ in range(1000):
        answer = client.search(
            size=2,
            pit={"id": snapshot, "keep_alive": "2m"},
            track_total_hits=False,
            sort=_SORT,
            search_after=after,
            query={"bool": {"filter": [{"range": {"@timestamp": {"gte": "2020-01-01T00:00:00Z"}}}]}},
        )
        snapshot, hits = answer["pit_id"], answer["hits"]["hits"]
        if not hits:
            break
        _need(answer["_shards"]["failed"] == 0, "shards are missing from a page")
        found += [hit["_id"] for hit in hits]
        after = hits[-1]["sort"]
    _need(len(found) == len(set(found)), "an alert comes twice in one sweep")
    _need(wanted <= set(found), f"{len(wanted - set(found))} of {len(wanted)} alerts are not in the sweep")
    _need(client.close_point_in_time(id=snapshot)["succeeded"], "the point in time cannot be closed")
    pit = {"id": snapshot, "keep_alive": "2m"}
    gone = "a closed point in time"
    _refused(library, lambda: client.search(pit=pit, sort=_SORT), 404, "search_context_missing_exception", gone)


def _one(client: Any, index: str, native_id: str) -> None:
    answer = client.search(index=index, query={"ids": {"values": [native_id]}})
    hits = answer["hits"]["hits"]
    _need([hit["_id"] for hit in hits] == [native_id], f"the alert {native_id} is not found alone")
    source = hits[0]["_source"]
    _need(source["kibana.alert.uuid"] == native_id, "the document has another id in it")
    _need(source["kibana.alert.workflow_status"] == "open", "a new alert is not open")


def _main(given: dict[str, Any]) -> None:
    here = Path(__file__).resolve().parent  # other files here are called like libraries
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != here]
    library = importlib.import_module("elasticsearch")
    index = f".alerts-security.alerts-{given['space']}"

    client = library.Elasticsearch(given["elasticsearch_url"], api_key=given["api_key"], max_retries=0)
    _need(client.security.authenticate()["authentication_type"] == "api_key", "the key is taken for something else")
    _sweep(library, client, index, set(given["alerts"]))
    _one(client, index, min(given["alerts"]))
    hidden = client.search(index=".alerts-security.*", query={"match_all": {}})
    _need(not hidden["hits"]["hits"], "a wildcard finds hidden indices without being told to")
    elsewhere = ".alerts-security.alerts-somewhere-else"
    _refused(library, lambda: client.search(index=elsewhere), 404, "index_not_found_exception", "another space")
    wide = {"index": index, "size": 10_001}
    _refused(library, lambda: client.search(**wide), 400, "illegal_argument_exception", "a page beyond the window")
    wrong = library.Elasticsearch(given["elasticsearch_url"], api_key="c29tZWJvZHk6ZWxzZXM=", max_retries=0)
    _refused(library, wrong.security.authenticate, 401, "security_exception", "another key")


if __name__ == "__main__":
    _main(json.load(sys.stdin))
