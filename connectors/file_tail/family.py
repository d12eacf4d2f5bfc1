"""The files of one log: the one that is written to, and those that it was before, known again by how they begin.

A rename keeps the inode, a copy keeps the first bytes, gzip keeps the first bytes unpacked; what was cut to nothing and
grew again keeps the inode and begins otherwise. So the first bytes decide, and the inode only between equals.
"""

import glob
import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, cast

from nightdesk.connectors.file_tail.standing import HEAD, Place, Standing
from nightdesk.sdk.errors import NotFoundError, ScopeError, UnavailableError, VendorError

__all__ = ["Family", "Part"]

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Part:
    """One opened file.

    ``begin`` is its first bytes, unpacked; ``place`` where reading stands in it, None for a new one.
    """

    handle: IO[bytes]
    path: str
    begin: bytes
    inode: int
    size: int
    written: int
    active: bool
    packed: bool
    place: Place | None = None

    def fits(self, place: Place) -> bool:
        """True when this is the file of that place."""
        enough = self.packed or self.size >= place.offset
        return enough and len(self.begin) >= place.head_size and digest(self.begin[: place.head_size]) == place.head


class Family:
    """One log."""

    def __init__(self, path: str, rotated: str) -> None:
        self._path = path
        plain = glob.escape(path)
        self._patterns = (rotated,) if rotated else (f"{plain}.*", f"{plain}-*")

    def check(self) -> None:
        """Raises a VendorError that says what is missing."""
        with ExitStack() as stack:
            if not any(part.active for part in self._parts(stack)):
                raise _missing(self._path)

    def first_standing(self, *, from_beginning: bool) -> Standing:
        """Before the first pull: rotated files are history, and the present one is too unless it is wanted."""
        with ExitStack() as stack:
            parts = self._parts(stack)
            if not parts:
                raise _missing(self._path)
            history = [part for part in parts if not part.active]
            since = max((part.written for part in history), default=0)
            present = [part for part in parts if part.active and part.begin]
            if from_beginning or not present:
                return Standing((), since)
            (part,) = present
            part.handle.seek(0)
            end, header = _last_line(part.handle)
            place = Place(part.inode, digest(part.begin), len(part.begin), end, part.size, header)
            return Standing((place,), part.written)

    @contextmanager
    def opened(self, standing: Standing) -> Iterator[list[Part]]:
        """The files that may hold something new, in the order they were written.

        Raises NotFoundError when neither the file nor one that was read is there, ScopeError for one that may not be
        read.
        """
        with ExitStack() as stack:
            parts = self._parts(stack)
            if not any(part.active for part in parts) and not standing.places:
                raise _missing(self._path)
            chosen = [part for part in parts if part.begin]
            known: list[Part] = []
            for place in standing.places:
                same = [part for part in chosen if part.fits(place)]
                if same:
                    best = max(same, key=lambda part: (part.inode == place.inode, not part.packed, part.active))
                    known.append(_at(best, place))
                    chosen = [part for part in chosen if part not in same]
            new = [part for part in chosen if part.active or part.written > standing.since]
            yield sorted([*known, *_once(new)], key=lambda part: (part.active, part.written, part.path))

    def _parts(self, stack: ExitStack) -> list[Part]:
        paths = dict.fromkeys(path for pattern in self._patterns for path in sorted(glob.glob(pattern)))  # noqa: PTH207  # patterns are absolute
        paths.pop(self._path, None)
        found = [_opened(path, stack, active=False) for path in paths]
        found.append(_opened(self._path, stack, active=True))
        return [part for part in found if part is not None]


def digest(data: bytes) -> str:
    """Of a file's first bytes."""
    return sha256(data).hexdigest()[:32]


def _opened(path: str, stack: ExitStack, *, active: bool) -> Part | None:
    """The file behind a name now; None for none, and for what is still being packed."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # opening a pipe would wait for its writer
            return None
        raw = stack.enter_context(open(path, "rb"))  # noqa: PTH123, SIM115  # the stack closes it
        facts = os.fstat(raw.fileno())
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        handle: IO[bytes] = raw
        if packed:
            unpacking = stack.enter_context(gzip.GzipFile(fileobj=raw))
            handle = cast("IO[bytes]", unpacking)
        begin = handle.read(HEAD)
        handle.seek(0)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, EOFError, gzip.BadGzipFile, zlib.error):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    return Part(handle, path, begin, facts.st_ino, facts.st_size, facts.st_mtime_ns, active, packed)


def _at(part: Part, place: Place) -> Part:
    fields = {name: getattr(part, name) for name in Part.__slots__ if name != "place"}
    return Part(**fields, place=place)


def _once(parts: list[Part]) -> list[Part]:
    """Without the second of two that begin alike: a file and its copy, or itself packed."""
    found: dict[str, Part] = {}
    for part in sorted(parts, key=lambda part: (part.packed, part.active)):
        found.setdefault(digest(part.begin), part)
    return list(found.values())


def _last_line(handle: IO[bytes]) -> tuple[int, int]:
    """(where the last whole line ends, where the last Zeek header begins or -1)."""
    end, header = 0, -1
    for line in handle:
        if not line.endswith(b"\n"):
            break
        if line.startswith(b"#separator"):
            header = end
        end += len(line)
    return end, header


def _missing(path: str) -> NotFoundError:
    return NotFoundError(
        f"there is no file {path}: check the path, and that the sensor writes to it",
        vendor="file_tail",
        operation="read the file",
    )


def _unreadable(path: str, error: OSError) -> VendorError:
    if isinstance(error, PermissionError):
        return ScopeError(
            f"{path} may not be read: give the hub's user read permission on it and on what it becomes by rotation",
            vendor="file_tail",
            operation="read the file",
        )
    return UnavailableError(
        f"{path} cannot be read: {error.strerror or type(error).__name__}",
        vendor="file_tail",
        operation="read the file",
    )
