"""Assets and identities from tables in files: read again when they change, a bad row told with its line, the good kept.

A file that cannot be read any more keeps what it said, marked stale: a copy that broke half-way must not make everybody
unknown, and must not count as an answer either.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast, get_args

from nightdesk.autonomy.matching import forms
from nightdesk.hub.enrichment.config import AssetsCsvConfig, CsvConfig, IdentitiesCsvConfig
from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.enrichment import AssetFact, Criticality, Enrichment, EnrichmentStatus, Fact, IdentityFact

__all__ = ["Table", "table"]

_CRITICALITIES = get_args(Criticality)
_YES = frozenset({"yes", "true", "1", "y"})
_NO = frozenset({"no", "false", "0", "n"})
_MOST_ROWS = 1_000_000
_TOLD = 20  # bad rows that are told; the rest is counted
_Row = Mapping[str, str]


class Table:
    """One file. ``problems`` are what was wrong with it at the last reading, each with its line."""

    def __init__(
        self,
        path: Path,
        config: CsvConfig,
        *,
        kinds: frozenset[EntityKind],
        columns: Mapping[str, bool],
        read: Callable[[_Row], tuple[list[str], Fact]],
    ) -> None:
        """``columns``: ours, and whether they must be there. ``read``: the row's names and what it says."""
        self.kinds = kinds
        self.problems: tuple[str, ...] = ()
        self._path = path
        self._config = config
        self._columns = columns
        self._read = read
        self._facts: dict[str, list[Fact]] = {}
        self._seen: tuple[int, int, int] | None = None
        self._written: datetime | None = None
        self._broken = "was never read"

    def know(self, tenant: str, entities: Sequence[Entity], now: datetime) -> Mapping[str, Enrichment]:
        """What the rows say; see ``Knowledge``."""
        del tenant  # the file is one tenant's
        self._refresh()
        written = self._written or now
        age = self._config.max_age_seconds
        late = bool(age) and now - written > timedelta(seconds=age)
        found: dict[str, Enrichment] = {}
        for entity in entities:
            names = (text.casefold() for text in forms(entity.kind, entity.value, entity.facts))
            facts = tuple(dict.fromkeys(fact for name in names for fact in self._facts.get(name, ())))
            status = EnrichmentStatus.OK if facts else EnrichmentStatus.NOTHING
            reason = ""
            if self._broken:
                status = EnrichmentStatus.STALE if self._seen else EnrichmentStatus.ERROR
                reason = self._broken
            elif late:
                status, reason = EnrichmentStatus.STALE, f"the file is older than {age:g} s"
            found[entity.key] = Enrichment(entity.key, "", status, written, self._config.ttl_seconds, facts, reason)
        return found

    def _refresh(self) -> None:
        try:
            told = self._path.stat()
            mark = (told.st_mtime_ns, told.st_size, told.st_ino)
            if mark == self._seen and not self._broken:
                return
            facts, problems = self._load()
        except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
            self._broken = f"{self._path.name} cannot be read: {error}"
            self.problems = (self._broken,)
            return
        self._facts, self.problems, self._broken, self._seen = facts, problems, "", mark
        self._written = datetime.fromtimestamp(told.st_mtime, UTC)

    def _load(self) -> tuple[dict[str, list[Fact]], tuple[str, ...]]:
        facts: dict[str, list[Fact]] = {}
        problems: list[str] = []
        with self._path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, delimiter=self._config.delimiter, strict=True)
            theirs = self._theirs(rows.fieldnames or ())
            for number, row in enumerate(rows):
                if number >= _MOST_ROWS:
                    raise ValueError(f"more than {_MOST_ROWS} rows")
                line = rows.line_num
                if None in row or None in row.values():
                    problems.append(f"{self._path.name}:{line}: has another number of cells than the header")
                    continue
                try:
                    names, fact = self._read({ours: self._word(ours, row[name]) for ours, name in theirs.items()})
                except ValueError as error:
                    problems.append(f"{self._path.name}:{line}: {error}")
                    continue
                for name in dict.fromkeys(text.casefold() for text in names):
                    facts.setdefault(name, []).append(fact)
        more = [f"{self._path.name}: {len(problems) - _TOLD} more bad rows"] if len(problems) > _TOLD else []
        return facts, (*problems[:_TOLD], *more)

    def _theirs(self, header: Sequence[str]) -> dict[str, str]:
        """By our column the file's. Raises ValueError when one that is needed, or was named, is missing."""
        wanted = {ours: self._config.columns.get(ours, ours) for ours in self._columns}
        strange = sorted(set(self._config.columns) - set(self._columns))
        if strange:
            raise ValueError(f"columns names {', '.join(strange)}; there are {', '.join(self._columns)}")
        lacking = sorted(
            theirs
            for ours, theirs in wanted.items()
            if theirs not in header and (self._columns[ours] or ours in self._config.columns)
        )
        if lacking:
            raise ValueError(f"lacks the column {', '.join(lacking)}")
        return {ours: theirs for ours, theirs in wanted.items() if theirs in header}

    def _word(self, column: str, text: str) -> str:
        plain = text.strip()
        return self._config.words.get(column, {}).get(plain, plain)


def table(folder: Path, config: AssetsCsvConfig | IdentitiesCsvConfig) -> Table:
    """The table of a configuration."""
    path = folder / config.file
    if isinstance(config, AssetsCsvConfig):
        optional = ("fqdn", "addresses", "criticality", "owner", "type", "tags")
        columns = {"hostname": True, **dict.fromkeys(optional, False)}
        kinds = frozenset({EntityKind.HOST, EntityKind.ADDRESS})
        return Table(path, config, kinds=kinds, columns=columns, read=_asset)
    more = ("email", "privileged", "vip", "enabled", "service", "department", "owner", "groups")
    columns = {"account": True, **dict.fromkeys(more, False)}
    kinds = frozenset({EntityKind.ACCOUNT, EntityKind.EMAIL})
    return Table(path, config, kinds=kinds, columns=columns, read=_identity)


def _asset(row: _Row) -> tuple[list[str], Fact]:
    criticality = row.get("criticality", "").lower()
    if criticality not in _CRITICALITIES:
        raise ValueError(f"criticality {criticality!r} is none of {', '.join(filter(None, _CRITICALITIES))}")
    names = [row["hostname"], row.get("fqdn", ""), *row.get("addresses", "").replace(";", " ").split()]
    given = [name for name in names if name]
    if not given:
        raise ValueError("names no host")
    fact = AssetFact(
        criticality=cast("Literal['', 'low', 'medium', 'high', 'critical']", criticality),
        owner=row.get("owner", ""),
        asset_type=row.get("type", "").lower(),
        tags=tuple(_parts(row.get("tags", ""))),
    )
    return given, fact


def _identity(row: _Row) -> tuple[list[str], Fact]:
    given = [name for name in (row["account"], row.get("email", "")) if name]
    if not given:
        raise ValueError("names no account")
    fact = IdentityFact(
        name=row["account"],
        privileged=_flag(row, "privileged"),
        vip=_flag(row, "vip"),
        enabled=_flag(row, "enabled"),
        service=_flag(row, "service"),
        department=row.get("department", ""),
        owner=row.get("owner", ""),
        groups=tuple(part.strip() for part in row.get("groups", "").split(";") if part.strip()),
    )
    return given, fact


def _flag(row: _Row, name: str) -> bool | None:
    text = row.get(name, "").lower()
    if text and text not in _YES | _NO:
        raise ValueError(f"{name} {text!r} is neither yes nor no")
    return None if not text else text in _YES


def _parts(text: str) -> Iterator[str]:
    yield from (part.lower() for part in text.replace(";", " ").split())
