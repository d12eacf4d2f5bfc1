"""The console as a person meets it: a real browser signs in, reads the queue and a case, and sees it change by itself.

Needs Chromium (Debian's package ``chromium``); NIGHTDESK_CHROMIUM names another one.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browsers import CONTRAST, Browser

from nightdesk.hub.api.app import create_app
from nightdesk.hub.console.decision_picture import draw_decision
from nightdesk.hub.record.drawing import svg
from nightdesk.hub.store.queries import case_page
from nightdesk.sdk.testing.serve import serve

pytestmark = pytest.mark.slow

_LEASE = "leases/action-ND-2026-000001-host.isolate"
PAGES = ("", "cases/ND-2026-000001", "leases", _LEASE)
_STAGE = Path(__file__).parents[1] / "unit" / "hub" / "console" / "stage.py"


def _load_stage() -> Any:
    spec = importlib.util.spec_from_file_location("console_stage", _STAGE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault("console_stage", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


stage = _load_stage()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Any]:
    made = stage.open_stage(tmp_path)
    stage.furnish(made)
    yield made
    made.store.close()


@pytest.fixture
def address(hub: Any) -> Iterator[str]:
    with serve(create_app(hub, session_key=b"k" * 32)) as served:
        yield f"{served.base_url}/console/"


def _sign_in(browser: Browser, address: str, token: str = "north-viewer") -> None:
    browser.go("about:blank")  # the page before still asks its own hub, which is gone
    browser.complaints.clear()
    browser.size(1280, 900)
    browser.go(address + "login")
    browser.until("document.activeElement.id === 'token'")
    browser.call("Input.insertText", text=token)
    browser.key("Enter", 13)
    browser.until("document.querySelector('h1')?.textContent === 'Cases'")


def test_a_person_signs_in_reads_the_queue_and_opens_a_case_by_keyboard(browser: Browser, address: str) -> None:
    _sign_in(browser, address)
    assert browser.run("document.querySelectorAll('table.queue tbody tr').length") == 5
    browser.run("document.getElementById('case-1').focus()")
    browser.key("Enter", 13)
    browser.until("location.pathname.endsWith('/ND-2026-000001') && document.querySelector('.graph svg') !== null")
    assert "A signed rule proposes isolation" in browser.run("document.querySelector('.story').innerText")
    assert browser.run("document.querySelectorAll('.graph .edge').length") > 5
    assert browser.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_wider_than_its_screen(
    browser: Browser, address: str, tmp_path: Path, width: int, path: str
) -> None:
    _sign_in(browser, address, "north-admin")  # who sees the forms as well
    browser.size(width, 844)
    browser.go(address + path)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert len(browser.picture(tmp_path / "page.png")) > 20_000
    assert browser.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(browser: Browser, address: str, dark: bool) -> None:
    """WCAG 2.1 AA, 4.5 to 1, for every text on every page."""
    _sign_in(browser, address, "north-admin")  # who sees the forms as well
    browser.size(1280, 900, dark=dark)
    for path in PAGES:
        browser.go(address + path)
        browser.run("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        assert browser.run(CONTRAST) == []


def test_the_queue_shows_a_new_case_by_itself_and_keeps_the_focus(browser: Browser, address: str, hub: Any) -> None:
    _sign_in(browser, address)
    browser.run("document.getElementById('tab-closed').focus()")
    made = stage.alert(44, title="Shadow copies deleted")
    stage.store_case(hub, "ND-2026-000006", [made], title="Shadow copies deleted", status=stage.CaseStatus.NEW)
    browser.until("document.querySelector('.queue').innerText.includes('Shadow copies deleted')")
    assert browser.run("document.activeElement.id") == "tab-closed"
    assert browser.run("document.getElementById('freshness').textContent").startswith("Up to date at ")
    assert browser.complaints == []


def test_an_open_case_says_that_it_has_changed(browser: Browser, address: str, hub: Any) -> None:
    _sign_in(browser, address)
    browser.go(address + "cases/ND-2026-000001")
    assert browser.run("document.getElementById('changed').hidden") is True
    stage.decide(hub, stage.decision("ND-2026-000001", 9, outcome=stage.Outcome.CLOSE, proposals=()))
    browser.until("document.getElementById('changed').hidden === false")
    browser.run("document.querySelector('#changed a').click()")
    browser.until("document.querySelector('.story')?.innerText.includes('The case was closed')")


def test_a_revoked_session_comes_back_to_the_sign_in_page(browser: Browser, address: str, hub: Any) -> None:
    _sign_in(browser, address)
    del hub.principals["north-viewer"]
    browser.until("document.querySelector('h1')?.textContent === 'Sign in'")


def test_what_an_alert_says_runs_nowhere(browser: Browser, address: str, hub: Any) -> None:
    evil = '"><img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>'
    entities = (stage.Entity(stage.EntityKind.HOST, evil), stage.Entity(stage.EntityKind.FILE, evil))
    made = stage.alert(46, title=evil, description=evil, entities=entities, console_url="javascript:alert(4)")
    stage.store_case(hub, "ND-2026-000007", [made], title=evil)
    _sign_in(browser, address)
    assert "alert(2)" in browser.run("document.getElementById('case-1').textContent")
    browser.go(address + "cases/ND-2026-000007")
    assert "alert(2)" in browser.run("document.querySelector('h1').textContent")
    assert "alert(2)" in browser.run("document.querySelector('.graph').textContent")
    assert browser.complaints == []


_PICTURE = """
[...document.querySelectorAll('.decision-picture .box')].flatMap((box) => {
  const frame = box.querySelector('.shape').getBoundingClientRect();
  return [...box.querySelectorAll('text')].filter((line) => {
    const own = line.getBoundingClientRect();
    return own.right > frame.right || own.bottom > frame.bottom || own.top < frame.top;
  }).map((line) => line.textContent);
})
"""
"""Every line that leaves its box."""


@pytest.mark.parametrize("dark", [False, True])
def test_the_picture_of_a_decision_stands_on_the_case_page_and_in_a_file_of_its_own(
    browser: Browser, address: str, hub: Any, tmp_path: Path, dark: bool
) -> None:
    _sign_in(browser, address)
    browser.size(1280, 900, dark=dark)
    browser.go(address + "cases/ND-2026-000001")
    shown = browser.run("document.querySelector('.decision-picture').textContent")
    assert "Propose containment" in shown
    assert "Effective, on lease" in shown
    assert browser.run(_PICTURE) == []
    assert browser.complaints == []

    with hub.store.read() as conn:
        page = case_page(conn, "north", "ND-2026-000001")
    assert page is not None
    file = tmp_path / "decision.svg"
    file.write_bytes(svg(draw_decision(page.decisions[-1], page.case.alerts, page.actions)))
    browser.go(f"file://{file}")
    assert browser.run("document.documentElement.tagName") == "svg"
    assert browser.run(_PICTURE) == []
    ground = browser.run("getComputedStyle(document.querySelector('.ground')).fill")
    assert ground == ("rgb(22, 28, 46)" if dark else "rgb(255, 255, 255)")
    assert len(browser.picture(tmp_path / "decision.png")) > 10_000
    browser.go("about:blank")
