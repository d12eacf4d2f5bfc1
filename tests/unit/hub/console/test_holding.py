"""The console's pages of what is in force: a real hub, a simulated vendor, and forms under the rules of the API."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from tests.desks import CASE, TENANT, Desktop

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch
from nightdesk.hub import switching
from nightdesk.hub.api.app import create_app
from nightdesk.hub.setup import private_file
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryDevice

S = ActionState
LIST = "/console/leases"
PEOPLE = {"ann": "analyst", "bob": "approver", "ada": "admin", "vera": "viewer"}
EVIL = '"><script>alert(1)</script>\u202e'
MAY = [name for name, role in PEOPLE.items() if role != "viewer"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desktop]:
    for name in PEOPLE:
        private_file(tmp_path / "secrets" / f"token.{name}", f"token-{name}\n".encode())
    tokens = {name: {"role": role, "secret": f"file:secrets/token.{name}"} for name, role in PEOPLE.items()}
    with ExitStack() as stack:
        made = Desktop(stack, tmp_path, ["edr"], tokens=tokens)
        made.simulators["edr"].add_devices([StoryDevice("dev-2", "ws-0043", ("192.0.2.43",))])
        yield made


@pytest.fixture
def client(desk: Desktop, stage: Any) -> Callable[[str], Any]:
    """Signs in as anybody: ``client("ann")``."""
    app = create_app(desk.hub, session_key=b"k" * 32)
    return lambda name: stage.Site(app).sign_in(f"token-{name}")


def words(html: str) -> str:
    """What a person reads."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def card(html: str, name: str) -> str:
    """What stands in the card of that name, in words."""
    return words(html[html.index(f'id="{name}-title"') :].partition("</section>")[0].partition(">")[2])


def page(action: Action) -> str:
    return f"{LIST}/{action.action_id}"


def token(html: str) -> str:
    found = re.search(r'name="form" value="([^"]+)"', html)
    assert found is not None
    return found[1]


def undo(person: Any, action: Action, **changes: str) -> Any:
    fields = {"form": token(person.get(page(action)).text), "reason": "false alarm", **changes}
    return person.post(f"{page(action)}/undo", data=fields)


def keep(person: Any, action: Action, hours: str = "4", **changes: str) -> Any:
    fields = {"form": token(person.get(page(action)).text), "hours": hours, **changes}
    return person.post(f"{page(action)}/renew", data=fields)


def rows(html: str) -> list[str]:
    return [words(row) for row in re.findall(r"<tr>\s*<td.*?</tr>", html, re.DOTALL)]


def navigation(html: str) -> str:
    return words(html[html.index('<nav aria-label="Console">') :].partition("</nav>")[0])


def failed(desk: Desktop, action: Action) -> None:
    """Its undo is refused by the vendor."""
    desk.simulators["edr"].faults.add("missing_scope")
    desk.hub.engine.request_undo(action, actor="ann", reason="false alarm")
    desk.work(30, until=lambda: desk.action(action).state is S.UNDO_FAILED)
    assert desk.action(action).state is S.UNDO_FAILED


@pytest.mark.parametrize("name", MAY)
def test_whoever_may_takes_it_back_and_the_vendor_shows_it(desk: Desktop, client: Any, name: str) -> None:
    """Law 5: the page says undone only after it was read back."""
    made, person = desk.contain(), client(name)
    said = card(person.get(page(made)).text, "undo")
    assert said.startswith("Undo Release host (host.release): ws-0042 at edr , the connector that acted.")
    answer = undo(person, made)
    assert (answer.status_code, answer.headers["location"]) == (303, page(made))
    assert desk.isolated() == {"ws-0042"}
    html = person.get(page(made)).text
    assert "Undo requested" in card(html, "state")
    assert card(html, "undo") == "Undo The undo is on its way: this page shows it when it was read back."
    desk.work(60, until=lambda: desk.action(made).state is S.UNDONE)
    assert desk.isolated() == set()
    html = person.get(f"{page(made)}/live").text
    assert "Undone, read back" in words(html)
    assert "What became of it undone and read back" in words(html)
    (line,) = [one for one in desk.hub.journal.history(TENANT, made.action_id) if one.state is S.UNDO_REQUESTED][:1]
    assert (line.actor, line.detail["note"]) == (name, "false alarm")
    assert rows(person.get(LIST).text) == []


def test_twice_is_one_undo(desk: Desktop, client: Any) -> None:
    made, ann, bob = desk.contain(), client("ann"), client("bob")
    forms = [(one, token(one.get(page(made)).text)) for one in (ann, bob, ann)]
    for person, form in forms:
        assert person.post(f"{page(made)}/undo", data={"form": form, "reason": "x"}).status_code == 303
    states = [one.state for one in desk.hub.journal.history(TENANT, made.action_id)]
    assert states.count(S.UNDO_REQUESTED) == 1


def test_the_hub_goes_on_at_once(desk: Desktop, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[str] = []
    monkeypatch.setattr(desk.hub, "wake", lambda: woken.append("woken"))
    made, ann = desk.contain(), client("ann")
    assert undo(ann, made, reason=" ").status_code == 422
    assert woken == []
    assert undo(ann, made).status_code == 303
    assert woken == ["woken"]


def test_an_undo_goes_through_while_everything_is_stopped(desk: Desktop, client: Any) -> None:
    made, ann = desk.contain(), client("ann")
    switching.stop(desk.store, Switch(ANYWHERE, Scope.ALL), by="ada", reason="drill")
    assert 'class="stopped"' in ann.get(page(made)).text
    assert undo(ann, made).status_code == 303
    desk.work(60, until=lambda: desk.action(made).state is S.UNDONE)
    assert desk.isolated() == set()


def test_a_viewer_sees_what_is_held_and_no_form(desk: Desktop, client: Any) -> None:
    made, vera, ann = desk.contain(), client("vera"), client("ann")
    html = vera.get(page(made)).text
    assert "Effective, on lease" in card(html, "state")
    assert "An analyst, an approver or an admin takes it back." in card(html, "undo")
    assert f'action="{page(made)}' not in html
    assert "Undo or keep" not in vera.get(LIST).text
    assert "Undo or keep" in ann.get(LIST).text
    sent = {"form": token(ann.get(page(made)).text), "reason": "x", "hours": "4"}
    assert [vera.post(f"{page(made)}/{path}", data=sent).status_code for path in ("undo", "renew")] == [403, 403]
    assert desk.action(made) == made


def test_whose_role_was_lowered_meanwhile_has_a_good_form_and_no_right(
    desk: Desktop, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, ann = desk.contain(), client("ann")
    form = token(ann.get(page(made)).text)
    tenant = desk.hub.settings.tenants[TENANT]
    lowered = {**tenant.tokens, "ann": replace(tenant.tokens["ann"], role="viewer")}
    settings = replace(desk.hub.settings, tenants={TENANT: replace(tenant, tokens=lowered)})
    monkeypatch.setattr(desk.hub, "settings", settings)
    answer = ann.post(f"{page(made)}/undo", data={"form": form, "reason": "x"})
    assert answer.status_code == 403
    assert "ann has the role viewer; this needs admin or analyst or approver" in words(answer.text)
    assert desk.action(made) == made


@pytest.mark.parametrize("path", ["undo", "renew"])
@pytest.mark.parametrize(
    ("form", "headers"),
    [("", {}), ("x" * 43, {}), (None, {"sec-fetch-site": "cross-site"}), (None, {"sec-fetch-site": "same-site"})],
)
def test_a_form_from_elsewhere_does_nothing(
    desk: Desktop, client: Any, path: str, form: str | None, headers: dict[str, str]
) -> None:
    made, ann = desk.contain(), client("ann")
    fields = {"reason": "x", "hours": "4", "form": token(ann.get(page(made)).text) if form is None else form}
    answer = ann.post(f"{page(made)}/{path}", data=fields, headers=headers)
    assert answer.status_code == 403
    assert "The form came from elsewhere" in words(answer.text)
    assert desk.action(made) == made


def test_a_form_of_another_session_or_page_does_not_count(desk: Desktop, client: Any) -> None:
    made, ann, bob = desk.contain(), client("ann"), client("bob")
    others = [token(bob.get(page(made)).text), token(ann.get("/console/switches").text)]
    for form in others:
        assert ann.post(f"{page(made)}/undo", data={"form": form, "reason": "x"}).status_code == 403
    assert desk.action(made) == made


def test_without_a_session_there_is_no_page_and_no_form(desk: Desktop, stage: Any) -> None:
    made = desk.contain()
    outside = stage.Site(create_app(desk.hub, session_key=b"k" * 32))
    assert [outside.get(one).status_code for one in (LIST, page(made))] == [303, 303]
    parts = (f"{LIST}/rows", f"{page(made)}/live", f"{page(made)}/version")
    assert [outside.get(one).status_code for one in parts] == [401] * 3
    assert outside.post(f"{page(made)}/undo", data={"reason": "x"}).status_code == 303
    assert desk.action(made) == made


def test_another_tenants_action_is_as_absent_as_none(desk: Desktop, client: Any) -> None:
    """Law 3."""
    made, ann = desk.contain(), client("ann")
    given = replace(made, tenant="umbrella", action_id="act-theirs", idempotency_key="theirs")
    theirs = desk.hub.journal.create(replace(given, target=Target.parse("host:ws-9999")), actor="ann")
    for part in ("", "/live", "/version"):
        assert ann.get(f"{page(theirs)}{part}").status_code == 404
    form = token(ann.get(page(made)).text)
    for path in ("undo", "renew"):
        sent = ann.post(f"{page(theirs)}/{path}", data={"form": form, "reason": "x", "hours": "4"})
        assert sent.status_code == 404
        assert "ws-9999" not in sent.text
    assert desk.action(theirs) == theirs
    assert "ws-9999" not in ann.get(LIST).text
    failed(desk, made)
    desk.hub.journal.move(theirs, S.UNDO_REQUESTED, at=desk.time.clock(), actor="ann", detail={})
    assert "In force 1 overdue or not undone" in navigation(ann.get(LIST).text)


def test_the_list_shows_trouble_first_then_the_next_end(desk: Desktop, client: Any) -> None:
    forever = desk.contain(lease=None)
    soon = desk.contain("ws-0043", lease=timedelta(minutes=30))
    vera = client("vera")
    first, second = rows(vera.get(LIST).text)
    assert first.startswith(f"Effective, on lease Isolate host ws-0043 at edr {CASE} ")
    assert soon.lease_until is not None
    assert f"{soon.lease_until:%Y-%m-%d %H:%M:%S} UTC" in first
    assert re.search(r"(\d+) % in (29|30) min$", first)
    assert second.startswith("Effective, read back Isolate host ws-0042 at edr")
    assert second.endswith("When somebody takes it back")
    assert navigation(vera.get(LIST).text).endswith("Runs In force Switches Autonomy")
    failed(desk, forever)
    first, second = rows(vera.get(f"{LIST}/rows").text)
    assert first.startswith("Undo failed Isolate host ws-0042 at edr : not undone: ")
    assert second.startswith("Effective, on lease Isolate host ws-0043")
    for path in ("/console/", "/console/approvals", "/console/runs", LIST, page(soon)):
        assert "In force 1 overdue or not undone Switches" in navigation(vera.get(path).text)


def test_the_bar_is_what_is_left_of_the_time(desk: Desktop, client: Any) -> None:
    made, vera = desk.contain(lease=timedelta(hours=4)), client("vera")

    def share() -> int:
        found = re.search(r'<meter [^>]*value="(\d+)"', vera.get(LIST).text)
        assert found is not None
        return int(found[1])

    assert made.lease_until is not None
    assert share() >= 98
    desk.time.advance(2 * 3600.0)
    assert 48 <= share() <= 50
    desk.time.advance(2 * 3600.0 + 90)
    html = vera.get(LIST).text  # the hub stands still: what is owed is told all the same
    assert share() == 0
    assert rows(html)[0].endswith("1 min ago, and still there")
    assert "In force 1 overdue or not undone" in navigation(html)


def test_a_lease_is_kept_longer_and_the_second_time_by_another(desk: Desktop, client: Any) -> None:
    made, ann, bob = desk.contain(), client("ann"), client("bob")
    before = ann.get(f"{page(made)}/version").text
    form = token(ann.get(page(made)).text)
    answer = keep(ann, made, reason="still being cleaned")
    assert (answer.status_code, answer.headers["location"]) == (303, page(made))
    assert desk.action(made).lease_until == desk.time.clock() + timedelta(hours=4)
    assert desk.hub.journal.history(TENANT, made.action_id)[-1].detail["note"].endswith(": still being cleaned")
    assert ann.get(f"{page(made)}/version").text != before
    assert "You kept it longer last time: another person has to" in card(ann.get(page(made)).text, "keep")
    refused = ann.post(f"{page(made)}/renew", data={"form": form, "hours": "24"})
    assert refused.status_code == 409
    assert "ann renewed it last time: a second renewal takes another person." in words(refused.text)
    assert card(bob.get(page(made)).text, "keep").startswith("Keep it longer The lease ends later,")
    offered = re.findall(r'<option value="(\d+)">([^<]+)<', bob.get(page(made)).text)
    ends = [desk.time.clock() + timedelta(hours=hours) for hours in (24, 168)]  # four hours it has already
    assert offered == [
        ("24", f"24 hours: {ends[0]:%Y-%m-%d %H:%M} UTC"),
        ("168", f"7 days: {ends[1]:%Y-%m-%d %H:%M} UTC"),
    ]
    assert keep(bob, made, "168").status_code == 303
    assert desk.action(made).lease_until == desk.time.clock() + timedelta(days=7)
    assert "It lasts longer than" not in card(bob.get(page(made)).text, "keep")
    assert "seven days already" in card(ann.get(page(made)).text, "keep")


@pytest.mark.parametrize("hours", ["", "5", "-4", "1e9", "nan", "8784"])
def test_only_the_times_of_the_form_are_taken(desk: Desktop, client: Any, hours: str) -> None:
    made = desk.contain()
    answer = keep(client("ann"), made, hours)
    assert answer.status_code == 422
    assert "choose one of the times that the form offers" in words(answer.text)
    assert desk.action(made) == made


def test_what_the_engine_refuses_is_shown_in_its_words(desk: Desktop, client: Any) -> None:
    made, ann = desk.contain(), client("ann")
    waiting = desk.hub.engine.propose(TENANT, "host.isolate", made.target, requested_by="ann", case_id="CASE-9")
    assert card(ann.get(page(waiting)).text, "undo") == "Undo It cannot be undone as it stands: cancel it."
    sent = {"form": token(ann.get(page(made)).text), "reason": "x", "hours": "24"}
    refused = ann.post(f"{page(waiting)}/undo", data=sent)
    assert refused.status_code == 409
    assert f"{waiting.action_id} is awaiting_approval: cancel it." in words(refused.text)
    refused = ann.post(f"{page(waiting)}/renew", data=sent)
    assert refused.status_code == 409
    assert "only a running lease can be renewed" in words(refused.text)


def test_a_failed_undo_is_tried_once_more_from_its_page(desk: Desktop, client: Any) -> None:
    made, ann = desk.contain(), client("ann")
    failed(desk, made)
    assert "Undo it once more" in card(ann.get(page(made)).text, "undo")
    desk.simulators["edr"].faults.clear()
    assert undo(ann, made).status_code == 303
    desk.work(120, until=lambda: desk.action(made).state is S.UNDONE)
    assert desk.isolated() == set()


def test_hostile_text_is_shown_as_text(desk: Desktop, client: Any) -> None:
    made, ann = desk.contain(), client("ann")
    hostile = replace(
        made,
        action_id="act-evil",
        idempotency_key="evil",
        target=Target.parse(f"host:{EVIL}"),
        reason=EVIL,
        requested_by=EVIL,
        error=EVIL,
        case_id=EVIL,
        result={**made.result, "renewed_by": EVIL},
    )
    evil = desk.hub.journal.create(hostile, actor="ann")
    for path in (LIST, f"{LIST}/rows", page(evil), f"{page(evil)}/live"):
        html = ann.get(path).text
        assert "<script>alert" not in html
        assert "&lt;script&gt;alert(1)" in html
        assert "\u202e" not in html
    refused = ann.post(f"{page(evil)}/undo", data={"form": token(ann.get(page(evil)).text)})
    assert refused.status_code == 422
    assert "<script>alert" not in refused.text


def test_a_long_list_has_pages(desk: Desktop, client: Any) -> None:
    made, vera = desk.contain(), client("vera")
    for number in range(60):
        copy = replace(made, action_id=f"act-{number:03}", idempotency_key=f"k{number}")
        desk.hub.journal.create(copy, actor="ann")
    first = vera.get(LIST).text
    assert len(rows(first)) == 50
    second = vera.get(f"{LIST}?from=50").text
    assert len(rows(second)) == 11
    assert f'data-refresh="{LIST}/rows?from=50"' in second
    named = [set(re.findall(r'id="lease-([^"]+)"', html)) for html in (first, second)]
    assert (len(named[0] | named[1]), named[0] & named[1]) == (61, set())
    for broken in ("x", "-1", "99999999", "²"):
        assert vera.get(f"{LIST}?from={broken}").text.count('class="title"') == 50


def test_a_case_leads_whoever_may_to_the_undo_of_what_is_in_force(stage: Any, hub: Any) -> None:
    stage.furnish(hub)
    hub.principals["north-analyst"] = stage.Principal("north", "ann", stage.Role.ANALYST)
    app = stage.site(hub).app
    case = "/console/cases/ND-2026-000001"
    html = stage.Site(app).sign_in("north-analyst").get(case).text
    found = re.findall(r'<a class="button" href="(/console/leases/[^"]+)">', html)
    # Isolated, and a block that was never verified; what awaits an approval is not in force.
    assert sorted(found) == [f"{LIST}/action-ND-2026-000001-{verb}" for verb in ("host.isolate", "ip.block")]
    for path in found:
        assert stage.Site(app).sign_in("north-analyst").get(path).text.count(f'action="{path}/undo"') == 1
    assert "/console/leases/" not in stage.Site(app).sign_in("north-viewer").get(case).text
