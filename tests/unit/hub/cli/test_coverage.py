import json
from pathlib import Path
from typing import Any

from tests.goldens import FIXTURES
from tests.hubs import run_cli


def an_alert(form: str) -> dict[str, Any]:
    source = next(path for path in sorted((FIXTURES / "zeek" / form).glob("*.json")) if path.name.count(".") == 1)
    found: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    return found


def test_coverage_says_where_the_values_of_a_folder_ended(tmp_path: Path) -> None:
    written = tmp_path / "table.md"
    done = run_cli("coverage", FIXTURES / "zeek" / "intel", "--json", "--write", written)
    (stream,) = json.loads(done.stdout)["streams"]
    assert (stream["product"], stream["stream"], done.exit_code) == ("zeek", "intel", 0)
    assert stream["alerts"] == len(list((FIXTURES / "zeek" / "intel").glob("*.stix.json")))
    assert sum(stream["leaves_by_place"].values()) == stream["leaves"]
    assert stream["shares"]["standard"] > 0.5
    assert "| zeek | intel |" in written.read_text(encoding="utf-8")


def test_a_lost_value_is_named_and_ends_in_its_own_exit_code(tmp_path: Path) -> None:
    alert = an_alert("intel")
    (tmp_path / "alert.json").write_text(json.dumps({**alert, "brand_new": 7}), encoding="utf-8")
    done = run_cli("coverage", tmp_path)
    assert done.exit_code == 1
    assert "lost: zeek/intel brand_new (1)" in done.stdout


def test_files_without_alerts_are_bad_usage(tmp_path: Path) -> None:
    assert run_cli("coverage", tmp_path).exit_code == 2


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"cut": ', encoding="utf-8")
    done = run_cli("coverage", tmp_path)
    assert done.exit_code == 1
    assert "quarantined" in done.stdout
    assert "cut.json" in done.stdout


def test_strict_sets_an_alert_aside_and_says_which_paths(tmp_path: Path) -> None:
    alert = an_alert("intel")
    (tmp_path / "alert.json").write_text(json.dumps({**alert, "brand_new": 7}), encoding="utf-8")
    arguments = ("normalize", "auto", tmp_path / "alert.json", "--tenant", "acme", "--out", tmp_path / "out", "--json")
    assert run_cli(*arguments).exit_code == 0
    strict = run_cli(*arguments, "--strict")
    assert strict.exit_code == 3
    (row,) = json.loads(strict.stdout)["quarantine"]
    assert row["reason"] == "strict: no mapping reads brand_new"


def test_two_contents_of_one_version_become_two_versions_in_one_run(tmp_path: Path) -> None:
    alert = an_alert("notices")
    (tmp_path / "a.json").write_text(json.dumps(alert), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps({**alert, "msg": "said in other words"}), encoding="utf-8")
    files, out = (tmp_path / "a.json", tmp_path / "b.json"), tmp_path / "out"
    done = run_cli("normalize", "auto", *files, "--tenant", "acme", "--out", out, "--json")
    assert json.loads(done.stdout)["later_versions"] >= 1
    made = [json.loads((out / f"{name}.bundle.json").read_bytes())["objects"] for name in ("a", "b")]
    first, second = ({entry["id"]: entry for entry in objects if "modified" in entry} for objects in made)
    shared = [(first[ref], second[ref]) for ref in first.keys() & second.keys()]
    assert all(one == other or one["modified"] < other["modified"] for one, other in shared)
