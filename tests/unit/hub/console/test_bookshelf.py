"""The console's pages of playbooks over HTTP: a real hub, a real run, and nothing of another tenant."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.desks import TENANT
from tests.playbooks import a_document, a_playbook, do, end, isolate, manual, start, var
from tests.ruled import BOOK, CASE, RuledDesk, policy_for

from nightdesk.autonomy.playbooks.library import Library, bundled
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.hub.api.app import create_app

SHELF, RUN = "/console/playbooks", "/console/playbooks/runs/run-000001"
EVIL = '"><script>alert(1)</script>\u202e'


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[RuledDesk]:
    with ExitStack() as stack:
        yield RuledDesk(stack, tmp_path, policy_for())


def signed_in(stage: Any, desk: RuledDesk) -> Any:
    token = (desk.config.parent / "secrets" / f"{TENANT}.console").read_text().strip()
    return stage.Site(create_app(desk.hub, session_key=b"k" * 32)).sign_in(token)


def words(html: str) -> str:
    """What a person reads."""
    return " ".join(
        re.sub(r"<[^>]+>", " ", html).replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">").split()
    )


def part(html: str, heading: str) -> str:
    """What stands under a heading, in words."""
    return words(html[html.index(f">{heading}") :].partition("</section>")[0])


def test_the_shelf_says_which_playbooks_are_ready_and_why_others_are_not(stage: Any, desk: RuledDesk) -> None:
    html = signed_in(stage, desk).get(SHELF).text
    assert part(html, "Phishing mail").count("binds no connector to it, and this playbook cannot do without") == 1
    assert "identity does not offer credential.revoke" in part(html, "Cloud key misuse")
    text = words(html)
    assert text.index("Ransomware on a host") < text.index("Phishing mail"), "the ready ones first"
    assert "ready your own contain to be started by a rule" in text
    assert "Collect evidence: edr does not offer host.collect_evidence" in part(html, "Ransomware on a host")


def test_a_playbook_is_drawn_with_the_same_in_words(stage: Any, desk: RuledDesk) -> None:
    html = signed_in(stage, desk).get(f"{SHELF}/books/{BOOK.id}").text
    assert html.count('class="step ') == 4
    assert '<title id="flow-title-1">contain: 4 steps, from top to bottom.</title>' in html
    assert "if isolate fails : by-hand A person isolate it by hand" in words(html)
    assert "host.isolate __host__:value (R2)" in words(html)
    assert "No runs yet" in html


def test_an_unsound_playbook_is_told_and_not_drawn(stage: Any, desk: RuledDesk) -> None:
    broken = a_playbook({"start": start("a"), "a": do(isolate("__x__:value"), on_completion="z"), "z": end()}, name="b")
    desk.know(broken)
    html = signed_in(stage, desk).get(f"{SHELF}/books/{broken.id}").text
    assert "It is not sound" in html
    assert "__x__ is not declared" in words(html)
    assert "<svg" not in html
    assert "__x__ is not declared" in words(signed_in(stage, desk).get(SHELF).text)


def test_a_run_shows_each_step_as_it_stands_and_who_waits(stage: Any, desk: RuledDesk) -> None:
    desk.alert("a1")
    desk.work(10)
    site = signed_in(stage, desk)
    html = site.get(RUN).text
    assert "started by autonomy (rule worm, decision ND-2026-000001-001)" in words(html)
    assert states(html) == {"tell": "good", "isolate": "warn", "look": "untouched", "by-hand": "untouched"}
    waiting = part(html, "Who waits for what")
    assert "Isolate host ws-0042: awaiting approval 1 more approver can move it on" in waiting
    assert 'href="/console/approvals"' in html
    desk.play()
    live = site.get(f"{RUN}/live").text
    assert "<html" not in live
    assert states(live) == {"tell": "good", "isolate": "good", "look": "warn", "by-hand": "untouched"}
    assert "look is it quiet? An analyst, an approver or an admin can move it on" in part(live, "Who waits for what")
    desk.hub.playbooks.answer(TENANT, "run-000001", "look", by="carol", text="yes")
    over = site.get(f"{RUN}/live").text
    assert "Nobody: it is over." in words(over)
    assert "carol: yes" in part(over, "Steps")


def states(html: str) -> dict[str, str]:
    """By the step's label, the tone of its box."""
    found = re.findall(r'<g class="step (\S+) (\S+)".*?<text class="label"[^>]*>([^<]*)<', html, re.DOTALL)
    return {label: tone for _, tone, label in found}


def test_what_goes_wrong_has_its_tone(stage: Any, desk: RuledDesk) -> None:
    desk.alert("a1")
    desk.work(10)
    (action,) = desk.waiting_approvals()
    desk.hub.engine.reject(action, "bob", "no")
    desk.work(5)
    html = signed_in(stage, desk).get(RUN).text
    assert states(html) == {"tell": "good", "isolate": "bad", "look": "untouched", "by-hand": "warn"}


def test_the_case_page_shows_its_runs_and_says_when_one_moved(stage: Any, desk: RuledDesk) -> None:
    desk.alert("a1")
    site = signed_in(stage, desk)
    html = site.get(f"/console/cases/{CASE}").text
    assert "Running contain run-000001 Started by autonomy (rule worm" in part(html, "Playbooks ")
    assert f'href="{RUN}"' in html
    before = site.get(f"/console/cases/{CASE}/version").text
    desk.hub.playbooks.stop(TENANT, "run-000001", by="carol")
    assert site.get(f"/console/cases/{CASE}/version").text != before


def test_the_list_of_runs_tells_who_is_waited_for(stage: Any, desk: RuledDesk) -> None:
    desk.alert("a1")
    desk.work(10)
    site = signed_in(stage, desk)
    for path in (f"{SHELF}/runs", f"{SHELF}/books/{BOOK.id}/runs"):
        text = words(site.get(path).text)
        assert "Running contain run-000001 by autonomy (rule worm" in text
        assert "1 step A person: isolate" in text
    other = bundled().find("phishing").id
    assert "No runs yet" in site.get(f"{SHELF}/books/{other}/runs").text


def test_nobody_sees_another_tenants_run(stage: Any, desk: RuledDesk, hub: Any) -> None:
    """Law 3: it is as absent as one that never was."""
    desk.alert("a1")
    hub.store.close()
    hub.store = desk.store
    site = stage.site(hub).sign_in("north-viewer")
    for path in (RUN, f"{RUN}/live", f"{SHELF}/runs/none"):
        answer = site.get(path)
        assert answer.status_code == 404
        assert "run-000001" not in words(answer.text)
    assert "run-000001" not in site.get(f"{SHELF}/runs").text
    assert "this tenant is not in the hub" in words(site.get(SHELF).text)


@pytest.mark.parametrize("path", [SHELF, RUN, f"{SHELF}/books/x"])
def test_whoever_is_not_signed_in_is_sent_there(stage: Any, desk: RuledDesk, path: str) -> None:
    site = stage.Site(create_app(desk.hub, session_key=b"k" * 32))
    answer = site.get(path)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/console/login")
    assert site.get(f"{path}/live" if path == RUN else f"{path}/runs").status_code == 401


def test_an_unknown_playbook_is_said_to_be_none(stage: Any, desk: RuledDesk) -> None:
    assert signed_in(stage, desk).get(f"{SHELF}/books/playbook--x").status_code == 404


def test_what_a_playbook_says_is_text_and_no_markup(stage: Any, desk: RuledDesk) -> None:
    evil: Playbook = Playbook.model_validate(
        a_document(
            {
                "start": start("a"),
                "a": manual(EVIL, name=EVIL, settings={"answers": [EVIL]}, on_completion="w"),
                "w": {"type": "switch-condition", "switch": "__v__:value", "cases": {EVIL: "e"}, "on_completion": "z"},
                "e": end(),
                "z": end(),
            },
            variables={"__v__": var(value=EVIL)},
            header={"purpose": EVIL},
            name=EVIL,
        )
    )
    desk.hub.playbooks.library = Library({evil.id: evil}, {evil.id: f"{EVIL}.json"})
    desk.start(evil, case_id=CASE)
    site = signed_in(stage, desk)
    for path in (SHELF, f"{SHELF}/books/{evil.id}", RUN, f"{RUN}/live", f"{SHELF}/runs"):
        html = site.get(path).text
        assert "alert(1)" in html
        assert "<script>alert" not in html
        assert "\u202e" not in html
