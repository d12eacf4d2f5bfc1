"""Other people's programs, each in an environment of its own under build/, with what it needs pinned by hash."""

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["clean_environment", "finished", "python_of"]

_BUILD = Path(__file__).parents[1] / "build"


def python_of(requirements: Path) -> Path:
    """The interpreter of the environment of that file, which is made when it is missing or out of date.

    What cannot be made fails the test: a program that was not asked has proved nothing.
    """
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = _BUILD / requirements.parent.name / requirements.stem
    mark = folder / ".set-up"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
            venv.EnvBuilder(with_pip=True, clear=True).create(folder)
            pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
            finished([folder / "bin" / "python", *pip, "-r", requirements])
            mark.write_text(wanted, encoding="utf-8")
    return folder / "bin" / "python"


def clean_environment() -> dict[str, str]:
    """The variables of this process without what would bring its own packages along."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def finished(command: Sequence[str | Path], given: str = "") -> str:
    """What a program printed that ended well; fails the test when it did not."""
    done = subprocess.run(
        [*map(str, command)], input=given, env=clean_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
