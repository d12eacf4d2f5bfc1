"""The connectors, normalisers and enrichers that ship with the hub, registered through the same hooks as anybody's."""

from collections.abc import Iterator
from pathlib import Path

import nightdesk.connectors
import nightdesk.normalizers
from nightdesk.hub.enrichment.directory_settings import LDAP
from nightdesk.sdk.enrichment import EnricherSpec
from nightdesk.sdk.hookspecs import hookimpl

__all__ = ["nightdesk_connector_folders", "nightdesk_enrichers", "nightdesk_normalizer_folders"]


def _folders(package: str, root: Path, marker: str) -> Iterator[tuple[str, Path]]:
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and any(folder.glob(marker)):
            yield f"{package}{folder.name}", folder


@hookimpl
def nightdesk_connector_folders() -> list[tuple[str, Path]]:
    """Every folder of ``connectors/`` with a manifest."""
    root = Path(nightdesk.connectors.__path__[0])
    return list(_folders("nightdesk.connectors.", root, "manifest.yaml"))


@hookimpl
def nightdesk_normalizer_folders() -> list[tuple[str, Path]]:
    """Every folder of ``normalizers/`` with a mapping."""
    return list(_folders("", Path(nightdesk.normalizers.__path__[0]), "*.yaml"))


@hookimpl
def nightdesk_enrichers() -> list[EnricherSpec]:
    """The kinds that need settings of their own; the others are part of the configuration's schema."""
    return [LDAP]
