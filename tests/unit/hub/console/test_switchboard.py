"""The console's switches: a banner on every page, forms for who may, and no form of another site."""

import re
from typing import Any

import pytest

from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.store import switches

PAGE, STOP, START = "/console/switches", "/console/switches/stop", "/console/switches/start"
CASE = "/console/cases/ND-2026-000001"
ACME = Switch("north", Scope.TENANT)


@pytest.fixture
def hub(stage: Any, hub: Any) -> Any:
    stage.furnish(hub)
    hub.principals.update(
        {
            "north-analyst": Principal("north", "ann", Role.ANALYST),
            "north-approver": Principal("north", "abe", Role.APPROVER),
        }
    )
    return hub


def form(site: Any, **fields: str) -> dict[str, str]:
    token = re.search(r'name="form" value="([^"]+)"', site.get(PAGE).text)
    assert token is not None
    return {"form": token[1], "scope": "tenant", "subject": "", "reason": "drill", "sure": "yes", **fields}


def words(html: str) -> str:
    """What a person reads."""
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


def stopped(hub: Any, tenant: str = "north") -> list[Switch]:
    with hub.store.read() as conn:
        return [one.switch for one in switches.positions(conn, tenant)]


def stop(hub: Any, switch: Switch = ACME, by: str = "ann", reason: str = "drill") -> None:
    with hub.store.begin() as conn:
        switches.stop(conn, switch, by=by, reason=reason, at=hub.clock())


def test_a_person_stops_by_the_form_and_every_page_says_so(stage: Any, hub: Any) -> None:
    site = stage.site(hub).sign_in("north-analyst")
    for path in ("/console/", CASE):
        assert 'class="stopped"' not in site.get(path).text
    answer = site.post(STOP, data=form(site, reason="it isolates <b>everybody</b>"))
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert stopped(hub) == [ACME]
    for path in ("/console/", CASE, PAGE, "/console/cases/none"):
        text = site.get(path).text
        assert 'class="stopped"' in text
        assert "autonomy of north by ann" in words(text)
        assert "&lt;b&gt;everybody&lt;/b&gt;" in text
        assert "<b>everybody" not in text


def test_nobody_else_sees_a_tenants_banner_and_nobody_before_signing_in(stage: Any, hub: Any) -> None:
    stop(hub)
    assert "stopped" not in stage.site(hub).get("/console/login").text
    south = stage.site(hub).sign_in("south-viewer")
    assert 'class="stopped"' not in south.get("/console/").text
    assert "drill" not in south.get(PAGE).text
    stop(hub, Switch(ANYWHERE, Scope.ALL), by="north/ada", reason="everywhere")
    text = south.get("/console/").text
    assert "autonomy of all tenants by the operator (everywhere)" in words(text)
    assert "ada" not in text


@pytest.mark.parametrize(
    ("changes", "headers", "status"),
    [
        ({"form": ""}, {}, 403),
        ({"form": "x" * 43}, {}, 403),
        ({}, {"sec-fetch-site": "cross-site"}, 403),
        ({}, {"sec-fetch-site": "same-site"}, 403),
        ({"sure": ""}, {}, 422),
        ({"reason": " "}, {}, 409),
        ({"scope": "all"}, {}, 409),
        ({"scope": "nonsense"}, {}, 409),
        ({"scope": "vendor-action", "subject": "edr"}, {}, 409),
    ],
)
def test_a_form_from_elsewhere_or_without_a_meaning_stops_nothing(
    stage: Any, hub: Any, changes: dict[str, str], headers: dict[str, str], status: int
) -> None:
    site = stage.site(hub).sign_in("north-analyst")
    answer = site.post(STOP, data=form(site, **changes), headers=headers)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert stopped(hub) == []


def test_a_form_of_another_session_does_not_count(stage: Any, hub: Any) -> None:
    app = stage.site(hub).app
    first, second = stage.Site(app).sign_in("north-analyst"), stage.Site(app).sign_in("north-admin")
    assert second.post(STOP, data=form(first)).status_code == 403
    assert stopped(hub) == []
    assert second.post(STOP, data=form(second)).status_code == 303


def test_a_viewer_reads_and_does_not_stop(stage: Any, hub: Any) -> None:
    site = stage.site(hub).sign_in("north-viewer")
    text = site.get(PAGE).text
    assert "Stopping takes an analyst" in text
    assert '<form method="post" action="/console/switches/stop"' not in text
    app_form = {"scope": "tenant", "subject": "", "reason": "x", "sure": "yes", "form": ""}
    analyst = stage.Site(site.app).sign_in("north-analyst")
    assert site.post(STOP, data={**app_form, "form": form(analyst)["form"]}).status_code == 403
    assert stopped(hub) == []


def test_two_people_start_it_by_the_page_and_the_second_is_asked_to_confirm(stage: Any, hub: Any) -> None:
    stop(hub)
    app = stage.site(hub).app
    first, second = stage.Site(app).sign_in("north-approver"), stage.Site(app).sign_in("north-admin")
    assert "Ask to start" in first.get(PAGE).text
    assert first.post(START, data=form(first)).status_code == 303
    assert stopped(hub) == [ACME]
    text = second.get(PAGE).text
    assert "abe asked to start it" in words(text)
    assert "Confirm the start" in text
    again = first.post(START, data=form(first))
    assert again.status_code == 409
    assert "another person" in again.text
    assert second.post(START, data=form(second)).status_code == 303
    assert stopped(hub) == []
    assert "switch.started" in second.get(PAGE).text


def test_an_analyst_does_not_start(stage: Any, hub: Any) -> None:
    stop(hub)
    site = stage.site(hub).sign_in("north-analyst")
    assert "Ask to start" not in site.get(PAGE).text
    assert site.post(START, data=form(site)).status_code == 403
    assert stopped(hub) == [ACME]


def test_what_the_operator_stopped_has_no_form_of_a_tenant(stage: Any, hub: Any) -> None:
    stop(hub, Switch(ANYWHERE, Scope.RULE, "r1"))
    site = stage.site(hub).sign_in("north-admin")
    text = site.get(PAGE).text
    assert "the operator starts it again" in text
    assert START not in text
    assert site.post(START, data=form(site, scope="rule", subject="r1")).status_code == 409
    assert len(stopped(hub)) == 1


def test_without_a_session_there_is_no_page_and_no_form(stage: Any, hub: Any) -> None:
    outside = stage.site(hub)
    assert outside.get(PAGE).status_code == 303
    assert outside.post(STOP, data={"scope": "tenant", "reason": "x", "sure": "yes"}).status_code == 303
    assert stopped(hub) == []
