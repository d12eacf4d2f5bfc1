"""Programs of other people that take what nightdesk sends, each in an environment of its own under build/consumers.

What they are is pinned in the requirement files beside this one, with hashes and without an index address, as those of
the project are (``uv pip compile --generate-hashes --no-emit-index-url --no-header --no-annotate``).
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["FOLDER", "clean_environment", "python_of", "run"]

FOLDER = Path(__file__).parent
_BUILD = FOLDER.parents[1] / "build" / "consumers"


def python_of(name: str) -> Path:
    """The interpreter of one consumer's environment, which is made when it is missing or out of date.

    What cannot be made fails the test: a consumer that was not asked has proved nothing.
    """
    requirements = FOLDER / f"{name}.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = _BUILD / name
    mark = folder / ".set-up"
    _BUILD.mkdir(parents=True, exist_ok=True)
    with (_BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
            venv.EnvBuilder(with_pip=True, clear=True).create(folder)
            pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
            _finished([folder / "bin" / "python", *pip, "-r", requirements])
            mark.write_text(wanted, encoding="utf-8")
    return folder / "bin" / "python"


def run(name: str, script: str, document: Any) -> Any:
    """What a script of this folder says, as JSON, of a document that it reads from its standard input."""
    return json.loads(_finished([python_of(name), FOLDER / script], json.dumps(document)))


def clean_environment() -> dict[str, str]:
    """The variables of this process without what would bring its own packages along."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def _finished(command: Sequence[str | Path], given: str = "") -> str:
    done = subprocess.run(
        [*map(str, command)], input=given, env=clean_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
