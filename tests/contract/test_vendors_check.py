"""Whatever is wrong at a vendor shows in `nightdesk vendors check`, in words that help, and costs no alert."""

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.hubs import REGISTRY, bind, opened, run_cli

from nightdesk.hub.store import intake
from nightdesk.sdk.testing import FaultPlan, Simulator, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.faults import FaultKind
from nightdesk.sdk.testing.subject import an_alert

_WRONG: tuple[tuple[FaultKind, dict[str, Any], str], ...] = (
    ("not_json", {}, "JSON|html|sign-in"),
    ("truncated_body", {}, "bytes|broke|incomplete|closed|peer|truncated"),
    ("redirect", {"to": "https://elsewhere.example/collect"}, "redirect"),
    ("expired_token", {}, "credentials|token|sign"),
    ("missing_scope", {}, "grant|lacks|permission|scope|allow"),
    ("rate_limited", {"bare": True}, "too many|wait|rate"),
    ("server_error", {"status": 503}, "503|unavailable"),
)
_REMOTE = sorted(name for name, one in REGISTRY.manifests.items() if one.remote)


def check(config: Path) -> tuple[int, dict[str, Any]]:
    result = run_cli("vendors", "check", "--tenant", "acme", "--config", str(config), "--json")
    (row,) = json.loads(result.stdout)
    return result.exit_code, row


@pytest.mark.slow
@pytest.mark.parametrize("vendor", _REMOTE)
def test_each_thing_that_is_wrong_is_named_and_all_is_well_once_it_is_mended(vendor: str, tmp_path: Path) -> None:
    simulator = REGISTRY.simulator(vendor)()
    with serve(simulator) as served:
        config = bind(tmp_path, "acme", {"main": (simulator, served.base_url)})
        code, row = check(config)
        assert (code, row["ok"], row["problems"]) == (0, True, [])
        for kind, options, _ in _WRONG:
            simulator.faults.clear()
            simulator.faults.add(kind, options=options)
            code, row = check(config)
            assert code == 1, kind
            assert row["problems"], kind
            assert all(vendor in problem for problem in row["problems"]), row["problems"]
            assert not [text for text in row["problems"] if simulator.secret in text]
        simulator.faults.clear()
        assert check(config)[0] == 0


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What one command says of a connector for each thing that is wrong, and of one where nothing is: all try at once.

    The command lives in our time, so that its retries are waited for in earnest. No connector's name tells its trouble.
    """
    kinds: dict[str, str] = {}
    with ExitStack() as served:
        bound = {}
        for number, trouble in enumerate([None, *_WRONG]):
            simulator, name = REGISTRY.simulator("crowdstrike_falcon")(), f"edr-{number}"
            bound[name] = (simulator, served.enter_context(serve(simulator)).base_url)
            kinds[name] = trouble[0] if trouble else ""
            if trouble:
                simulator.faults.add(trouble[0], options=trouble[1])
        config = bind(tmp_path_factory.mktemp("troubled"), "acme", bound, roles={})
        result = run_cli("vendors", "check", "--tenant", "acme", "--config", str(config), "--json")
    assert result.exit_code == 1
    return {kinds[row["connector"]]: row for row in json.loads(result.stdout)}


@pytest.mark.parametrize(("kind", "says"), [(kind, says) for kind, _, says in _WRONG], ids=[row[0] for row in _WRONG])
def test_the_words_say_what_is_wrong(kind: FaultKind, says: str, troubled: dict[str, dict[str, Any]]) -> None:
    row = troubled[kind]
    assert not row["ok"]
    assert any(word.lower() in " ".join(row["problems"]).lower() for word in says.split("|")), row["problems"]


def test_what_is_wrong_at_others_is_no_trouble_of_a_connector(troubled: dict[str, dict[str, Any]]) -> None:
    assert set(troubled) == {"", *(kind for kind, _, _ in _WRONG)}
    assert (troubled[""]["ok"], troubled[""]["problems"]) == (True, [])


def test_a_clock_that_is_wrong_is_told_though_everything_else_works(tmp_path: Path) -> None:
    simulator = REGISTRY.simulator("okta")(faults=FaultPlan())
    with serve(simulator) as served:
        config = bind(tmp_path, "acme", {"main": (simulator, served.base_url)})
        simulator.faults.add("clock_skew", options={"seconds": 900})
        code, row = check(config)
    assert code == 1
    assert "clock" in row["problems"][0]


@pytest.mark.parametrize(("kind", "options", "_says"), _WRONG, ids=[kind for kind, _, _ in _WRONG])
def test_a_fault_between_two_pages_keeps_the_cursor_and_loses_nothing(
    kind: FaultKind, options: dict[str, Any], _says: str, tmp_path: Path
) -> None:
    time = FakeTime()
    simulator: Simulator = REGISTRY.simulator("crowdstrike_falcon")(clock=time.clock)
    for number in range(5):
        simulator.add(an_alert(time, f"alert-{number}"))
    later: list[str] = []

    async def go(config: Path) -> tuple[Any, Any, str, set[str]]:
        with opened(config, time) as hub:
            try:
                await hub.once()
                stream = hub.feeds[0].state.stream
                with hub.store.read() as conn:
                    before = intake.cursor(conn, "acme", "main", stream)
                later.append(simulator.add(an_alert(time, "one-more")))
                simulator.faults.add(kind, options=options)
                await hub.feeds[0].once()
                problem = hub.feeds[0].state.problem
                with hub.store.read() as conn:
                    after = intake.cursor(conn, "acme", "main", stream)
                simulator.faults.clear()
                await hub.feeds[0].once()
                with hub.store.read() as conn:
                    found = {row.native_id for row in intake.waiting(conn, limit=100)}
            finally:
                await hub.bindings.aclose()
            return before, after, problem, found

    with serve(simulator) as served:
        before, after, problem, found = asyncio.run(go(bind(tmp_path, "acme", {"main": (simulator, served.base_url)})))
    assert before == after
    assert problem
    assert found == set(later)
