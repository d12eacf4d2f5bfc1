"""Finds connectors and normalisers without importing them; imports one when it is asked for.

A plugin that cannot be loaded is named in ``broken`` and left out; the rest runs (law 12).
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from nightdesk.hub import builtins
from nightdesk.sdk import hookspecs
from nightdesk.sdk.context import Context
from nightdesk.sdk.enrichment import Enricher, EnricherSpec, Knowledge
from nightdesk.sdk.errors import ConfigError, Problem, UnsupportedError
from nightdesk.sdk.manifest import Manifest, load_manifest
from nightdesk.sdk.testing import Simulator
from nightdesk.stix.normalize import Normalizer

__all__ = ["Registry"]


@dataclass
class Registry:
    """What is installed. ``broken`` maps a plugin, vendor or product to why it was left out."""

    manifests: dict[str, Manifest] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    normalizer_folders: dict[str, Path] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    enrichers: dict[str, EnricherSpec] = field(default_factory=dict)

    @classmethod
    def load(cls, *, strangers: bool = True, extra: Mapping[str, Any] | None = None) -> "Registry":
        """Built-ins, then (``strangers``) every installed plugin of the entry point group, then ``extra`` by name."""
        registry = cls()
        manager = pluggy.PluginManager(hookspecs.NAMESPACE)
        manager.add_hookspecs(hookspecs)
        manager.register(builtins, "builtins")
        if strangers:
            for point in metadata.entry_points(group=hookspecs.NAMESPACE):
                registry._guard(point.name, lambda point=point: manager.register(point.load(), point.name))  # type: ignore[misc]  # default argument binds
        for name, plugin in (extra or {}).items():
            registry._guard(name, lambda name=name, plugin=plugin: manager.register(plugin, name))  # type: ignore[misc]  # default argument binds
        for name, plugin in manager.list_name_plugin():
            if plugin is not None:
                registry._guard(name, lambda plugin=plugin: registry._take(plugin))  # type: ignore[misc]  # default argument binds
        return registry

    def _guard(self, name: str, step: Callable[[], object]) -> None:
        # Isolation point: whatever a stranger's plugin raises, the rest must run.
        try:
            step()
        except Exception as error:  # noqa: BLE001  # see above
            self.broken[name] = f"{type(error).__name__}: {error}"

    def _take(self, plugin: Any) -> None:
        for package, folder in getattr(plugin, "nightdesk_connector_folders", tuple)():
            try:
                manifest = load_manifest(Path(folder) / "manifest.yaml")
            except ConfigError as error:
                self.broken[Path(folder).name] = str(error)
                continue
            if manifest.vendor in self.manifests:
                self.broken[f"{package}"] = (
                    f"vendor {manifest.vendor} is already provided by {self.packages[manifest.vendor]}"
                )
                continue
            self.manifests[manifest.vendor] = manifest
            self.packages[manifest.vendor] = package
            self.folders[manifest.vendor] = Path(folder)
        for product, folder in getattr(plugin, "nightdesk_normalizer_folders", tuple)():
            self.normalizer_folders.setdefault(product, Path(folder))
        for spec in getattr(plugin, "nightdesk_enrichers", tuple)():
            if spec.kind in self.enrichers:
                self.broken[spec.make] = f"enricher {spec.kind} is already provided by {self.enrichers[spec.kind].make}"
                continue
            self.enrichers[spec.kind] = spec

    def manifest(self, vendor: str) -> Manifest:
        """The manifest of a vendor. Raises UnsupportedError that lists what there is."""
        try:
            return self.manifests[vendor]
        except KeyError:
            there = ", ".join(sorted(self.manifests))
            why = f" (left out: {self.broken[vendor]})" if vendor in self.broken else ""
            raise UnsupportedError(f"no vendor {vendor!r}{why}; there are: {there}") from None

    def connector(self, vendor: str, context: Context) -> Any:
        """A new connector. Raises UnsupportedError, or ConfigError when its code cannot be imported."""
        self.manifest(vendor)
        return self._import(vendor, "connector").Connector(context)

    def simulator(self, vendor: str) -> type[Simulator]:
        """The vendor's simulator class."""
        self.manifest(vendor)
        found: type[Simulator] = self._import(vendor, "simulator").Simulator
        return found

    def enricher(self, kind: str, context: Context) -> Enricher | Knowledge:
        """A new enricher of that kind. Raises ConfigError when its code cannot be imported."""
        spec = self.enrichers[kind]
        module, _, name = spec.make.partition(":")
        try:
            made: Enricher | Knowledge = getattr(importlib.import_module(module), name)(context)
        except (ImportError, AttributeError) as error:
            raise ConfigError([Problem(spec.make, kind, f"cannot be imported: {error}")]) from error
        return made

    def _import(self, vendor: str, module: str) -> ModuleType:
        try:
            return importlib.import_module(f"{self.packages[vendor]}.{module}")
        except ImportError as error:
            raise ConfigError([Problem(self.packages[vendor], module, f"cannot be imported: {error}")]) from error

    def normalizer(self) -> Normalizer:
        """The normaliser over every product."""
        return Normalizer(self.normalizer_folders.items(), self._functions)

    def _functions(self, product: str) -> Mapping[str, Any]:
        path = self.normalizer_folders[product] / "functions.py"
        if not path.exists():
            return {}
        spec = importlib.util.spec_from_file_location(f"nightdesk_functions_{product}", path)
        if spec is None or spec.loader is None:
            raise ConfigError([Problem(str(path), "", "cannot be imported")])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        functions: Mapping[str, Any] = module.FUNCTIONS
        return functions
