"""Signed allow-lists: the only thing that takes a doubt away, so every entry has an owner and an end, and two signers.

The list is verified each time its file or its signatures change. One that was changed after it was signed, or has one
signature, counts for nothing (autonomy.md 2.6, 6 and 11); it is told, and the cases go to a person.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nightdesk.autonomy.signing import sidecar_of, verified_signers
from nightdesk.sdk.case import Entity
from nightdesk.sdk.enrichment import ASKABLE, AllowFact, Enrichment, EnrichmentStatus
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["AllowList", "AllowListFile", "read_list"]

_NEEDED = 2
"""Persons whose signatures an allow-list takes."""


_DAY = len("2026-11-01")


def _moment(value: Any) -> Any:
    """A plain day of YAML ends at its beginning in UTC: the earlier reading of two."""
    if isinstance(value, str) and len(value) == _DAY:
        return f"{value}T00:00:00Z"
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Entry(_Strict):
    entity: Annotated[str, Field(min_length=3, description="KIND:VALUE, exactly as cases name it")]
    owner: Annotated[str, Field(min_length=1)]
    expires: Annotated[AwareDatetime, BeforeValidator(_moment)]
    reason: Annotated[str, Field(min_length=1)]


class AllowListFile(_Strict):
    """The file: a name, and its entries."""

    name: str
    entries: list[_Entry]


class AllowList:
    """One list. ``problems`` say why it counts for nothing, or which entries have expired."""

    def __init__(self, path: Path, trusted: Mapping[str, Ed25519PublicKey], ttl: float) -> None:
        self.kinds = ASKABLE
        self.problems: tuple[str, ...] = ()
        self._path = path
        self._trusted = trusted
        self._ttl = ttl
        self._entries: dict[str, list[AllowFact]] = {}
        self._seen: tuple[object, ...] | None = None
        self._refused = ""

    def know(self, tenant: str, entities: Sequence[Entity], now: datetime) -> Mapping[str, Enrichment]:
        """Its entries, the expired ones among them: they are told, and count for nothing."""
        del tenant  # the file is one tenant's
        self._refresh()
        expired = sorted(
            f"{self._path.name}: {key} of {entry.owner} expired on {entry.expires.date().isoformat()}"
            for key, entries in self._entries.items()
            for entry in entries
            if entry.expires <= now
        )
        self.problems = (self._refused,) if self._refused else tuple(expired)
        found: dict[str, Enrichment] = {}
        for entity in entities:
            if self._refused:
                found[entity.key] = Enrichment(
                    entity.key, "", EnrichmentStatus.ERROR, now, self._ttl, reason=self._refused
                )
                continue
            facts = tuple(self._entries.get(entity.key, ()))
            status = EnrichmentStatus.OK if facts else EnrichmentStatus.NOTHING
            found[entity.key] = Enrichment(entity.key, "", status, now, self._ttl, facts)
        return found

    def _refresh(self) -> None:
        mark = tuple(_mark(path) for path in (self._path, sidecar_of(self._path)))
        if mark == self._seen:
            return
        self._seen, self._entries, self._refused = mark, {}, ""
        try:
            data = self._path.read_bytes()
            beside = sidecar_of(self._path)
            signers = verified_signers(
                data, beside.read_bytes() if beside.exists() else None, self._trusted, file=str(self._path)
            )
            if len(signers) < _NEEDED:
                told = ", ".join(signers)
                self._refused = f"{self._path.name}: signed by {told} alone; an allow-list takes two persons, two keys"
                return
            listed = _parsed(data, str(self._path))
        except ConfigError as error:
            self._refused = f"{self._path.name}: {error.problems[0].key} {error.problems[0].message}".replace(
                ":  ", ": "
            )
            return
        except OSError as error:
            self._refused = f"{self._path.name}: cannot be read: {error.strerror}"
            return
        for entry in listed.entries:
            fact = AllowFact(entry.owner, entry.expires.astimezone(UTC), entry.reason, signers)
            self._entries.setdefault(entry.entity, []).append(fact)


def read_list(path: Path) -> AllowListFile:
    """The list of a file, whoever signed it. Raises ConfigError with every problem."""
    try:
        return _parsed(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from error


def _parsed(data: bytes, file: str) -> AllowListFile:
    try:
        return AllowListFile.model_validate(yaml.safe_load(data))
    except ValidationError as error:
        raise ConfigError(
            [Problem(file, ".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([Problem(file, "", f"is no YAML: {error}")]) from error


def _mark(path: Path) -> object:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size, told.st_ino
