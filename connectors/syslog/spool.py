"""The one writer of a spool: messages on disk between their arrival and the page that stores them.

A segment leaves once the stored cursor is behind it. Whoever begins to write begins a new segment, so that what a crash
tore stands at the end of an old one.
"""

import fcntl
import json
import os
import secrets
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from nightdesk.connectors.syslog.segments import HEAD, Mark, broken, last_number, name_of, path_of, segments
from nightdesk.sdk.errors import UnavailableError

__all__ = ["InUseError", "Spool"]

_SEGMENTS = 8  # that a full spool consists of


class InUseError(UnavailableError):
    """Another process fills this spool."""


class Spool:
    """The one writer of a folder. Not for two threads at once, save ``release`` and ``room``."""

    def __init__(self, folder: Path, *, most: int, sync: bool = True) -> None:
        self._folder, self._most, self._sync = folder, most, sync
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (folder / "lock").open("ab")
        except OSError as error:
            raise broken(folder, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise InUseError(
                f"the spool {folder} is filled by another process or instance: give each its own",
                vendor="syslog",
                operation="open the spool",
            ) from error
        if not (folder / "id").exists():
            _replace(folder / "id", secrets.token_hex(8).encode())
        self._sizes = {number: path.stat().st_size for number, path in segments(folder).items()}
        self._number = max(last_number(folder), *self._sizes) if self._sizes else last_number(folder)
        self._file: IO[bytes] | None = None

    @property
    def waiting(self) -> int:
        """Bytes on disk."""
        return sum(tuple(self._sizes.values()))

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return self._most - self.waiting

    @staticmethod
    def cost(messages: Iterable[bytes]) -> int:
        """Bytes that they take on disk."""
        return sum(HEAD.size + len(message) for message in messages)

    def append(self, messages: Iterable[bytes]) -> None:
        """Writes them all, to the disk itself when ``sync``; all or none. Raises OSError."""
        data = b"".join(HEAD.pack(len(one), zlib.crc32(one)) + one for one in messages)
        if self._file is None or self._sizes[self._number] + len(data) > self._most // _SEGMENTS:
            self._begin_segment()
        if self._file is None:
            raise OSError("no segment is open")
        before = self._sizes[self._number]
        try:
            _write_all(self._file, data)
            if self._sync:
                os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):  # what is left of it fails its check sum, and a new segment follows
                self._file.truncate(before)
            self._file.close()
            self._file = None
            raise
        self._sizes[self._number] = before + len(data)

    def release(self, mark: Mark) -> None:
        """Removes the segments before that place, which is stored."""
        if mark.spool != name_of(self._folder):
            return
        for number in sorted(self._sizes):
            if number < min(mark.segment, self._number):
                path_of(self._folder, number).unlink(missing_ok=True)
                del self._sizes[number]

    def tell(self, state: Mapping[str, Any]) -> None:
        """Leaves word of the listener for whoever looks from outside."""
        with suppress(OSError):
            _replace(self._folder / "state", json.dumps(state).encode())

    def close(self) -> None:
        """Lets another process have it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._lock.close()

    def _begin_segment(self) -> None:
        if self._file is not None:
            self._file.close()
        number = self._number + 1
        _replace(self._folder / "last", str(number).encode())  # a number is never used again, whatever was removed
        self._file = path_of(self._folder, number).open("xb", buffering=0)
        self._sizes[number] = 0
        self._number = number
        _sync_folder(self._folder)


def _write_all(file: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _replace(path: Path, data: bytes) -> None:
    """Writes a small file whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
