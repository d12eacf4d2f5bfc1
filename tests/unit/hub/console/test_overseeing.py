"""The pages of autonomy: evidence for everybody, forms for who may, and a queue in which no word of the machine is."""

import re
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
    made = earned_site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def client(place: Site, stage: Any) -> Any:
    """Signs in as anybody: ``client("ann")``."""
    people = {f"acme-{name}": place.person(name) for name in PEOPLE}
    hub = stage.StageHub(place.store, now=place.time.clock(), principals=people, oversight=place.office)
    return lambda name: stage.site(hub).sign_in(f"acme-{name}")


def token(page: str) -> str:
    found = re.search(r'name="form" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_everybody_sees_how_far_each_rule_is(client: Any, place: Site) -> None:
    withdraw(place.office, place.unit(), Level.RECOMMEND, by=place.person("ann"), reason="a <b>drill</b>")
    page = client("vic").get("/console/autonomy").text
    assert "acme_edr/rule-1@-" in page
    assert "recommend" in page
    assert "evidence (e-value)" in page
    assert '<meter min="0" max="100" value="100"' in page
    assert "&lt;b&gt;drill&lt;/b&gt;" in page
    assert "<b>drill" not in page
    assert '<form method="post" action="/console/autonomy/' not in page


def test_a_new_tenants_page_says_that_nothing_was_seen(tmp_path: Path, stage: Any) -> None:
    site = Site(tmp_path)
    hub = stage.StageHub(site.store, principals={"t": site.person("ada")}, oversight=site.office)
    page = stage.site(hub).sign_in("t").get("/console/autonomy").text
    assert "No rule was seen yet" in page
    site.close()


def test_one_asks_another_agrees_and_one_withdraws(client: Any, place: Site) -> None:
    withdraw(place.office, place.unit(), Level.RECOMMEND, by=place.person("ann"), reason="drill")
    abe, ada, ann = client("abe"), client("ada"), client("ann")
    about = {"rule": RULE, "decides": "close", "reason": "noise"}
    page = abe.get("/console/autonomy").text
    assert "Ask to raise it" in page
    sent = abe.post("/console/autonomy/promote", data={**about, "form": token(page)})
    assert sent.status_code == 303
    twice = abe.post("/console/autonomy/agree", data={**about, "form": token(page)})
    assert twice.status_code == 409
    assert "another person has to agree" in twice.text
    page = ada.get("/console/autonomy").text
    assert "Agree to raise it" in page
    assert ada.post("/console/autonomy/agree", data={**about, "form": token(page)}).status_code == 303
    assert place.standing().level is Level.CLOSE
    closed = place.arrives()
    page = ann.get("/console/autonomy").text
    assert "Agree to raise it" not in page
    gone = ann.post("/console/autonomy/withdraw", data={**about, "form": token(page)})
    assert gone.status_code == 303
    assert place.standing().level is Level.RECOMMEND
    assert place.case(closed).status is CaseStatus.ESCALATED


@pytest.mark.parametrize("action", ["judge", "promote", "agree", "withdraw"])
def test_a_form_from_elsewhere_or_by_a_viewer_does_nothing(client: Any, place: Site, action: str) -> None:
    before = place.events()
    ada, vic = client("ada"), client("vic")
    about = {"rule": RULE, "decides": "close", "reason": "r", "item": "item-000001", "verdict": "test"}
    assert ada.post(f"/console/autonomy/{action}", data={**about, "form": "forged"}).status_code == 403
    form = token(ada.get("/console/autonomy").text)
    other = {"sec-fetch-site": "cross-site"}
    assert ada.post(f"/console/autonomy/{action}", data={**about, "form": form}, headers=other).status_code == 403
    assert vic.post(f"/console/autonomy/{action}", data={**about, "form": form}).status_code == 403
    assert place.events() == before


def test_nobody_who_is_signed_out_sees_a_page(stage: Any, place: Site) -> None:
    hub = stage.StageHub(place.store, principals={}, oversight=place.office)
    for path in ("/console/autonomy", "/console/autonomy/judge"):
        assert stage.site(hub).get(path).status_code == 303


def test_the_queue_shows_the_case_and_no_word_of_the_machine(client: Any, place: Site) -> None:
    closed = place.arrives(title="Odd <i>thing</i>", description="somebody wrote this")
    place.works()
    ann = client("ann")
    while "Odd" not in (page := ann.get("/console/autonomy/judge").text):
        items = re.findall(r'name="item" value="([^"]+)"', page)
        assert items
        data = {"form": token(page), "item": items[0], "verdict": "benign-positive"}
        assert ann.post("/console/autonomy/judge", data=data).status_code == 303
    assert "Odd &lt;i&gt;thing&lt;/i&gt;" in page
    (decision,) = place.decisions(closed)
    shown = page.split("<main", 1)[1].split("</main>")[0]
    # The word list of verdicts is every verdict there is, so it tells nothing.
    bare = re.sub(r"<select.*?</select>", "", shown, flags=re.DOTALL)
    for word in (decision.verdict.value, decision.reason_code, decision.outcome.value, *decision.reasons, "sample"):
        assert word not in bare.replace("Some of these were closed", "")
    assert closed not in bare


def test_a_verdict_is_taken_once(client: Any, place: Site) -> None:
    place.arrives()
    place.works()
    ann = client("ann")
    page = ann.get("/console/autonomy/judge").text
    (item, *_) = re.findall(r'name="item" value="([^"]+)"', page)
    data = {"form": token(page), "item": item, "verdict": "benign-positive", "comment": "looked at it"}
    assert ann.post("/console/autonomy/judge", data=data).status_code == 303
    again = ann.post("/console/autonomy/judge", data=data)
    assert again.status_code == 409
    assert "does not wait for ann" in again.text
