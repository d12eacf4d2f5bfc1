# requires: opensearch-py==3.2.0
"""Asks the simulated indexer as OpenSearch's own library does, and its server API as any script with requests does."""

import json
import sys
from typing import Any

import requests
from opensearchpy import NotFoundError, OpenSearch, RequestError, TransportError

ADDRESS = "203.0.113.77"
INDEX = "wazuh-alerts-*"


def main() -> None:
    """Reads the settings from standard input; ends with a message when something is off."""
    given = json.load(sys.stdin)
    pair = (given["indexer_username"], given["indexer_password"])
    with OpenSearch(given["indexer_url"], http_auth=pair) as indexer:
        _alerts(indexer, given.get("alerts", []))
        _refusals(indexer)
    with OpenSearch(given["indexer_url"], http_auth=(pair[0], "wrong")) as stranger:
        try:
            stranger.search(index=INDEX)
        except TransportError as error:
            _expect("a wrong password is refused", error.status_code, 401)
        else:
            sys.exit("a wrong password is taken")
    _response(given["server_url"].rstrip("/"), given)


def _alerts(indexer: OpenSearch, wanted: list[str]) -> None:
    order = [{"timestamp": {"order": "asc"}}, {"id": {"order": "asc"}}]
    query = {"range": {"rule.level": {"gte": 7}}}
    found: list[str] = []
    after: list[Any] = []
    while True:
        body = {"size": 2, "sort": order, "query": query, **({"search_after": after} if after else {})}
        hits = indexer.search(index=INDEX, body=body)["hits"]["hits"]
        if not hits:
            break
        found += [hit["_source"]["id"] for hit in hits]
        after = hits[-1]["sort"]
    _expect("every alert is paged once", sorted(found), sorted(wanted))
    for native_id in wanted[:1]:
        one = indexer.search(index=INDEX, body={"query": {"term": {"id": native_id}}})["hits"]["hits"]
        _expect("one alert is read", [hit["_source"]["id"] for hit in one], [native_id])


def _refusals(indexer: OpenSearch) -> None:
    try:
        indexer.search(index="wazuh-alerts-4.x-2020.01.01")
    except NotFoundError as error:
        _expect("a missing index is named", error.error, "index_not_found_exception")
    else:
        sys.exit("a missing index is searched")
    try:
        indexer.search(index=INDEX, body={"size": 10_001})
    except RequestError as error:
        _expect("a large page is refused", error.status_code, 400)
    else:
        sys.exit("a page beyond the window is given")


def _response(base: str, given: dict[str, Any]) -> None:
    pair = (given["server_username"], given["server_password"])
    token = requests.post(f"{base}/security/user/authenticate?raw=true", auth=pair, timeout=10).text
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    agents = session.get(f"{base}/agents", params={"status": "active"}, timeout=10).json()
    _expect("agents are listed", agents["error"], 0)
    number = given["block_agents"].partition(",")[0]
    body = {"command": "!firewall-drop", "alert": {"data": {"srcip": ADDRESS}}}
    answer = session.put(f"{base}/active-response", params={"agents_list": number}, json=body, timeout=10).json()
    _expect("the command is sent", (answer["error"], answer["data"]["affected_items"]), (0, [number]))


def _expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        sys.exit(f"{what}: {found!r} instead of {wanted!r}")


main()
