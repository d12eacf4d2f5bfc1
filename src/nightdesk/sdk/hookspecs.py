"""The hooks a plugin may implement; built-ins register through the same ones. At most eight, each with a user.

A plugin is a package with an entry point in the group ``nightdesk``:

    [project.entry-points.nightdesk]
    acme_edr = "acme_nightdesk"
"""

from collections.abc import Iterable
from pathlib import Path

import pluggy

from nightdesk.sdk.enrichment import EnricherSpec

__all__ = [
    "NAMESPACE",
    "hookimpl",
    "nightdesk_connector_folders",
    "nightdesk_enrichers",
    "nightdesk_normalizer_folders",
]

NAMESPACE = "nightdesk"

_hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)


@_hookspec
def nightdesk_connector_folders() -> Iterable[tuple[str, Path]]:  # type: ignore[empty-body]  # a specification
    """Connector folders as (import path of the package, folder with its ``manifest.yaml``)."""


@_hookspec
def nightdesk_normalizer_folders() -> Iterable[tuple[str, Path]]:  # type: ignore[empty-body]  # a specification
    """Normaliser folders as (product slug, folder with its mapping files)."""


@_hookspec
def nightdesk_enrichers() -> Iterable[EnricherSpec]:  # type: ignore[empty-body]  # a specification
    """Kinds of enrichers: each with its name in a configuration, its settings, and where the one that makes it is."""
