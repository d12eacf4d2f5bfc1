"""Cases that an alert shows to be one become one; people merge and split by command and over HTTP."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.hubs import REGISTRY, a_story_alert, bind, browsing, opened, pullers, run_cli

from nightdesk.hub.hub import Hub
from nightdesk.hub.store import cases, links, queries
from nightdesk.hub.store.decisions import decisions, verify_decisions
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.testing import serve

_VENDOR = pullers()[0]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Two cases of two hosts and two users, then an alert of the first host's with the second's user."""
    simulator = REGISTRY.simulator(_VENDOR)()
    for number in (1, 2):
        simulator.add(a_story_alert(f"alert-{number}", utc_now(), number))
    with serve(simulator) as served, opened(bind(tmp_path, "acme", {"main": (simulator, served.base_url)})) as made:

        async def go() -> None:
            await made.once()
            simulator.add(a_story_alert("bridge", utc_now(), 1, user="user0002"))
            await made.once()
            await made.bindings.aclose()

        asyncio.run(go())
        yield made


def test_an_alert_that_bridges_two_cases_makes_them_one_that_is_decided_whole(hub: Hub) -> None:
    with hub.store.read() as conn:
        rows = queries.case_list(conn, "acme")
        (stays,) = [row for row in rows if row.alert_count]
        (gone,) = [row for row in rows if not row.alert_count]
        assert (stays.alert_count, gone.status) == (3, "closed")
        assert links.standing(conn, "acme", gone.case_id) == stays.case_id
        latest = decisions(conn, "acme", stays.case_id)[-1]
        assert len(latest.inputs["alerts"]) == 3
        assert verify_decisions(conn, "acme") == []
        assert links.links(conn, "acme", gone.case_id)[0].actor == "correlation"


def test_the_old_number_shows_the_case_that_it_became(hub: Hub, tmp_path: Path) -> None:
    with hub.store.read() as conn:
        (gone,) = [row.case_id for row in queries.case_list(conn, "acme") if not row.alert_count]
        (stays,) = [row.case_id for row in queries.case_list(conn, "acme") if row.alert_count]
    config = tmp_path / "nightdesk.yaml"
    shown = run_cli("cases", "show", gone, "--tenant", "acme", "--config", config)
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith(stays)
    assert f"{gone} merged-into {stays} by correlation" in shown.output


def test_people_split_and_merge_at_the_command_line(hub: Hub, tmp_path: Path) -> None:
    with hub.store.read() as conn:
        (stays,) = [row.case_id for row in queries.case_list(conn, "acme") if row.alert_count]
        leaving = cases.cases(conn, "acme", [stays])[stays].alerts[1].alert_id
    common = ("--tenant", "acme", "--as", "ann", "--reason", "looked at both", "--config", tmp_path / "nightdesk.yaml")
    done = run_cli("cases", "split", stays, leaving, *common)
    assert done.exit_code == 0, done.output
    new = done.output.split()[0]
    assert hub.pipeline.tick().decided[-1].case_id in {stays, new}
    back = run_cli("cases", "merge", stays, new, *common)
    assert back.exit_code == 0, back.output
    assert {one.case_id for one in hub.pipeline.tick().decided} == {stays}
    refused = run_cli("cases", "merge", stays, "nope", *common)
    assert refused.exit_code == 1
    assert "no case nope" in refused.output


def test_people_split_and_merge_over_http(hub: Hub) -> None:
    token = hub.settings.tenants["acme"].tokens["console"].secret.reveal()
    with hub.store.read() as conn:
        (stays,) = [row.case_id for row in queries.case_list(conn, "acme") if row.alert_count]
        leaving = cases.cases(conn, "acme", [stays])[stays].alerts[0].alert_id
    with browsing(hub) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        done = client.post(f"/v1/cases/{stays}/split", json={"alerts": [leaving], "reason": "two stories"})
        assert done.status_code == 200, done.text
        new = done.json()["case_id"]
        back = client.post(f"/v1/cases/{stays}/merge", json={"cases": [new], "reason": "one after all"})
        assert back.json()["case_id"] == stays
        again = client.post(f"/v1/cases/{stays}/merge", json={"cases": [new], "reason": "once more"})
        assert again.status_code == 409
        assert again.json()["type"].endswith("not-regrouped")
