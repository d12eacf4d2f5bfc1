import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from nightdesk.connectors.taxii.payloads import indicator_of
from nightdesk.connectors.taxii.simulator import Simulator
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import an_alert

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MEDIA = "application/taxii+json;version=2.1"


class Desk:
    """A simulator and requests with the account's password."""

    def __init__(self) -> None:
        self.time = FakeTime(NOON)
        self.simulator = Simulator(clock=self.time.clock)
        self.shared = f"/acme/collections/{self.simulator.shared.collection_id}"
        self.ours = f"/acme/collections/{self.simulator.published.collection_id}"

    def ask(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        headers = {"Accept": MEDIA, "Content-Type": MEDIA, **options.pop("headers", {})}
        options.setdefault("auth", (self.simulator.username, self.simulator.secret))

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="http://taxii.example.com") as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(once())

    def share(self, count: int) -> list[str]:
        return [self.simulator.add(an_alert(self.time, f"{number}")) for number in range(count)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_nobody_gets_in_without_the_password(desk: Desk) -> None:
    for auth in (None, ("nightdesk", "wrong"), ("somebody", desk.simulator.secret)):
        assert desk.ask("/acme/", auth=auth).status_code == 401


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/taxii+json;version=2.0"])
def test_another_media_type_is_not_acceptable(desk: Desk, accept: str) -> None:
    assert desk.ask("/acme/", headers={"Accept": accept}).status_code == 406


def test_a_missing_slash_is_a_redirect(desk: Desk) -> None:
    assert (desk.ask("/acme").status_code, desk.ask("/acme").headers["location"]) == (308, "/acme/")


def test_a_token_goes_one_way_and_ends(desk: Desk) -> None:
    desk.share(5)
    first = desk.ask(f"{desk.shared}/objects/", params={"limit": 2})
    token = first.json()["next"]
    pages = [desk.ask(f"{desk.shared}/objects/", params={"limit": 2, "next": token}) for _ in range(3)]
    assert pages[0].json()["next"] == token
    assert [len(page.json().get("objects", ())) for page in pages] == [2, 1, 0]
    assert pages[1].json()["more"] is False
    assert pages[2].status_code == 400


def test_filters_may_not_change_under_a_token(desk: Desk) -> None:
    desk.share(3)
    token = desk.ask(f"{desk.shared}/objects/", params={"limit": 1}).json()["next"]
    asked = {"limit": 1, "next": token, "match[type]": "malware"}
    assert desk.ask(f"{desk.shared}/objects/", params=asked).status_code == 400


def test_added_after_is_exclusive_and_the_page_says_where_it_ends(desk: Desk) -> None:
    desk.share(2)
    answer = desk.ask(f"{desk.shared}/objects/")
    last = answer.headers["x-taxii-date-added-last"]
    assert last == "2026-11-01T12:00:00.000000Z"
    assert desk.ask(f"{desk.shared}/objects/", params={"added_after": last}).json() == {}
    before = "2026-11-01T11:59:59.999999Z"
    assert len(desk.ask(f"{desk.shared}/objects/", params={"added_after": before}).json()["objects"]) == 2


@pytest.mark.parametrize(
    ("query", "status"), [({"limit": "0"}, 400), ({"limit": "x"}, 400), ({"added_after": "x"}, 500)]
)
def test_a_filter_that_cannot_be_read_is_refused(desk: Desk, query: dict[str, str], status: int) -> None:
    assert desk.ask(f"{desk.shared}/objects/", params=query).status_code == status


def test_the_newest_version_alone_is_given_unless_all_are_asked_for(desk: Desk) -> None:
    (native_id,) = desk.share(1)
    desk.time.advance(1)
    desk.simulator.revise(native_id, name="newer")
    path = f"{desk.shared}/objects/{native_id}/"
    assert [one["name"] for one in desk.ask(path).json()["objects"]] == ["newer"]
    assert len(desk.ask(path, params={"match[version]": "all"}).json()["objects"]) == 2
    assert len(desk.ask(f"{path}versions/").json()["versions"]) == 2


def test_a_version_that_is_there_is_a_failure_of_the_status(desk: Desk) -> None:
    body = {"objects": [indicator_of(an_alert(desk.time, "one"))]}
    first, again = (desk.ask(f"{desk.ours}/objects/", "POST", json=body) for _ in range(2))
    assert (first.status_code, first.json()["success_count"]) == (202, 1)
    assert (again.status_code, again.json()["failure_count"]) == (202, 1)
    assert desk.ask(f"/acme/status/{again.json()['id']}/").json() == again.json()


def test_what_takes_a_while_is_pending_and_not_yet_there(desk: Desk) -> None:
    desk.simulator.faults.add("late_effect", options={"seconds": 30})
    body = {"objects": [indicator_of(an_alert(desk.time, "one"))]}
    status = desk.ask(f"{desk.ours}/objects/", "POST", json=body).json()
    assert (status["status"], status["pending_count"]) == ("pending", 1)
    assert desk.ask(f"{desk.ours}/objects/").json() == {}
    desk.time.advance(30)
    assert desk.ask(f"/acme/status/{status['id']}/").json()["status"] == "complete"
    assert len(desk.ask(f"{desk.ours}/objects/").json()["objects"]) == 1


def test_a_post_needs_the_right_the_media_type_and_objects(desk: Desk) -> None:
    assert desk.ask(f"{desk.shared}/objects/", "POST", json={"objects": []}).status_code == 403
    wrong = desk.ask(f"{desk.ours}/objects/", "POST", json={}, headers={"Content-Type": "application/json"})
    assert wrong.status_code == 415
    assert desk.ask(f"{desk.ours}/objects/", "POST", json={"objects": [{}]}).status_code == 422
    assert desk.ask(f"{desk.ours}/objects/", "POST", content=b"x").status_code == 422
