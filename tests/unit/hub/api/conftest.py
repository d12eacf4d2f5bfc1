import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("console_stage", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def stage() -> Any:
    return _load(Path(__file__).parents[1] / "console" / "stage.py")


@pytest.fixture
def hub(stage: Any, tmp_path: Path) -> Iterator[Any]:
    made = stage.open_stage(tmp_path)
    yield made
    made.store.close()
