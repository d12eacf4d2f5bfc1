"""The demonstration's third act, run once: what it tells is what the store holds, and what a person sees afterwards.

The nights are proved by the swap matrix, and the whole of it from the wheel by the tests of packaging.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.hubs import REGISTRY, run_cli

from nightdesk.hub.demo.climb import GOAL, Climb
from nightdesk.hub.demo.levels import Act, Levels
from nightdesk.hub.demo.run import Demo


@dataclass
class Seen:
    """What the act told, what it drew meanwhile, and where it left its store."""

    found: Levels
    lines: list[str]
    drawn: list[str]
    config: Path

    def command(self, *words: str) -> Any:
        """What a command answers about the desk that the act leaves."""
        done = run_cli(*words, "--tenant", "acme", "--config", self.config, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder, lines, drawn = tmp_path_factory.mktemp("act"), list[str](), list[str]()
    climbs: list[Climb] = []

    @contextmanager
    def view(climb: Climb) -> Iterator[None]:
        climbs.append(climb)
        yield

    def say(text: str) -> None:
        lines.append(text)
        drawn.extend(str(cell) for climb in climbs for column in climb.drawn().columns for cell in column.cells)

    found = Act(folder, REGISTRY, "crowdstrike_falcon", say, view).run()
    return Seen(found, lines, drawn, folder / "nightdesk.yaml")


def test_a_rule_earns_its_level_step_by_step_and_one_planted_attack_takes_it(seen: Seen) -> None:
    found = seen.found
    assert found.held
    assert found.climbed == ["off", "shadow", "recommend", "auto-close", "recommend"]
    assert (found.earned, found.raised_by, found.revoked) == (True, ("abe", "ada"), True)
    assert found.closures == found.reopened == found.closed + 1  # the planted attack is one of them
    assert found.closed == found.closed_at_vendor == found.open_again_at_vendor > 0
    assert found.replayed == found.replayed_same > found.closed
    assert "evidence (e-value)" in found.refused_early
    assert "has not earned auto-close" in found.refused
    assert found.evidence >= GOAL * (1 - 1e-6)


def test_what_it_told_is_what_the_command_shows(seen: Seen) -> None:
    told = seen.command("autonomy", "status")
    (rule,) = [one for one in told["units"] if one["lost"]]
    assert (rule["granted"], rule["lost"], rule["granted_by"]) == ("recommend", seen.found.lost, [])
    assert told["canaries"]["caught"] == seen.found.canaries_caught
    assert told["canaries"]["missed"] == 1
    events = [one["event"] for one in told["history"]]
    assert events.count("level.raised") == events.count("level.lost") == 1
    assert told["coverage"]["cases"].get("closed", 0) == 0


def test_what_the_readme_shows_of_it_is_what_it_told(seen: Seen) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("```text\n")[2].partition("```")[0].splitlines()
    told = "\n".join(seen.lines)
    assert len(shown) > 5
    assert [part for line in shown for part in line.split("…") if part.strip() not in told] == []


def test_every_decision_of_it_is_made_again_by_the_command(seen: Seen) -> None:
    told = seen.command("decisions", "replay", "--all")
    assert told["good"] is True
    assert told["results"]["same"] == told["decisions"] > seen.found.shadowed + seen.found.judged


def test_the_evidence_is_drawn_against_its_goal_as_it_grows_and_when_it_is_gone(seen: Seen) -> None:
    values = [float(match[1]) for line in seen.lines if (match := re.search(r"judged  e +([\d.]+) ", line))]
    *up, last = values
    assert up == sorted(up)
    assert (up[-1], last) == (GOAL, 1.0)
    full = [line.count("█") for line in seen.lines if "judged  e" in line]
    assert max(full) == full[-2] == 30
    assert full[-1] == 1
    assert any("people judge" in one for one in seen.drawn)


def test_without_the_extra_it_says_what_to_install_and_takes_nothing_from_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert Demo(alerts=20, folder=tmp_path, headless=True).levels(tmp_path / "levels") is None
    assert "pip install 'nightdesk[learn]'" in capsys.readouterr().out
    assert not (tmp_path / "levels").exists()


@pytest.mark.slow
def test_the_desk_stays_in_the_console_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("nightdesk")), "demo", "--headless", "--keep", "--alerts", "20"]
    with subprocess.Popen([*command, "--folder", str(tmp_path)], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        told = next(
            match for line in demo.stdout if (match := re.match(r"console: (\S+)/console/  token: (\S+) ", line))
        )
        found = httpx.get(f"{told[1]}/v1/autonomy", headers={"Authorization": f"Bearer {told[2]}"}, trust_env=False)
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
    assert found.status_code == 200
    assert found.json()["coverage"]["cases"]
    assert demo.returncode == 0
