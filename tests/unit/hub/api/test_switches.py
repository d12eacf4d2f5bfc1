"""Stopping and starting over HTTP: by role, for the own tenant alone, two persons to start."""

from typing import Any

import pytest

from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.store import switches

STOP, START, LIST = "/v1/switches/stop", "/v1/switches/start", "/v1/switches"
TENANT = {"scope": "tenant", "reason": "drill"}


@pytest.fixture
def hub(hub: Any) -> Any:
    hub.principals.update(
        {
            "north-analyst": Principal("north", "ann", Role.ANALYST),
            "north-approver": Principal("north", "abe", Role.APPROVER),
            "south-admin": Principal("south", "sam", Role.ADMIN),
        }
    )
    return hub


@pytest.fixture
def site(stage: Any, hub: Any) -> Any:
    return stage.site(hub)


def stopped(hub: Any, tenant: str = "north") -> list[Switch]:
    with hub.store.read() as conn:
        return [one.switch for one in switches.positions(conn, tenant)]


@pytest.mark.parametrize("token", ["north-analyst", "north-approver", "north-admin"])
def test_one_person_stops(site: Any, hub: Any, token: str) -> None:
    answer = site.post(STOP, token, json=TENANT)
    assert answer.status_code == 200
    assert answer.json()["stopped"] is True
    assert answer.json()["changed_by"] == hub.principals[token].name
    assert stopped(hub) == [Switch("north", Scope.TENANT)]


@pytest.mark.parametrize("token", ["north-viewer", "north-feed", ""])
def test_a_viewer_a_program_and_a_stranger_do_not(site: Any, hub: Any, token: str) -> None:
    answer = site.post(STOP, token, json=TENANT)
    assert answer.status_code == (403 if token else 401)
    assert answer.headers["content-type"] == "application/problem+json"
    assert stopped(hub) == []


def test_starting_takes_two_and_the_first_hears_that_it_waits(site: Any, hub: Any) -> None:
    site.post(STOP, "north-analyst", json=TENANT)
    assert site.post(START, "north-analyst", json=TENANT).status_code == 403
    first = site.post(START, "north-approver", json=TENANT)
    assert (first.status_code, first.json()["asked_by"], first.json()["stopped"]) == (202, "abe", True)
    again = site.post(START, "north-approver", json=TENANT)
    assert again.status_code == 409
    assert "another person" in again.json()["detail"]
    second = site.post(START, "north-admin", json=TENANT)
    assert (second.status_code, second.json()["stopped"]) == (200, False)
    assert stopped(hub) == []


def test_a_tenants_credential_stops_no_other_tenant_and_not_the_installation(site: Any, hub: Any) -> None:
    answer = site.post(STOP, "south-admin", json={"scope": "all", "reason": "drill"})
    assert answer.status_code == 403
    assert "nightdesk stop --all" in answer.json()["what_to_do"]
    assert site.post(STOP, "south-admin", json={**TENANT, "tenant": "north"}).status_code == 422
    assert site.post(STOP, "south-admin", json=TENANT).status_code == 200
    assert stopped(hub) == []
    assert stopped(hub, "south") == [Switch("south", Scope.TENANT)]


@pytest.mark.parametrize(
    ("order", "status", "where"),
    [
        ({"scope": "tenant"}, 422, "reason"),
        ({"scope": "tenant", "reason": ""}, 422, "reason"),
        ({"scope": "world", "reason": "x"}, 422, "scope"),
        ({"scope": "rule", "reason": "x"}, 409, STOP),
        ({"scope": "vendor-action", "subject": "edr", "reason": "x"}, 409, STOP),
        ({"scope": "tenant", "subject": "r1", "reason": "x"}, 409, STOP),
        ([], 422, "body"),
    ],
)
def test_a_wrong_order_is_told_what_is_wrong_and_stops_nothing(
    site: Any, hub: Any, order: Any, status: int, where: str
) -> None:
    answer = site.post(STOP, "north-admin", json=order)
    assert answer.status_code == status
    assert where in answer.json()["where"]
    assert answer.json()["what_to_do"]
    assert stopped(hub) == []


def test_a_body_that_is_no_json_or_too_long_is_refused(site: Any) -> None:
    assert site.post(STOP, "north-admin", content=b"stop!").status_code == 422
    assert site.post(STOP, "north-admin", content=b"{" + b" " * 20_000).status_code == 413


def test_everybody_of_the_tenant_reads_what_is_stopped_and_nobody_another_ones(site: Any, hub: Any) -> None:
    site.post(STOP, "north-analyst", json={"scope": "rule", "subject": "r1/host.isolate", "reason": "too eager"})
    with hub.store.begin() as conn:
        switches.stop(conn, Switch(ANYWHERE, Scope.ALL), by="south/sam", reason="drill", at=hub.clock())
    told = site.get(LIST, "north-viewer").json()
    assert told["tenant"] == "north"
    assert [(one["tenant"], one["scope"], one["subject"], one["changed_by"]) for one in told["switches"]] == [
        (ANYWHERE, "all", "", "the operator"),
        ("north", "rule", "r1/host.isolate", "ann"),
    ]
    theirs = site.get(LIST, "south-viewer").text
    assert "too eager" not in theirs
    assert site.get(LIST).status_code == 401


def test_what_is_not_stopped_cannot_be_started(site: Any) -> None:
    answer = site.post(START, "north-admin", json=TENANT)
    assert answer.status_code == 409
    assert "not stopped" in answer.json()["detail"]


def test_the_api_describes_the_order(site: Any) -> None:
    paths = site.get("/v1/openapi.json").json()["paths"]
    body = paths[STOP]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"scope", "subject", "reason"}


def test_a_slip_of_the_pen_is_told_instead_of_stopping_nothing(site: Any, hub: Any) -> None:
    hub.absent = frozenset({"r7"})
    answer = site.post(STOP, "north-admin", json={"scope": "rule", "subject": "r7", "reason": "x"})
    assert answer.status_code == 409
    assert "there is no 'r7'" in answer.json()["detail"]
    assert stopped(hub) == []
