"""The layers: imports point one way, and nothing is outside them."""

import subprocess
import sys
from importlib import import_module, resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _files(folder: Path) -> set[Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder) for path in found}


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["autonomy", "connectors", "normalizers", "plugins"])
def test_nothing_at_the_root_is_lost_when_imported(folder: str) -> None:
    package = Path(str(resources.files(import_module(f"nightdesk.{folder}"))))
    assert _files(ROOT / folder) == _files(package)
