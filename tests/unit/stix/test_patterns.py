"""Regular expressions of the mappings cost no more than a few readings of the text: vendors send megabytes."""

import re
from collections.abc import Iterator
from pathlib import Path
from re import _constants as op  # type: ignore[attr-defined]  # the grammar of a pattern is nowhere else
from re import _parser as grammar  # type: ignore[attr-defined]  # see above
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
_PATTERN = re.compile(r"(?:\bfound| ~) (?P<pattern>\S+)")


def _patterns() -> Iterator[tuple[str, str]]:
    for path in sorted(ROOT.glob("normalizers/*/*.yaml")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("#"):
                continue
            for match in _PATTERN.finditer(line):
                written = match["pattern"].replace("\\\\", "\\") if '"' in line[: match.start()] else match["pattern"]
                yield f"{path.parent.name}/{path.name}", written.rstrip('"],}')


def _begins_with_a_search(parsed: Any) -> bool:
    """Unanchored, and its first part may eat the text to its end before something later fails: from every place."""
    parts = list(parsed)
    if not parts:
        return False
    kind, detail = parts[0]
    if kind is op.SUBPATTERN and len(parts) > 1:
        return _begins_with_a_search([*detail[-1], *parts[1:]])
    endless = kind in {op.MAX_REPEAT, op.MIN_REPEAT} and detail[1] == op.MAXREPEAT
    return endless and len(parts) > 1


def test_the_check_knows_what_it_looks_for() -> None:
    bad, good = (r"[^.]+\.(.+)", r"(\w+)\s"), (r"^[^.]+\.(.+)", r"(\d+)", r"[^\s].*", "a|b")
    assert all(_begins_with_a_search(grammar.parse(pattern)) for pattern in bad)
    assert not any(_begins_with_a_search(grammar.parse(pattern)) for pattern in good)


def test_there_are_patterns_to_check() -> None:
    assert len(list(_patterns())) > 50


@pytest.mark.parametrize(("where", "pattern"), sorted(set(_patterns())))
def test_no_pattern_reads_the_rest_of_the_text_from_every_place(where: str, pattern: str) -> None:
    try:
        parsed = grammar.parse(pattern)
    except re.error:
        parsed = grammar.parse(re.escape(pattern))  # cut at a blank: its beginning was a whole one
    assert not _begins_with_a_search(parsed), f"{where}: begin {pattern} with ^ or with a letter"
