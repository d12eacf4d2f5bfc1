"""The author kit keeps its word: a new plugin works at once, and the tutorial, carried out, ends where it says."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.environments import clean_environment

ROOT = Path(__file__).parents[2]
_TUTORIAL = ROOT / "docs" / "tutorials" / "your-first-connector.md"
_FENCE = re.compile(r"^```\w+\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"`([\w./-]+\.\w+)`")


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**clean_environment(), "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def nightdesk(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run("-c", "from nightdesk.hub.cli import main; main()", *arguments, cwd=cwd)


def graded(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    (found,) = json.loads(done.stdout)
    assert [row for row in found["rules"] if row["state"] == "failed"] == []
    return dict(found)


def test_a_new_plugin_passes_at_once_under_any_name(tmp_path: Path) -> None:
    made = nightdesk("plugin", "new", "night_owl", "--title", "Night Owl", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    package = tmp_path / "night-owl-nightdesk"
    texts = [path.read_text(encoding="utf-8") for path in package.rglob("*") if path.is_file()]
    assert not [text for text in texts if "acme_edr" in text or "Acme EDR" in text]
    checked = nightdesk("plugin", "check", "--path", str(package), "--json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = graded(checked)
    assert (found["vendor"], found["tier"], found["proof"]) == ("night_owl", "silver", "simulated")


@pytest.mark.slow
def test_a_new_plugin_passes_its_own_tests(tmp_path: Path) -> None:
    assert nightdesk("plugin", "new", "night_owl", cwd=tmp_path).returncode == 0
    package = tmp_path / "night-owl-nightdesk"
    script = (
        "import sys, pytest; sys.path.insert(0, '.');"
        "import night_owl_nightdesk as plugin; from nightdesk.hub.registry import Registry;"
        "load = Registry.load; Registry.load = classmethod(lambda cls, **_: load(extra={'night_owl': plugin}));"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'tests']))"
    )
    done = run("-c", script, cwd=package)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


def _written(folder: Path) -> list[Path]:
    """The tutorial's files, from nothing but the page: each block is the file that was named last before it."""
    text = _TUTORIAL.read_text(encoding="utf-8")
    files: list[Path] = []
    end = 0
    for block in _FENCE.finditer(text):
        named = [path for path in _PATH.findall(text[end : block.start()]) if "/" in path or path == "pyproject.toml"]
        end = block.end()
        named = [path for path in named if not path.startswith("tests/contract")]
        if not named:
            continue
        path = folder / named[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"], encoding="utf-8")
        files.append(path)
    return files


def test_the_tutorial_builds_a_vendor_from_nothing_that_the_scale_calls_silver(tmp_path: Path) -> None:
    begin = time.monotonic()
    files = _written(tmp_path)
    assert sorted(path.name for path in files) == sorted(
        ["pyproject.toml", "__init__.py", "manifest.yaml", "simulator.py", "connector.py", "__init__.py", "alerts.yaml",
         "README.md", "quality.yaml", "plain.json"]
    )  # fmt: skip
    plain = next(path for path in files if path.name == "plain.json")
    for number in range(4):  # "put at least five alerts of your own making there"
        alert = {
            **json.loads(plain.read_text(encoding="utf-8")),
            "id": f"bell-own-{number}",
            "what": f"Glöckchen {number}",
        }
        plain.with_name(f"own-{number}.json").write_text(json.dumps(alert), encoding="utf-8")
    checked = nightdesk("plugin", "check", "--path", ".", "--json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = graded(checked)
    assert (found["vendor"], found["tier"]) == ("beacon_bell", "silver")
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files if path.suffix == ".py")
    assert lines < 200, f"{lines} lines of Python are no small vendor"
    print(f"tutorial: {lines} lines of Python, tier {found['tier']}, {time.monotonic() - begin:.1f} s")  # noqa: T201  # a figure to report


@pytest.mark.slow
def test_the_tutorials_package_passes_the_contract_suite(tmp_path: Path) -> None:
    _written(tmp_path)
    script = (
        "import sys, pytest; sys.path.insert(0, '.'); sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider',"
        " '--pyargs', 'nightdesk.sdk.testing.contract',"
        " '--nightdesk-connector', 'beacon_bell_nightdesk.beacon_bell']))"
    )
    done = run("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plugin", "new", "Night Owl"), "is no slug"),
        (("plugin", "new", "night_owl", "--folder", "taken"), "is not empty"),
        (("plugin", "check"), "name an installed vendor"),
        (("plugin", "check", "--path", "taken"), "holds 0 packages"),
        (("plugin", "check", "night_owl"), "no vendor"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine", encoding="utf-8")
    done = nightdesk(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert says in done.stderr
