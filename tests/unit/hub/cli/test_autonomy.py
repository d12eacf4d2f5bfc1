"""`nightdesk autonomy evaluate` on tenants made up: what it promises, what it refuses, and that it never guesses."""

import csv
import gzip
import json
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.hubs import run_cli
from typer.testing import Result

COLUMNS = ("tenant", "host", "rule", "name", "ip", "n", "t0", "t1", "ev_label", "y", "grey")
NOISE = {"Disk": 300.0, "Login": 900.0, "Update": 1_500.0, "Lookup": 700.0}
STEPS = ("scan", "crack", "webshell", "spread")


def rows(name: str) -> list[tuple[object, ...]]:
    """Two days of noise, an hour of attack by rules of its own, one unclear group."""
    chance = Random(name)
    found: list[tuple[object, ...]] = []
    for rule, gap in NOISE.items():
        at = chance.random() * gap
        while at < 2 * 86_400:
            host = f"host-{chance.randrange(4)}"
            alerts = 1 + chance.randrange(6)
            found.append((name, host, rule, f"Tool: {rule}", "192.0.2.1", alerts, at, at + 10 * alerts, "-", 0, 0))
            at += gap * (0.5 + chance.random())
    for number, step in enumerate(STEPS):
        for part in range(4):
            at = 86_400 + number * 600.0 + part * 60
            title = f"Guard: {step} {part}"
            found.append((name, "host-0", f"{step}-{part}", title, "192.0.2.1", 40 + part, at, at + 30, step, 1, 0))
    found.append((name, "host-1", "Lookup", "Tool: Lookup", "192.0.2.1", 1, 5.0, 5.0, "-", 0, 1))
    return sorted(found, key=lambda row: float(str(row[6])))


def file_of(folder: Path, tenants: int) -> Path:
    path = folder / f"{tenants}.csv.gz"
    with gzip.open(path, "wt", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for number in range(tenants):
            writer.writerows(rows(f"tenant-{number}"))
    return path


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return file_of(tmp_path_factory.mktemp("groups"), 4)


def run(*words: object) -> Result:
    return run_cli("autonomy", "evaluate", *map(str, words))


def document(*words: object) -> dict[str, Any]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_one_percent_cannot_be_promised_on_four_tenants_and_it_says_how_many_attacks_are_missing(four: Path) -> None:
    found = document(four, "--alpha", 0.01, "--resamplings", 50)
    assert (found["coverage"], found["missed"], found["certified"]) == (0.0, 0, False)
    assert {one["n"] for one in found["per_tenant"]} == {48}
    assert found["more_attacks_needed"] == 299 - 48
    assert all(one["k"] is None and one["closed"] == 0 for one in found["per_tenant"])
    assert "251 more are needed" in found["why"][0]
    assert found["data"]["unclear_left_out"] == 4
    assert found["by_cluster"]["coverage"] == 0.0


def test_ten_percent_can_and_closes_noise_and_no_attack(four: Path, tmp_path: Path) -> None:
    picture = tmp_path / "curve.svg"
    result = run(four, "--alpha", 0.1, "--variant", "easy", "--svg", picture, "--json")
    found = json.loads(result.stdout)
    assert found["coverage"] > 0.9
    assert found["missed"] == found["missed_steps"] == 0
    assert found["worst_tenant"]["coverage"] <= found["coverage"]
    assert found["coverage"] == pytest.approx(sum(one["coverage"] for one in found["per_tenant"]) / 4)
    assert found["certified_bound"] <= 0.1
    assert found["ece"] < 0.01
    assert found["violations"]["resamplings"] == 1_000
    assert found["violations"]["rate"] <= 0.06
    assert found["violations"]["counted_in"] == "clusters"
    assert [one["name"] for one in found["baselines"]] == ["plain throttle", "allow-list", "probability below 0.5"]
    assert [one["alpha"] for one in found["curve"]] == [0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1]
    assert found["curve"][0]["coverage"] == 0.0
    assert "models of other tenants: 10/10" in result.stderr
    ET.fromstring(picture.read_text())


def test_the_stream_closes_what_has_earned_it_and_says_with_what_gate(four: Path) -> None:
    found = document(four, "--alpha", 0.1, "--protocol", "stream", "--label-delay", "30m", "--w0", 250, "--qa", 0.05)
    assert found["gate"] == {"label_delay_s": 1800.0, "qa": 0.05, "w0": 250}
    assert found["missed"] == 0
    assert 0.1 < found["coverage"] < 0.95
    assert found["product_terms"]["coverage"] <= found["coverage"]
    assert all(one["qa_drawn"] > 0 for one in found["per_tenant"])
    lent_nothing = document(four, "--alpha", 0.1, "--protocol", "stream", "--w0", 0, "--resamplings", 0)
    assert lent_nothing["coverage"] < found["coverage"]
    assert lent_nothing["violations"]["rate"] is None


def test_two_tenants_leave_nobody_to_calibrate_on_so_nothing_is_closed(tmp_path: Path) -> None:
    for protocol in ("loto", "stream"):
        found = document(file_of(tmp_path, 2), "--alpha", 0.1, "--protocol", protocol)
        assert (found["coverage"], found["missed"], found["more_attacks_needed"]) == (0.0, 0, 29)


def test_people_read_tables_a_curve_and_the_reason(four: Path) -> None:
    result = run(four, "--alpha", 0.1, "--unit", "cluster", "--resamplings", 20)
    assert result.exit_code == 0
    for words in ("coverage ", "missed 0 attacks", "tenant-3", "plain throttle", "by group", "promise broken in", "█"):
        assert words in result.stdout


def test_one_tenant_is_not_enough(tmp_path: Path) -> None:
    result = run(file_of(tmp_path, 1), "--json")
    assert result.exit_code == 2
    assert "at least 2 are needed" in json.loads(result.stdout)["problems"][0]["message"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--alpha", 0), "no rate"),
        (("--delta", 1), "no rate"),
        (("--label-delay", "soon"), "no span of time"),
        (("--svg", "/nowhere/at/all.svg", "--resamplings", 0), "cannot be written"),
    ],
)
def test_an_option_that_is_wrong_is_named(four: Path, words: tuple[object, ...], says: str) -> None:
    result = run(four, *words)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_file_that_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(",".join(COLUMNS) + "\nacme,host,rule,,,0,1,2,-,0,0\n")
    result = run(path, "--json")
    assert result.exit_code == 2
    problem = json.loads(result.stdout)["problems"][0]
    assert problem["key"] == "line 2"
    assert "at least one" in problem["message"]
