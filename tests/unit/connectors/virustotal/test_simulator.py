import asyncio
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx
import pytest

from nightdesk.connectors.virustotal.simulator import Simulator
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
URL = "https://bad.example.com/payload"


class Desk:
    """A simulator and requests with its key."""

    def __init__(self) -> None:
        self.time = FakeTime(NOON)
        self.simulator = Simulator(clock=self.time.clock)
        self.simulator.per_minute = 100

    def ask(self, path: str, method: str = "GET", *, key: str | None = "", **options: Any) -> httpx.Response:
        headers = {} if key is None else {"x-apikey": key or self.simulator.secret}

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://vt.example.com/api/v3") as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(once())

    def code(self, path: str, method: str = "GET", **options: Any) -> tuple[int, str]:
        answer = self.ask(path, method, **options)
        return answer.status_code, answer.json().get("error", {}).get("code", "")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_missing_and_a_wrong_key_are_told_apart(desk: Desk) -> None:
    assert desk.code("/domains/a.example.com", key=None) == (401, "AuthenticationRequiredError")
    assert desk.code("/domains/a.example.com", key="wrong") == (401, "WrongCredentialsError")
    assert desk.simulator.spent == []


def test_what_is_not_known_is_a_404_that_costs(desk: Desk) -> None:
    assert desk.code("/domains/a.example.com") == (404, "NotFoundError")
    assert len(desk.simulator.spent) == 1


@pytest.mark.parametrize("path", ["/files/xyz", "/domains/localhost", "/ip_addresses/203.0.113", "/urls/a=="])
def test_an_id_that_can_be_none_is_a_bad_request(desk: Desk, path: str) -> None:
    assert desk.code(path) == (400, "BadRequestError")


def test_a_url_is_found_by_both_of_its_ids(desk: Desk) -> None:
    desk.simulator.judge(Target.parse(f"url:{URL}"), "malicious")
    encoded = urlsafe_b64encode(URL.encode()).decode()
    for wanted in (encoded.rstrip("="), sha256(URL.encode()).hexdigest()):
        data = desk.ask(f"/urls/{wanted}").json()["data"]
        assert data["type"] == "url"
        assert data["attributes"]["last_analysis_stats"]["malicious"] == 40


def test_a_hash_is_found_in_any_case(desk: Desk) -> None:
    desk.simulator.judge(Target.parse(f"file:{'ab' * 32}"), "benign")
    attributes = desk.ask(f"/files/{'AB' * 32}").json()["data"]["attributes"]
    assert attributes["last_analysis_date"] == int(NOON.timestamp())
    assert len(attributes["last_analysis_results"]) == sum(attributes["last_analysis_stats"].values())


def test_the_fifth_call_of_a_minute_is_too_many_for_a_public_key(desk: Desk) -> None:
    desk.simulator.per_minute = 4
    codes = [desk.code("/ip_addresses/8.8.8.8")[0] for _ in range(5)]
    assert codes == [200, 200, 200, 200, 429]
    assert desk.code("/ip_addresses/8.8.8.8") == (429, "TooManyRequestsError")
    desk.time.advance(60)
    assert desk.code("/ip_addresses/8.8.8.8") == (200, "")


def test_a_day_ends_with_another_refusal_and_at_midnight(desk: Desk) -> None:
    desk.simulator.per_day = 1
    assert desk.code("/ip_addresses/8.8.8.8") == (200, "")
    assert desk.code("/ip_addresses/8.8.8.8") == (429, "QuotaExceededError")
    desk.time.now = datetime(2026, 11, 2, tzinfo=UTC)
    assert desk.code("/ip_addresses/8.8.8.8") == (200, "")


def test_the_quotas_are_told_and_cost_nothing(desk: Desk) -> None:
    desk.ask("/ip_addresses/8.8.8.8")
    data = desk.ask(f"/users/{desk.simulator.user}/overall_quotas").json()["data"]
    assert data["api_requests_daily"]["user"] == {"used": 1, "allowed": 500}
    assert len(desk.simulator.spent) == 1
    assert desk.code("/users/somebody/overall_quotas") == (404, "NotFoundError")


def test_a_submission_is_queued_then_completed_and_known(desk: Desk) -> None:
    analysis = desk.ask("/urls", "POST", data={"url": URL}).json()["data"]["id"]
    assert desk.ask(f"/analyses/{analysis}").json()["data"]["attributes"]["status"] == "queued"
    assert desk.code(f"/urls/{sha256(URL.encode()).hexdigest()}") == (404, "NotFoundError")
    desk.time.advance(45)
    assert desk.ask(f"/analyses/{analysis}").json()["data"]["attributes"]["status"] == "completed"
    assert desk.code(f"/urls/{sha256(URL.encode()).hexdigest()}") == (200, "")


def test_a_submission_is_a_form_with_a_url(desk: Desk) -> None:
    assert desk.code("/urls", "POST", json={"url": URL}) == (400, "BadRequestError")
    assert desk.code("/urls", "POST", data={"url": "nonsense"}) == (400, "BadRequestError")


def test_an_unknown_file_cannot_be_analysed_anew(desk: Desk) -> None:
    assert desk.code(f"/files/{'ab' * 32}/analyse", "POST") == (404, "NotFoundError")
    desk.simulator.judge(Target.parse(f"file:{'ab' * 32}"), "benign")
    assert desk.code(f"/files/{'ab' * 32}/analyse", "POST") == (200, "")
