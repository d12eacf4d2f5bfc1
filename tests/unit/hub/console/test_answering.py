"""The console's pages of runs over HTTP: a real hub, real runs, and answers under the rules of the API."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from tests.desks import CASE, TENANT, Desktop
from tests.playbooks import a_playbook, do, end, isolate, manual, start, var

from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.run import RunState
from nightdesk.hub.api.app import create_app
from nightdesk.hub.api.auth import COOKIE, Sessions
from nightdesk.hub.setup import private_file
from nightdesk.hub.store import audit

LIST, RUN = "/console/runs", "/console/playbooks/runs/run-000001"
ANSWERS = f"{RUN}/answers"
PEOPLE = {"ann": "analyst", "bob": "approver", "ada": "admin", "vera": "viewer"}
EVIL = '"><script>alert(1)</script>\u202e'
Steps = dict[str, dict[str, Any]]
LINE: Steps = {
    "start": start("isolate"),
    "isolate": do(isolate(), on_success="look", on_failure="by-hand"),
    "look": manual("is __who__:value quiet?", settings={"answers": ["yes", "no"]}, on_completion="by-hand"),
    "by-hand": manual("say what you saw", out_args=["__seen__"], on_completion="z"),
    "z": end(),
}
VARIABLES = {"__who__": var(value="ws-0042"), "__seen__": var()}


def book(steps: Steps, name: str = "contain", **more: Any) -> Playbook:
    return a_playbook(steps, name=name, **{"variables": VARIABLES, **more})


ASKS = book({"start": start("look"), **{name: LINE[name] for name in ("look", "by-hand", "z")}}, "asks")
BESIDE = book(
    {
        "start": start("both"),
        "both": {"type": "parallel", "next_steps": ["look", "by-hand"], "on_completion": "z"},
        "look": {**LINE["look"], "on_completion": "e1"},
        "by-hand": manual("who is it?", out_args=["__who__"], on_completion="e2"),
        "e1": end(),
        "e2": end(),
        "z": end(),
    },
    "beside",
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desktop]:
    for name in PEOPLE:
        private_file(tmp_path / "secrets" / f"token.{name}", f"token-{name}\n".encode())
    tokens = {name: {"role": role, "secret": f"file:secrets/token.{name}"} for name, role in PEOPLE.items()}
    with ExitStack() as stack:
        yield Desktop(stack, tmp_path, ["edr", "ticketing"], tokens=tokens)


@pytest.fixture
def client(desk: Desktop, stage: Any) -> Callable[[str], Any]:
    """Signs in as anybody: ``client("ann")``."""
    app = create_app(desk.hub, session_key=b"k" * 32)
    return lambda name: stage.Site(app).sign_in(f"token-{name}")


def words(html: str) -> str:
    """What a person reads."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def part(html: str, heading: str) -> str:
    """What stands under a heading, in words."""
    return words(html[html.index(f">{heading}") :].partition("</section>")[0])


def fields(html: str, step: str) -> dict[str, str]:
    """What the form of that step carries, without an answer."""
    form = html[html.index(f'<bdi class="untrusted">{step}</bdi></h2>') :].partition("</form>")[0]
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)}


def said(desk: Desktop) -> list[tuple[str, Any, bool]]:
    """Every answer that was taken, by the audit."""
    with desk.store.read() as conn:
        lines = audit.entries(conn, TENANT, limit=1000)
    return [(one.actor, one.detail["answer"], one.detail["done"]) for one in lines if one.event == "playbook.answer"]


@pytest.mark.parametrize("name", ["ann", "bob", "ada"])
def test_whoever_may_answers_a_step_and_the_run_goes_on(desk: Desktop, client: Any, name: str) -> None:
    desk.start(ASKS)
    person = client(name)
    html = person.get(RUN).text
    assert "look is ws-0042 quiet? Asked" in words(html)
    answer = person.post(ANSWERS, data={**fields(html, "look"), "choice": "1"})
    assert (answer.status_code, answer.headers["location"]) == (303, RUN)
    html = person.get(RUN).text
    answer = person.post(ANSWERS, data={**fields(html, "by-hand"), "answer": "two lines\r\nof it"})
    assert answer.status_code == 303
    assert said(desk) == [(name, "no", True), (name, "two lines\nof it", True)]
    assert desk.run().state is RunState.COMPLETED
    html = person.get(RUN).text
    assert f"look ✓ Answered 12:00:00 to 12:00:00 {name}: no" in part(html, "Steps")
    assert '<form method="post" action="/console/playbooks' not in html
    assert part(html, "Journal").endswith("Completed")


def test_the_hub_goes_on_at_once(desk: Desktop, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[str] = []
    monkeypatch.setattr(desk.hub, "wake", lambda: woken.append("woken"))
    desk.start(ASKS)
    ann = client("ann")
    form = fields(ann.get(RUN).text, "look")
    assert ann.post(ANSWERS, data={**form, "choice": "9"}).status_code == 409
    assert woken == []
    assert ann.post(ANSWERS, data={**form, "choice": "0"}).status_code == 303
    assert woken == ["woken"]


def test_what_could_not_be_done_is_a_failure(desk: Desktop, client: Any) -> None:
    desk.start(ASKS)
    ann = client("ann")
    answer = ann.post(ANSWERS, data={**fields(ann.get(RUN).text, "look"), "failed": "yes"})
    assert answer.status_code == 303
    assert said(desk) == [("ann", "", False)]
    assert "look ✕ Could not be done" in part(ann.get(RUN).text, "Steps")


def test_a_viewer_sees_the_question_and_no_form(desk: Desktop, client: Any) -> None:
    desk.start(ASKS)
    html = client("vera").get(RUN).text
    assert "is ws-0042 quiet? An analyst, an approver or an admin can move it on" in part(html, "Who waits for what")
    assert 'nightdesk playbook answer run-000001 "look" --answer "yes | no"' in part(html, "Who waits for what")
    assert "/answers" not in html
    assert 'name="digest"' not in html


def test_a_form_from_elsewhere_or_by_a_viewer_does_nothing(desk: Desktop, client: Any) -> None:
    desk.start(ASKS)
    ann, bob, vera = client("ann"), client("bob"), client("vera")
    form = {**fields(ann.get(RUN).text, "look"), "choice": "0"}
    forged = ann.post(ANSWERS, data={**form, "form": "forged"})
    assert forged.status_code == 403
    assert "came from elsewhere" in words(forged.text)
    assert bob.post(ANSWERS, data=form).status_code == 403, "another session's form"
    assert ann.post(ANSWERS, data=form, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    switches = re.search(r'name="form" value="([^"]+)"', ann.get("/console/switches").text)
    assert switches is not None
    assert ann.post(ANSWERS, data={**form, "form": switches[1]}).status_code == 403, "another page's form"
    refused = vera.post(ANSWERS, data={**form, "form": _token_for(vera)})
    assert refused.status_code == 403
    assert "vera has the role viewer; this needs admin or analyst or approver" in words(refused.text)
    assert said(desk) == []


def _token_for(site: Any) -> str:
    """What the page would have given that session, had it a form."""
    return Sessions(b"k" * 32).form(site.cookies[COOKIE], "runs")


def test_whoever_is_signed_out_answers_nothing(desk: Desktop, client: Any, stage: Any) -> None:
    desk.start(ASKS)
    form = {**fields(client("ann").get(RUN).text, "look"), "choice": "0"}
    out = stage.Site(create_app(desk.hub, session_key=b"k" * 32))
    assert out.post(ANSWERS, data=form).headers["location"].startswith("/console/login")
    for path in (LIST, RUN):
        assert out.get(path).headers["location"].startswith("/console/login")
    for path in (f"{LIST}/rows", f"{RUN}/live", f"{RUN}/version"):
        assert out.get(path).status_code == 401
    assert said(desk) == []


def test_of_two_who_answer_one_page_the_second_hears_who_was_first(desk: Desktop, client: Any) -> None:
    desk.start(ASKS)
    ann, bob = client("ann"), client("bob")
    hers, his = fields(ann.get(RUN).text, "look"), fields(bob.get(RUN).text, "look")
    assert ann.post(ANSWERS, data={**hers, "choice": "0"}).status_code == 303
    late = bob.post(ANSWERS, data={**his, "choice": "1"})
    assert late.status_code == 409
    assert "look was answered meanwhile by ann; this answer changes nothing." in words(late.text)
    assert ann.post(ANSWERS, data={**hers, "choice": "0"}).status_code == 409, "sent twice is answered once"
    assert said(desk) == [("ann", "yes", True)]


def test_of_two_at_the_same_moment_one_is_taken(desk: Desktop, client: Any) -> None:
    desk.start(BESIDE)
    people = [client("ann"), client("bob")]
    forms = [{**fields(one.get(RUN).text, "look"), "choice": str(number)} for number, one in enumerate(people)]
    together = Barrier(2)

    def send(number: int) -> int:
        together.wait()
        status: int = people[number].post(ANSWERS, data=forms[number]).status_code
        return status

    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(send, range(2)))
    assert sorted(statuses) == [303, 409]
    assert said(desk) == [[("ann", "yes", True)], [("bob", "no", True)]][statuses.index(303)]
    assert desk.outcomes() == ["look: answered"]


def test_what_was_shown_is_what_is_answered(desk: Desktop, client: Any) -> None:
    desk.start(BESIDE)
    ann, bob = client("ann"), client("bob")
    old = fields(ann.get(RUN).text, "look")
    before = ann.get(f"{RUN}/version").text
    assert f'data-version="{before}"' in ann.get(RUN).text
    his = {**fields(bob.get(RUN).text, "by-hand"), "answer": "srv-1"}
    assert bob.post(ANSWERS, data=his).status_code == 303
    assert ann.get(f"{RUN}/version").text != before
    refused = ann.post(ANSWERS, data={**old, "choice": "0"})
    assert refused.status_code == 409
    assert "look was changed since it was shown; read it again and answer that." in words(refused.text)
    assert "is srv-1 quiet?" in words(refused.text), "and it is shown as it is now"
    assert ann.post(ANSWERS, data={**fields(refused.text, "look"), "choice": "0"}).status_code == 303
    assert said(desk) == [("bob", "srv-1", True), ("ann", "yes", True)]


def test_after_a_stop_it_is_too_late_and_that_is_said(desk: Desktop, client: Any) -> None:
    desk.start(ASKS)
    ann = client("ann")
    form = {**fields(ann.get(RUN).text, "look"), "choice": "0"}
    desk.hub.playbooks.stop(TENANT, "run-000001", by="bob", why="wrong <b>host</b>")
    late = ann.post(ANSWERS, data=form)
    assert late.status_code == 409
    said_so = "too late: the run is over (stopped by bob: wrong <b>host</b>); this answer changes nothing."
    assert said_so in words(late.text)
    assert "<b>host" not in late.text
    assert said(desk) == []


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"choice": "7"}, 409, "answer one of yes, no, not ''"),
        ({"choice": "9" * 5000}, 409, "answer one of yes, no, not ''"),
        ({"answer": "perhaps"}, 409, "answer one of yes, no, not 'perhaps'"),
        ({"choice": "0", "digest": ""}, 422, "the form names no question"),
        ({"choice": "0", "key": ""}, 422, "the form names no question"),
        ({"choice": "0", "digest": "x"}, 409, "was changed since it was shown"),
        ({"choice": "0", "key": "run-000001/x"}, 409, "names no question"),
        ({"choice": "0", "key": "run-000002/x"}, 409, "names 0 open questions"),
    ],
)
def test_a_form_that_is_no_answer_is_refused(
    desk: Desktop, client: Any, change: dict[str, str], status: int, text: str
) -> None:
    desk.start(ASKS)
    ann = client("ann")
    refused = ann.post(ANSWERS, data={**fields(ann.get(RUN).text, "look"), **change})
    assert refused.status_code == status
    assert text in words(refused.text)
    assert said(desk) == []


def test_another_tenants_run_is_absent_and_takes_no_answer(desk: Desktop, client: Any, stage: Any, hub: Any) -> None:
    """Law 3: it is as absent as one that never was."""
    desk.start(ASKS)
    form = {**fields(client("ann").get(RUN).text, "look"), "choice": "0"}
    hub.store.close()
    hub.store = desk.store
    ada = stage.site(hub).sign_in("north-admin")
    answers = [ada.get(RUN), ada.get(f"{RUN}/live"), ada.get(f"{RUN}/version")]
    answers.append(ada.post(ANSWERS, data={**form, "form": _token_for(ada)}))
    assert [one.status_code for one in answers] == [404, 404, 404, 404]
    listed = ada.get(LIST)
    assert "No runs yet" in listed.text
    assert "wait for a person" not in listed.text
    for one in (*answers, listed, ada.get(f"{LIST}/rows")):
        assert "look" not in words(one.text).replace("looked", "")
    assert said(desk) == []
    assert hub.woken == 0


def test_the_list_has_first_what_waits_for_a_person_then_what_goes_on_then_what_is_over(
    desk: Desktop, client: Any
) -> None:
    desk.start(ASKS)
    desk.hub.playbooks.stop(TENANT, "run-000001", by="bob")
    desk.time.advance(60)
    desk.start(book(LINE))
    desk.time.advance(60)
    desk.start(ASKS)
    ann = client("ann")
    assert order(ann.get(LIST).text) == ["run-000003", "run-000002", "run-000001"], "its action is not proposed yet"
    desk.work(10)
    html = ann.get(f"{LIST}/rows").text
    assert order(html) == ["run-000003", "run-000002", "run-000001"]
    assert words(html).count("A person:") == 2, "an approval is a person's as well"
    for path in (LIST, RUN, "/console/", "/console/approvals", "/console/switches", "/console/playbooks"):
        assert "Runs 2 wait for a person" in words(ann.get(path).text)
    desk.time.advance(5)
    desk.play("run-000002")
    desk.hub.playbooks.answer(TENANT, "run-000002", "look", by="bob", text="yes")
    desk.hub.playbooks.answer(TENANT, "run-000002", "by-hand", by="bob", text="")
    html = ann.get(LIST).text
    assert order(html) == ["run-000003", "run-000002", "run-000001"], "of those that are over the last ended first"
    assert "Runs 1 wait for a person" in words(html)
    desk.hub.playbooks.stop(TENANT, "run-000003", by="bob")
    html = ann.get(LIST).text
    assert "wait for a person" not in html.partition("<main")[0]
    assert order(html)[0] == "run-000003"


def order(html: str) -> list[str]:
    return re.findall(r'<span class="id">(run-\d+)</span> by', html)


def test_the_list_comes_page_by_page_and_each_run_once(desk: Desktop, client: Any) -> None:
    for number in range(1, 66):
        desk.start(ASKS)
        desk.time.advance(1)
        if number % 2:
            desk.hub.playbooks.stop(TENANT, f"run-{number:06d}", by="bob")
    ann = client("ann")
    seen, path = [], LIST
    while path:
        html = ann.get(path).text
        seen.append(order(html))
        older = re.search(r'href="([^"]+)">Older</a>', html)
        fresh = re.search(r'data-refresh="([^"]+)"', html)
        assert fresh is not None
        assert order(ann.get(unescape(fresh[1])).text) == seen[-1], "a page stays that page when it is fetched again"
        path = unescape(older[1]) if older else ""
    assert [len(page) for page in seen] == [30, 30, 5]
    even = [f"run-{number:06d}" for number in range(64, 0, -2)]
    odd = [f"run-{number:06d}" for number in range(65, 0, -2)]
    assert [one for page in seen for one in page] == even + odd
    assert order(ann.get(f"{LIST}?before=rubbish").text) == seen[0]


def test_a_step_shows_its_actions_with_their_state_and_a_way_to_their_life(desk: Desktop, client: Any) -> None:
    desk.start(book(LINE))
    desk.work(10)
    ann = client("ann")
    (action,) = desk.actions()
    link = f"/console/cases/{CASE}#action-{action.action_id}"
    html = ann.get(RUN).text
    assert "isolate ! Waits for an approval" in part(html, "Steps")
    assert "Isolate host ws-0042 Awaiting approval asked for 12:00:00" in part(html, "Steps")
    assert f'href="{link}"' in html
    desk.play()
    html = ann.get(f"{RUN}/live").text
    assert "isolate ✓ Effective" in part(html, "Steps")
    assert "Isolate host ws-0042 Effective, read back asked for 12:00:00" in part(html, "Steps")
    journal = part(html, "Journal")
    order_ = ["Started by ann", "Awaiting approval", "Approved", "Effective, read back", "Effective isolate", "Asks a"]
    assert [journal.index(text) for text in order_] == sorted(journal.index(text) for text in order_)


def test_an_action_that_stood_already_is_said_to_be_somebody_elses(desk: Desktop, client: Any) -> None:
    beacon = bundled().find("beaconing-host")
    for number in (1, 2):
        desk.start(beacon, host="ws-0042")
        desk.play(f"run-00000{number}")
    ann = client("ann")
    first, second = (part(ann.get(RUN.replace("1", number)).text, "Steps") for number in "12")
    assert "It stood already" not in first
    assert f"Open case {CASE} Effective, read back" in first
    assert second.count("It stood already: somebody else's, and not undone with this run.") == 1


def test_nothing_that_others_wrote_is_markup(desk: Desktop, client: Any) -> None:
    evil = book(
        {
            "start": start("a"),
            "a": manual(f"{EVIL} __who__:value", name=EVIL, settings={"answers": [EVIL, "b"]}, on_completion="b"),
            "b": manual(EVIL, name=f"b {EVIL}", on_completion="z"),
            "z": end(),
        },
        EVIL,
        variables={"__who__": var(value=EVIL)},
        header={"purpose": EVIL},
    )
    desk.know(evil)
    desk.start(evil)
    ann = client("ann")
    html = ann.get(RUN).text
    shown = [html, ann.get(f"{RUN}/live").text, ann.get(LIST).text, ann.get(f"{LIST}/rows").text]
    (token,) = set(re.findall(r'name="form" value="([^"]+)"', html))
    first = {"form": token, **dict(re.findall(r'name="(key|digest)" value="([^"]+)"', html))}
    assert ann.post(ANSWERS, data={**first, "choice": "0"}).status_code == 303
    html = ann.get(RUN).text
    second = {"form": token, **dict(re.findall(r'name="(key|digest)" value="([^"]+)"', html))}
    assert ann.post(ANSWERS, data={**second, "answer": EVIL}).status_code == 303
    shown += [html, ann.get(RUN).text, ann.post(ANSWERS, data={**first, "choice": "0"}).text]
    desk.start(evil)
    desk.hub.playbooks.stop(TENANT, "run-000002", by=EVIL, why=EVIL)
    shown += [ann.get(RUN.replace("1", "2")).text, ann.get(LIST).text]
    for page in shown:
        assert "alert(1)" in page
        assert "<script>alert" not in page
        assert "\u202e" not in page
    assert said(desk) == [("ann", EVIL, True), ("ann", EVIL, True)], "and it is taken as it is"


def test_secrets_are_never_shown(desk: Desktop, client: Any) -> None:
    steps: Steps = {
        "start": start("ask"),
        "ask": manual("what is it now?", out_args=["__new_password__"], on_success="tell", on_failure="z"),
        "tell": manual("tell them __new_password__:value, not __api_token__:value", on_completion="z"),
        "z": end(),
    }
    variables = {"__new_password__": var(), "__api_token__": var(value="tok-12345"), "__user__": var(value="jdoe")}
    desk.start(book(steps, variables=variables))
    ann = client("ann")
    html = ann.get(RUN).text
    assert '<input name="answer" type="password"' in html
    assert ann.post(ANSWERS, data={**fields(html, "ask"), "answer": "hunter2!"}).status_code == 303
    html = ann.get(RUN).text
    assert "tell them ***, not ***" in words(html)
    assert "ann: (hidden" in part(html, "Steps")
    assert "jdoe" in part(html, "Variables")
    answer = ann.post(ANSWERS, data={**fields(html, "tell"), "answer": "told them hunter2!"})
    assert answer.status_code == 303
    desk.start(book(steps, variables=variables))
    other = RUN.replace("1", "2")
    late = {**fields(ann.get(other).text, "ask"), "answer": "x"}
    desk.hub.playbooks.stop(TENANT, "run-000002", by="bob", why="tok-12345 leaked")
    refused = ann.post(f"{other}/answers", data=late)
    assert "too late: the run is over (stopped by bob: *** leaked)" in words(refused.text)
    paths = (RUN, f"{RUN}/live", LIST, other, "/console/playbooks")
    for page in (html, refused.text, *(ann.get(path).text for path in paths)):
        assert "hunter2" not in page
        assert "tok-12345" not in page
