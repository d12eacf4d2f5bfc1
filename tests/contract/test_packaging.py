"""What is built can be installed by itself, with one name, all its data, and works where there is no checkout."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
DATA = (
    "hub/store/migrations/versions/",
    "hub/console/templates/",
    "hub/console/static/",
    "stix/data/",
    "stix/data/schemas/",
    "autonomy/playbooks/bundled/ransomware-host.json",
    "autonomy/policies/",
    "connectors/splunk_es/manifest.yaml",
    "connectors/splunk_es/quality.yaml",
    "normalizers/splunk_es/notables.yaml",
    "py.typed",
)


def _run(command: Sequence[str | Path], cwd: Path) -> str:
    """Its standard output; fails with all it said. Nothing of the checkout's environment is passed on."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment and what was in it before ours came."""

    folder: Path
    before: frozenset[str]

    @property
    def packages(self) -> Path:
        return Path(
            _run([self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], self.folder).strip()
        )

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def nightdesk(self) -> Path:
        return self.folder / "bin" / "nightdesk"

    def install(self, *what: str | Path) -> None:
        _run([self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what], self.folder)

    def gained(self) -> set[str]:
        return {path.name for path in self.packages.iterdir()} - self.before - {"__pycache__"}


def _environment(folder: Path, *requirements: str) -> Environment:
    venv.create(folder, with_pip=True, symlinks=True)
    made = Environment(folder, frozenset())
    for name in requirements:
        made.install("--require-hashes", "-r", ROOT / "requirements" / name)
    return Environment(folder, frozenset(path.name for path in made.packages.iterdir()))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel made from it."""
    folder = tmp_path_factory.mktemp("built")
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("nightdesk-*-py3-none-any.whl")
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """Nothing but the pinned requirements and the wheel."""
    made = _environment(tmp_path_factory.mktemp("installed"), "run.txt")
    made.install("--no-deps", wheel)
    return made


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The pinned requirements and what builds us, but not us."""
    return _environment(tmp_path_factory.mktemp("workshop"), "run.txt", "build.txt")


def test_the_wheel_adds_one_name(installed: Environment) -> None:
    assert {name.split("-")[0] for name in installed.gained()} == {"nightdesk"}
    assert len(installed.gained()) == 2


def test_the_wheel_holds_its_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [part for part in DATA if not any(name.startswith(f"nightdesk/{part}") for name in names)]


def test_the_wheel_holds_each_file_of_the_source_once(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    roots = {"nightdesk": ROOT / "src" / "nightdesk"}
    roots |= {f"nightdesk/{name}": ROOT / name for name in ("autonomy", "connectors", "normalizers", "plugins")}
    wanted = sorted(
        f"{prefix}/{path.relative_to(root).as_posix()}" for prefix, root in roots.items() for path in _files(root)
    )
    assert sorted(name for name in names if ".dist-info/" not in name) == wanted


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name == "__pycache__" or path.suffix == ".pyc" or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def test_the_wheel_is_the_same_from_the_folder_as_from_the_sdist(wheel: Path, tmp_path: Path) -> None:
    """The sdist has no links: where links are lost, nothing is lost."""
    _run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, ROOT], tmp_path)
    (direct,) = tmp_path.glob("*.whl")
    listed = [{info.filename: info.CRC for info in zipfile.ZipFile(one).infolist()} for one in (wheel, direct)]
    assert listed[0] == listed[1]


def test_the_sdist_holds_what_a_packager_needs(built: Path) -> None:
    (sdist,) = built.glob("nightdesk-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "connectors/splunk_es/connector.py", "Makefile"} <= names
    assert not [name for name in names if name.startswith((".venv/", ".git/", ".hypothesis/"))]


def test_the_installed_command_says_its_version(installed: Environment, wheel: Path, tmp_path: Path) -> None:
    assert _run([installed.nightdesk, "--version"], tmp_path).strip() == wheel.name.split("-")[1]


def test_the_installed_command_knows_every_vendor(installed: Environment, tmp_path: Path) -> None:
    shown = {row["name"] for row in json.loads(_run([installed.nightdesk, "vendors", "--json"], tmp_path))}
    assert shown == {path.parent.name for path in ROOT.glob("connectors/*/manifest.yaml")}


def test_a_new_desk_is_in_order(installed: Environment, tmp_path: Path) -> None:
    _run([installed.nightdesk, "init", "desk", "--tenant", "acme"], tmp_path)
    checked = _run([installed.nightdesk, "config", "check", "--config", "desk/nightdesk.yaml", "--json"], tmp_path)
    assert json.loads(checked) == {"ok": True, "tenants": {"acme": []}}
    ledger = _run(
        [installed.nightdesk, "ledger", "--tenant", "acme", "--config", "desk/nightdesk.yaml", "--json"], tmp_path
    )
    assert json.loads(ledger) == []
    assert (tmp_path / "desk" / "secrets" / "acme.key").stat().st_mode & 0o077 == 0


def test_the_demonstration_holds_from_the_wheel(installed: Environment, tmp_path: Path) -> None:
    told = json.loads(_run([installed.nightdesk, "demo", "--headless", "--json"], tmp_path))
    assert told["held"] is True
    assert [night["edr"] for night in told["nights"]] == ["falcon", "elastic"]
    assert all(book["balanced"] for book in told["ledger"])
    levels = told["levels"]
    assert (levels["earned"], levels["revoked"], levels["held"]) == (True, True, True)
    assert levels["closures"] == levels["reopened"] > 0
    assert "has not earned auto-close" in levels["refused"]
    assert list(tmp_path.iterdir()) == []


def test_the_help_is_there_at_once(installed: Environment, tmp_path: Path) -> None:
    """By what it imports, not by the clock: nothing heavy before a command needs it."""
    heavy = "{'sqlalchemy', 'fastapi', 'stix2', 'elasticsearch', 'pydantic', 'cryptography'}"
    asked = f"import sys, nightdesk.hub.cli.app; print(sorted({heavy} & set(sys.modules)))"
    assert _run([installed.python, "-c", asked], tmp_path).strip() == "[]"


@pytest.mark.parametrize("way", [(), ("--editable",)], ids=["folder", "editable"])
def test_a_checkout_installs_with_one_name(workshop: Environment, way: tuple[str, ...], tmp_path: Path) -> None:
    workshop.install("--no-deps", "--no-build-isolation", *way, ROOT)
    try:
        names = (name.removeprefix("_editable_impl").lstrip("_") for name in workshop.gained())
        gained = {name.split("-")[0].split(".")[0] for name in names}
        assert gained == {"nightdesk"}
        assert json.loads(_run([workshop.nightdesk, "vendors", "--json"], tmp_path))
        asked = "import nightdesk.connectors.splunk_es.connector as it; print(it.__file__)"
        where = Path(_run([workshop.python, "-c", asked], tmp_path).strip())
        assert where.is_relative_to(ROOT) is bool(way)
        others = "('autonomy', 'connectors', 'normalizers', 'plugins', 'hub', 'sdk', 'tests')"
        leaked = f"from importlib.util import find_spec; print([name for name in {others} if find_spec(name)])"
        assert _run([workshop.python, "-c", leaked], tmp_path).strip() == "[]"
    finally:
        _run([workshop.python, "-m", "pip", "uninstall", "--yes", "--quiet", "nightdesk"], tmp_path)
