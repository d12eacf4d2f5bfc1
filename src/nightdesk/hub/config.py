"""One YAML file to frozen settings: unknown keys are errors, all problems at once, each with file and key."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from nightdesk.autonomy.guardrails import AssetFacts, Limits
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.selectors import Shared
from nightdesk.autonomy.signing import SignedPolicy, load_public_key, load_signed
from nightdesk.autonomy.windows import Maintenance, Window
from nightdesk.hub.adviser.settings import AdviserSettings, read_adviser
from nightdesk.hub.approvals.settings import ApprovalSettings, read_approvals
from nightdesk.hub.bounds import BrakeBounds
from nightdesk.hub.change_windows import read_maintenance, read_windows
from nightdesk.hub.config_file import HubConfig, InstanceConfig, Role, TenantConfig
from nightdesk.hub.enrichment.settings import EnrichmentReader, EnrichmentSettings, read_enrichment
from nightdesk.hub.inventory import read_inventory
from nightdesk.hub.learning.settings import LearningConfig
from nightdesk.hub.limits import read_limits
from nightdesk.hub.namesakes import Namesakes
from nightdesk.hub.openc2.limits import OpenC2Config
from nightdesk.hub.registry import Registry
from nightdesk.hub.routes import Route
from nightdesk.hub.shared import bundled, read_shared
from nightdesk.hub.whereabouts import store_url
from nightdesk.hub.witness_config import WitnessConfig
from nightdesk.sdk.context import Network, Settings
from nightdesk.sdk.errors import ConfigError, NightdeskError, Problem
from nightdesk.sdk.manifest import Audience, Manifest, validate_settings
from nightdesk.sdk.secrets import Secret
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import TLP, Scope

__all__ = ["HubSettings", "InstanceSettings", "TenantSettings", "TokenSettings", "config_schema", "load_config"]


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """One bound connector: its manifest, settings, the streams it pulls, and what a host it isolated still talks to."""

    name: str
    manifest: Manifest
    settings: Settings
    pulls: tuple[str, ...]
    poll: timedelta
    silent_after: timedelta = timedelta(days=1)
    """How long no alert may come before people are told; 0: for ever."""
    routes: tuple[Route, ...] = ()
    """Of an account that serves several tenants: who each alert is for."""
    shared: tuple[str, str] | None = None
    """The tenant and connector whose account this is a part of; then it has no feed of its own and no role."""
    management_peers: tuple[str, ...] = ()
    shares: Audience | None = None
    """Who learns of what is sent there, where that is not what its manifest says."""


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """One credential of the hub's API."""

    name: str
    role: Role
    secret: Secret
    instance: str


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """One tenant, ready to run."""

    scope: Scope
    policy: SignedPolicy | Policy
    quiet: timedelta
    window: timedelta
    leases: Mapping[str, timedelta]
    instances: Mapping[str, InstanceSettings]
    roles: Mapping[str, str]
    tokens: Mapping[str, TokenSettings]
    assets: Mapping[str, AssetFacts] = field(default_factory=dict)
    """The tenant's inventory by target (``host:ws-0042``); what is not in it counts as protected."""
    limits: Limits = field(default_factory=Limits)
    approvals: ApprovalSettings = field(default_factory=ApprovalSettings)
    witness: WitnessConfig = field(default_factory=WitnessConfig)
    pap: str = "clear"
    change_windows: tuple[Window, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    signers: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)
    """Whose signatures under a policy count."""
    enrichment: EnrichmentSettings = field(default_factory=EnrichmentSettings)
    adviser: AdviserSettings | None = None
    namesakes: Namesakes = field(init=False, compare=False, repr=False)
    """The inventory by its rows' other names."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "namesakes", Namesakes(self.assets))


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Everything the hub runs with."""

    file: str
    store: str
    host: str
    port: int
    network: Network
    tenants: Mapping[str, TenantSettings]
    playbooks: Path | None = None
    """A folder with playbooks of the operator's own, beside the bundled ones."""
    shared: Shared = field(default_factory=bundled)
    """What many unrelated parties are behind."""
    brakes: BrakeBounds = field(default_factory=BrakeBounds)
    openc2: OpenC2Config = field(default_factory=OpenC2Config)
    learning: LearningConfig = field(default_factory=LearningConfig)


def config_schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return HubConfig.model_json_schema()


def load_config(path: Path, registry: Registry) -> HubSettings:
    """Reads and validates the file; contacts nobody. Raises ConfigError with every problem."""
    file = str(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError([Problem(file, "", "does not exist; make one with `nightdesk init`")]) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([Problem(file, "", f"cannot be read: {error}")]) from error
    try:
        config = HubConfig.model_validate(data)
    except ValidationError as error:
        told = [(".".join(map(str, item["loc"])), _said(item["msg"], item["type"])) for item in error.errors()]
        raise ConfigError([Problem(file, key, text) for key, text in told]) from error
    reader = _Reader(file, path.resolve().parent, registry)
    tenants = {slug: reader.tenant(slug, tenant, config) for slug, tenant in config.tenants.items()}
    reader.check_routes(config)
    if config.playbooks is not None and not (path.resolve().parent / config.playbooks).is_dir():
        reader.wrong("playbooks", f"{config.playbooks} is no folder")
    shared = read_shared(reader.folder, config.shared, partial(reader.wrong, "shared"))
    if reader.problems:
        raise ConfigError(reader.problems)
    return HubSettings(
        file=file,
        store=store_url(config.store, path.resolve().parent),
        host=config.http.host,
        port=config.http.port,
        network=Network(config.network.proxy, config.network.ca_file, config.network.timeout),
        tenants={slug: tenant for slug, tenant in tenants.items() if tenant is not None},
        playbooks=None if config.playbooks is None else path.resolve().parent / config.playbooks,
        shared=shared,
        brakes=config.brakes,
        openc2=config.openc2,
        learning=config.learning,
    )


def _said(message: str, kind: str) -> str:
    return "no such key; see `nightdesk config schema`" if kind == "extra_forbidden" else message


class _Reader:
    """Collects the problems of what pydantic cannot see."""

    def __init__(self, file: str, folder: Path, registry: Registry) -> None:
        self.file = file
        self.folder = folder
        self.registry = registry
        self.problems: list[Problem] = []

    def wrong(self, key: str, message: str) -> None:
        self.problems.append(Problem(self.file, key, message))

    def secret(self, key: str, reference: str) -> Secret | None:
        """A secret that can be read now; ``file:`` paths are relative to the configuration."""
        kind, _, name = reference.partition(":")
        if kind == "file" and not Path(name).is_absolute():
            reference = f"file:{self.folder / name}"
        try:
            secret = Secret(reference)
            secret.reveal()
        except ConfigError as error:
            self.problems += [Problem(self.file, key, f"{item.key} {item.message}".strip()) for item in error.problems]
            return None
        return secret

    def tenant(self, slug: str, config: TenantConfig, whole: HubConfig) -> TenantSettings | None:
        """One tenant, or None after noting what is wrong."""
        key, before = f"tenants.{slug}", len(self.problems)
        if not slug.replace("-", "").replace("_", "").isalnum() or slug != slug.lower():
            self.wrong(key, "a tenant's slug is a-z, 0-9, - and _")
        if config.tlp not in TLP:
            self.wrong(f"{key}.tlp", f"must be one of {', '.join(TLP)}")
        tenant_key = self._key(f"{key}.key", config.key)
        instances = {
            name: made
            for name, instance in config.connectors.items()
            if (made := self.instance(f"{key}.connectors.{name}", name, instance, whole)) is not None
        }
        for role, name in config.roles.items():
            if name not in config.connectors:
                self.wrong(f"{key}.roles.{role}", f"no connector {name!r}; there are {', '.join(config.connectors)}")
                continue
            if config.connectors[name].shared:
                self.wrong(f"{key}.roles.{role}", f"{name} is a part of a shared account: its hosts are not told apart")
                continue
            manifest = self.registry.manifests.get(config.connectors[name].vendor)
            if manifest is not None and role not in manifest.roles:
                self.wrong(f"{key}.roles.{role}", f"{manifest.vendor} offers {', '.join(manifest.roles)}")
        tokens = {
            name: TokenSettings(name, token.role, secret, token.instance)
            for name, token in config.tokens.items()
            if (secret := self.secret(f"{key}.tokens.{name}.secret", token.secret)) is not None
        }
        trusted = self._signers(f"{key}.signers", config)
        policy = self._policy(config, trusted)
        enrichment = self._enrichment(f"{key}.enrichment", config, instances, trusted)
        adviser = read_adviser(config.adviser, f"{key}.adviser", config.tlp, self.secret, self.wrong)
        assets = read_inventory(self.folder, config.assets, partial(self.wrong, f"{key}.assets"))
        limits = read_limits(f"{key}.limits", config.limits, self.wrong)
        approvals = read_approvals(config, f"{key}.approvals", self.wrong)
        config.witness.check(config.connectors, f"{key}.witness", self.wrong)
        if len(self.problems) > before or tenant_key is None or policy is None:
            return None
        return TenantSettings(
            scope=Scope(slug, config.name, tenant_key, config.tlp),
            policy=policy,
            quiet=timedelta(seconds=config.quiet_seconds),
            window=timedelta(seconds=config.window_seconds),
            leases={verb: timedelta(seconds=seconds) for verb, seconds in config.lease_seconds.items()},
            instances=instances,
            roles=config.roles,
            tokens=tokens,
            assets=assets,
            limits=limits,
            approvals=approvals,
            witness=config.witness,
            pap=config.pap,
            change_windows=read_windows(f"{key}.change_windows", config.change_windows, self.wrong),
            maintenance=read_maintenance(f"{key}.maintenance", config.maintenance, self.wrong),
            signers=trusted,
            enrichment=enrichment,
            adviser=adviser,
        )

    def _enrichment(
        self,
        key: str,
        config: TenantConfig,
        instances: Mapping[str, InstanceSettings],
        trusted: Mapping[str, Ed25519PublicKey],
    ) -> EnrichmentSettings:
        reader = EnrichmentReader(
            self.folder, self.file, self.registry.enrichers, instances, self.secret, trusted, self.wrong,
            config.tlp, config.pap,
        )  # fmt: skip
        return read_enrichment(config.enrichment, key, reader)

    def _key(self, key: str, reference: str) -> TenantKey | None:
        secret = self.secret(key, reference)
        if secret is None:
            return None
        try:
            return TenantKey.from_text(secret.reveal())
        except ValueError as error:
            self.wrong(key, f"{error}; make one with `nightdesk init`")
            return None

    def _signers(self, key: str, config: TenantConfig) -> dict[str, Ed25519PublicKey]:
        try:
            return {name: self._public_key(path) for name, path in config.signers.items()}
        except ConfigError as error:
            self.problems += error.problems
        except OSError as error:
            self.wrong(key, f"{error.filename}: {error.strerror}")
        return {}

    def _policy(self, config: TenantConfig, trusted: Mapping[str, Ed25519PublicKey]) -> SignedPolicy | Policy | None:
        if config.policy is None:
            return Policy.unsigned()
        if config.signers and not trusted:
            return None  # what is wrong with the signers is told
        try:
            return load_signed(self.folder / config.policy, trusted)
        except ConfigError as error:
            self.problems += error.problems
        return None

    def _public_key(self, path: str) -> Ed25519PublicKey:
        return load_public_key((self.folder / path).read_bytes(), file=path)

    def instance(self, key: str, name: str, config: InstanceConfig, whole: HubConfig) -> InstanceSettings | None:
        """One connector's settings against its manifest; of a part of a shared account the owner's."""
        if config.shared:
            return self._part(key, name, config, whole)
        try:
            manifest = self.registry.manifest(config.vendor)
        except NightdeskError as error:
            self.wrong(f"{key}.vendor", str(error))
            return None
        given = dict(config.settings)
        for setting, spec in manifest.settings.items():
            value = given.get(setting)
            if spec.type == "secret" and isinstance(value, str):
                found = self.secret(f"{key}.settings.{setting}", value)
                given[setting] = found if found is not None else Secret.literal("unreadable")
        pulls = tuple(manifest.pulls if config.pulls is None else config.pulls)
        for stream in pulls:
            if stream not in manifest.pulls:
                self.wrong(f"{key}.pulls", f"{manifest.vendor} pulls {', '.join(manifest.pulls)}, not {stream!r}")
        try:
            values = validate_settings(manifest, given, file=self.file, key=f"{key}.settings")
        except ConfigError as error:
            self.problems += error.problems
            return None
        return InstanceSettings(
            name,
            manifest,
            Settings(values),
            pulls,
            timedelta(seconds=config.poll_seconds),
            timedelta(seconds=config.silent_after_seconds),
            tuple(Route(route.path, tuple(route.values), route.tenant) for route in config.routes),
            management_peers=tuple(config.management_peers),
            shares=config.shares,
        )

    def _part(self, key: str, name: str, config: InstanceConfig, whole: HubConfig) -> InstanceSettings | None:
        owner, _, account = config.shared.partition("/")
        found = whole.tenants[owner].connectors.get(account) if owner in whole.tenants else None
        if found is None or found.shared or not found.routes:
            self.wrong(f"{key}.shared", f"{config.shared!r} is no account with routes; write TENANT/CONNECTOR of one")
            return None
        if config.vendor or config.settings or config.routes or config.pulls is not None:
            self.wrong(key, "a part of a shared account says nothing but `shared`: the rest is the owner's")
            return None
        before = len(self.problems)
        made = self.instance(f"tenants.{owner}.connectors.{account}", name, found, whole)
        del self.problems[before:]  # they are the owner's, and told there
        return None if made is None else replace(made, pulls=(), routes=(), shared=(owner, account))

    def check_routes(self, config: HubConfig) -> None:
        """Every tenant that a route names must have its part of that account."""
        for slug, tenant in config.tenants.items():
            for name, instance in tenant.connectors.items():
                for number, route in enumerate(instance.routes):
                    other = config.tenants.get(route.tenant)
                    parts = (
                        [one for one in other.connectors.values() if one.shared == f"{slug}/{name}"] if other else []
                    )
                    if len(parts) != 1 and route.tenant != slug:
                        self.wrong(
                            f"tenants.{slug}.connectors.{name}.routes.{number}.tenant",
                            f"{route.tenant!r} has no connector with `shared: {slug}/{name}`; give it one",
                        )
