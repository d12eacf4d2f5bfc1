"""Levels over HTTP: each for the token's own tenant, refused in the form of every other error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.oversight import PEOPLE, RULE, Site, earned_site

from nightdesk.autonomy.levels.standing import Level
from nightdesk.hub.oversight.raising import withdraw
from nightdesk.sdk.case import CaseStatus


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    made = earned_site(tmp_path, tenants=("acme", "umbrella"))
    yield made
    made.close()


@pytest.fixture
def client(place: Site, stage: Any) -> Any:
    people = {f"{slug}-{name}": place.person(name, slug) for slug in place.tenants for name in PEOPLE}
    hub = stage.StageHub(place.store, now=place.time.clock(), principals=people, oversight=place.office)
    return stage.site(hub)


def test_the_picture_is_that_of_the_tokens_tenant(client: Any) -> None:
    ours = client.get("/v1/autonomy", "acme-vic").json()
    assert [(one["rule"], one["level_name"]) for one in ours["units"]] == [(RULE, "auto-close")]
    assert ours["canaries"]["caught"] == 59
    theirs = client.get("/v1/autonomy", "umbrella-vic").json()
    assert theirs["units"] == []
    assert theirs["canaries"]["caught"] == 0
    assert "acme" not in str(theirs)


def test_what_a_unit_lacks_is_told_in_numbers(client: Any, place: Site) -> None:
    place.arrives(key="fresh")
    place.works()
    found = client.get("/v1/autonomy", "acme-vic").json()["units"]
    (fresh,) = [one for one in found if one["rule"] == "acme_edr/fresh@-"]
    assert fresh["missing"] == [
        {"name": "connector healthy", "met": False, "have": "0 h", "need": "24 h", "share": 0.0}
    ]


@pytest.mark.parametrize("name", ["bot", "vic"])
def test_programs_and_viewers_judge_and_raise_nothing(client: Any, place: Site, name: str) -> None:
    before = place.events()
    order = {"rule": RULE, "reason": "r"}
    for path, body in (
        ("judge", {"about": "item-000001", "verdict": "test"}), ("promote", order), ("agree", order),
        ("withdraw", order),
    ):  # fmt: skip
        answer = client.post(f"/v1/autonomy/{path}", f"acme-{name}", json=body)
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/autonomy/queue", f"acme-{name}").status_code == 403
    assert place.events() == before


def test_two_raise_and_one_withdraws(client: Any, place: Site) -> None:
    withdraw(place.office, place.unit(), Level.RECOMMEND, by=place.person("ann"), reason="drill")
    order = {"rule": RULE, "reason": "noise"}
    assert client.post("/v1/autonomy/agree", "acme-ada", json=order).status_code == 409
    assert client.post("/v1/autonomy/promote", "acme-abe", json=order).status_code == 202
    assert client.post("/v1/autonomy/agree", "acme-abe", json=order).status_code == 409
    assert client.post("/v1/autonomy/agree", "umbrella-ada", json=order).status_code == 409
    assert client.post("/v1/autonomy/agree", "acme-ada", json=order).json()["level"] == 3
    closed = place.arrives()
    gone = client.post("/v1/autonomy/withdraw", "acme-ann", json=order).json()
    assert gone["reopened"] == [closed]
    assert place.case(closed).status is CaseStatus.ESCALATED


def test_judging_an_item_of_the_queue(client: Any, place: Site) -> None:
    closed = place.arrives()
    place.works()
    items = client.get("/v1/autonomy/queue", "acme-ann").json()["items"]
    assert items
    assert not {"kind", "chance", "stratum", "known", "case_id", "decision_id", "status"} & set(items[0])
    body = {"about": closed, "verdict": "true-positive"}
    done = client.post("/v1/autonomy/judge", "acme-ann", json=body).json()
    assert done["reopened"] == [closed]
    assert [one["state"] for one in done["labels"]] == ["provisional"]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("judge", {"about": "item-000001", "verdict": "evil"}, 422, "verdict"),
        ("judge", {"about": "item-999999", "verdict": "test"}, 409, "there is no item item-999999"),
        ("judge", {"about": "ND-1", "verdict": "test"}, 409, "there is no case or item ND-1"),
        ("promote", {"rule": RULE}, 422, "reason"),
        ("promote", {"rule": "nonsense", "reason": "r"}, 409, "is no rule"),
        ("promote", {"rule": RULE, "reason": "r", "to": "auto-contain"}, 409, "there is no level auto-contain"),
        ("promote", {"rule": "acme_edr/other@-", "reason": "r"}, 409, "was never seen"),
        ("withdraw", {"rule": RULE, "reason": "r", "to": "auto-close"}, 409, "no more than auto-close"),
    ],
)
def test_what_is_wrong_is_named(client: Any, path: str, body: dict[str, str], status: int, said: str) -> None:
    answer = client.post(f"/v1/autonomy/{path}", "acme-ada", json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert answer.headers["content-type"] == "application/problem+json"
