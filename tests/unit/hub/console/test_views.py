import dataclasses
import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from nightdesk.autonomy.actions import ActionState
from nightdesk.hub.console import pages
from nightdesk.hub.store.cases import set_status
from nightdesk.sdk.case import Alert, CaseStatus, Check, Entity, EntityKind, Proposal
from nightdesk.sdk.targets import Target

_CASE = "/console/cases/ND-2026-000001"
_EVIL = """"><img src=x onerror=alert(1)><script>alert(2)</script>'{{7*7}}</title></style>\u202e"""


class _Page(HTMLParser):
    """Every tag with its attributes, and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, name: str) -> Iterator[str]:
        return (str(attributes[name]) for _, attributes in self.tags if name in attributes)


def _assert_inert(html: str) -> None:
    page = _Page(html)
    assert [attributes.get("src") for tag, attributes in page.tags if tag == "script"] == ["/console/static/console.js"]
    assert {attributes.get("src") for tag, attributes in page.tags if tag == "img"} == {"/console/static/mark.svg"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    assert not [tag for tag, _ in page.tags if tag in {"iframe", "object", "embed", "base", "style"}]
    for href in page.attributes("href"):
        assert href.startswith(("/console/", "#", "https://")) or not href, href
    assert "\u202e" not in html


@pytest.fixture
def furnished(stage: Any, hub: Any) -> Any:
    stage.furnish(hub)
    return hub


@pytest.fixture
def site(stage: Any, furnished: Any) -> Any:
    return stage.site(furnished).sign_in("north-viewer")


def test_nobody_sees_a_case_without_signing_in(stage: Any, furnished: Any) -> None:
    outside = stage.site(furnished)
    for path in ("/console/", _CASE, f"{_CASE}/bundle"):
        answer = outside.get(path)
        assert (answer.status_code, answer.text) == (303, "")
        assert answer.headers["location"] == f"/console/login?next={quote(path, safe='')}"
    for path in ("/console/rows", f"{_CASE}/version"):
        assert outside.get(path).status_code == 401


def test_signing_in_leads_back_and_sets_a_cookie_that_scripts_and_other_sites_cannot_use(
    stage: Any, furnished: Any
) -> None:
    answer = stage.site(furnished).post("/console/login", data={"token": "north-viewer", "next": _CASE})
    assert (answer.status_code, answer.headers["location"]) == (303, _CASE)
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/console"} <= set(cookie.split("; "))
    assert "north-viewer" not in cookie


@pytest.mark.parametrize(
    "following",
    ["https://evil.example.com/", "//evil.example.com/console/", "/\\evil.example.com", "/v1/x", "javascript:1"],
)
def test_signing_in_never_leads_to_another_place_than_the_console(stage: Any, furnished: Any, following: str) -> None:
    answer = stage.site(furnished).post("/console/login", data={"token": "north-viewer", "next": following})
    assert answer.headers["location"] == "/console/"


@pytest.mark.parametrize(("token", "status"), [("wrong", 401), ("", 401), ("north-feed", 403)])
def test_a_token_that_may_not_look_is_told_so(stage: Any, furnished: Any, token: str, status: int) -> None:
    answer = stage.site(furnished).post("/console/login", data={"token": token})
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text


def test_another_site_cannot_sign_somebody_in(stage: Any, furnished: Any) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = stage.site(furnished).post("/console/login", data={"token": "north-viewer"}, headers=headers)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_signing_out_ends_the_session(site: Any) -> None:
    assert site.get("/console/").status_code == 200
    assert site.post("/console/logout").headers["location"] == "/console/login"
    assert site.get("/console/").status_code == 303


def test_a_revoked_token_ends_its_sessions_at_once(site: Any, furnished: Any) -> None:
    del furnished.principals["north-viewer"]
    assert site.get("/console/").status_code == 303


def test_the_queue_lists_the_tenants_cases_newest_change_first(site: Any) -> None:
    page = _Page(site.get("/console/").text)
    titles = [
        "Encoded PowerShell on ws-0042",
        "New administrator outside the change window",
        "Macro blocked in a spreadsheet",
        "Many failed sign-ins for a service account",
        "Scanner from the vulnerability team",
    ]
    places = [page.text.index(title) for title in titles]
    assert places == sorted(places)
    assert "Only for south" not in page.text
    assert "Signed rule: traffic of the vulnerability scanner in its window." in page.text
    assert "Effective, on lease" in page.text
    assert "4 min ago" in page.text


def test_the_tabs_count_and_filter_by_status(site: Any) -> None:
    html = site.get("/console/?status=escalated").text
    assert "Scanner from the vulnerability team" not in html
    assert "New administrator outside the change window" in html
    assert re.search(r'id="tab-escalated"[^>]*aria-current="page">Escalated <span class="number">2<', html)
    assert re.search(r'id="tab-all"[^>]*>All <span class="number">5<', html)


def test_an_unknown_status_or_page_is_the_first_page_of_all(site: Any) -> None:
    for query in ("status=<script>", "before=%3Cscript%3E", "before=AAAA", "before=W10"):
        html = site.get(f"/console/?{query}").text
        assert "Encoded PowerShell on ws-0042" in html
        _assert_inert(html)


def test_the_list_goes_on_where_the_page_ended(stage: Any, hub: Any) -> None:
    for number in range(120):
        at = stage.START + timedelta(seconds=number // 2)  # pairs changed at the same moment
        stage.store_case(hub, f"ND-{number:03d}", [stage.alert(number)], title=f"Case {number:03d}", updated_at=at)
    site = stage.site(hub).sign_in("north-viewer")
    seen: list[str] = []
    path = "/console/"
    for _ in range(5):
        html = site.get(path).text
        seen += re.findall(r"Case (\d{3})", html)
        older = re.search(r'id="page-older" rel="next" href="([^"]+)"', html)
        if older is None:
            break
        path = older[1].replace("&amp;", "&")
    assert seen == [f"{number:03d}" for number in reversed(range(120))]


def test_the_part_that_is_fetched_again_is_the_list_alone(site: Any) -> None:
    html = site.get("/console/rows?status=closed").text
    assert "<html" not in html
    assert "Scanner from the vulnerability team" in html
    assert "Encoded PowerShell" not in html


@pytest.mark.parametrize("status", ["", *CaseStatus])
def test_an_empty_list_says_in_words_what_that_means(stage: Any, hub: Any, status: str) -> None:
    html = stage.site(hub).sign_in("south-viewer").get(f"/console/?status={status}").text
    assert "<table" not in html
    assert re.search(r"<h2>.+</h2>\s*<p>.+\.</p>", html)


def test_a_case_shows_its_story_checks_actions_and_evidence(site: Any) -> None:
    text = " ".join(_Page(site.get(_CASE).text).text.split())
    for part in (
        "7 alerts from acme edr",
        "A signed rule proposes isolation",
        "3 of 4 checks passed",
        "Not passed Blast radius 3 hosts this hour <= 2",
        "Earlier: Escalate to a person",
        "Approved by ada",
        "Lease until 2026-11-22 23:00:00 UTC (in 3 h)",
        "isolation none",
        "isolation full",
        "Approval needed from a person",
        "the firewall accepted the block, but its rule list does not show it yet",
        "north-policy",
    ):
        assert part in text, part


def test_another_tenants_case_is_as_absent_as_one_that_never_was(stage: Any, site: Any, furnished: Any) -> None:
    foreign, absent = (site.get(f"/console/cases/{name}") for name in ("ND-2026-000900", "ND-2026-999999"))
    assert (foreign.status_code, absent.status_code) == (404, 404)
    assert foreign.text == absent.text
    for part in ("version", "bundle"):
        assert site.get(f"/console/cases/ND-2026-000900/{part}").status_code == 404
    assert stage.site(furnished).sign_in("south-viewer").get("/console/cases/ND-2026-000900").status_code == 200


def test_the_version_changes_with_the_case_and_only_then(site: Any, furnished: Any) -> None:
    before = site.get(f"{_CASE}/version").text
    assert f'data-version="{before}"' in site.get(_CASE).text
    assert site.get(f"{_CASE}/version").text == before
    with furnished.store.begin() as conn:
        set_status(conn, "north", "ND-2026-000001", CaseStatus.CLOSED, at=furnished.now)
    assert site.get(f"{_CASE}/version").text != before


def test_the_download_is_one_bundle_with_every_object_once(site: Any) -> None:
    answer = site.get(f"{_CASE}/bundle")
    assert answer.headers["content-type"] == "application/stix+json;version=2.1"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''north-ND-2026-000001.stix.json"
    bundle = orjson.loads(answer.content)
    assert (bundle["type"], bundle["id"].startswith("bundle--")) == ("bundle", True)
    names = [entry["id"] for entry in bundle["objects"]]
    assert len(names) == len(set(names)) == 8
    assert site.get(f"{_CASE}/bundle").content == answer.content


def test_whatever_an_alert_says_stays_text(stage: Any, hub: Any) -> None:
    texts = {
        field.name: f"{field.name}{_EVIL}"
        for field in dataclasses.fields(Alert)
        if field.type is str and field.name not in {"tenant", "alert_id", "content_sha256"}
    }
    entities = tuple(
        Entity(kind, f"{kind}{_EVIL}", f"role{_EVIL}", facts={f"name{_EVIL}": f"fact{_EVIL}"}) for kind in EntityKind
    )
    lists = {name: (f"{name}{_EVIL}",) for name in ("techniques", "tactics", "caution")}
    evil = stage.alert(1, **texts, **lists, entities=entities)
    stage.store_case(hub, "ND-1", [evil], title=f"case{_EVIL}")
    stage.decide(
        hub,
        stage.decision(
            "ND-1",
            reason_code=f"code{_EVIL}",
            reasons=(f"reason{_EVIL}",),
            checks=(Check(f"check{_EVIL}", False, f"value{_EVIL}", f"limit{_EVIL}"),),
            inputs={f"key{_EVIL}": _EVIL},
            proposals=(Proposal("host.isolate", f"host:{_EVIL}"),),
            reviewer=_EVIL,
        ),
    )
    stage.act(
        hub,
        "ND-1",
        (ActionState.APPROVED, {"actor": _EVIL, "detail": {f"k{_EVIL}": _EVIL, "reason": _EVIL}}),
        (ActionState.FAILED, {"error": f"error{_EVIL}", "result": {_EVIL: _EVIL}, "losses": (f"loss{_EVIL}",)}),
        verb="notify.send",
        target=Target.parse(f"person:{_EVIL}"),
        parameters={_EVIL: _EVIL},
        reason=_EVIL,
    )
    site = stage.site(hub).sign_in("north-viewer")
    for path in ("/console/", "/console/cases/ND-1"):
        html = site.get(path).text
        _assert_inert(html)
        assert "{{7*7}}" in html
        assert "[U+202E]" in html
    text = _Page(site.get("/console/cases/ND-1").text).text
    shown = set(texts) - {"product", "instance", "console_url"}
    for name in shown - {"rule_id"}:
        assert f'{name}"><img src=x' in text, name


def test_a_link_of_an_alert_is_followed_only_to_the_web(stage: Any, hub: Any) -> None:
    good, bad = stage.alert(1), stage.alert(2, title="Other", console_url="javascript:alert(1)")
    stage.store_case(hub, "ND-1", [good, bad])
    html = stage.site(hub).sign_in("north-viewer").get("/console/cases/ND-1").text
    assert 'href="https://edr.example.com/detections/1" target="_blank" rel="noopener noreferrer"' in html
    assert "javascript:" not in html


def test_every_page_forbids_foreign_scripts_and_is_kept_by_no_cache(site: Any) -> None:
    for path in ("/console/", "/console/rows", "/console/login", _CASE, "/console/cases/none"):
        headers = site.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_nothing_is_loaded_from_another_host(site: Any) -> None:
    folder = Path(pages.__file__).parent
    for file in [*folder.glob("static/*"), *folder.glob("templates/*")]:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z0-9.-]+\.[a-z]{2,}|@import|url\(", text), file
    for name in ("console.css", "console.js", "mark.svg"):
        assert site.get(f"/console/static/{name}").status_code == 200


def test_every_page_has_a_language_a_title_one_heading_and_a_way_past_the_bar(site: Any) -> None:
    for path in ("/console/", _CASE, "/console/login", "/console/cases/none"):
        page = _Page(site.get(path).text)
        tags = [tag for tag, _ in page.tags]
        assert ("html", {"lang": "en"}) in page.tags
        assert (tags.count("h1"), tags.count("main"), tags.count("header") >= 1) == (1, 1, True)
        assert "#main" in list(page.attributes("href"))
        ids = list(page.attributes("id"))
        assert len(ids) == len(set(ids))


def test_a_case_with_a_thousand_alerts_is_still_a_short_page(stage: Any, hub: Any) -> None:
    stage.store_case(hub, "ND-1", [stage.alert(number % 50, alert_id=f"a-{number}") for number in range(1000)])
    html = stage.site(hub).sign_in("north-viewer").get("/console/cases/ND-1").text
    assert "1,000" in html
    assert "900 more alerts are in the STIX download." in html
    assert len(html) < 400_000


def test_what_people_must_hear_of_stands_above_the_cases_as_text(furnished: Any, site: Any) -> None:
    furnished.notices.tell("north", "drift", "main", f"a field never seen before: {_EVIL}")
    furnished.notices.tell("south", "silent", "siem/alerts", "no alert for a day")
    html = site.get("/console/").text
    assert html.count("a field never seen before") == 1
    assert "no alert for a day" not in html
    assert "<img src=x" not in html
    furnished.notices.over("north", "drift", "main")
    assert "a field never seen before" not in site.get("/console/rows").text
