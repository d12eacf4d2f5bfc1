"""The peer's own virtual environment, under build/peer: made once for each version of its requirements."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["interpreter"]

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
PLACE = HERE.parents[1] / "build" / "peer"
PYTHON = PLACE / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
DONE = PLACE / "installed"
PATIENCE = 1200


def interpreter() -> tuple[Path | None, str]:
    """Its Python, or why there is none."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if DONE.exists() and DONE.read_text() == wanted and PYTHON.exists():
        return PYTHON, ""
    shutil.rmtree(PLACE, ignore_errors=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    for command in ([sys.executable, "-m", "venv", str(PLACE)], [*pip, "-r", str(REQUIREMENTS)]):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.CalledProcessError as error:
            said = (error.stderr or error.stdout or "").strip().splitlines()
            return None, f"{' '.join(command[1:4])} failed: {said[-1] if said else error.returncode}"
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, f"{' '.join(command[1:4])} failed: {error}"
    DONE.write_text(wanted)
    return PYTHON, ""
