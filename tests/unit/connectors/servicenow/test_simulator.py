import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nightdesk.connectors.servicenow.simulator import Simulator
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TABLE = "/api/now/table/incident"


class Client:
    """A user of the Table API with HTTP Basic."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.auth = ("nightdesk", simulator.secret)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://acme.example.com") as client:
                return await client.request(method, path, auth=self.auth, **options)

        return asyncio.run(once())

    def result(self, method: str, path: str, **options: Any) -> Any:
        response = self.call(method, path, **options)
        assert response.status_code < 300, response.text
        return response.json()["result"]

    def numbers(self, query: str, **params: str) -> list[str]:
        rows = self.result("GET", TABLE, params={"sysparm_query": query, "sysparm_fields": "number", **params})
        return [row["number"].removeprefix("INC000000") for row in rows]

    def refused(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        response = self.call(method, path, **options)
        assert response.json()["status"] == "failure"
        return response.status_code, response.json()["error"]["message"]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def client(time: FakeTime) -> Client:
    return Client(Simulator(clock=time.clock, secret="s3cret"))


def make(client: Client, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = client.result("POST", TABLE, json={"short_description": "Odd", **fields})
    return made


# Queries


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=2", "2"),
        ("state!=1", "23"),
        ("state=2^ORstate=6", "23"),
        ("impact=1^state=1^ORstate=6", "3"),
        ("state=1^NQimpact=1", "13"),
        ("short_descriptionLIKEpRIN", "2"),
        ("numberIN INC0000001,INC0000003", "3"),
        ("correlation_idISEMPTY", "123"),
        ("ORDERBYDESCnumber", "321"),
        ("sys_updated_on>=2026-11-01 12:00:10^ORDERBYsys_updated_on", "23"),
        ("sys_updated_on>javascript:gs.minutesAgo(1)", "123"),
        ("no_such_field=x", "123"),
        ("state=2^no_such_field=x", "2"),
    ],
)
def test_an_encoded_query_selects_and_ignores_what_it_does_not_understand(
    client: Client, time: FakeTime, query: str, found: str
) -> None:
    make(client)
    time.advance(10)
    make(client, short_description="Printer", state=2)
    make(client, impact="1", state="6", close_code="Duplicate", close_notes="x")
    assert "".join(client.numbers(query)) == found


def test_the_property_turns_an_invalid_query_into_no_rows(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, strict_queries=True))
    make(client)
    assert client.numbers("no_such_field=x") == []
    assert client.numbers("state=1") == ["1"]


def test_times_in_queries_are_read_in_the_users_zone(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, offset=timedelta(hours=2)))
    make(client)
    assert client.numbers("sys_updated_on>=2026-11-01 12:00:00") == ["1"]
    assert client.numbers("sys_updated_on>=2026-11-01 14:00:01") == []
    row = client.result("GET", TABLE, params={"sysparm_display_value": "all"})[0]["sys_updated_on"]
    assert row == {"display_value": "2026-11-01 14:00:00", "value": "2026-11-01 12:00:00"}


def test_pages_have_a_count_and_a_link_unless_they_are_not_wanted(client: Client) -> None:
    for _ in range(3):
        make(client)
    page = client.call("GET", TABLE, params={"sysparm_limit": "2"})
    assert (page.headers["x-total-count"], len(page.json()["result"])) == ("3", 2)
    assert "sysparm_offset=2" in page.headers["link"]
    bare = {"sysparm_limit": "2", "sysparm_no_count": "true", "sysparm_suppress_pagination_header": "true"}
    assert not {"x-total-count", "link"} & set(client.call("GET", TABLE, params=bare).headers)


# Records


def test_values_are_texts_and_references_are_links_unless_excluded(client: Client) -> None:
    made = make(client, active=True, impact=1)
    assert (made["impact"], made["active"], made["sys_mod_count"]) == ("1", "true", "0")
    assert set(made["opened_by"]) == {"link", "value"}
    path = f"{TABLE}/{made['sys_id']}"
    plain = client.result("GET", path, params={"sysparm_exclude_reference_link": "true"})
    assert plain["opened_by"] == made["opened_by"]["value"]
    shown = client.result("GET", path, params={"sysparm_display_value": "true"})
    assert (shown["state"], shown["opened_by"]["display_value"]) == ("New", "Nightdesk Integration")


def test_protected_hidden_unknown_and_computed_fields_are_dropped_without_a_word(client: Client) -> None:
    client.simulator.protect("urgency")
    client.simulator.hide("category")
    made = make(client, urgency="1", category="x", no_such="x", priority="1", sys_mod_count="9")
    assert (made["urgency"], made["priority"], made["sys_mod_count"]) == ("3", "5", "0")
    assert not {"category", "no_such"} & set(made)


def test_journals_are_appended_and_bump_the_version(client: Client, time: FakeTime) -> None:
    path = f"{TABLE}/{make(client)['sys_id']}"
    time.advance(5)
    changed = client.result("PATCH", path, json={"work_notes": "first"})
    assert (changed["work_notes"], changed["sys_mod_count"], changed["sys_updated_on"][-2:]) == ("", "1", "05")
    client.result("PUT", path, json={"work_notes": "second"})
    shown = client.result("GET", path, params={"sysparm_display_value": "true"})["work_notes"]
    assert shown.startswith("2026-11-01 12:00:05 - Nightdesk Integration (Work notes)\nsecond\n\n")
    rows = client.result("GET", "/api/now/v2/table/sys_journal_field")
    assert [row["value"] for row in rows] == ["first", "second"]
    client.result("PATCH", path, json={"short_description": "Odd"})
    assert client.result("GET", path)["sys_mod_count"] == "2"


def test_an_acl_hides_the_journal_rows_and_says_nothing(client: Client) -> None:
    client.result("PATCH", f"{TABLE}/{make(client)['sys_id']}", json={"comments": "hello"})
    client.simulator.hide_journal()
    assert client.result("GET", "/api/now/table/sys_journal_field") == []


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ({"state": "6"}, "close_code, close_notes"),
        ({"state": 6, "close_code": "Duplicate"}, "close_notes"),
        ({"state": "3"}, "hold_reason"),
        ({"short_description": ""}, "short_description"),
    ],
)
def test_a_data_policy_refuses_a_state_without_its_fields(client: Client, body: dict[str, Any], missing: str) -> None:
    path = f"{TABLE}/{make(client)['sys_id']}"
    status, message = client.refused("PATCH", path, json=body)
    assert (status, message) == (403, f"Data Policy Exception: The following fields are mandatory: {missing}")


def test_a_closed_incident_is_locked(client: Client) -> None:
    native_id = make(client)["sys_id"]
    client.simulator.edit(native_id, state="7")
    status, message = client.refused("PATCH", f"{TABLE}/{native_id}", json={"work_notes": "late"})
    assert (status, "aborted by Business Rule" in message) == (403, True)


def test_close_codes_are_choices_of_the_instance_and_read_only(client: Client) -> None:
    path, query = "/api/now/table/sys_choice", "name=incident^element=close_code^inactive=false"
    rows = client.result("GET", path, params={"sysparm_query": query, "sysparm_fields": "value,language"})
    assert {"value": "Solution provided", "language": "en"} in rows
    assert {row["language"] for row in rows} == {"en", "de"}
    assert client.refused("POST", path, json={"value": "x"})[0] == 403


# The wire


def test_who_may_do_nothing_is_told_so(client: Client) -> None:
    client.simulator.roles = {"snc_read_only"}
    assert client.numbers("") == []
    assert client.refused("POST", TABLE, json={"short_description": "x"}) == (403, "User Not Authorized")
    client.simulator.roles = set()
    assert client.refused("GET", TABLE)[0] == 403
    client.auth = ("nightdesk", "wrong")
    assert client.refused("GET", TABLE) == (401, "User Not Authenticated")


def test_what_is_not_there_or_not_json_has_the_vendors_envelope(client: Client) -> None:
    assert client.refused("GET", f"{TABLE}/{'0' * 32}") == (404, "No Record found")
    assert client.refused("GET", "/api/now/table/no_such") == (400, "Invalid table no_such")
    assert client.refused("POST", TABLE, content=b"[1]")[0] == 400


def test_a_token_lives_half_an_hour_and_only_for_the_right_client(client: Client, time: FakeTime) -> None:
    form = {"grant_type": "client_credentials", "client_id": client.simulator.client_id, "client_secret": "s3cret"}
    assert client.call("POST", "/oauth_token.do", data={**form, "client_secret": "no"}).status_code == 401
    assert client.call("POST", "/oauth_token.do", data={**form, "grant_type": "password"}).status_code == 400
    token = client.call("POST", "/oauth_token.do", data=form).json()["access_token"]
    client.auth = ("nobody", "")

    def status() -> int:
        async def once() -> int:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(client.simulator)) as http:
                headers = {"Authorization": f"Bearer {token}"}
                return (await http.get(f"https://acme.example.com{TABLE}", headers=headers)).status_code

        return asyncio.run(once())

    assert status() == 200
    time.advance(1800)
    assert status() == 401


def test_a_rate_limit_rule_counts_the_hour_and_says_when_it_ends(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, requests_per_hour=1))
    assert client.call("GET", TABLE).headers["x-ratelimit-remaining"] == "0"
    time.advance(600)
    refused = client.call("GET", TABLE)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3000")
    time.advance(3000)
    assert client.call("GET", TABLE).status_code == 200


def test_a_hibernating_instance_answers_200_with_a_page(client: Client) -> None:
    client.simulator.hibernating = True
    response = client.call("GET", TABLE)
    assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (200, "text/html")
