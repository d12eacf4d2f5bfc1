from typing import Any

import pytest
from sqlalchemy.exc import OperationalError


@pytest.fixture
def site(stage: Any, hub: Any) -> Any:
    hub.feeds = [
        {
            "tenant": "north",
            "instance": "edr-main",
            "stream": "detections",
            "ok": True,
            "problem": "",
            "last_page_at": stage.NOW,
        },
        {"tenant": "south", "instance": "edr-south", "stream": "detections", "ok": False, "problem": "401"},
    ]
    return stage.site(hub)


def test_anybody_learns_only_whether_it_works(site: Any) -> None:
    answer = site.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "degraded", "store": "reachable", "feeds": {"ok": 1, "failing": 1}}


def test_a_tenants_token_sees_its_own_feeds_and_no_other(site: Any) -> None:
    feeds = site.get("/healthz", "north-feed").json()["feeds"]
    assert [(feed["instance"], feed["last_page_at"]) for feed in feeds] == [("edr-main", "2026-11-22T20:00:00+00:00")]


def test_a_wrong_token_is_refused_instead_of_ignored(site: Any) -> None:
    assert site.get("/healthz", "wrong").status_code == 401


def test_an_unreachable_store_is_unavailable(site: Any, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Any:
        raise OperationalError("SELECT 1", {}, Exception("no route"))

    monkeypatch.setattr(hub.store, "read", gone)
    answer = site.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
