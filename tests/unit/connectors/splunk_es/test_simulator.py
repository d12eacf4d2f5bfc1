"""The simulated splunkd alone: strict where splunkd is strict, careless where it is careless, and stateful."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nightdesk.connectors.splunk_es import spl
from nightdesk.connectors.splunk_es.simulator import Simulator
from nightdesk.sdk.testing import StoryAlert, StoryDevice

NOON = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
DEVICE = StoryDevice("d-1", "WS-0042", ("192.0.2.10",))


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(clock=lambda: NOON, secret="tok-1")


def add(simulator: Simulator, uid: str = "s-1", **fields: Any) -> str:
    at = fields.pop("at", NOON - timedelta(hours=1))
    return simulator.add(StoryAlert(uid, at, "Odd thing", "R-7", "high", **fields))


def call(simulator: Simulator, method: str, path: str, *, token: str = "tok-1", **fields: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(simulator)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://splunk.example.com") as client:
            values = {"data": fields} if method == "POST" else {"params": fields}
            return await client.request(method, path, headers=headers, **values)  # type: ignore[arg-type]  # either

    return asyncio.run(once())


def search(simulator: Simulator, spl: str, **fields: Any) -> list[dict[str, Any]]:
    created = call(simulator, "POST", "/services/search/v2/jobs", search=spl, output_mode="json", **fields)
    assert created.status_code == 201, created.text
    sid = created.json()["sid"]
    for _ in range(3):
        call(simulator, "GET", f"/services/search/v2/jobs/{sid}")
    answer = call(simulator, "POST", f"/services/search/v2/jobs/{sid}/results", output_mode="json", count=0)
    rows: list[dict[str, Any]] = answer.json()["results"]
    call(simulator, "POST", f"/services/search/v2/jobs/{sid}/control", action="cancel")
    return rows


def update(simulator: Simulator, **fields: Any) -> Any:
    return call(simulator, "POST", "/services/notable_update", output_mode="json", **fields).json()


@pytest.mark.parametrize("token", ["", "tok-2"])
@pytest.mark.parametrize(("fields", "kind"), [({}, "xml"), ({"output_mode": "json"}, "json")])
def test_without_the_right_token_nothing_is_answered_in_either_tongue(
    simulator: Simulator, token: str, fields: dict[str, str], kind: str
) -> None:
    answer = call(simulator, "GET", "/services/server/info", token=token, **fields)
    assert answer.status_code == 401
    assert kind in answer.headers["content-type"]
    assert "call not properly authenticated" in answer.text


def test_two_tenants_do_not_share_ids_or_tokens() -> None:
    one, two = Simulator(clock=lambda: NOON), Simulator(clock=lambda: NOON)
    assert one.secret != two.secret
    assert add(one) != add(two)
    assert call(two, "GET", "/services/server/info", token=one.secret).status_code == 401


def test_answers_are_atom_unless_json_is_asked_for(simulator: Simulator) -> None:
    path = "/services/authentication/current-context"
    assert call(simulator, "GET", path).text.startswith("<feed ")
    content = call(simulator, "GET", path, output_mode="json").json()["entry"][0]["content"]
    assert "search" in content["capabilities"]
    simulator.capabilities = {"search"}
    content = call(simulator, "GET", path, output_mode="json").json()["entry"][0]["content"]
    assert content["capabilities"] == "search", "one value is no list"


@pytest.mark.parametrize(
    "spl",
    [
        "index=notable",
        "",
        "search",
        "search foo",
        "search `unknown`",
        "| inputlookup x",
        "search `notable` | stats count",
        "search `notable` | where status LIKE 1",
        "search `notable` | eval a=1+1",
        "search `notable` | sort 0 ,",
        "search `notable` | head many",
        "search `notable` | search event_id IN (a",
        'search `notable` | search rule_name="x',
    ],
)
def test_what_it_does_not_understand_is_refused(simulator: Simulator, spl: str) -> None:
    answer = call(simulator, "POST", "/services/search/v2/jobs", search=spl, output_mode="json")
    assert answer.status_code == 400
    assert answer.json()["messages"][0]["type"] == "FATAL"


@pytest.mark.parametrize("fields", [{"index_earliest": "-1h"}, {"index_latest": "1.5"}, {"earliest_time": "@d"}])
def test_times_that_are_no_epochs_are_refused(simulator: Simulator, fields: dict[str, str]) -> None:
    answer = call(simulator, "POST", "/services/search/jobs", search="search `notable`", output_mode="json", **fields)
    assert answer.status_code == 400


def test_index_time_is_half_open_and_apart_from_event_time(simulator: Simulator) -> None:
    told = NOON - timedelta(minutes=10)
    add(simulator, at=NOON - timedelta(days=3), raised_at=told)
    second = int(told.timestamp())
    assert len(search(simulator, "search `notable`", index_earliest=second, index_latest=second + 1)) == 1
    assert search(simulator, "search `notable`", index_earliest=second - 1, index_latest=second) == []
    assert search(simulator, "search `notable`", earliest_time=second - 3600) == []


def test_what_is_told_in_the_future_is_not_indexed_yet(simulator: Simulator) -> None:
    add(simulator, raised_at=NOON + timedelta(minutes=1))
    assert search(simulator, "search `notable`") == []


def test_sort_without_0_keeps_only_10000() -> None:
    def count(query: str) -> int:
        rows = [{"_time": 1.0, "_indextime": str(number)} for number in range(10_050, 0, -1)]
        found = spl.run(spl.parse(query), {"notable": lambda *_: rows}, spl.Bounds())
        assert [found[0]["_indextime"], found[9]["_indextime"]] == ["1", "10"], "as numbers, not as text"
        return len(found)

    assert count("search `notable` | sort _indextime") == 10_000
    assert count("search `notable` | sort 0 _indextime") == 10_050


def test_a_job_is_queued_runs_and_is_done_and_has_results_only_then(simulator: Simulator) -> None:
    add(simulator)
    sid = call(simulator, "POST", "/services/search/v2/jobs", search="search `notable`", output_mode="json").json()[
        "sid"
    ]
    path = f"/services/search/v2/jobs/{sid}"
    states = []
    for _ in range(3):
        assert call(simulator, "POST", f"{path}/results", output_mode="json").status_code == 204
        states.append(call(simulator, "GET", path, output_mode="json").json()["entry"][0]["content"]["dispatchState"])
    assert states == ["QUEUED", "RUNNING", "DONE"]
    assert len(call(simulator, "POST", f"{path}/results", output_mode="json").json()["results"]) == 1
    assert call(simulator, "POST", f"{path}/control", action="pause").status_code == 400
    assert call(simulator, "POST", f"{path}/control", action="cancel").status_code == 200
    for method, rest in (("GET", ""), ("POST", "/results"), ("POST", "/control")):
        assert call(simulator, method, f"{path}{rest}").status_code == 404


def test_a_finished_job_does_not_change(simulator: Simulator) -> None:
    add(simulator)
    sid = call(simulator, "POST", "/services/search/v2/jobs", search="search `notable`", output_mode="json").json()[
        "sid"
    ]
    add(simulator, "s-2")
    for _ in range(3):
        call(simulator, "GET", f"/services/search/v2/jobs/{sid}")
    answer = call(simulator, "POST", f"/services/search/v2/jobs/{sid}/results", output_mode="json")
    assert len(answer.json()["results"]) == 1


def test_a_fourth_search_at_once_exceeds_the_quota(simulator: Simulator) -> None:
    answers = [
        call(simulator, "POST", "/services/search/v2/jobs", search="search `notable`", output_mode="json")
        for _ in range(4)
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 503]
    assert "retry-after" not in answers[-1].headers


def test_an_old_version_has_no_v2(simulator: Simulator) -> None:
    simulator.version = "9.0.1"
    fields = {"search": "search `notable`", "output_mode": "json"}
    assert call(simulator, "POST", "/services/search/v2/jobs", **fields).status_code in {404, 405}
    assert call(simulator, "POST", "/services/search/jobs", **fields).status_code == 201


def test_capabilities_are_needed_to_search_and_to_edit(simulator: Simulator) -> None:
    simulator.capabilities = set()
    assert call(simulator, "POST", "/services/search/jobs", search="search `notable`").status_code == 403
    assert call(simulator, "POST", "/services/notable_update", ruleUIDs="x", status="5").status_code == 403


def test_a_notable_says_what_the_story_says(simulator: Simulator) -> None:
    native_id = add(
        simulator, device=DEVICE, user="a.lovelace", technique_ids=("T1059.001",), tactic_ids=("TA0002", "TA0005")
    )
    (row,) = search(simulator, f'search `notable_by_id("{native_id}")`')
    assert row["event_id"] == native_id
    assert (row["dest"], row["dest_ip"], row["user"]) == ("WS-0042", "192.0.2.10", "a.lovelace")
    assert row["annotations.mitre_attack"] == "T1059.001"
    assert row["annotations.mitre_attack.mitre_tactic_id"] == ["TA0002", "TA0005"]
    assert (row["severity"], row["urgency"], row["status_label"]) == ("high", "high", "New")
    assert row["_time"] == "2026-03-02T16:30:00.000+05:30"
    assert all(isinstance(value, (str, list)) for value in row.values())


def test_a_raw_search_shows_the_event_without_its_review(simulator: Simulator) -> None:
    native_id = add(simulator, user="a.lovelace")
    simulator.review(native_id, status="5")
    (row,) = search(simulator, "search index=notable")
    assert 'user="a.lovelace"' in row["_raw"]
    assert not {"event_id", "status", "owner"} & row.keys()


def test_an_update_is_kept_shown_and_logged(simulator: Simulator) -> None:
    native_id = add(simulator)
    answer = update(simulator, ruleUIDs=native_id, status="5", disposition="disposition:2", comment="a backup")
    assert (answer["success"], answer["success_count"], answer["failure_count"]) == (True, 1, 0)
    (row,) = search(simulator, "search `notable`")
    assert (row["status"], row["status_end"], row["disposition"]) == ("5", "true", "disposition:2")
    (review,) = search(
        simulator, f'| `incident_review` | where rule_id="{native_id}" AND _time>={NOON.timestamp():.3f}'
    )
    assert review["comment"] == "a backup"
    assert simulator.alert_state(native_id) == {
        "status": "closed",
        "disposition": "benign-positive",
        "comments": ["a backup"],
    }


def test_a_refused_update_is_http_200_with_success_false(simulator: Simulator) -> None:
    native_id = add(simulator)
    simulator.comment_required = True
    for fields in (
        {},
        {"ruleUIDs": native_id, "status": "77", "comment": "x"},
        {"ruleUIDs": native_id, "disposition": "disposition:77", "comment": "x"},
        {"ruleUIDs": native_id, "status": "5"},
    ):
        answer = update(simulator, **fields)
        assert answer["success"] is False
        assert answer["success_count"] == 0
    assert update(simulator, ruleUIDs=native_id, newOwner="nobody.here") == "ValueError: Invalid owner value."
    assert simulator.reviews == []


def test_an_unknown_id_is_updated_successfully(simulator: Simulator) -> None:
    answer = update(simulator, ruleUIDs="GUID@@notable@@00", status="5")
    assert (answer["success"], answer["success_count"]) == (True, 1)
    assert search(simulator, "search `notable`") == []


def test_some_of_many_can_fail_in_one_successful_update(simulator: Simulator) -> None:
    ids = [add(simulator, f"s-{number}") for number in range(2)]
    simulator.frozen.add(ids[0])
    answer = update(simulator, ruleUIDs=ids, status="5")
    assert (answer["success"], answer["success_count"], answer["failure_count"]) == (True, 1, 1)
    assert [simulator.alert_state(one)["status"] for one in ids] == ["open", "closed"]


def test_review_words_mix_kinds_and_disabled_entries(simulator: Simulator) -> None:
    answer = call(simulator, "GET", "/services/alerts/reviewstatuses", output_mode="json", count=-1).json()
    kinds = {(entry["content"]["status_type"], entry["content"]["disabled"]) for entry in answer["entry"]}
    assert kinds == {("notable", "0"), ("disposition", "0"), ("investigation", "0"), ("notable", "1")}
    assert [entry["name"] for entry in answer["entry"] if entry["content"]["end"] == "1"] == ["5"]


def test_a_drifted_field_is_renamed_in_the_rows(simulator: Simulator) -> None:
    add(simulator)
    simulator.faults.add("drifted_field", options={"field": "urgency", "to": "priority_level"})
    (row,) = search(simulator, "search `notable`")
    assert "urgency" not in row
    assert row["priority_level"] == "high"
