from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nightdesk.sdk.case import Outcome


@pytest.fixture
def furnished(stage: Any, hub: Any) -> Any:
    stage.furnish(hub)
    hub.receivers[("north", "edr-main")] = (object(), "detections", "acme_edr")
    hub.feeds = [
        {"tenant": name, "instance": "edr-main", "stream": "detections", "ok": name == "north", "problem": ""}
        for name in ("north", "south")
    ]
    return hub


def _samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_holds_the_ledger_cases_actions_and_decisions_of_the_tokens_tenant(stage: Any, furnished: Any) -> None:
    site = stage.site(furnished)
    site.post("/v1/ingest/edr-main", "north-feed", content=b'{"a":1}\n{"a":1}\n{"b":')
    found = _samples(site.get("/metrics", "north-feed").text)
    assert found["nightdesk_records_received_total", "edr-main", "detections", "north"] == 3
    assert found["nightdesk_records_duplicate_total", "edr-main", "detections", "north"] == 1
    assert found["nightdesk_records", "edr-main", "waiting", "detections", "north"] == 1
    assert found["nightdesk_records", "edr-main", "quarantined", "detections", "north"] == 1
    assert found["nightdesk_ledger_balanced", "edr-main", "detections", "north"] == 1
    assert found["nightdesk_cases", "escalated", "north"] == 2
    assert found["nightdesk_actions", "leased", "north"] == 1
    assert found["nightdesk_decisions_total", "propose_containment", "north"] == 1
    assert found["nightdesk_feed_up", "edr-main", "detections", "north"] == 1


def test_no_tenant_sees_anothers_numbers(stage: Any, furnished: Any) -> None:
    text = stage.site(furnished).get("/metrics", "south-feed").text
    assert 'tenant="south"' in text
    assert "north" not in text


def test_numbers_need_a_token_unless_the_operator_opened_them(stage: Any, furnished: Any) -> None:
    assert stage.site(furnished).get("/metrics").status_code == 401
    found = _samples(stage.site(furnished, open_metrics=True).get("/metrics").text)
    assert found["nightdesk_cases", "escalated", "north"] == 2
    assert found["nightdesk_feed_up", "edr-main", "detections", "south"] == 0


def test_decisions_made_between_two_scrapes_are_added_once(stage: Any, furnished: Any) -> None:
    site = stage.site(furnished)
    key = ("nightdesk_decisions_total", "close", "north")
    assert _samples(site.get("/metrics", "north-feed").text)[key] == 1
    assert _samples(site.get("/metrics", "north-feed").text)[key] == 1
    stage.decide(furnished, stage.decision("ND-2026-000004", 2, outcome=Outcome.CLOSE, proposals=()))
    assert _samples(site.get("/metrics", "north-feed").text)[key] == 2


def test_every_sample_names_its_tenant(stage: Any, furnished: Any) -> None:
    text = stage.site(furnished, open_metrics=True).get("/metrics").text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    assert all('tenant="' in line for line in lines)
