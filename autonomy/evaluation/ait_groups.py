"""Reads judged groups of alerts: a table with a line for each group, as made from the AIT alert data set.

Landauer, Skopik and Wurzenberger, "Introducing a New Alert Data Set for Multi-Step Attack Analysis" (2024); the groups
are alerts of one rule on one host within 300 s. Columns: ``tenant``, ``host``, ``rule``, ``n`` (alerts), ``t0`` and
``t1`` (seconds since 1970), ``y`` (1 is an attack), ``grey`` (1 is neither for certain), ``ev_label`` (the attack's
step); ``name`` (the rule's title) may be there, and any other column is passed over.
"""

import csv
import gzip
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TextIO, TypeVar

from nightdesk.autonomy.learning.groups import Group, Judged
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["COLUMNS", "Variant", "read_groups"]

COLUMNS = ("tenant", "host", "rule", "n", "t0", "t1", "ev_label", "y", "grey")
_EXFILTRATION = "dnsteal"
_MOST_PROBLEMS = 20
_GZIP = b"\x1f\x8b"
_T = TypeVar("_T")


class Variant(StrEnum):
    """Which attacks are in. EASY leaves out the slow exfiltration, whose rule is plain noise at other tenants."""

    EASY = "easy"
    ALL = "all"


def read_groups(path: Path, variant: Variant = Variant.ALL) -> list[Judged]:
    """All groups of a file, plain or gzip. Raises ConfigError with the lines that cannot be read, twenty at most."""
    judged: list[Judged] = []
    problems: list[Problem] = []
    with _opened(path) as stream:
        lines = csv.DictReader(stream, restkey="", strict=True)
        absent = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
        if absent:
            raise ConfigError(
                [Problem(str(path), "line 1", f"no column {', '.join(absent)}; this is no ait-groups file")]
            )
        for line in lines:
            try:
                one = _judged(line)
            except ValueError as error:
                problems.append(Problem(str(path), f"line {lines.line_num}", str(error)))
                if len(problems) == _MOST_PROBLEMS:
                    break
                continue
            if variant is Variant.ALL or line["ev_label"] != _EXFILTRATION:
                judged.append(one)
    if problems:
        raise ConfigError(problems)
    return judged


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
        opener: Callable[..., TextIO] = gzip.open if packed else open
        with opener(path, mode="rt", encoding="utf-8", newline="") as stream:
            yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error}; give a .csv or .csv.gz file")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            [Problem(str(path), "", f"is no UTF-8 text at byte {error.start}; save it as such")]
        ) from error
    except csv.Error as error:
        raise ConfigError([Problem(str(path), "", f"is no well-formed CSV: {error}")]) from error


def _judged(line: Mapping[str, str | None]) -> Judged:
    """One line. Raises ValueError that says which column and what it should be."""
    if None in line.values() or "" in line:
        raise ValueError("has not as many columns as the first line")
    tenant, host, rule = (_word(line, name) for name in ("tenant", "host", "rule"))
    opened, last = (_number(line, name) for name in ("t0", "t1"))
    if last < opened:
        raise ValueError(f"t1 {last} is before t0 {opened}")
    alerts = _parsed(line, "n", int, "a whole number of alerts")
    if alerts < 1:
        raise ValueError(f"n {alerts} is no number of alerts; a group has at least one")
    attack, unclear = _flag(line, "y"), _flag(line, "grey")
    title = line.get("name") or ""
    source = title.partition(":")[0].strip().lower() if ":" in title else ""
    group = Group(tenant, host, rule, opened, last, alerts, source=source, title=title)
    label = (line["ev_label"] or "").strip()
    return Judged(group, attack, (label if label != "-" else "") or "unnamed" if attack else "", unclear)


def _word(line: Mapping[str, str | None], name: str) -> str:
    word = (line[name] or "").strip()
    if not word:
        raise ValueError(f"{name} is empty")
    return word


def _number(line: Mapping[str, str | None], name: str) -> float:
    value = _parsed(line, name, float, "seconds since 1970")
    if not math.isfinite(value):
        raise ValueError(f"{name} {line[name]!r} is no time; give seconds since 1970")
    return value


def _flag(line: Mapping[str, str | None], name: str) -> bool:
    word = (line[name] or "").strip()
    if word not in {"0", "1"}:
        raise ValueError(f"{name} {line[name]!r} is neither 0 nor 1")
    return word == "1"


def _parsed(line: Mapping[str, str | None], name: str, make: Callable[[str], _T], what: str) -> _T:
    try:
        return make(line[name] or "")
    except ValueError:
        raise ValueError(f"{name} {line[name]!r} is not {what}") from None
