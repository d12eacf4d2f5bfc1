"""The style guide, as far as a machine can read it: sizes, names, reasons, and what must not be in a file."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_OURS = {
    ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache",
    "__pycache__", "build", "dist", "htmlcov", "node_modules",
}  # fmt: skip
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "base"}

# What has no test of its own and is imported by none, and where it is tested instead.
TESTED_ELSEWHERE = {
    "autonomy/": "tests/unit/autonomy/test_engine.py",  # the parts of the action engine, by what it does
    "autonomy/learned/": "tests/contract/test_scenarios_live.py",  # the model at work, in a hub that runs
    "autonomy/evaluation/": "tests/unit/hub/cli/test_autonomy.py",  # the whole of it, as its command
    "autonomy/playbooks/": "tests/unit/autonomy/playbooks/test_soundness.py",  # checks and steps, by what they do
    "src/nightdesk/hub/": "tests/contract/test_packaging.py",  # composition and commands, by the demonstration
    "src/nightdesk/hub/adviser/": "tests/unit/hub/adviser/test_counsel.py",  # over a socket, as a hub asks
    "src/nightdesk/hub/api/": "tests/unit/hub/api/test_ingest.py",  # over HTTP
    "src/nightdesk/hub/approvals/": "tests/contract/test_approvals.py",  # people on every channel, over a real hub
    "src/nightdesk/hub/cli/": "tests/contract/test_packaging.py",  # as commands of the installed wheel
    "src/nightdesk/hub/console/": "tests/unit/hub/console/test_views.py",  # over HTTP
    "src/nightdesk/hub/learning/": "tests/contract/test_scenarios_live.py",  # as a hub learns and forgets
    "src/nightdesk/hub/demo/": "tests/contract/test_packaging.py",  # as a person runs it
    "src/nightdesk/hub/policies/": "tests/unit/hub/policies/test_backtest.py",  # over pasts that a hub really recorded
    "src/nightdesk/hub/enrichment/": "tests/unit/hub/enrichment/test_sources.py",  # as a configuration binds them
    "src/nightdesk/hub/store/": "tests/unit/hub/store/test_store.py",  # through the store's own interface
    "src/nightdesk/hub/store/migrations/": "tests/unit/hub/store/test_migrate.py",  # found by alembic
    "src/nightdesk/hub/store/migrations/versions/": "tests/unit/hub/store/test_migrate.py",  # found by alembic
    "src/nightdesk/sdk/testing/": "tests/contract/test_connectors.py",  # the kit, by every vendor
    "src/nightdesk/sdk/testing/checks/": "tests/contract/test_connectors.py",  # the suite, by every vendor
    "src/nightdesk/stix/": "tests/contract/test_goldens.py",  # the engine, by every mapping and its goldens
}


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in NOT_OURS or path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


FILES = tuple(path.relative_to(ROOT) for path in _walk(ROOT))
MODULES = tuple(path for path in FILES if path.suffix == ".py")
CODE = tuple(path for path in MODULES if path.parts[0] in {"src", "autonomy", "connectors", "normalizers"})
TESTS = tuple(path for path in MODULES if path.parts[0] == "tests")


def _text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _texts() -> Iterator[tuple[Path, str]]:
    for path in FILES:
        try:
            yield path, _text(path)
        except UnicodeDecodeError:
            continue


def test_the_walk_finds_the_code() -> None:
    assert Path("src/nightdesk/sdk/errors.py") in CODE
    assert Path("tests/contract/test_style.py") in TESTS
    assert Path("Makefile") in FILES
    assert Path(".ci/run") in FILES


def test_modules_are_small() -> None:
    limits = {path: 250 if path.parts[0] in {"connectors", "normalizers"} else 400 for path in CODE}
    assert not {str(path): lines for path in CODE if (lines := len(_text(path).splitlines())) > limits[path]}


def test_no_name_says_nothing() -> None:
    parts = {path: {part.removesuffix(".py") for part in path.parts} for path in MODULES}
    assert not [str(path) for path, names in parts.items() if names & EMPTY_NAMES]


def test_nothing_is_left_to_do() -> None:
    mark = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    assert not [str(path) for path in MODULES if mark.search(_text(path))]


# A suppression with its code, then the reason: after another number sign, in brackets, or as a comment above.
_SUPPRESSION = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma|fmt: off)\b(?P<rest>.*)$")
_REASON = re.compile(r"(?:#|\()\W*\w+\W+\w+")


def _without_reason(text: str) -> list[str]:
    lines = ["", *text.splitlines()]
    return [
        match.group().strip()
        for before, line in pairwise(lines)
        if (match := _SUPPRESSION.search(line))
        and not _REASON.search(match["rest"])
        and not before.lstrip().startswith("# ")
    ]


def test_every_suppression_says_why() -> None:
    bare = {str(path): lines for path in CODE if (lines := _without_reason(_text(path)))}
    assert not bare


def test_every_lint_exception_of_the_project_says_why() -> None:
    ignored = _text(Path("pyproject.toml")).partition("ignore = [\n")[2].partition("\n]\n")[0].splitlines()
    assert len(ignored) > 10
    assert not [line for line in ignored if "#" not in line]


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ("x = 1  # noqa" + ": S101", True),
        ("x = 1  # noqa" + ": S101  # the stub lacks it", False),
        ("# The stub lacks it.\nx = 1  # noqa" + ": S101", False),
        ("y = 1\nx = 1  # type" + ": ignore[arg-type]", True),
        ("x = 1  # type" + ": ignore[arg-type]  # see above", False),
    ],
)
def test_a_reason_is_told_from_a_bare_suppression(line: str, bare: bool) -> None:
    assert bool(_without_reason(line)) is bare


def test_no_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    index = re.compile("py" + r"pi\.org|python" + r"hosted\.org|(?<!no-emit)-index" + r"-url\b")
    machine = re.compile(r"(?<![\w.$}-])/(?:ro" + r"ot|wo" + r"rk|Users)/\w")
    # An alert from a Mac names its users' folders.
    ours = ((path, text) for path, text in _texts() if path.parts[:2] != ("tests", "fixtures"))
    found = {str(path) for path, text in ours if index.search(text) or machine.search(text)}
    assert not found


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(("nightdesk", *(parts[2:] if parts[0] == "src" else parts)))


def _own_test(path: Path) -> Path:
    parts = path.parts[2:] if path.parts[0] == "src" else path.parts
    return Path("tests", "unit", *parts[:-1], f"test_{path.name}")


def _imports(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_module_is_tested() -> None:
    """By a test that mirrors it, by one that imports it, or where the table says."""
    imported = {name for path in TESTS for name in _imports(_text(path))}
    untested = {
        path
        for path in CODE
        if path.name != "__init__.py"
        and path.parts[0] not in {"connectors", "normalizers"}
        and _own_test(path) not in TESTS
        and _dotted(path) not in imported
    }
    assert not {str(path) for path in untested if f"{path.parent}/" not in TESTED_ELSEWHERE}


@pytest.mark.parametrize(("folder", "test"), TESTED_ELSEWHERE.items())
def test_what_is_tested_elsewhere_is_there(folder: str, test: str) -> None:
    assert any(f"{path.parent}/" == folder for path in CODE)
    assert Path(test) in TESTS


def test_every_connector_and_its_simulator_are_tested() -> None:
    wanted = {
        Path("tests/unit", *path.parts[:2], f"test_{part}.py")
        for path in CODE
        if path.parts[0] == "connectors" and len(path.parts) == 3
        for part in ("connector", "simulator")
    }
    assert wanted
    assert wanted <= set(TESTS)


def test_a_unit_test_lies_where_its_code_does() -> None:
    """A test file of tests/unit mirrors a module, or is one of several of the module's folder."""
    folders = {_own_test(path).parent for path in CODE}
    assert not [
        str(path)
        for path in TESTS
        if path.parts[1] == "unit" and path.name.startswith("test_") and path.parent not in folders
    ]
