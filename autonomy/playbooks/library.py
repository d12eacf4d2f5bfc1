"""Where playbooks come from: the bundled ones, a folder of the operator's, one file; each read and checked."""

import base64
import binascii
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.soundness import faults_in, vendor_words
from nightdesk.sdk.errors import ConfigError, Problem, UnsupportedError

__all__ = ["Library", "bundled", "parse", "read_files"]

_LARGEST = 1_000_000
_MODEL_SAYS = {
    "extra_forbidden": "is no property of CACAO 2.0 here",
    "union_tag_invalid": "is no step type of CACAO 2.0",
    "missing": "is required",
}


@dataclass(frozen=True, slots=True)
class Library:
    """Playbooks by id; a name (``ransomware-host``) finds one as well. ``files`` says where each came from."""

    playbooks: Mapping[str, Playbook] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def get(self, playbook_id: str) -> Playbook | None:
        """The playbook of that id."""
        return self.playbooks.get(playbook_id)

    def find(self, name: str) -> Playbook:
        """By id, or by the name of its file without ``.json``. Raises UnsupportedError that lists what there is."""
        if name in self.playbooks:
            return self.playbooks[name]
        for playbook_id, file in self.files.items():
            if Path(file).stem == name:
                return self.playbooks[playbook_id]
        raise UnsupportedError(f"no playbook {name!r}; there are {', '.join(self.names) or 'none'}")

    @property
    def names(self) -> tuple[str, ...]:
        """Every playbook's short name."""
        return tuple(sorted(Path(file).stem for file in self.files.values()))

    def name_of(self, playbook_id: str) -> str:
        """Its short name."""
        return Path(self.files.get(playbook_id, playbook_id)).stem

    def problems(self, *, unnamed: Collection[str] = ()) -> list[Problem]:
        """Everything wrong with any of them. ``unnamed``: vendor words that none of them may name (law 9)."""
        found = []
        for playbook_id, playbook in self.playbooks.items():
            file = self.files[playbook_id]
            found += [Problem(file, fault.pointer, fault.message) for fault in faults_in(playbook, self.get)]
            named = sorted(vendor_words(_readable(playbook.model_dump(mode="json")), unnamed))
            if named:
                text = f"names {', '.join(named)}: a playbook names verbs and roles, so that a vendor can be swapped"
                found.append(Problem(file, "", text))
        return found


def parse(data: bytes, file: str) -> Playbook:
    """One document. Raises ConfigError with every problem that its own shape has, each at a JSON pointer."""
    if len(data) > _LARGEST:
        raise ConfigError([Problem(file, "", f"has {len(data)} bytes; a playbook has at most {_LARGEST}")])
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem(file, "", f"is no JSON: {error}")]) from error
    try:
        return Playbook.model_validate(document)
    except ValidationError as error:
        raise ConfigError([_problem(file, item) for item in error.errors()]) from error


def read_files(paths: Iterable[Path], *, beside: Library | None = None) -> Library:
    """These files (a folder stands for its ``*.json``) and what is beside them. Raises ConfigError for all of them."""
    found = dict(beside.playbooks) if beside else {}
    files = dict(beside.files) if beside else {}
    problems: list[Problem] = []
    for path in [each for one in paths for each in _each(one)]:
        try:
            playbook = parse(path.read_bytes(), str(path))
        except OSError as error:
            problems.append(Problem(str(path), "", f"cannot be read: {error.strerror}"))
            continue
        except ConfigError as error:
            problems += error.problems
            continue
        if playbook.id in found:
            problems.append(Problem(str(path), "/id", f"is the id of {files[playbook.id]} already"))
            continue
        found[playbook.id], files[playbook.id] = playbook, str(path)
    if problems:
        raise ConfigError(problems)
    return Library(found, files)


@cache
def bundled() -> Library:
    """The playbooks of the package."""
    folder = resources.files(__package__) / "bundled"
    found: dict[str, Playbook] = {}
    files: dict[str, str] = {}
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.name.endswith(".json"):
            playbook = parse(entry.read_bytes(), entry.name)
            found[playbook.id], files[playbook.id] = playbook, entry.name
    return Library(found, files)


def _each(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(path.glob("*.json"))
    else:
        yield path


def _problem(file: str, item: Any) -> Problem:
    # pydantic names the chosen member of a union in the place; the document has no such key.
    parts = [str(part) for part in item["loc"]]
    if len(parts) > 2 and parts[0] == "workflow":
        parts = parts[:2] + parts[3:]
    pointer = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts if part != "[key]")
    return Problem(file, pointer, _MODEL_SAYS.get(item["type"], item["msg"]))


def _readable(value: Any) -> Any:
    """The document with what is in base64 readable, so that no word hides in it."""
    if isinstance(value, Mapping):
        return {name: _opened(item) if str(name).endswith("_b64") else _readable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return value


def _opened(value: Any) -> Any:
    try:
        return base64.b64decode(str(value), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return value
