"""A tenant's enrichment, ready to run: what the schema cannot see is checked here, and secrets are wrapped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from nightdesk.autonomy.enrichment.gate import refusal
from nightdesk.hub.enrichment.config import (
    AllowListConfig,
    CsvConfig,
    EnrichmentConfig,
    IndicatorsConfig,
    InventoryConfig,
    OpinionsConfig,
    OtherConfig,
    SourceConfig,
)
from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.context import Settings
from nightdesk.sdk.enrichment import ASKABLE, EnricherSpec
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.manifest import Audience, Manifest, validated
from nightdesk.sdk.secrets import Secret

__all__ = ["EnrichmentReader", "EnrichmentSettings", "SourceSettings", "read_enrichment"]

_A_THING = Entity(EntityKind.DOMAIN, "example.com")


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One source: its configuration, and what had to be looked up for it."""

    name: str
    config: SourceConfig
    folder: Path
    values: Settings = field(default_factory=lambda: Settings({}))
    """Of a plugin's kind."""
    trusted: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)
    """Whose signatures count under a list."""


@dataclass(frozen=True, slots=True)
class EnrichmentSettings:
    """A tenant's. Times are in seconds."""

    sources: tuple[SourceSettings, ...] = ()
    wait: float = 0.5
    patience: float = 300.0
    max_entities: int = 100

    @property
    def names(self) -> tuple[str, ...]:
        """Every source by its name, in the order of the file."""
        return tuple(source.name for source in self.sources)


class _Instance(Protocol):
    @property
    def manifest(self) -> Manifest: ...
    @property
    def shares(self) -> Audience | None: ...


@dataclass(frozen=True, slots=True)
class EnrichmentReader:
    """What reading needs of the rest of the file."""

    folder: Path
    file: str
    specs: Mapping[str, EnricherSpec]
    instances: Mapping[str, _Instance]
    secret: Callable[[str, str], Secret | None]
    trusted: Mapping[str, Ed25519PublicKey]
    wrong: Callable[[str, str], None]
    tlp: str
    pap: str


def read_enrichment(config: EnrichmentConfig, key: str, reader: EnrichmentReader) -> EnrichmentSettings:
    """The settings; the reader is told of every problem."""
    sources = tuple(
        made
        for name, source in config.sources.items()
        if (made := _source(name, source, f"{key}.sources.{name}", reader)) is not None
    )
    return EnrichmentSettings(sources, config.wait_seconds, config.patience_seconds, config.max_entities)


def _source(name: str, config: SourceConfig, key: str, reader: EnrichmentReader) -> SourceSettings | None:
    strange = sorted(set(config.entities or ()) - ASKABLE)
    if strange:
        reader.wrong(f"{key}.entities", f"nobody is asked about {', '.join(strange)}; there are {', '.join(ASKABLE)}")
    if isinstance(config, CsvConfig | AllowListConfig) and not (reader.folder / config.file).is_file():
        reader.wrong(f"{key}.file", f"{reader.folder / config.file} is no file")
    if isinstance(config, InventoryConfig | OpinionsConfig | IndicatorsConfig):
        _bound(config, key, reader)
    if isinstance(config, AllowListConfig):
        return SourceSettings(name, config, reader.folder, trusted=reader.trusted)
    if isinstance(config, OtherConfig):
        values = _other(config, key, reader)
        return None if values is None else SourceSettings(name, config, reader.folder, values)
    return SourceSettings(name, config, reader.folder)


def _bound(config: InventoryConfig | OpinionsConfig | IndicatorsConfig, key: str, reader: EnrichmentReader) -> None:
    """The connector is there, can do it, and the tenant's marking lets it be asked."""
    found = reader.instances.get(config.connector)
    if found is None:
        there = ", ".join(reader.instances) or "none"
        reader.wrong(f"{key}.connector", f"no connector {config.connector!r}; there are {there}")
        return
    manifest = found.manifest
    able, lacks = {
        "inventory": (manifest.finds_assets or manifest.finds_accounts, "looks up no devices or accounts"),
        "opinions": (bool(manifest.enriches), "has no opinions"),
        "indicators": (any(one.product == "stix" for one in manifest.intel.values()), "brings no STIX indicators"),
    }[config.kind]
    if not able:
        reader.wrong(f"{key}.connector", f"{manifest.vendor} {lacks}")
    if config.kind == "indicators" or not config.required:
        return
    audience = found.shares or manifest.shares
    why = refusal(_A_THING, audience, reader.tlp, reader.pap, own_product=config.kind == "inventory")
    if why:
        reader.wrong(
            key,
            f"would never be asked ({why}), and so no case would be closed: where a contract keeps what is asked there "
            f"with you, write `shares: none` for {config.connector}; else choose another tlp or pap of the tenant, or "
            "`required: false`",
        )


def _other(config: OtherConfig, key: str, reader: EnrichmentReader) -> Settings | None:
    spec = reader.specs.get(config.kind)
    if spec is None:
        ours = "allow_list, assets_csv, identities_csv, indicators, inventory, opinions, verdicts"
        reader.wrong(f"{key}.kind", f"no kind {config.kind!r}; there are {', '.join(sorted({*reader.specs}))}, {ours}")
        return None
    given: dict[str, Any] = dict(config.settings)
    for name, setting in spec.settings.items():
        value = given.get(name)
        if setting.type == "secret" and isinstance(value, str):
            found = reader.secret(f"{key}.settings.{name}", value)
            if found is None:
                return None
            given[name] = found
    try:
        return Settings(validated(spec.settings, spec.kind, given, file=reader.file, key=f"{key}.settings"))
    except ConfigError as error:
        for problem in error.problems:
            reader.wrong(problem.key, problem.message)
        return None
