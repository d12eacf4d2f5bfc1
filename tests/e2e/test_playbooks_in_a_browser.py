"""The pages of playbooks in a real browser: a rule starts one, a person watches it move on, in light and in dark.

Needs Chromium (Debian's package ``chromium``); NIGHTDESK_CHROMIUM names another one.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.browsers import CONTRAST, Browser
from tests.desks import TENANT
from tests.ruled import CASE, RuledDesk, policy_for

from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.hub.api.app import create_app
from nightdesk.sdk.testing.serve import serve

pytestmark = pytest.mark.slow

RANSOMWARE, PHISHING = bundled().find("ransomware-host"), bundled().find("phishing")
BOOK, RUN = f"playbooks/books/{RANSOMWARE.id}", "playbooks/runs/run-000001"
PAGES = ("playbooks", "runs", BOOK, f"playbooks/books/{PHISHING.id}", RUN, f"cases/{CASE}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[RuledDesk]:
    with ExitStack() as stack:
        policy = policy_for(RANSOMWARE, inputs={"__host__": "victim-host"})
        made = RuledDesk(stack, tmp_path, policy, RANSOMWARE)
        made.alert("a1")
        made.work(10)
        yield made


@pytest.fixture
def address(browser: Browser, desk: RuledDesk) -> Iterator[str]:
    """The console, signed in."""
    token = (desk.config.parent / "secrets" / f"{TENANT}.console").read_text().strip()
    with serve(create_app(desk.hub, session_key=b"k" * 32)) as served:
        base = f"{served.base_url}/console/"
        browser.go("about:blank")
        browser.complaints.clear()
        browser.size(1280, 900)
        browser.go(base + "login")
        browser.until("document.activeElement.id === 'token'")
        browser.call("Input.insertText", text=token)
        browser.key("Enter", 13)
        browser.until("document.querySelector('h1')?.textContent === 'Cases'")
        yield base


def _tone(label: str) -> str:
    """A script that gives the styles of the step with that label."""
    return (
        "[...document.querySelectorAll('.flow .step')].find((one) => one.querySelector('.label').textContent === "
        f"{label!r})?.getAttribute('class')"
    )


def test_a_person_finds_a_playbook_and_follows_its_run_while_it_moves(
    browser: Browser, address: str, desk: RuledDesk
) -> None:
    browser.run("[...document.querySelectorAll('nav a')].find((one) => one.textContent === 'Playbooks').click()")
    browser.until("document.querySelector('h1')?.textContent === 'Playbooks'")
    browser.run("document.getElementById('run-1').focus()")
    browser.key("Enter", 13)
    browser.until("location.pathname.endsWith('/run-000001') && document.querySelector('.flow svg') !== null")
    assert browser.run(_tone("Isolate the host")) == "step deed warn"
    assert "1 more approver can move it on" in browser.run("document.querySelector('.waits').innerText")
    desk.play()
    browser.until(f"({_tone('Isolate the host')}) === 'step deed good'")
    browser.until(f"({_tone('Hand over to recovery')}) === 'step person warn'")
    assert "An analyst, an approver or an admin can move it on" in browser.run(
        "document.querySelector('.waits').innerText.replaceAll('\\n', ' ')"
    )
    desk.hub.playbooks.answer(TENANT, "run-000001", "Hand over to recovery", by="carol", text="handed over")
    desk.play()
    browser.until("document.querySelector('.run-state').innerText.includes('Completed')")
    assert browser.complaints == []


def test_a_person_answers_a_step_that_began_to_wait_while_they_looked(
    browser: Browser, address: str, desk: RuledDesk
) -> None:
    browser.go(address + "runs")
    browser.run("document.getElementById('run-1').click()")
    browser.until("location.pathname.endsWith('/run-000001') && document.querySelector('.flow svg') !== null")
    assert browser.run("document.querySelector('.question')") is None
    desk.play()
    browser.until("document.querySelector('#changed:not([hidden])') !== null")
    browser.run("[...document.querySelectorAll('#live .waits a')].find((one) => one.textContent === 'Answer').focus()")
    browser.key("Enter", 13)
    browser.until("document.querySelector(`.question${location.hash || '.none'}`) !== null")
    assert "Check that backups are offline" in browser.run("document.querySelector('.question').innerText")
    browser.run("document.querySelector('.question .answers button').focus()")
    browser.key("Enter", 13)
    browser.until("document.querySelector('.question') === null && location.hash === ''")
    desk.play()
    browser.until("document.querySelector('.run-state').innerText.includes('Completed')")
    (answered,) = [visit for visit in desk.run().visits if visit.outcome == "answered"]
    assert (answered.name, answered.note) == ("Hand over to recovery", "console: handed over")
    assert browser.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_wider_than_its_screen(
    browser: Browser, address: str, tmp_path: Path, width: int, path: str
) -> None:
    browser.size(width, 844)
    browser.go(address + path)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert len(browser.picture(tmp_path / "page.png")) > 20_000
    assert browser.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(browser: Browser, address: str, dark: bool) -> None:
    browser.size(1280, 900, dark=dark)
    for path in PAGES:
        browser.go(address + path)
        browser.run("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        assert browser.run(CONTRAST) == []
        assert browser.run(_DRAWN) == [], "words in the drawing too, each on the ground of its own box"


def test_no_word_of_a_drawing_leaves_its_box(browser: Browser, address: str) -> None:
    """As the browser sets it, with its own letters; the words of a way stay within the drawing."""
    for book in bundled().playbooks.values():
        browser.go(f"{address}playbooks/books/{book.id}")
        assert browser.run(_LEAVES) == [], book.name


_LEAVES = """
(() => {
  const out = [];
  for (const text of document.querySelectorAll(".flow .step text")) {
    const [here, box] = [text.getBBox(), text.parentNode.querySelector(".shape").getBBox()];
    if (here.x + here.width > box.x + box.width || here.y < box.y) out.push(text.textContent);
  }
  for (const text of document.querySelectorAll(".flow .way-name")) {
    const here = text.getBBox();
    if (here.x + here.width > text.ownerSVGElement.viewBox.baseVal.width) out.push(text.textContent);
  }
  return out;
})()
"""
_DRAWN = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const poor = [];
  for (const text of document.querySelectorAll(".flow .step text")) {
    const ground = getComputedStyle(text.parentNode.querySelector(".shape")).fill;
    const [one, other] = [light(parse(getComputedStyle(text).fill)), light(parse(ground))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${text.getAttribute("class")}: ${text.textContent}`);
  }
  return poor;
})()
"""


def test_a_person_takes_back_what_a_run_did_from_the_page_of_its_case(
    browser: Browser, address: str, desk: RuledDesk
) -> None:
    """By keyboard, and the page shows by itself that it was read back."""
    desk.play()
    browser.go(address + f"cases/{CASE}")
    browser.run("document.querySelector('.action a.button').focus()")
    browser.key("Enter", 13)
    browser.until("location.pathname.startsWith('/console/leases/act-') && document.querySelector('.stop') !== null")
    assert "Release host (host.release): ws-0042 at edr" in browser.run(
        "document.querySelector('aside .card').innerText.replaceAll('\\n', ' ')"
    )
    browser.run("document.querySelector('input[name=reason]').focus()")
    browser.call("Input.insertText", text="false alarm")
    browser.key("Enter", 13)
    browser.until("document.querySelector('#live .pill')?.innerText === 'Undo requested'")
    desk.work(60)
    browser.until("document.querySelector('#live .pill').innerText === 'Undone, read back'")
    browser.until("document.querySelector('#changed:not([hidden])') !== null")
    assert browser.complaints == []
