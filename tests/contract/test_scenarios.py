"""Each of the fourteen scenarios of the design has tests of its name, and the page that lists them names those."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "scenarios.md"
_CLASS = re.compile(r"`(tests/contract/\w+\.py)::(TestScenario(\d+)[A-Z]\w+)`")


def _classes() -> dict[tuple[str, str], int]:
    """(file, class) to how many tests it has."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("TestScenario"):
                tests = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")]
                found[file.relative_to(ROOT).as_posix(), node.name] = len(tests)
    return found


@pytest.mark.parametrize("number", range(1, 15))
def test_a_scenario_has_its_own_tests_and_its_row_names_them(number: int) -> None:
    mine = {key for key, tests in _classes().items() if tests and re.match(rf"TestScenario{number}\D", key[1])}
    assert mine, f"no class TestScenario{number}…"
    rows = [row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith(f"| {number} |")]
    assert len(rows) == 1
    named = {(file, name) for file, name, _ in _CLASS.findall(rows[0])}
    assert named == mine


def test_no_class_is_of_a_scenario_that_nobody_described() -> None:
    numbers = {int(re.match(r"TestScenario(\d+)", name)[1]) for _, name in _classes()}  # type: ignore[index]
    assert numbers == set(range(1, 15))
