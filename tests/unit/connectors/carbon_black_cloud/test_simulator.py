import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.goldens import ACME, normalizer

from nightdesk.connectors.carbon_black_cloud.simulator import Simulator
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import DEVICE, an_alert

TIME = FakeTime(datetime(2026, 11, 1, 12, tzinfo=UTC))
ALERTS = "/api/alerts/v7/orgs/7EXAMPL9/alerts"
V6 = "/appservices/v6/orgs/7EXAMPL9"


@pytest.fixture
def simulator() -> Simulator:
    made = Simulator(clock=TIME.clock, secret="s3cret", requests_per_period=20)
    made.add_devices([DEVICE])
    return made


def ask(simulator: Simulator, path: str, body: Any = None, token: str = "s3cret/ABCDE12345") -> httpx.Response:
    async def once() -> httpx.Response:
        headers = {"X-Auth-Token": token}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(simulator), headers=headers) as client:
            return await client.request("GET" if body is None else "POST", f"https://cb.example.com{path}", json=body)

    return asyncio.run(once())


def test_the_key_is_secret_slash_id_and_an_organisation_has_its_own(simulator: Simulator) -> None:
    search = f"{ALERTS}/_search"
    assert ask(simulator, search, {}, "ABCDE12345/s3cret").status_code == 401
    assert ask(simulator, search.replace("7EXAMPL9", "OTHER"), {}).status_code == 403
    assert ask(simulator, f"{ALERTS}/nothing").json()["error_code"] == "NOT_FOUND"
    codes = [ask(simulator, search, {}) for _ in range(18)]
    assert ([each.status_code for each in codes[-2:]], codes[-1].headers["Retry-After"]) == ([200, 429], "300")


@pytest.mark.parametrize(
    "body",
    [
        {"start": 0}, {"rows": 10_001}, {"start": 2, "rows": 10_000}, {"sort": [{"field": "backend_timestamp"}]},
        {"time_range": {"start": "2026-11-01T12:00:00Z", "end": "2026-11-01T12:00:00.000Z"}}, {"filters": []},
        {"criteria": {"workflow": ["OPEN"]}}, {"criteria": {"type": ["MALWARE"]}}, {"criteria": {"id": "x"}},
    ],
)  # fmt: skip
def test_a_search_that_is_wrong_is_a_400(simulator: Simulator, body: dict[str, Any]) -> None:
    assert ask(simulator, f"{ALERTS}/_search", body).status_code == 400


def test_a_selector_without_criteria_changes_every_alert_of_two_weeks_and_no_older_one(simulator: Simulator) -> None:
    new = [simulator.add(an_alert(TIME, uid)) for uid in ("a", "b")]
    old = simulator.add(an_alert(TIME, "old", seconds_ago=15 * 86400))
    job = ask(simulator, f"{ALERTS}/workflow", {"criteria": {"id": []}, "status": "CLOSED"}).json()["request_id"]
    TIME.advance(1)
    assert ask(simulator, f"/jobs/v1/orgs/7EXAMPL9/jobs/{job}/progress").json()["num_total"] == 2
    assert [simulator.alert_state(one)["status"] for one in (*new, old)] == ["closed", "closed", "open"]


def test_a_command_needs_a_session_that_the_sensor_has_opened(simulator: Simulator) -> None:
    (number,) = simulator.fleet.devices
    session = ask(simulator, f"{V6}/liveresponse/sessions", {"device_id": number}).json()
    path, body = f"{V6}/liveresponse/sessions/{session['id']}/commands", {"name": "process list"}
    assert (session["status"], ask(simulator, path, body).status_code) == ("PENDING", 404)
    TIME.advance(1)
    assert ask(simulator, path, body).json()["status"] == "pending"  # in lower case, unlike the session's
    assert ask(simulator, f"{path}/1").json()["status"] == "complete"


def test_an_alert_of_it_is_read_whole_by_the_mapping(simulator: Simulator) -> None:
    native_id = simulator.add(an_alert(TIME, "a"))
    found = ask(simulator, f"{ALERTS}/{native_id}")
    mapped = normalizer().normalize("carbon_black_cloud", found.content, ACME)
    assert (mapped.loss.lost, mapped.loss.wrong) == ((), ())
    assert mapped.alert is not None
    assert {entity.kind.value for entity in mapped.alert.entities} >= {"host", "account", "file", "process", "address"}
