import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.desks import CASE, Desktop
from tests.hubs import run_cli
from tests.playbooks import a_document, do, end, isolate, manual, ref, start

STEPS = {
    "start": start("isolate"),
    "isolate": do(isolate(), on_success="look"),
    "look": manual("is it quiet?", settings={"answers": ["yes", "no"]}, on_completion="z"),
    "z": end(),
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desktop]:
    with ExitStack() as stack:
        yield Desktop(stack, tmp_path, ["edr"])


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(a_document(STEPS)))
    return path


def _ask(desk: Desktop, *words: str | Path, code: int = 0) -> Any:
    found = run_cli("playbook", *words, "--config", desk.config, "--json")
    assert found.exit_code == code, found.output
    return json.loads(found.stdout)


def test_valid_playbooks_are_shown_with_risk_and_way_back(mine: Path) -> None:
    found = json.loads(run_cli("playbook", "validate", mine, "--json").stdout)
    assert found["ok"] is True
    assert found["playbooks"][0]["verbs"] == [
        {"verb": "host.isolate", "risk": "R2", "undo": "host.release", "role": "edr"}
    ]
    assert "host.isolate" in run_cli("playbook", "validate", mine).stdout


def test_every_problem_of_every_file_is_told(tmp_path: Path, mine: Path) -> None:
    broken = a_document(
        {**STEPS, "look": manual("see the wazuh console", on_completion=ref("action", "gone"))}, name="broken"
    )
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    found = run_cli("playbook", "validate", mine, tmp_path / "broken.json", "--json")
    assert found.exit_code == 2
    problems = json.loads(found.stdout)["problems"]
    assert {Path(one["file"]).name for one in problems} == {"broken.json"}
    said = " ".join(one["message"] for one in problems)
    assert "names Wazuh, wazuh" in said
    look = next(name for name, step in broken["workflow"].items() if step["name"] == "look")
    assert any(one["key"] == f"/workflow/{look}/on_completion" for one in problems)


def test_the_bundled_ones_are_listed_and_drawn() -> None:
    rows = json.loads(run_cli("playbook", "list", "--json").stdout)
    assert {row["name"] for row in rows} >= {"ransomware-host", "phishing"}
    drawn = run_cli("playbook", "show", "beaconing-host").stdout
    assert "- Keep evidence, tell people (parallel): side by side" in drawn
    assert "host.isolate __host__:value, for 24 h (R2; taken back by host.release)" in drawn
    assert json.loads(run_cli("playbook", "show", "beaconing-host", "--json").stdout)["outlook"]
    assert run_cli("playbook", "show", "nothing").exit_code == 1


def test_a_file_is_unpacked_edited_and_packed(tmp_path: Path, mine: Path) -> None:
    readable = json.loads(run_cli("playbook", "unpack", mine).stdout)
    step = next(body for body in readable["workflow"].values() if body["name"] == "isolate")
    step["commands"][0]["content"]["target"]["device"]["hostname"] = "ws-0007"
    (tmp_path / "edited.json").write_text(json.dumps(readable))
    packed = json.loads(run_cli("playbook", "pack", tmp_path / "edited.json").stdout)
    (tmp_path / "packed.json").write_text(json.dumps(packed))
    assert run_cli("playbook", "validate", tmp_path / "packed.json").exit_code == 0
    assert "ws-0007" in run_cli("playbook", "show", tmp_path / "packed.json").stdout


def test_a_dry_run_says_everything_and_sends_nothing(desk: Desktop, mine: Path) -> None:
    who = ("--tenant", "acme", "--as", "ann", "--case", CASE, "--dry-run")
    found = _ask(desk, "run", mine, *who)
    assert found["dry_run"] is True
    (command,) = found["steps"][0]["commands"]
    assert (command["verb"], command["instance"], command["approval"]) == ("host.isolate", "edr", "a second person")
    shown = run_cli("playbook", "run", mine, *who, "--config", desk.config).stdout
    assert "nothing was sent" in shown
    assert "not known before: its id of the host" in shown
    assert desk.simulators["edr"].seen == []
    assert desk.actions() == []
    assert _ask(desk, "status", "--tenant", "acme") == []


def test_a_run_from_start_to_undo(desk: Desktop, mine: Path) -> None:
    who = ("--tenant", "acme", "--as")
    begun = _ask(desk, "run", mine, *who, "ann", "--case", CASE)
    (waiting,) = begun["waiting"]
    assert waiting["next"] == f"nightdesk approve {waiting['action_id']}"
    own = run_cli("approve", waiting["action_id"], *who, "ann", "--config", desk.config)
    assert own.exit_code == 1
    assert "cannot approve it" in own.output
    assert run_cli("approve", waiting["action_id"], *who, "bob", "--config", desk.config).exit_code == 0
    desk.restart()
    desk.work()
    (question,) = _ask(desk, "status", begun["run_id"], "--tenant", "acme")["waiting"]
    assert question["answers"] == ["yes", "no"]
    assert "is it quiet?" in run_cli(
        "playbook", "status", begun["run_id"], "--tenant", "acme", "--config", desk.config
    ).stdout  # fmt: skip
    ended = _ask(desk, "answer", begun["run_id"], "look", *who, "bob", "--answer", "yes")
    assert (ended["state"], ended["playbook"]) == ("completed", begun["playbook"])
    assert _ask(desk, "status", "--tenant", "acme")[0]["state"] == "completed"
    (taken,) = _ask(desk, "undo", begun["run_id"], *who, "bob")
    assert (taken["verb"], taken["state"], taken["left"]) == ("host.isolate", "undone", False)


def test_a_run_is_stopped(desk: Desktop, mine: Path) -> None:
    run_id = _ask(desk, "run", mine, "--tenant", "acme", "--as", "ann", "--case", CASE)["run_id"]
    stopped = _ask(desk, "stop", run_id, "--tenant", "acme", "--as", "bob", "--reason", "false alarm")
    assert (stopped["state"], stopped["problem"]) == ("cancelled", "stopped by bob: false alarm")


def test_wrong_words_are_refused(desk: Desktop, mine: Path) -> None:
    who = ("--tenant", "acme", "--as", "ann", "--case", CASE, "--config", desk.config)
    assert run_cli("playbook", "run", mine, *who, "--var", "host").exit_code == 2
    assert run_cli("playbook", "run", mine, *who, "--var", "host=x").exit_code == 2
    assert run_cli("playbook", "status").exit_code == 2
    assert run_cli("playbook", "answer", "run-000009", "x", "--tenant", "acme", "--as", "a").exit_code != 0


def test_one_action_runs_dry(desk: Desktop) -> None:
    words = (
        "act",
        "host.isolate",
        "host:ws-0042",
        "--tenant",
        "acme",
        "--as",
        "ann",
        "--config",
        desk.config,
        "--dry-run",
    )
    found = json.loads(run_cli(*words, "--json").stdout)
    assert (found["dry_run"], found["instance"], found["undo"]) == (True, "edr", "host.release")
    assert "nothing was sent" in run_cli(*words).stdout
    lost = run_cli(*words, "--param", "colour=red")
    assert lost.exit_code == 1
    assert "has no parameter colour" in lost.stdout
    assert desk.simulators["edr"].seen == []
    assert desk.hub.journal.in_state(["approved", "requested", "effective"]) == []  # type: ignore[list-item]  # words of it


def test_a_rehearsal_prints_what_each_vendor_made_of_it() -> None:
    vendors = ("--vendor", "crowdstrike_falcon", "--vendor", "wazuh")
    found = run_cli("playbook", "test", "beaconing-host", *vendors, "--json")
    assert found.exit_code == 0, found.output
    first, second = json.loads(found.stdout)
    assert (first["vendor"], first["state"]) == ("crowdstrike_falcon", "completed")
    assert first["effective"] >= 4
    assert all(deed["undone"] is not False for deed in first["deeds"])
    assert (second["vendor"], second["state"], second["requests"]) == ("wazuh", "refused", 0)
    assert "does not offer host.isolate" in second["problem"]
