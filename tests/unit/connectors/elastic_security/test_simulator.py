from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from elasticsearch import BadRequestError, Elasticsearch, NotFoundError
from starlette.types import Receive, Scope, Send

from nightdesk.connectors.elastic_security.payloads import entity_id
from nightdesk.connectors.elastic_security.simulator import Simulator
from nightdesk.sdk.testing import StoryAlert, StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PROCESS = StoryProcess("sh.exe", r"C:\Temp\sh.exe", "sh.exe -c whoami", 4242, "ab" * 32, "word.exe", "word.exe /n")
LAPTOP = StoryDevice("0f3a-agent-1", "WS-0042", ("192.0.2.42",), processes=(PROCESS,))
SERVER = StoryDevice("0f3a-agent-2", "db-07", ("192.0.2.7",), "server", "Linux")

INDEX = ".alerts-security.alerts-default"
SORT = [
    {"@timestamp": {"order": "asc", "format": "strict_date_optional_time_nanos"}},
    {"_shard_doc": {"order": "asc"}},
]


@dataclass
class Site:
    """A served simulator and its time."""

    simulator: Simulator
    url: str
    time: FakeTime

    def add(self, uid: str, *, after: float = 0, **options: Any) -> str:
        at = NOON + timedelta(seconds=after)
        return self.simulator.add(StoryAlert(uid, at, "Shell from a document", "rule-7", "high", **options))


class Stage:
    """One server for all tests: starting one each would take longer than the tests."""

    simulator: Simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.simulator(scope, receive, send)


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    app = Stage()
    with serve(app) as served:
        yield app, served.base_url


@pytest.fixture
def site(stage: tuple[Stage, str]) -> Site:
    app, url = stage
    time = FakeTime(NOON + timedelta(minutes=1))
    app.simulator = Simulator(clock=time.clock)
    app.simulator.add_devices([LAPTOP, SERVER])
    return Site(app.simulator, url, time)


@pytest.fixture
def http(site: Site) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"ApiKey {site.simulator.secret}", "kbn-xsrf": "x"}
    with httpx.Client(base_url=site.url, headers=headers) as client:
        yield client


@pytest.fixture
def client(site: Site) -> Iterator[Elasticsearch]:
    """The vendor's own client talks to it, and believes that it is Elasticsearch."""
    with Elasticsearch(site.url, api_key=site.simulator.secret) as client:
        yield client


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["root_cause"][0]["type"])


# Elasticsearch.


def test_a_snapshot_does_not_see_what_came_or_changed_after_it(site: Site, client: Elasticsearch) -> None:
    first = site.add("a1")
    pit = client.open_point_in_time(index=INDEX, keep_alive="1m")["id"]
    site.add("a2")
    site.simulator.change(first, workflow_status="closed")
    (hit,) = client.search(pit={"id": pit}, sort=SORT)["hits"]["hits"]
    assert hit["_id"] == first
    assert hit["_source"]["kibana.alert.workflow_status"] == "open"


def test_each_answer_renames_the_snapshot_and_only_the_newest_name_goes_on(site: Site, client: Elasticsearch) -> None:
    site.add("a1")
    pit = client.open_point_in_time(index=INDEX, keep_alive="1m")["id"]
    newest = client.search(pit={"id": pit, "keep_alive": "1m"}, sort=SORT)["pit_id"]
    with pytest.raises(NotFoundError):
        client.search(pit={"id": pit}, sort=SORT)
    assert client.close_point_in_time(id=newest)["num_freed"] == 1
    assert site.simulator.search.open_pits == 0


def test_a_snapshot_expires_by_the_clock_and_says_which_error_it_is(site: Site, client: Elasticsearch) -> None:
    site.add("a1")
    pit = client.open_point_in_time(index=INDEX, keep_alive="1m")["id"]
    site.time.advance(61)
    with pytest.raises(NotFoundError) as caught:
        client.search(pit={"id": pit}, sort=SORT)
    assert caught.value.body["error"]["root_cause"][0]["type"] == "search_context_missing_exception"


def test_equal_times_are_paged_by_the_tiebreaker(site: Site, client: Elasticsearch) -> None:
    native_ids = {site.add(f"a{number}") for number in range(5)}
    pit, after, got = client.open_point_in_time(index=INDEX, keep_alive="1m")["id"], None, []
    while True:
        answer = client.search(pit={"id": pit, "keep_alive": "1m"}, sort=SORT, size=2, search_after=after)
        pit, hits = answer["pit_id"], answer["hits"]["hits"]
        if not hits:
            break
        got += [hit["_id"] for hit in hits]
        after = hits[-1]["sort"]
    assert len(got) == 5
    assert set(got) == native_ids


def test_without_a_date_format_sort_values_are_milliseconds(site: Site, client: Elasticsearch) -> None:
    site.add("a1")
    pit = client.open_point_in_time(index=INDEX, keep_alive="1m")["id"]
    plain = [{"@timestamp": {"order": "asc"}}, {"_shard_doc": {"order": "asc"}}]
    (hit,) = client.search(pit={"id": pit}, sort=plain)["hits"]["hits"]
    assert hit["sort"][0] == int(NOON.timestamp() * 1000)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"size": 10_001}, "illegal_argument_exception"),
        ({"query": {"wildcard": {"host.name": "*"}}}, "parsing_exception"),
        ({"query": {"range": {"@timestamp": {"from": "now"}}}}, "parsing_exception"),
        ({"query": {"range": {"@timestamp": {"gte": "yesterday"}}}}, "parse_exception"),
        ({"sort": SORT}, "action_request_validation_exception"),
        ({"colour": "red"}, "parsing_exception"),
        ({"pit": {"id": "x"}}, "action_request_validation_exception"),
    ],
)
def test_a_search_that_elasticsearch_refuses_is_refused(
    site: Site, http: httpx.Client, body: dict[str, Any], expected: str
) -> None:
    site.add("a1")
    answer = http.post(f"/{INDEX}/_search", json=body)
    assert (answer.status_code, kind(answer)) == (400, expected)


def test_an_unmapped_sort_field_is_refused_unless_its_type_is_given(site: Site, client: Elasticsearch) -> None:
    site.add("a1")
    pit = client.open_point_in_time(index=INDEX, keep_alive="1m")["id"]
    field = {"order": "asc"}
    with pytest.raises(BadRequestError):
        client.search(pit={"id": pit}, sort=[{"nowhere": field}, SORT[1]])
    typed = {**field, "unmapped_type": "date", "format": "strict_date_optional_time_nanos"}
    assert client.search(pit={"id": pit}, sort=[{"nowhere": typed}, SORT[1]])["hits"]["hits"]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"term": {"kibana.alert.severity": "high"}}, 2),
        ({"terms": {"kibana.alert.severity": ["low", "medium"]}}, 0),
        ({"exists": {"field": "kibana.alert.suppression.docs_count"}}, 1),
        ({"bool": {"must_not": [{"exists": {"field": "kibana.alert.suppression.docs_count"}}]}}, 1),
        ({"range": {"@timestamp": {"gt": "2026-11-01T12:00:00Z", "lte": "2026-11-01T12:00:09Z"}}}, 1),
        ({"range": {"@timestamp": {"gte": "now-1h"}}}, 2),
        ({"match_all": {}}, 2),
    ],
)
def test_the_query_language_selects(site: Site, client: Elasticsearch, query: dict[str, Any], count: int) -> None:
    site.add("a1")
    site.add("a2", after=9, labels={"suppressed": "2"})
    answer = client.search(index=INDEX, query=query)
    assert answer["hits"]["total"]["value"] == len(answer["hits"]["hits"]) == count


def test_hidden_indices_are_found_by_their_exact_name_or_when_asked_for(site: Site, client: Elasticsearch) -> None:
    site.add("a1")
    pattern = ".alerts-security.alerts-*"
    assert client.search(index=pattern)["hits"]["hits"] == []
    assert len(client.search(index=pattern, expand_wildcards=["open", "hidden"])["hits"]["hits"]) == 1


def test_a_space_without_alerts_has_no_index(client: Elasticsearch) -> None:
    with pytest.raises(NotFoundError):
        client.open_point_in_time(index=INDEX, keep_alive="1m")
    assert client.open_point_in_time(index=INDEX, keep_alive="1m", ignore_unavailable=True)["id"]


def test_version_nine_of_the_client_is_refused_and_so_is_a_body_that_is_no_json(http: httpx.Client) -> None:
    nine = {"Accept": "application/vnd.elasticsearch+json; compatible-with=9"}
    answer = http.get("/_security/_authenticate", headers=nine)
    assert (answer.status_code, kind(answer)) == (400, "media_type_header_exception")
    answer = http.post(f"/{INDEX}/_search", content=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, kind(answer)) == (406, "content_type_header_exception")


def test_a_foreign_key_is_refused_in_the_words_of_each_service(site: Site) -> None:
    other = Simulator()
    headers = {"Authorization": f"ApiKey {other.secret}"}
    answer = httpx.get(f"{site.url}/_security/_authenticate", headers=headers)
    assert (answer.status_code, kind(answer)) == (401, "security_exception")
    assert answer.headers["X-Elastic-Product"] == "Elasticsearch"
    answer = httpx.get(f"{site.url}/api/status", headers=headers)
    assert (answer.status_code, answer.json()["statusCode"]) == (401, 401)


def test_faults_come_in_the_shape_of_the_service_that_was_asked(site: Site, http: httpx.Client) -> None:
    site.simulator.faults.add("server_error")
    assert "root_cause" in http.get("/_security/_authenticate").json()["error"]
    assert http.get("/api/status").json()["statusCode"] == 503


# Kibana.


def test_a_write_without_the_xsrf_header_is_refused(site: Site, http: httpx.Client) -> None:
    native_id = site.add("a1")
    body = {"signal_ids": [native_id], "status": "closed"}
    del http.headers["kbn-xsrf"]
    answer = http.post("/api/detection_engine/signals/status", json=body)
    assert answer.status_code == 400
    assert "kbn-xsrf" in answer.json()["message"]
    assert site.simulator.alert_state(native_id)["status"] == "open"


def test_an_unknown_version_of_the_api_is_refused(http: httpx.Client) -> None:
    assert http.get("/api/status", headers={"elastic-api-version": "1999-01-01"}).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"signal_ids": ["x"], "status": "done"},
        {"signal_ids": [], "status": "closed"},
        {"signal_ids": ["x"], "status": "closed", "reason": "duplicate"},
        {"status": "closed"},
    ],
)
def test_a_status_that_the_schema_does_not_know_is_refused(http: httpx.Client, body: dict[str, Any]) -> None:
    assert http.post("/api/detection_engine/signals/status", json=body).status_code == 400


def test_an_id_of_another_space_updates_nothing_and_is_a_200(site: Site, http: httpx.Client) -> None:
    native_id = site.add("a1")
    answer = http.post(
        "/s/soc/api/detection_engine/signals/status", json={"signal_ids": [native_id], "status": "closed"}
    )
    assert (answer.status_code, answer.json()["updated"]) == (200, 0)
    assert site.simulator.alert_state(native_id)["status"] == "open"


def test_a_status_change_has_its_own_time_and_leaves_the_timestamp(site: Site, http: httpx.Client) -> None:
    native_id = site.add("a1")
    http.post("/api/detection_engine/signals/status", json={"signal_ids": [native_id], "status": "in-progress"})
    source = site.simulator.search.spaces["default"][native_id]
    assert source["kibana.alert.workflow_status_updated_at"] == "2026-11-01T12:01:00.000Z"
    assert source["@timestamp"] == "2026-11-01T12:00:00.000Z"
    assert site.simulator.alert_state(native_id)["status"] == "open"


def test_tags_need_both_lists_and_no_tag_in_both(site: Site, http: httpx.Client) -> None:
    native_id, path = site.add("a1"), "/api/detection_engine/signals/tags"
    assert http.post(path, json={"ids": [native_id], "tags": {"tags_to_add": ["x"]}}).status_code == 400
    both = {"tags_to_add": ["x"], "tags_to_remove": ["x"]}
    assert http.post(path, json={"ids": [native_id], "tags": both}).status_code == 400


def test_a_missing_write_privilege_comes_in_the_other_error_shape(site: Site, http: httpx.Client) -> None:
    native_id = site.add("a1")
    site.simulator.denied.add("write")
    answer = http.post("/api/detection_engine/signals/status", json={"signal_ids": [native_id], "status": "closed"})
    assert (answer.status_code, answer.json()["status_code"]) == (403, 403)


# Elastic Defend.


def test_ids_without_elastic_defend_are_dropped_with_a_warning_and_only_refused_when_none_is_left(
    site: Site, http: httpx.Client
) -> None:
    path = "/api/endpoint/action/isolate"
    answer = http.post(path, json={"endpoint_ids": [LAPTOP.device_id, "ghost"], "comment": "go"})
    data = answer.json()["data"]
    assert data["agents"] == [LAPTOP.device_id]
    assert "not valid: ['ghost']" in data["comment"]
    assert answer.json()["action"] == data["id"]
    assert http.get(f"/api/endpoint/action/{data['id']}").json()["data"]["isCompleted"]
    answer = http.post(path, json={"endpoint_ids": ["ghost"]})
    assert answer.status_code == 400
    assert "does not have Elastic Defend" in answer.json()["message"]


def test_a_pending_action_is_counted_under_its_hyphenated_name(site: Site, http: httpx.Client) -> None:
    site.simulator.faults.add("offline_host", options={"device_id": LAPTOP.device_id})
    body = {"endpoint_ids": [LAPTOP.device_id], "parameters": {"pid": 4242}}
    http.post("/api/endpoint/action/kill_process", json=body)
    answer = http.get("/api/endpoint/action_status", params={"agent_ids": LAPTOP.device_id}).json()
    assert answer == {"data": [{"agent_id": LAPTOP.device_id, "pending_actions": {"kill-process": 1}}]}
    assert PROCESS.pid in site.simulator.fleet.devices[LAPTOP.device_id].processes


@pytest.mark.parametrize("parameters", [None, {}, {"pid": 0}, {"pid": 1, "entity_id": "x"}, {"name": "sh"}])
def test_a_kill_needs_exactly_one_way_to_name_the_process(http: httpx.Client, parameters: Any) -> None:
    body = {"endpoint_ids": [LAPTOP.device_id], **({"parameters": parameters} if parameters is not None else {})}
    assert http.post("/api/endpoint/action/kill_process", json=body).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/api/endpoint/action/0f000000-none",
        "/api/endpoint/metadata/ghost",
    ],
)
def test_what_is_not_there_is_a_404(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/endpoint/action?pageSize=101",
        "/api/endpoint/action?commands=kill_process",
        "/api/endpoint/action_status",
        "/api/endpoint/metadata?pageSize=0",
        "/api/endpoint/metadata?kuery=host.name:*",
    ],
)
def test_a_query_outside_the_limits_is_a_400(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 400


def test_older_paths_and_unknown_actions_are_not_served(http: httpx.Client) -> None:
    body = {"endpoint_ids": [LAPTOP.device_id]}
    assert http.post("/api/endpoint/action/reboot", json=body).status_code == 404
    assert http.post("/api/endpoint/isolate", json=body).status_code == 404


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("suspend_process", {"pid": "4242"}),
        ("running_procs", {}),
        ("get_file", {"file": PROCESS.path}),
        ("scan", {"path": ""}),
        ("scan", None),
        ("execute", {"command": "hostname", "timeout": 0}),
        ("execute", {"command": "hostname", "shell": "bash"}),
    ],
)
def test_an_action_with_other_parameters_is_a_400(http: httpx.Client, name: str, parameters: Any) -> None:
    body = {"endpoint_ids": [LAPTOP.device_id], **({} if parameters is None else {"parameters": parameters})}
    assert http.post(f"/api/endpoint/action/{name}", json=body).status_code == 400


def test_an_entity_id_of_another_agent_names_no_process(http: httpx.Client) -> None:
    body = {"endpoint_ids": [LAPTOP.device_id], "parameters": {"entity_id": entity_id(SERVER, PROCESS.pid, "now")}}
    data = http.post("/api/endpoint/action/kill_process", json=body).json()["data"]
    assert (data["status"], data["wasSuccessful"]) == ("failed", False)


def test_a_fetched_file_comes_with_its_hash_and_where_to_download_it(http: httpx.Client) -> None:
    body = {"endpoint_ids": [LAPTOP.device_id], "parameters": {"path": PROCESS.path}}
    data = http.post("/api/endpoint/action/get_file", json=body).json()["data"]
    content = data["outputs"][LAPTOP.device_id]["content"]
    assert content["contents"][0]["sha256"] == PROCESS.sha256
    assert content["downloadUri"].endswith(f"/file/{data['id']}.{LAPTOP.device_id}/download")


# The blocklist.

ITEMS = "/api/exception_lists/items"


def blocklist_item(**changed: Any) -> dict[str, Any]:
    entry = {"field": "file.hash.sha256", "operator": "included", "type": "match_any", "value": ["ab" * 32]}
    item = {"list_id": "endpoint_blocklists", "item_id": "i1", "type": "simple", "name": "one", "description": ""}
    return {**item, "namespace_type": "agnostic", "os_types": ["linux"], "entries": [entry], **changed}


@pytest.mark.parametrize(
    "changed",
    [
        {"namespace_type": "single"},
        {"os_types": ["linux", "windows"]},
        {"os_types": []},
        {"os_types": ["amiga"]},
        {"entries": []},
        {"entries": [{"field": "file.hash.sha256", "operator": "included", "type": "match_any", "value": ["ab"]}]},
        {"entries": [{"field": "user.name", "operator": "included", "type": "match_any", "value": ["x"]}]},
        {"tags": ["policy:all", "policy:1"]},
        {"name": ""},
        {"description": "x" * 257},
        {"duration": 5},
    ],
)
def test_the_blocklist_refuses_what_its_validator_refuses(http: httpx.Client, changed: dict[str, Any]) -> None:
    assert http.post(ITEMS, json=blocklist_item(**changed)).status_code == 400


def test_a_blocklist_item_is_made_once_found_and_deleted_with_its_namespace(http: httpx.Client) -> None:
    assert http.post(ITEMS, json=blocklist_item()).status_code == 200
    assert http.post(ITEMS, json=blocklist_item()).status_code == 409
    of_list = {"list_id": "endpoint_blocklists", "namespace_type": "agnostic"}
    found = http.get(f"{ITEMS}/_find", params=of_list).json()
    assert [item["item_id"] for item in found["data"]] == ["i1"]
    assert http.get(f"{ITEMS}/_find", params={"list_id": "endpoint_blocklists"}).status_code == 404
    assert http.get(f"{ITEMS}/_find", params={**of_list, "page": 11, "per_page": 1000}).status_code == 400
    assert http.delete(ITEMS, params={"item_id": "i1"}).status_code == 404
    assert http.delete(ITEMS, params={"item_id": "i1", "namespace_type": "agnostic"}).status_code == 200
    assert http.get(f"{ITEMS}/_find", params=of_list).json()["total"] == 0


# The document of an alert.


def test_a_story_is_rendered_as_flattened_alert_fields_beside_nested_ecs(site: Site) -> None:
    native_id = site.simulator.add(
        StoryAlert(
            "s1",
            NOON,
            "Beacon",
            "rule-9",
            "informational",
            device=SERVER,
            user="mdoe",
            user_domain="EXAMPLE",
            process=PROCESS,
            source_address="192.0.2.7",
            source_port=50_000,
            destination_address="203.0.113.9",
            destination_port=443,
            domain="c2.example.net",
            technique_ids=("T1071", "T1059.004"),
            tactic_ids=("TA0011",),
            convicted_sha256="cd" * 32,
        )
    )
    source = site.simulator.search.spaces["default"][native_id]
    assert source["kibana.alert.uuid"] == native_id
    assert (source["kibana.alert.severity"], source["kibana.alert.risk_score"]) == ("low", 21)
    assert source["agent"]["id"] == SERVER.device_id
    assert source["host"]["os"]["name"] == "Linux"
    assert source["process"]["parent"]["name"] == "word.exe"
    assert source["file"]["hash"]["sha256"] == "cd" * 32
    assert source["source"] == {"ip": "192.0.2.7", "port": 50_000}
    assert source["destination"] == {"ip": "203.0.113.9", "port": 443}
    assert source["dns"]["question"]["name"] == "c2.example.net"
    (threat,) = source["kibana.alert.rule.threat"]
    assert threat["tactic"]["name"] == "Command and Control"
    assert [row["id"] for row in threat["technique"]] == ["T1071", "T1059"]
    assert threat["technique"][1]["subtechnique"][0]["reference"].endswith("/techniques/T1059/004/")


def test_the_same_story_gives_the_same_document(site: Site) -> None:
    story = StoryAlert("s1", NOON, "Beacon", "rule-9", "critical", device=LAPTOP, process=PROCESS)
    first = site.simulator.search.spaces.setdefault("default", {})
    native_id = site.simulator.add(story)
    before = first[native_id]
    assert site.simulator.add(story) == native_id
    assert first[native_id] == before


def test_a_drifted_field_is_renamed_in_what_is_served_and_not_in_what_is_kept(
    site: Site, client: Elasticsearch
) -> None:
    native_id = site.add("a1")
    site.simulator.faults.add("drifted_field", options={"field": "kibana.alert.severity", "to": "kibana.alert.level"})
    (hit,) = client.search(index=INDEX, query={"ids": {"values": [native_id]}})["hits"]["hits"]
    assert hit["_source"]["kibana.alert.level"] == "high"
    assert "kibana.alert.severity" in site.simulator.search.spaces["default"][native_id]
