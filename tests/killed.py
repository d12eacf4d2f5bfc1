"""Processes that kill themselves (signal 9) at the boundary they are told, and what goes on from what they left.

A script ends with ``killed.main(life)``: ``SCRIPT FOLDER BOUNDARY`` is one life (boundary 0 lives to the end and prints
how many there were), ``SCRIPT FOLDER each`` a life killed at each boundary there is, and one that goes on from there.
"""

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeAlias

__all__ = ["Life", "die_again_and_again", "die_everywhere", "main"]

Life: TypeAlias = Callable[[Path, int], int]
"""Lives in a folder, dies at a boundary; how many boundaries it crossed when it did not."""

_ROOT = Path(__file__).parents[1]
_DEATHS = {-signal.SIGKILL, 0}  # the second life of a folder may be over before that boundary


def die_again_and_again(script: str, folder: Path, boundaries: tuple[int, ...]) -> None:
    """Processes of their own, one after the other in one folder; nearly all must die, and the last one lives."""
    deaths = [_run(script, folder, str(boundary)).returncode for boundary in boundaries]
    assert deaths.count(-signal.SIGKILL) >= len(boundaries) - 1
    ended = _run(script, folder, "0")
    assert ended.returncode == 0, ended.stderr


def die_everywhere(script: str, folder: Path) -> list[Path]:
    """The folders of all lives, the one that nobody killed among them."""
    done = _run(script, folder, "each", timeout=540)
    assert done.returncode == 0, done.stderr
    folders = sorted(folder.iterdir())
    assert len(folders) > 50
    return folders


def _run(script: str, folder: Path, how: str, *, timeout: int = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(_ROOT / "tests" / script), str(folder), how],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])},
        timeout=timeout,
        check=False,
        capture_output=True,
        text=True,
    )


def main(life: Life) -> None:
    """What a script does with its arguments."""
    folder, how = Path(sys.argv[1]), sys.argv[2]
    if how != "each":
        sys.stdout.write(f"{life(folder, int(how))}\n")
        return
    count = _whole(life, folder / "whole")
    for boundary in range(1, count):
        where = folder / str(boundary)
        where.mkdir()
        for killed_at in (boundary, 0):
            code = _forked(life, where, killed_at)
            if code not in _DEATHS or (killed_at == 0 and code != 0):
                sys.exit(f"a life killed at boundary {boundary} and at {killed_at} now ended with {code}")


def _whole(life: Life, folder: Path) -> int:
    folder.mkdir()
    if _forked(life, folder, 0) != 0:
        sys.exit("a life that nobody killed did not come to its end")
    return int((folder / "crossed").read_text())


def _forked(life: Life, folder: Path, boundary: int) -> int:
    """A process that need not import everything again; its exit code."""
    child = os.fork()
    if child == 0:
        _live(life, folder, boundary)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _live(life: Life, folder: Path, boundary: int) -> NoReturn:
    try:
        crossed = life(folder, boundary)
        (folder / "crossed").write_text(str(crossed))
    except BaseException:  # noqa: BLE001  # nothing of the parent may run on in the child
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
