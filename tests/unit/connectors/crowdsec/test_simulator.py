import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.goldens import ACME, normalizer

from nightdesk.connectors.crowdsec.simulator import Simulator
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LAPTOP = StoryDevice("aid-1", "WS-0042", ("192.0.2.42",))
BAD = "203.0.113.7"


class Client:
    """A machine with a token, and a bouncer."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.token = ""

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="http://lapi.example.com/v1") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def sign_in(self, **changes: Any) -> httpx.Response:
        body = {"machine_id": "nightdesk", "password": self.simulator.secret, "scenarios": [], **changes}
        response = self.call("POST", "/watchers/login", json=body)
        self.token = response.json().get("token", "")
        return response

    def machine(self, method: str, path: str, **options: Any) -> httpx.Response:
        if not self.token:
            self.sign_in()
        return self.call(method, path, headers={"Authorization": f"Bearer {self.token}"}, **options)

    def bouncer(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, headers={"X-Api-Key": self.simulator.bouncer_key}, **options).json()

    def post(self, *alerts: dict[str, Any]) -> httpx.Response:
        return self.machine("POST", "/alerts", json=alerts)


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def simulator(time: FakeTime) -> Simulator:
    return Simulator(clock=time.clock)


@pytest.fixture
def client(simulator: Simulator) -> Client:
    return Client(simulator)


def an_alert(value: str = BAD, *durations: str, **changes: Any) -> dict[str, Any]:
    source = {"scope": "Ip", "value": value}
    decision = {"origin": "cscli", "type": "ban", "scenario": "by hand", **source}
    return {
        **dict.fromkeys(("scenario", "scenario_hash", "scenario_version", "message", "leakspeed"), ""),
        **dict.fromkeys(("start_at", "stop_at"), "2026-11-01T12:00:00Z"),
        **dict.fromkeys(("events_count", "capacity"), 0),
        "simulated": False,
        "events": [],
        "source": source,
        "decisions": [{**decision, "duration": duration} for duration in durations],
        **changes,
    }


def message(response: httpx.Response) -> str:
    return str(response.json()["message"])


# The two planes


def test_a_token_lives_an_hour_and_dies_when_the_server_starts_again(client: Client, time: FakeTime) -> None:
    answer = client.sign_in().json()
    assert answer["expire"] == "2026-11-01T13:00:00Z"
    assert client.machine("GET", "/heartbeat").status_code == 200
    time.advance(3600)
    assert message(client.machine("GET", "/heartbeat")) == "Token is expired"
    client.sign_in()
    client.simulator.restart()
    assert client.machine("GET", "/heartbeat").json() == {"code": 401, "message": "signature is invalid"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password": "wrong"}, "incorrect Username or Password"),
        ({"password": None}, "incorrect Username or Password"),
        ({"machine_id": "nobody"}, "ent: machine not found"),
    ],
)
def test_a_wrong_login_is_refused_with_the_reason(client: Client, changes: dict[str, Any], said: str) -> None:
    response = client.sign_in(**changes)
    assert (response.status_code, message(response)) == (401, said)


def test_a_login_with_http_basic_is_none(client: Client) -> None:
    response = client.call("POST", "/watchers/login", auth=("nightdesk", client.simulator.secret))
    assert response.status_code == 401


def test_a_machine_must_be_let_in(time: FakeTime) -> None:
    response = Client(Simulator(clock=time.clock, validated=False)).sign_in()
    assert (response.status_code, message(response)) == (401, "machine nightdesk not validated")


def test_neither_plane_takes_the_credential_of_the_other(client: Client) -> None:
    key = {"X-Api-Key": client.simulator.bouncer_key}
    assert client.call("GET", "/alerts", headers=key).status_code == 401
    assert client.call("DELETE", "/decisions/1", headers=key).status_code == 401
    assert client.machine("GET", "/decisions").status_code == 403
    assert message(client.call("GET", "/decisions", headers={"X-Api-Key": "wrong"})) == "access forbidden"


def test_two_simulators_share_no_credential(client: Client, time: FakeTime) -> None:
    client.sign_in()
    other = Client(Simulator(clock=time.clock))
    other.token = client.token
    assert other.machine("GET", "/alerts").status_code == 401
    assert other.simulator.bouncer_key != client.simulator.bouncer_key


def test_unknown_paths_and_wrong_verbs_have_empty_bodies(client: Client) -> None:
    for method, path, status in (("GET", "/allowlists", 404), ("PUT", "/alerts", 405), ("POST", "/refresh_token", 405)):
        response = client.machine(method, path)
        assert (response.status_code, response.content) == (status, b"")


# Alerts


def test_nothing_is_null_and_ids_are_texts_when_made_and_numbers_when_read(client: Client) -> None:
    assert client.machine("GET", "/alerts").json() is None
    assert client.post(an_alert(), an_alert()).json() == ["1", "2"]
    assert [row["id"] for row in client.machine("GET", "/alerts").json()] == [2, 1]
    assert client.bouncer(f"/decisions?ip={BAD}") is None


def test_creation_order_is_the_order_of_numbers_whatever_the_story_tells(client: Client, simulator: Simulator) -> None:
    for uid, hours in (("b", 1), ("a", 2)):
        simulator.add(StoryAlert(uid, NOON - timedelta(hours=hours), "Odd", "rule", "high", user="root"))
    rows = client.machine("GET", "/alerts?sort=ASC").json()
    assert [(row["id"], row["created_at"]) for row in rows] == [
        (1, "2026-11-01T11:00:00Z"),
        (2, "2026-11-01T11:00:00Z"),
    ]
    assert rows[1]["start_at"] == "2026-11-01 10:00:00 +0000 UTC"


@pytest.mark.parametrize(("query", "count"), [("", 100), ("limit=7", 7), ("limit=0", 310), ("limit=409", 310)])
def test_limits_that_answer(client: Client, query: str, count: int) -> None:
    client.post(*(an_alert() for _ in range(310)))
    assert len(client.machine("GET", f"/alerts?{query}").json()) == count


def test_a_limit_a_hundred_above_what_there_is_never_answers(client: Client) -> None:
    client.post(*(an_alert() for _ in range(310)))

    async def patient() -> None:
        transport = httpx.ASGITransport(client.simulator)
        headers = {"Authorization": f"Bearer {client.token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://lapi.example.com", headers=headers) as http:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await http.get("/v1/alerts?limit=410")

    asyncio.run(patient())


def test_since_asks_when_it_began_and_created_before_when_it_was_stored(client: Client, time: FakeTime) -> None:
    client.post(an_alert(start_at="2026-10-30T00:00:00Z"))
    assert client.machine("GET", "/alerts?since=1d").json() is None
    assert client.machine("GET", "/alerts?created_before=1m").json() is None
    time.advance(60)
    assert len(client.machine("GET", "/alerts?created_before=1m").json()) == 1


def test_filters_that_join_on_decisions_hide_what_has_none(client: Client) -> None:
    client.post(an_alert(scenario="s"), an_alert(BAD, "1h", scenario="s"))
    for query in ("origin=cscli", "decision_type=ban", "scenario=by hand", f"ip={BAD}", "has_active_decision=true"):
        assert [row["id"] for row in client.machine("GET", f"/alerts?{query}").json()] == [2], query
    assert client.machine("GET", "/alerts?scenario=s").json() is None
    assert [row["id"] for row in client.machine("GET", "/alerts?has_active_decision=false").json()] == [1]


def test_a_decision_counts_down_and_below_zero(client: Client, time: FakeTime) -> None:
    client.post(an_alert(BAD, "30m"))

    def left() -> str:
        return str(client.machine("GET", "/alerts/1").json()["decisions"][0]["duration"])

    assert left() == "30m0s"
    time.advance(1799.5)
    assert left() == "500ms"
    time.advance(60)
    assert left() == "-59.5s"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("after=1", "Filter parameter 'after' is unknown (=1): invalid filter"),
        ("limit=abc", "bad limit in parameters: [abc]: unable to query"),
        ("since=2026-11-01T00:00:00Z", "while parsing duration"),
        ("ip=x", "unable to convert 'x' to int"),
    ],
)
def test_what_is_wrong_with_a_query_is_a_500(client: Client, query: str, said: str) -> None:
    client.post(an_alert())
    response = client.machine("GET", f"/alerts?{query}")
    assert response.status_code == 500
    assert said in message(response)


def test_a_body_of_the_wrong_type_is_a_400_and_a_missing_field_a_500(client: Client) -> None:
    for body in ("{", "{}", '["x"]', json.dumps([an_alert(capacity="x")]), json.dumps([an_alert(simulated=1)])):
        assert client.machine("POST", "/alerts", content=body).status_code == 400, body
    lacking = {name: value for name, value in an_alert().items() if name != "events"}
    response = client.post(lacking)
    assert (response.status_code, message(response)) == (500, "validation failure list:\n0.events in body is required")


def test_a_refused_batch_leaves_the_decisions_of_what_came_before(client: Client) -> None:
    response = client.post(an_alert("203.0.113.1", "1h"), an_alert("203.0.113.2", "1h", "2d"))
    assert response.status_code == 500
    assert client.machine("GET", "/alerts").json() is None
    assert client.bouncer("/decisions?ip=203.0.113.1")[0]["value"] == "203.0.113.1"
    assert client.bouncer("/decisions?ip=203.0.113.2") is None
    assert client.post(an_alert()).json() == ["1"]


def test_drift_renames_a_field_of_what_is_read(client: Client, simulator: Simulator) -> None:
    client.post(an_alert())
    simulator.faults.add("drifted_field", options={"field": "created_at", "to": "created"})
    assert client.machine("GET", "/alerts/1").json()["created"] == "2026-11-01T12:00:00Z"


# Decisions


def test_the_profile_bans_an_address_for_four_hours_and_no_user(client: Client) -> None:
    client.post(an_alert(remediation=True), an_alert(remediation=True, source={"scope": "Username", "value": "root"}))
    rows = {row["id"]: row["decisions"] for row in client.machine("GET", "/alerts").json()}
    assert rows[2] is None
    assert (rows[1][0]["origin"], rows[1][0]["duration"]) == ("crowdsec", "4h0m0s")


def test_a_negative_a_simulated_and_an_old_decision_ban_nobody(client: Client) -> None:
    old = an_alert(BAD, "1h", stop_at="2026-10-30T00:00:00Z")
    for alert in (an_alert(BAD, "-5s"), an_alert(BAD, "1h", simulated=True), old):
        assert client.post(alert).status_code == 201
    assert client.bouncer(f"/decisions?ip={BAD}") is None


def test_decisions_do_not_merge_but_the_stream_tells_the_longest(client: Client) -> None:
    client.post(an_alert(BAD, "1h", "3h", "2h"))
    assert [row["id"] for row in client.bouncer(f"/decisions?ip={BAD}")] == [1, 3, 2]
    assert [row["id"] for row in client.bouncer("/decisions/stream?startup=true")["new"]] == [2]


def test_the_stream_tells_each_bouncer_what_changed_since_its_last_pull(client: Client, time: FakeTime) -> None:
    assert client.bouncer("/decisions/stream?startup=true") == {"deleted": None, "new": None}
    time.advance(10)
    client.post(an_alert(BAD, "1h"))
    assert len(client.bouncer("/decisions/stream")["new"]) == 1
    time.advance(10)
    client.machine("DELETE", "/decisions/1")
    told = client.bouncer("/decisions/stream")
    assert told["new"] is None
    assert [row["value"] for row in told["deleted"]] == [BAD]


def test_ranges_are_found_by_what_they_cover(client: Client) -> None:
    wide = {"scope": "Range", "value": "203.0.113.0/24"}
    client.post(an_alert("203.0.113.0/24", "1h", source=wide))
    for query, found in (
        (f"ip={BAD}", True),
        ("range=203.0.113.0/25", True),
        ("range=203.0.0.0/16", False),
        ("range=203.0.0.0/16&contains=false", True),
        ("ip=2001:db8::7", False),
    ):
        assert bool(client.bouncer(f"/decisions?{query}")) is found, query


def test_a_bouncers_unknown_parameter_is_ignored_and_a_deleters_is_an_error(client: Client) -> None:
    client.post(an_alert(BAD, "1h"))
    assert len(client.bouncer("/decisions?bogus=1&limit=0&scope=Country")) == 1
    response = client.machine("DELETE", "/decisions?origins=cscli")
    assert (response.status_code, message(response)) == (500, "'origins' doesn't exist: invalid filter")


def test_a_delete_ends_a_decision_and_its_alert_keeps_it(client: Client) -> None:
    client.post(an_alert(BAD, "1h"))
    for _ in range(2):
        assert client.machine("DELETE", "/decisions/1").json() == {"nbDeleted": "1"}
    assert client.bouncer(f"/decisions?ip={BAD}") is None
    assert client.machine("GET", "/alerts/1").json()["decisions"][0]["duration"] == "0s"
    gone = client.machine("DELETE", "/decisions/9")
    assert (gone.status_code, message(gone)) == (500, "decision with id '9' doesn't exist: unable to delete")
    assert client.machine("DELETE", "/decisions/x").status_code == 400


def test_a_delete_without_a_filter_means_everything(client: Client) -> None:
    client.post(an_alert(BAD, "1h"), an_alert("203.0.113.8", "1h"))
    assert client.machine("DELETE", "/decisions?ip=203.0.113.9").json() == {"nbDeleted": "0"}
    assert client.machine("DELETE", "/decisions").json() == {"nbDeleted": "2"}


def test_deleting_an_alert_takes_its_decisions_and_tells_no_stream(client: Client, time: FakeTime) -> None:
    client.post(an_alert(BAD, "1h"))
    client.bouncer("/decisions/stream?startup=true")
    time.advance(1)
    assert client.machine("DELETE", "/alerts/1").json() == {"nbDeleted": "1"}
    assert client.machine("GET", "/alerts/1").status_code == 404
    assert client.bouncer("/decisions/stream") == {"deleted": None, "new": None}


# Stories


def test_a_story_comes_out_of_the_mapping_with_host_user_source_and_ban(client: Client, simulator: Simulator) -> None:
    story = StoryAlert(
        "u-1", NOON, "SSH brute force", "ssh-bf", "high", device=LAPTOP, user="root", source_address="198.51.100.77"
    )
    native_id = simulator.add(story)
    found = normalizer().normalize("crowdsec", client.machine("GET", f"/alerts/{native_id}").content, ACME)
    assert (found.loss.lost, found.loss.wrong) == ((), ())
    entities = {(entity.kind.value, entity.value) for entity in found.alert.entities}
    assert {("address", "198.51.100.77"), ("account", "root")} <= entities
    assert ("host", "ws-0042") in entities
    assert found.alert.native_id == native_id
    assert found.alert.rule_id == "crowdsecurity/ssh-bf"


def test_a_story_without_an_address_has_its_user_or_its_machine_as_source(client: Client, simulator: Simulator) -> None:
    simulator.add(StoryAlert("a", NOON, "Odd", "acme/odd", "low", device=LAPTOP, user="jdoe"))
    simulator.add(StoryAlert("b", NOON, "Odd", "acme/odd", "low", device=LAPTOP))
    sources = [row["source"] for row in client.machine("GET", "/alerts?sort=ASC").json()]
    assert sources == [{"scope": "Username", "value": "jdoe"}, {"scope": "Machine", "value": "WS-0042"}]


def test_a_login_is_no_mutation(client: Client, simulator: Simulator) -> None:
    client.sign_in()
    assert simulator.mutations() == []
    client.post(an_alert())
    assert [request.method for request in simulator.mutations()] == ["POST"]
